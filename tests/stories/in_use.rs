//! What something in the account still uses is not deleted: the operator waits, says what uses it, and deletes it once it is free.
//! The users are not in the cluster, so only the account knows them.

use serde_json::{Value, json};

use crate::support::{Story, condition};

/// An object, and what uses it in the account. In texts `$n` is a number of its own, and `$id` the id of the object.
struct Used {
    kind: &'static str,
    spec: Value,
    /// The collection of what uses it, and the field of its id.
    by: (&'static str, &'static str),
    user: Value,
}

const WORKSPACE: (&str, &str) = ("workspaces", "workspace_id");
const DELIVERY: (&str, &str) = ("log-delivery", "config_id");
const NETWORK: (&str, &str) = ("networks", "network_id");
const ACCESS: (&str, &str) = ("private-access-settings", "private_access_settings_id");
const OPTION: (&str, &str) = ("workspace-network-options", "workspace_id");

fn all() -> Vec<Used> {
    let role = json!({"stsRole": {"roleArn": "arn:aws:iam::123456789012:role/a"}});
    let credential = ("Credential", json!({"credentialsName": "compute-$n", "awsCredentials": role}));
    let bucket = json!({"storageConfigurationName": "root-$n", "bucketName": "example-root"});
    let bucket = ("StorageConfiguration", bucket);
    let door = json!({"vpcEndpointName": "door-$n", "awsVpcEndpointId": "vpce-0$n", "region": "eu-west-1"});
    let door = ("VpcEndpoint", door);
    let access =
        json!({"privateAccessSettingsName": "access-$n", "region": "eu-west-1", "publicAccessEnabled": true});
    let access = ("PrivateAccessSettings", access);
    let arn = json!({"keyArn": "arn:aws:kms:eu-west-1:123456789012:key/$n"});
    let key = ("CustomerManagedKey", json!({"useCases": ["MANAGED_SERVICES", "STORAGE"], "awsKeyInfo": arn}));
    let closed = json!({"networkAccess": {"restrictionMode": "RESTRICTED_ACCESS"}});
    let policy = ("AccountNetworkPolicy", json!({"networkPolicyId": "closed-$n", "egress": closed}));
    let config = ("NetworkConnectivityConfig", json!({"name": "config-$n", "region": "eu-west-1"}));
    let network = |endpoints: Value| {
        json!({"network_name": "theirs-$n", "vpc_id": "vpc-1", "subnet_ids": ["subnet-$n"],
            "security_group_ids": ["sg-$n"], "vpc_endpoints": endpoints})
    };
    let by_door = json!({"region": "eu-west-1", "public_access_enabled": true, "private_access_level": "ENDPOINT",
        "allowed_vpc_endpoint_ids": ["$id"]});
    let rows = [
        (&credential, WORKSPACE, json!({"credentials_id": "$id"})),
        (&credential, DELIVERY, json!({"credentials_id": "$id", "status": "ENABLED"})),
        (&bucket, WORKSPACE, json!({"storage_configuration_id": "$id"})),
        (&bucket, DELIVERY, json!({"storage_configuration_id": "$id", "status": "ENABLED"})),
        (&door, NETWORK, network(json!({"rest_api": ["$id"], "dataplane_relay": []}))),
        (&door, NETWORK, network(json!({"rest_api": [], "dataplane_relay": ["$id"]}))),
        (&door, ACCESS, by_door),
        (&access, WORKSPACE, json!({"private_access_settings_id": "$id"})),
        (&key, WORKSPACE, json!({"managed_services_customer_managed_key_id": "$id"})),
        (&key, WORKSPACE, json!({"storage_customer_managed_key_id": "$id"})),
        (&policy, OPTION, json!({"workspace_id": 4_242_424_242_i64, "network_policy_id": "$id"})),
        (&config, WORKSPACE, json!({"network_connectivity_config_id": "$id"})),
    ];
    let used = |(object, by, user): (&(&'static str, Value), (&'static str, &'static str), Value)| Used {
        kind: object.0,
        spec: object.1.clone(),
        by,
        user,
    };
    rows.into_iter().map(used).collect()
}

/// A value with this text in place of a word.
fn filled(value: &Value, word: &str, text: &str) -> Value {
    serde_json::from_str(&value.to_string().replace(word, text)).unwrap()
}

impl Used {
    /// Creates it, lets something use it, deletes it, and frees it.
    async fn lives(self, story: &Story, n: usize) {
        let (name, kind, number) = (format!("used-{n}"), self.kind, n.to_string());
        let mut spec = filled(&self.spec, "$n", &number);
        spec["deletionPolicy"] = json!("Delete");
        story.apply(&story.managed(kind, &name, spec)).await;
        let ready = story.wait_ready(kind, &name).await;
        let id = ready["status"]["externalId"].as_str().unwrap();
        let (collection, field) = self.by;
        let user = filled(&filled(&self.user, "$n", &number), "$id", id);
        let user = story.account.insert(collection, user).unwrap()[field].clone();
        let user = user.as_str().map_or_else(|| user.to_string(), str::to_owned);

        story.delete(kind, &name).await;
        let held = story.wait_condition(kind, &name, "DeletionBlocked", "True", "DependencyStillInUse").await;
        let says = condition(&held, "DeletionBlocked").unwrap()["message"].as_str().unwrap();
        for part in [&*user, "spec.deletionPolicy", "Retain"] {
            assert!(says.contains(part), "{kind} used by {collection}: {part} is missing in {says}");
        }
        assert!(story.account.remove(collection, &user), "{kind}: {collection} {user}");
        story.wait_gone(kind, &name).await;
        let writes = story.account.writes().into_iter();
        let of_it = writes.filter(|call| call.method == "DELETE" && call.path.ends_with(&format!("/{id}")));
        let carried_out: Vec<bool> = of_it.map(|call| call.applied).collect();
        assert!(carried_out.len() > 1 && carried_out.ends_with(&[true]), "{kind}: {carried_out:?}");
    }
}

/// Covers DL-05.
#[tokio::test]
async fn what_is_used_in_the_account_is_deleted_once_it_is_free() {
    let story = Story::start("in-use").await;
    let lives = all().into_iter().enumerate().map(|(n, used)| used.lives(&story, n));
    futures::future::join_all(lives).await;
    story.end().await;
}
