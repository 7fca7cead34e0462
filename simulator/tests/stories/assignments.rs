//! Permission assignments: who may enter a workspace.

use serde_json::{Value, json};

use crate::{Account, refused};

/// A running workspace, and the group `data-eng`.
async fn scene(account: &Account) -> (String, String) {
    let workspace = account.sim.insert("workspaces", json!({})).unwrap();
    let groups = account.sim.objects("Groups");
    let group = groups.iter().find(|group| group["displayName"] == "data-eng").unwrap();
    (
        format!("workspaces/{}/permissionassignments", workspace["workspace_id"]),
        group["id"].as_str().unwrap().to_owned(),
    )
}

async fn levels(account: &Account, path: &str) -> Vec<Value> {
    let (status, list) = account.get(path).await;
    assert_eq!(status, 200);
    list["permission_assignments"].as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_group_is_let_in_promoted_and_shown_out() {
    let account = Account::new().await;
    let (path, group) = scene(&account).await;
    let principal = format!("{path}/principals/{group}");
    assert!(levels(&account, &path).await.is_empty());

    let (status, answer) = account.send("PUT", &principal, json!({"permissions": ["USER"]})).await;
    assert_eq!((status, &answer["principal"]["group_name"]), (200, &json!("data-eng")));
    assert_eq!(answer["principal"]["principal_id"].to_string(), group, "the same number, as a number");
    account.send("PUT", &principal, json!({"permissions": ["ADMIN", "USER"]})).await;
    let shown = levels(&account, &path).await;
    assert_eq!((shown.len(), &shown[0]["permissions"]), (1, &json!(["ADMIN"])), "both are the higher one");

    let (status, _) = account.send("PUT", &principal, json!({"permissions": ["OWNER"]})).await;
    assert_eq!(
        (status, levels(&account, &path).await.len()),
        (200, 0),
        "unknown levels are none, and none removes"
    );
    account.send("PUT", &principal, json!({"permissions": ["USER"]})).await;
    for _ in 0..2 {
        assert_eq!(account.delete(&principal).await, (200, json!({"x_unknown": {"since": "tomorrow"}})));
    }
    assert!(levels(&account, &path).await.is_empty());
    let (_, known) = account.get(&format!("{path}/permissions")).await;
    assert_eq!(known["permissions"][1]["permission_level"], "ADMIN");
}

#[tokio::test]
async fn a_young_workspace_and_an_unknown_principal_are_refused() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.federation_delay_ms = 60_000);
    let (path, group) = scene(&account).await;
    let user = json!({"permissions": ["USER"]});
    let (status, refusal) = account.send("PUT", &format!("{path}/principals/{group}"), user.clone()).await;
    assert_eq!(status, 400);
    assert!(refusal["message"].as_str().unwrap().contains("not available for this workspace"));
    account.sim.advance_ms(60_001);
    assert_eq!(account.send("PUT", &format!("{path}/principals/{group}"), user.clone()).await.0, 200);

    let unknown = account.send("PUT", &format!("{path}/principals/1"), user.clone()).await;
    assert_eq!(refused(&unknown), (404, "RESOURCE_DOES_NOT_EXIST"));
    let padded = account.send("PUT", &format!("{path}/principals/0{group}"), user).await;
    assert_eq!(refused(&padded), (400, "INVALID_PARAMETER_VALUE"));
}

#[tokio::test]
async fn success_may_carry_an_error() {
    let account = Account::new().await;
    let (path, group) = scene(&account).await;
    account.sim.set(|settings| settings.fail_next_assignment = Some("try again".to_owned()));
    let body = json!({"permissions": ["USER"]});
    let (status, answer) = account.send("PUT", &format!("{path}/principals/{group}"), body).await;
    assert_eq!((status, &answer["error"]), (200, &json!("try again")));
    assert!(levels(&account, &path).await.is_empty());
}

#[tokio::test]
async fn access_ends_with_the_principal() {
    let account = Account::new().await;
    let (path, group) = scene(&account).await;
    account.send("PUT", &format!("{path}/principals/{group}"), json!({"permissions": ["USER"]})).await;
    assert!(account.sim.remove("Groups", &group));
    assert!(levels(&account, &path).await.is_empty());
    assert!(account.sim.objects("permissionassignments").is_empty());
}
