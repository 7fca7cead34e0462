//! The examples of `config/examples`, as their READMEs say: one command applies each to an account that has nothing of it, all of it
//! becomes Ready, and one command deletes it. What must stay in the account then is there, and nothing else.
//!
//! No file of an example is changed: a kustomization beside it has what the user is asked for, the account.

use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use simulator::{Cloud, GOOGLE_EMAIL, Simulator};

use crate::support::{Story, cluster};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/examples");
/// All of them. Each has a story here.
const EXAMPLES: [&str; 5] = ["aws-minimal", "aws-privatelink", "gcp-psc", "multi-account", "team-namespaces"];
/// What stays of a workspace: it, what it was built from, and the access of its creator.
const STAYS: [&str; 4] = ["credentials", "permissionassignments", "storage-configurations", "workspaces"];

/// An example with the accounts of stories.
struct Example {
    /// The directory of its kustomization.
    dir: String,
    /// The namespaces of its objects.
    namespaces: Vec<String>,
}

impl Example {
    /// An example whose objects are all in the namespace of a story.
    fn alone(name: &str, story: &Story) -> Example {
        let rest = json!({"namespace": story.namespace, "patches": [account_of(story, "")]});
        Self::of(name, &[&*story.namespace], rest)
    }

    /// An example with objects in these namespaces, and `rest` in the kustomization of it.
    fn of(name: &str, namespaces: &[&str], mut rest: Value) -> Example {
        let dir = cluster().dir.join("examples").join(name);
        std::fs::create_dir_all(&dir).unwrap();
        symlink(Path::new(FOLDER).join(name), dir.join("example")).unwrap();
        rest["resources"] = json!(["example"]);
        std::fs::write(dir.join("kustomization.yaml"), rest.to_string()).unwrap();
        let namespaces = namespaces.iter().map(|&namespace| namespace.to_owned()).collect();
        Example { dir: dir.to_str().unwrap().to_owned(), namespaces }
    }

    /// `kubectl`. If it fails, the objects say why.
    async fn kubectl(&self, args: &[&str]) -> String {
        let error = match cluster().kubectl(args, "").await {
            Ok(text) => return text,
            Err(error) => error,
        };
        let mut shown = String::new();
        for namespace in &self.namespaces {
            let get = ["get", "databricks", "-o", "wide", "--namespace", namespace];
            shown += &cluster().kubectl(&get, "").await.unwrap_or_default();
        }
        panic!("{error}\n{shown}");
    }

    /// Applies it and waits until all of it is Ready.
    async fn apply(&self) {
        self.kubectl(&["apply", "-k", &self.dir]).await;
        for namespace in &self.namespaces {
            let ready = ["wait", "--for=condition=Ready", "--timeout=120s", "--all", "databricks"];
            self.kubectl(&[&ready[..], &["--namespace", namespace]].concat()).await;
        }
    }

    /// Deletes it and waits until it is gone from the cluster.
    async fn delete(&self) {
        self.kubectl(&["delete", "--ignore-not-found", "--timeout=180s", "-k", &self.dir]).await;
        let left = self.kubectl(&["get", "--ignore-not-found", "-o", "name", "-k", &self.dir]).await;
        assert_eq!(left, "");
    }
}

/// A patch of the DatabricksAuths of a namespace, or of all: the account of a story in place of their own.
fn account_of(story: &Story, namespace: &str) -> Value {
    let account = &story.account;
    let fields = [
        ("accountId", account.account_id.clone()),
        ("clientId", account.client_id.clone()),
        ("host", account.url()),
    ];
    let set = |(field, value): (&str, String)| json!({"op": "add", "path": format!("/spec/{field}"), "value": value});
    let patch = json!(fields.map(set)).to_string();
    json!({"target": {"kind": "DatabricksAuth", "namespace": namespace}, "patch": patch})
}

/// All objects of an account, each with its collection.
fn all(account: &Simulator) -> Vec<(String, Value)> {
    let names = account.served().into_iter().map(|served| served.name);
    let of = |name: String| {
        let objects = account.objects(&name).into_iter();
        objects.map(|object| (name.clone(), object)).collect::<Vec<_>>()
    };
    names.flat_map(of).collect()
}

/// The collections of what an account has and did not have before, once for each object. What it had before is as it was.
fn added(account: &Simulator, before: &[(String, Value)]) -> Vec<String> {
    let now = all(account);
    let lost: Vec<_> = before.iter().filter(|&one| !now.contains(one)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    let new = now.into_iter().filter(|one| !before.contains(one));
    let mut names: Vec<String> = new.map(|(name, _)| name).collect();
    names.sort();
    names
}

/// Covers GO-08, GO-09.
#[tokio::test]
async fn one_command_creates_a_workspace_and_one_deletes_all_but_what_holds_data() {
    let story = Story::start("example-minimal").await;
    let before = all(&story.account);
    let example = Example::alone("aws-minimal", &story);
    example.apply().await;
    assert_eq!(added(&story.account, &before), STAYS);
    example.delete().await;
    assert_eq!(added(&story.account, &before), STAYS);
    story.end().await;
}

/// Covers GO-08, GO-09, LC-31, RF-02. Access is given to groups by reference, whatever exists first. A private endpoint that waits for its
/// approval is read again soon.
#[tokio::test]
async fn a_private_workspace_with_access_comes_and_goes_by_one_command() {
    let story = Story::start_with("example-privatelink", &[("recheck-waiting", "500ms")]).await;
    let before = all(&story.account);
    let of = |collection: &str| story.account.objects(collection).remove(0);
    let example = Example::alone("aws-privatelink", &story);
    example.apply().await;
    let workspace = of("workspaces");
    for used in [
        "network_id",
        "private_access_settings_id",
        "managed_services_customer_managed_key_id",
        "storage_customer_managed_key_id",
        "network_connectivity_config_id",
    ] {
        assert!(workspace[used].is_string(), "{used}: {workspace}");
    }
    let id = "jsonpath={.data.externalId}";
    let get = ["get", "configmap", "production-workspace", "-o", id, "--namespace", &story.namespace];
    assert_eq!(example.kubectl(&get).await, workspace["workspace_id"].to_string(), "what a program needs");
    assert_eq!(of("private-endpoint-rules")["enabled"], true);
    assert_eq!(of("workspace-network-options")["network_policy_id"], "production");
    assert_eq!(of("workspace-conf")["enableIpAccessLists"], "true");

    example.delete().await;
    // The switch of the IP access lists stays on, which the README says.
    let stays = [
        "ServicePrincipals",
        "credentials",
        "customer-managed-keys",
        "network-connectivity-configs",
        "networks",
        "permissionassignments",
        "private-access-settings",
        "storage-configurations",
        "vpc-endpoints",
        "vpc-endpoints",
        "workspace-conf",
        "workspace-network-options",
        "workspaces",
    ];
    assert_eq!(added(&story.account, &before), stays);
    assert_eq!(of("workspace-network-options")["network_policy_id"], "default-policy");
    let mut programs = story.account.objects("ServicePrincipals").into_iter();
    let deployment = programs.find(|one| one["displayName"] == "production-deployment").unwrap();
    assert_eq!(deployment["active"], false);
    story.end().await;
}

/// Covers GO-08, GO-09. What Databricks does in the project needs both tokens of Google, so the key is that of a Google service account.
#[tokio::test]
async fn a_private_workspace_on_google_cloud_comes_and_goes_by_one_command() {
    let mut story = Story::without_operator("example-gcp-psc").await;
    story.account.set(|settings| settings.cloud = Cloud::GCP);
    let key = story.account.google_key();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google", "namespace": story.namespace},
        "stringData": {"key.json": key},
    });
    story.apply(&secret).await;
    story.start_operator(&[]).await;
    let before = all(&story.account);
    let email = json!([{"op": "add", "path": "/spec/clientId", "value": GOOGLE_EMAIL}]).to_string();
    let email = json!({"target": {"kind": "DatabricksAuth"}, "patch": email});
    let rest = json!({"namespace": story.namespace, "patches": [account_of(&story, ""), email]});
    let example = Example::of("gcp-psc", &[&*story.namespace], rest);
    example.apply().await;
    let of = |collection: &str| story.account.objects(collection).remove(0);
    let (workspace, network) = (of("workspaces"), of("networks"));
    assert_eq!(workspace["network_id"], network["network_id"]);
    for used in [
        "private_access_settings_id",
        "managed_services_customer_managed_key_id",
        "storage_customer_managed_key_id",
    ] {
        assert!(workspace[used].is_string(), "{used}: {workspace}");
    }
    for service in ["rest_api", "dataplane_relay"] {
        let endpoints = network["vpc_endpoints"][service].as_array();
        assert_eq!(endpoints.map(Vec::len), Some(1), "{service}: {network}");
    }
    let by_google = |id: &Option<String>| id.as_deref() == Some(GOOGLE_EMAIL);
    assert!(story.account.writes().iter().all(|call| by_google(&call.client_id)));

    example.delete().await;
    let stays = [
        "customer-managed-keys",
        "networks",
        "permissionassignments",
        "private-access-settings",
        "vpc-endpoints",
        "vpc-endpoints",
        "workspaces",
    ];
    assert_eq!(added(&story.account, &before), stays);
    story.end().await;
}

/// Covers GO-08, GO-09. One operator, and each account gets what is for it.
#[tokio::test]
async fn two_accounts_have_one_base_and_what_their_overlays_say() {
    let production = Story::without_operator("databricks-production").await;
    let both = [("namespaces", &*production.namespace)];
    let development = Story::start_with("databricks-development", &both).await;
    let stories = [&development, &production];
    let before = stories.map(|story| all(&story.account));
    let patches = stories.map(|story| account_of(story, &story.namespace));
    let namespaces = stories.map(|story| &*story.namespace);
    let example = Example::of("multi-account", &namespaces, json!({"patches": patches}));
    example.apply().await;
    let bucket = |story: &Story| {
        story.account.objects("storage-configurations")[0]["root_bucket_info"]["bucket_name"].clone()
    };
    assert_eq!(stories.map(bucket), ["example-databricks-root", "example-databricks-production"]);
    for (story, before) in stories.iter().zip(&before) {
        assert_eq!(added(&story.account, before), STAYS, "{}", story.namespace);
    }

    example.delete().await;
    assert_eq!(added(&development.account, &before[0]), [""; 0]);
    assert_eq!(added(&production.account, &before[1]), STAYS);
    development.end().await;
    production.end().await;
}

/// Covers GO-08, DL-07. A team gives access to its own workspace, and to no other one.
#[tokio::test]
async fn a_team_uses_in_its_namespace_what_the_platform_team_allows() {
    const ORDERS: i64 = 1_234_567_890_123_456;
    const REPORTS: i64 = 2_345_678_901_234_567;
    let story = Story::start_with("databricks-platform", &[("namespaces", "team-orders,team-reports")]).await;
    for (id, name) in [(ORDERS, "orders"), (REPORTS, "reports")] {
        story.account.insert("workspaces", json!({"workspace_id": id, "workspace_name": name})).unwrap();
    }
    let before = all(&story.account);
    let patches = [account_of(&story, &story.namespace)];
    let namespaces = [&*story.namespace, "team-orders", "team-reports"];
    let example = Example::of("team-namespaces", &namespaces, json!({"patches": patches}));
    example.apply().await;
    assert_eq!(added(&story.account, &before), ["permissionassignments"; 2]);

    let spec = json!({"authRef": {"name": "databricks", "namespace": story.namespace}, "workspaceId": REPORTS,
        "principal": {"groupName": "data-eng"}, "permissions": ["USER"]});
    let mut other = story.object("PermissionAssignment", "other", spec);
    other["metadata"]["namespace"] = json!("team-orders");
    story.apply(&other).await;
    let refused = r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=ReferenceNotPermitted"#;
    let wait = ["wait", refused, "--timeout=60s", "--namespace=team-orders", "permissionassignment/other"];
    example.kubectl(&wait).await;
    assert_eq!(added(&story.account, &before), ["permissionassignments"; 2]);

    example.delete().await;
    assert_eq!(added(&story.account, &before), [""; 0]);
    story.end().await;
}

/// Each example has a story and a README with its commands, and the README of the repository leads there.
#[test]
fn every_example_is_documented() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let entries = std::fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().file_name());
    let mut found: Vec<String> = entries.map(|name| name.into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, EXAMPLES, "write a story for each, and its name into EXAMPLES");
    let overview = read(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    for name in EXAMPLES {
        let readme = read(&format!("{FOLDER}/{name}/README.md"));
        for command in ["apply", "delete --ignore-not-found"] {
            let command = format!("kubectl {command} -k config/examples/{name}\n");
            assert!(readme.contains(&command), "config/examples/{name}/README.md has no {command:?}");
        }
        let link = format!("](config/examples/{name}/README.md)");
        assert!(overview.contains(&link), "README.md does not lead to {name}: add it to Documentation");
    }
}
