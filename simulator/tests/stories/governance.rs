//! Metastores, their storage credentials, and the workspaces that they are assigned to: partial updates, names without case, what is in
//! use.

use serde_json::{Value, json};
use simulator::Settings;

use crate::{Account, refused};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const MALFORMED: (u16, &str) = (400, "MALFORMED_REQUEST");
const IN_USE: (u16, &str) = (400, "INVALID_STATE");
const ROLE: &str = "arn:aws:iam::123456789012:role/lake";

/// The id of a new metastore.
async fn metastore(account: &Account, name: &str, region: &str) -> String {
    let body = json!({"metastore_info": {"name": name, "region": region}});
    let (status, made) = account.send("POST", "metastores", body).await;
    assert_eq!(status, 200, "{made}");
    made["metastore_info"]["metastore_id"].as_str().unwrap().to_owned()
}

fn lake(more: Value) -> Value {
    let mut body = json!({"credential_info": {"name": "lake", "aws_iam_role": {"role_arn": ROLE}}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_metastore_is_created_with_few_fields_and_keeps_what_an_update_leaves_out() {
    let account = Account::new().await;
    assert_eq!(account.get("metastores").await.1.get("metastores"), None, "an empty list");
    let own = json!({"metastore_info": {"name": "main", "region": "eu-west-1", "owner": "me"}});
    assert_eq!(refused(&account.send("POST", "metastores", own).await), MALFORMED);
    let id = metastore(&account, "main", "eu-west-1").await;
    for (name, region) in [("MAIN", "us-east-1"), ("second", "eu-west-1")] {
        let twin = json!({"metastore_info": {"name": name, "region": region}});
        let (status, refusal) = account.send("POST", "metastores", twin).await;
        assert_eq!(status, 400, "{name}: {refusal}");
    }
    let path = format!("metastores/{id}");
    let change = json!({"metastore_info": {"owner": "admins"}});
    let unknown = account.send("PUT", &path, change.clone()).await;
    assert_eq!(refused(&unknown), (404, "PRINCIPAL_DOES_NOT_EXIST"));
    account.sim.insert("Groups", json!({"displayName": "admins"})).unwrap();
    let (_, changed) = account.send("PUT", &path, change).await;
    let info = &changed["metastore_info"];
    assert_eq!((&info["owner"], &info["name"]), (&json!("admins"), &json!("main")));
    let lifetime = json!({"metastore_info": {"delta_sharing_recipient_token_lifetime_in_seconds": 60}});
    assert_eq!(refused(&account.send("PUT", &path, lifetime).await), INVALID, "without the scope");
    let moved = json!({"metastore_info": {"region": "us-east-1"}});
    assert_eq!(refused(&account.send("PUT", &path, moved).await), INVALID);
    assert_eq!(refused(&account.delete(&format!("{path}?force=true")).await), INVALID);
    assert_eq!(account.delete(&path).await.0, 200);
    assert_eq!(account.get(&path).await.0, 404);
}

#[tokio::test]
async fn a_credential_is_tested_unless_the_client_skips_that_and_the_root_stays() {
    let account = Account::with(Settings { fail_next_storage_tests: 2, ..Settings::default() }).await;
    let id = metastore(&account, "main", "eu-west-1").await;
    let path = format!("metastores/{id}/storage-credentials");
    assert_eq!(refused(&account.send("POST", &path, lake(json!({}))).await), INVALID);
    let odd = lake(json!({"skip_validation": "yes"}));
    assert_eq!(refused(&account.send("POST", &path, odd).await), MALFORMED);
    let (status, made) = account.send("POST", &path, lake(json!({"skip_validation": true}))).await;
    let role = &made["credential_info"]["aws_iam_role"];
    assert!(status == 200 && role["external_id"].is_string(), "{made}");
    let twin = json!({"credential_info": {"name": "LAKE", "aws_iam_role": {"role_arn": ROLE}}});
    assert_eq!(refused(&account.send("POST", &path, twin).await), INVALID);

    let one = format!("{path}/lake");
    let comment = json!({"credential_info": {"comment": "moved"}});
    assert_eq!(account.send("PUT", &one, comment).await.0, 200, "only a role is tested");
    let other = json!({"credential_info": {"aws_iam_role": {"role_arn": format!("{ROLE}-2")}}});
    assert_eq!(refused(&account.send("PUT", &one, other.clone()).await), INVALID);
    let (_, changed) = account.send("PUT", &one, other).await;
    let changed = &changed["credential_info"];
    assert_eq!(changed["aws_iam_role"]["external_id"], role["external_id"]);
    assert_eq!(changed["comment"], "moved");

    assert_eq!(refused(&account.delete(&format!("metastores/{id}")).await), IN_USE);
    let root = json!({"metastore_info": {"storage_root_credential_id": changed["id"]}});
    assert_eq!(account.send("PUT", &format!("metastores/{id}"), root).await.0, 200);
    assert_eq!(refused(&account.delete(&one).await), IN_USE);
    assert_eq!(account.delete(&format!("metastores/{id}")).await.0, 200, "its root goes with it");
    assert!(account.sim.objects("storage-credentials").is_empty());
}

/// What a client changes after the owner, it may not change any more.
#[tokio::test]
async fn only_the_owner_may_change_if_the_account_is_so() {
    let account = Account::with(Settings { only_owners_change: true, ..Settings::default() }).await;
    account.sim.insert("Groups", json!({"displayName": "admins"})).unwrap();
    let id = metastore(&account, "main", "eu-west-1").await;
    let credentials = format!("metastores/{id}/storage-credentials");
    let made = account.send("POST", &credentials, lake(json!({"skip_validation": true}))).await;
    assert_eq!(made.0, 200, "{}", made.1);
    for (path, envelope, change) in [
        (format!("{credentials}/lake"), "credential_info", json!({"comment": "moved"})),
        (format!("metastores/{id}"), "metastore_info", json!({"external_access_enabled": true})),
    ] {
        let put = |fields: Value| account.send("PUT", &path, json!({envelope: fields}));
        assert_eq!(put(change.clone()).await.0, 200, "{path}");
        assert_eq!(put(json!({"owner": "ADMINS"})).await.0, 200, "{path}");
        assert_eq!(refused(&put(change).await), (403, "PERMISSION_DENIED"), "{path}");
    }
}

#[tokio::test]
async fn a_workspace_has_one_metastore_of_its_region_or_none() {
    let account = Account::new().await;
    let (near, far) =
        (metastore(&account, "near", "eu-west-1").await, metastore(&account, "far", "us-east-1").await);
    let workspace = account.sim.insert("workspaces", json!({"aws_region": "eu-west-1"})).unwrap();
    let workspace = workspace["workspace_id"].clone();
    let path = |metastore: &str| format!("workspaces/{workspace}/metastores/{metastore}");
    let body = |metastore: &str| {
        let content =
            json!({"workspace_id": workspace, "metastore_id": metastore, "default_catalog_name": ""});
        json!({"metastore_assignment": content})
    };
    let read = format!("workspaces/{workspace}/metastore");
    assert_eq!(refused(&account.get(&read).await), (404, "METASTORE_DOES_NOT_EXIST"));
    assert_eq!(refused(&account.send("POST", &path(&far), body(&far)).await), INVALID);
    assert_eq!(refused(&account.send("POST", &path(&near), body(&far)).await), INVALID);
    for _ in 0..2 {
        assert_eq!(account.send("POST", &path(&near), body(&near)).await.0, 200);
    }
    let (_, read_back) = account.get(&read).await;
    assert_eq!(read_back["metastore_assignment"]["metastore_id"], json!(near));
    // The path names the workspace.
    let in_path = json!({"metastore_assignment": {"metastore_id": near, "default_catalog_name": ""}});
    assert_eq!(account.send("POST", &path(&near), in_path).await.0, 200);
    assert_eq!(account.get(&read).await.1, read_back);
    let (_, listed) = account.get(&format!("metastores/{near}/workspaces")).await;
    assert_eq!(listed["workspace_ids"], json!([workspace]));
    assert_eq!(account.delete(&path(&far)).await.0, 404, "it has another one");
    assert_eq!(refused(&account.delete(&format!("metastores/{near}")).await), IN_USE);
    assert_eq!(account.delete(&path(&near)).await.0, 200);
    assert_eq!(account.get(&read).await.0, 404);
}
