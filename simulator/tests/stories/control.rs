//! The control API over HTTP, for what runs in another process.

use serde_json::{Value, json};

use crate::{Account, Answer, answer, credentials::body};

async fn control(account: &Account, method: &str, path: &str, body: Value) -> Answer {
    let url = format!("{}/_simulator/{path}", account.sim.url());
    let request = account.http.request(method.parse().unwrap(), url);
    answer(if body.is_null() { request } else { request.json(&body) }).await
}

#[tokio::test]
async fn everything_can_be_steered_from_outside() {
    let account = Account::new().await;
    let (_, fault) =
        control(&account, "POST", "faults", json!({"path": "*/credentials", "hold": true, "times": 1})).await;
    let create = tokio::spawn(account.request("POST", "credentials").json(&body("main")).send());
    account.sim.held(fault["id"].as_u64().unwrap()).await;
    let (_, held) = control(&account, "GET", "held", Value::Null).await;
    assert_eq!((&held[0]["method"], &held[0]["when"]), (&json!("POST"), &json!("before")));
    let (_, released) = control(&account, "POST", "release", json!({"n": held[0]["n"]})).await;
    assert_eq!(released["released"], 1);
    assert_eq!(create.await.unwrap().unwrap().status(), 201);
    assert_eq!(control(&account, "GET", "faults", Value::Null).await.1[0]["struck"], 1);
    control(&account, "DELETE", "faults", Value::Null).await;
    assert_eq!(control(&account, "GET", "faults", Value::Null).await.1, json!([]));

    let (_, journal) = control(&account, "GET", "journal", Value::Null).await;
    let call = &journal[0];
    assert_eq!(journal.as_array().map(Vec::len), Some(1), "control calls are not in it");
    assert_eq!(
        (&call["status"], &call["class"], &call["body"]["credentials_name"]),
        (&json!(201), &json!("credentials"), &json!("main"))
    );
    control(&account, "DELETE", "journal", Value::Null).await;
    assert!(account.sim.journal().is_empty());

    let (_, settings) = control(&account, "POST", "settings", json!({"unknown_fields": false})).await;
    assert_eq!((&settings["unknown_fields"], &settings["provisioning_ms"]), (&json!(false), &json!(2000)));
    assert_eq!(control(&account, "POST", "settings", json!({"typo": 1})).await.0, 400);
    let (_, before) = control(&account, "GET", "clock", Value::Null).await;
    let (_, after) = control(&account, "POST", "clock", json!({"advance_ms": 4_000_000})).await;
    assert!(after["now_ms"].as_u64().unwrap() >= before["now_ms"].as_u64().unwrap() + 4_000_000);
    assert_eq!(account.get("credentials").await.0, 401, "the token is out of date");
    control(&account, "POST", "secret", json!({"client_secret": "new"})).await;
    assert_eq!(account.ask_token("new").await.0, 200);
    control(&account, "DELETE", "tokens", Value::Null).await;
    assert_eq!(control(&account, "GET", "nonsense", Value::Null).await.0, 404);
}

#[tokio::test]
async fn objects_can_be_changed_behind_the_back_of_the_api() {
    let account = Account::new().await;
    let (_, made) = control(&account, "POST", "objects/ip-access-lists", json!({"label": "office"})).await;
    let id = made["list_id"].as_str().unwrap();
    let path = format!("objects/ip-access-lists/{id}");
    control(&account, "PATCH", &path, json!({"label": "renamed"})).await;
    let (_, shown) = account.get(&format!("ip-access-lists/{id}")).await;
    assert_eq!(shown["ip_access_list"]["label"], "renamed");
    let (_, all) = control(&account, "GET", "objects", Value::Null).await;
    assert_eq!(
        (all["Groups"].as_array().map(Vec::len), &all["ip-access-lists"][0]["list_id"]),
        (Some(2), &json!(id))
    );
    assert_eq!(control(&account, "DELETE", &path, Value::Null).await.1, json!({"removed": true}));
    assert_eq!(control(&account, "DELETE", &path, Value::Null).await.1, json!({"removed": false}));
    assert!(account.sim.writes().is_empty(), "none of this is a call of the API");

    let workspace = account.sim.insert("workspaces", json!({"workspace_name": "main"})).unwrap();
    let id = workspace["workspace_id"].to_string();
    control(&account, "PATCH", &format!("objects/workspaces/{id}"), json!({"workspace_status": "BANNED"}))
        .await;
    assert_eq!(account.get(&format!("workspaces/{id}")).await.1["workspace_status"], "BANNED");
    let group = account.sim.objects("Groups")[0]["id"].as_str().unwrap().parse::<i64>().unwrap();
    let assignment =
        json!({"workspace_id": workspace["workspace_id"], "principal_id": group, "permissions": ["USER"]});
    let (_, made) = control(&account, "POST", "objects/permissionassignments", assignment).await;
    assert_eq!(made["id"], format!("{id}/{group}"));
    let path = format!("objects/permissionassignments/{id}/{group}");
    assert_eq!(
        control(&account, "PATCH", &path, json!({"permissions": ["ADMIN"]})).await.1["permissions"],
        json!(["ADMIN"])
    );
    assert_eq!(control(&account, "POST", "objects/nonsense", json!({})).await.0, 400);
}
