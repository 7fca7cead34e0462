//! A short story in the terminal. Every step is checked: it succeeds only if each thing it says really happened.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use world::{Error, Result, access, eventually, fresh_dir};

use crate::interruptible;
use crate::stack::{Stack, is_ready, name};

/// The example that the demo begins with.
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/examples/aws-minimal");
/// What it holds.
const EXAMPLE_OBJECTS: [&str; 4] =
    ["DatabricksAuth/databricks", "Credential/compute", "StorageConfiguration/root", "Workspace/analytics"];

const MANIFESTS: [&str; 3] = [
    include_str!("../../../config/demo/workspace.yaml"),
    include_str!("../../../config/demo/ip-access-list.yaml"),
    include_str!("../../../config/demo/permission-assignments.yaml"),
];
/// What they hold, and the DatabricksAuth.
const OBJECTS: [&str; 6] = [
    "DatabricksAuth/account",
    "Workspace/analytics",
    "IpAccessList/headquarters",
    "PermissionAssignment/ada",
    "PermissionAssignment/grace",
    "PermissionAssignment/data-eng",
];
/// The role and the bucket that their Workspace names.
const CREDENTIALS: &str = "11111111-2222-4333-8444-000000000001";
const STORAGE: &str = "11111111-2222-4333-8444-000000000002";

/// What takes some seconds, on a quiet machine.
const SOON: Duration = Duration::from_secs(180);

/// The demo, from nothing to nothing.
pub fn run(cache: &Path, operator: &Path) -> Result<()> {
    let begin = Instant::now();
    let dir = fresh_dir(cache, "demo-")?;
    let told = interruptible(tell(&dir, operator));
    if let Err(error) = told {
        return Err(Error::new(format_args!(
            "{error}\n\nThe logs are in {}, until the next run.",
            dir.display()
        )));
    }
    fs::remove_dir_all(&dir).map_err(Error::at(dir.display()))?;
    match told? {
        Some(()) => {
            say!("\nThat was all, in {:.0} s. Everything is stopped.", begin.elapsed().as_secs_f64())
        }
        None => return Err(Error::new("Interrupted. Everything is stopped.")),
    }
    Ok(())
}

async fn tell(dir: &Path, operator: &Path) -> Result<()> {
    title("A cluster, a Databricks account and the operator");
    let stack = Stack::start(dir, operator, false).await?;
    if let Err(error) = story(&stack).await {
        return Err(explained(&stack, error).await);
    }
    stack.stop().await
}

async fn story(stack: &Stack) -> Result<()> {
    a_workspace_comes_from_nothing_and_goes(stack).await?;
    manifests_become_true(stack).await?;
    drift_is_corrected(stack).await?;
    a_permission_changes_in_one_step(stack).await?;
    deletion_keeps_data(stack).await
}

fn title(text: &str) {
    say!("\n== {text}");
}

/// A step's own check.
fn expect(holds: bool, what: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::new(format_args!("expected {what}"))) }
}

async fn a_workspace_comes_from_nothing_and_goes(stack: &Stack) -> Result<()> {
    let kubectl = async |args: &[&str]| stack.cluster.kubectl(args, "").await;
    title("An account without a workspace, and a Secret with its client secret");
    nothing_is_there(stack)?;
    let [secret, _] = access(&stack.account);
    say!("{}", stack.apply(&secret.to_string()).await?.trim_end());
    title("kubectl apply -k config/examples/aws-minimal, with the ids and the address of this account");
    let dir = example(stack)?;
    say!("{}", kubectl(&["apply", "-k", &dir]).await?);
    all_become_ready(stack, &EXAMPLE_OBJECTS).await?;
    title("kubectl get databricks");
    say!("{}", kubectl(&["get", "databricks"]).await?.trim_end());

    title("The Workspace gets deletionPolicy: Delete, then kubectl delete -k config/examples/aws-minimal");
    let patch = r#"{"spec": {"deletionPolicy": "Delete"}}"#;
    let patch = ["patch", "workspace", "analytics", "--type=merge", "--patch", patch];
    say!("{}", kubectl(&patch).await?.trim_end());
    say!("{}", kubectl(&["delete", "--timeout=5m", "-k", &dir]).await?.trim_end());
    say!("{}", kubectl(&["delete", "secret", "databricks"]).await?.trim_end());
    let left = stack.objects().await?;
    expect(left.is_empty(), format_args!("no object to be left, found {left:?}"))?;
    nothing_is_there(stack)
}

/// The directory of a kustomization that is the example with this account in place of its own.
fn example(stack: &Stack) -> Result<String> {
    let (account, dir) = (&stack.account, stack.cluster.dir.join("aws-minimal"));
    let failed = |error: io::Error| Error::new(format_args!("{}: {error}", dir.display()));
    let patch = json!([
        {"op": "replace", "path": "/spec/accountId", "value": account.account_id},
        {"op": "replace", "path": "/spec/clientId", "value": account.client_id},
        {"op": "add", "path": "/spec/host", "value": account.url()},
    ]);
    let patch = json!({"target": {"kind": "DatabricksAuth"}, "patch": patch.to_string()});
    let kustomization = json!({"resources": ["example"], "patches": [patch]});
    fs::create_dir(&dir).map_err(failed)?;
    symlink(EXAMPLE, dir.join("example")).map_err(failed)?;
    fs::write(dir.join("kustomization.yaml"), kustomization.to_string()).map_err(failed)?;
    Ok(dir.display().to_string())
}

/// Checks that the account has nothing of what the example creates.
fn nothing_is_there(stack: &Stack) -> Result<()> {
    for collection in ["credentials", "storage-configurations", "workspaces"] {
        let found = stack.account.objects(collection);
        expect(found.is_empty(), format_args!("no {collection} in the account, found {found:?}"))?;
    }
    say!("account     no credential, storage configuration or workspace");
    Ok(())
}

/// Prints when each of these objects becomes Ready, until all are.
async fn all_become_ready(stack: &Stack, names: &[&str]) -> Result<()> {
    let begin = Instant::now();
    let mut shown = BTreeSet::new();
    eventually("all objects are Ready", SOON, async || {
        let objects = stack.objects().await.map_err(|e| e.to_string())?;
        for name in objects.iter().filter(|o| is_ready(o)).map(name) {
            if shown.insert(name.clone()) {
                say!("{:5.1} s  {name} is Ready", begin.elapsed().as_secs_f64());
            }
        }
        let missing: Vec<_> = names.iter().filter(|name| !shown.contains(**name)).collect();
        if missing.is_empty() { Ok(()) } else { Err(format!("not Ready: {missing:?}")) }
    })
    .await
}

async fn manifests_become_true(stack: &Stack) -> Result<()> {
    // Their Workspace is built from what was in the account before the operator.
    let credentials = json!({"credentials_id": CREDENTIALS, "credentials_name": "legacy"});
    stack.account.insert("credentials", credentials).map_err(Error::new)?;
    let storage = json!({"storage_configuration_id": STORAGE, "storage_configuration_name": "legacy"});
    stack.account.insert("storage-configurations", storage).map_err(Error::new)?;
    title("The credentials for the account: a Secret and a DatabricksAuth");
    say!("{}", stack.apply(&stack.access()).await?.trim_end());
    title("kubectl apply -f config/demo");
    say!("{}", stack.apply(&MANIFESTS.join("\n---\n")).await?);
    all_become_ready(stack, &OBJECTS).await?;
    title("kubectl get databricks --all-namespaces");
    say!("{}", stack.cluster.kubectl(&["get", "databricks", "--all-namespaces"], "").await?.trim_end());
    Ok(())
}

async fn drift_is_corrected(stack: &Stack) -> Result<()> {
    title("An admin opens the list to the world in the account console");
    let list = || stack.account.objects("ip-access-lists").into_iter().find(|l| l["label"] == "headquarters");
    let before = list().ok_or_else(|| Error::new("expected the list in the account"))?;
    let id = before["list_id"].as_str().unwrap_or_default();
    stack.account.edit("ip-access-lists", id, json!({"ip_addresses": ["0.0.0.0/0"]})).map_err(Error::new)?;
    say!("console     {} → [\"0.0.0.0/0\"]", before["ip_addresses"]);
    let note = eventually("an event names the drift", SOON, async || {
        let events = stack.list("events.events.k8s.io").await.map_err(|e| e.to_string())?;
        let ours = |e: &&Value| e["regarding"]["name"] == "headquarters" && e["reason"] == "DriftCorrected";
        let found = events.iter().find(ours).and_then(|e| e["note"].as_str().map(str::to_owned));
        found.ok_or_else(|| format!("{} events, none of them DriftCorrected", events.len()))
    });
    say!("event       DriftCorrected: {}", note.await?);
    let after = list().ok_or_else(|| Error::new("expected the list in the account"))?;
    say!("account     {}", after["ip_addresses"]);
    let set = |list: &Value| -> BTreeSet<String> {
        list["ip_addresses"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|a| network(a.as_str().unwrap_or("?")))
            .collect()
    };
    expect(set(&after) == set(&before), format_args!("{} again in the account", before["ip_addresses"]))
}

/// An address is a network of one.
fn network(address: &str) -> String {
    if address.contains('/') { address.to_owned() } else { format!("{address}/32") }
}

async fn a_permission_changes_in_one_step(stack: &Stack) -> Result<()> {
    title("data-eng changes from USER to ADMIN in one call, and keeps its access all the time");
    stack.account.clear_journal();
    let patch = r#"{"spec": {"permissions": ["ADMIN"]}}"#;
    let patch = ["patch", "permissionassignment", "data-eng", "--type=merge", "--patch", patch];
    say!("kubectl     {}", stack.cluster.kubectl(&patch, "").await?.trim());
    eventually("the assignment is Ready", SOON, async || {
        let objects = stack.objects().await.map_err(|e| e.to_string())?;
        let ready = objects.iter().any(|o| name(o) == "PermissionAssignment/data-eng" && is_ready(o));
        if ready { Ok(()) } else { Err("not Ready".to_owned()) }
    })
    .await?;
    let writes = stack.account.writes();
    for call in &writes {
        say!("journal     {} {} {} → {}", call.method, call.path, json!(call.body), json!(call.status));
    }
    let [call] = &writes[..] else {
        return Err(Error::new(format_args!("expected one write, found {}", writes.len())));
    };
    expect(call.method == "PUT" && call.applied, "the write to be a PUT that was carried out")?;
    let group = call.path.rsplit('/').next().unwrap_or_default();
    let assignments = stack.account.objects("permissionassignments");
    let now =
        assignments.iter().find(|a| a["id"].as_str().is_some_and(|id| id.ends_with(&format!("/{group}"))));
    expect(now.is_some_and(|a| a["permissions"] == json!(["ADMIN"])), "the group to be ADMIN in the account")
}

async fn deletion_keeps_data(stack: &Stack) -> Result<()> {
    title("kubectl delete -f config/demo");
    for manifests in [MANIFESTS.join("\n---\n"), stack.access()] {
        let args = ["delete", "-f", "-", "--timeout=5m"];
        say!("{}", stack.cluster.kubectl(&args, &manifests).await?.trim_end());
    }
    let left = stack.objects().await?;
    expect(left.is_empty(), format_args!("no object to be left, found {left:?}"))?;
    title("What is left in the account");
    for (collection, field) in [("workspaces", "workspace_name"), ("ip-access-lists", "label")] {
        for object in stack.account.objects(collection) {
            say!("{collection:12}{} ({})", object[field], object["workspace_status"]);
        }
    }
    let workspaces = stack.account.objects("workspaces");
    let retained = workspaces.len() == 1 && workspaces[0]["workspace_name"] == "analytics";
    expect(retained, "the workspace analytics, which holds data, and no other")?;
    expect(stack.account.objects("ip-access-lists").is_empty(), "no IP access list")?;
    let people = [("Users", "ada"), ("Users", "grace"), ("Groups", "data-eng")];
    let assignments = stack.account.objects("permissionassignments");
    for (collection, person) in people {
        let principal = stack.account.objects(collection).into_iter().find(|o| o["displayName"] == person);
        let id = principal.and_then(|p| p["id"].as_str().map(|id| format!("/{id}")));
        let id = id.ok_or_else(|| Error::new(format_args!("expected {person} in the account")))?;
        let there = assignments.iter().any(|a| a["id"].as_str().is_some_and(|a| a.ends_with(&id)));
        expect(!there, format_args!("no permission for {person}"))?;
    }
    say!("The workspace stays because it holds data; lists and permissions are gone.");
    Ok(())
}

/// A failure with what helps to understand it.
async fn explained(stack: &Stack, error: Error) -> Error {
    let mut text = format!("The demo failed: {error}\n");
    match stack.objects().await {
        Ok(objects) => objects.iter().for_each(|object| {
            text += &format!("\n{} generation {}", name(object), object["metadata"]["generation"]);
            for c in object["status"]["conditions"].as_array().into_iter().flatten() {
                text += &format!("\n    {} {} {} {}", c["type"], c["status"], c["reason"], c["message"]);
            }
        }),
        Err(error) => text += &format!("\nthe objects cannot be read: {error}"),
    }
    Error::new(format_args!("{text}\n\nThe operator's log ends:\n{}", stack.operator.tail(30)))
}
