//! Credentials: a plain collection.

use serde_json::{Value, json};
use simulator::{InUse, Settings};

use crate::{Account, refused};

pub(crate) fn body(name: &str) -> Value {
    let role = "arn:aws:iam::123456789012:role/x";
    json!({"credentials_name": name, "aws_credentials": {"sts_role": {"role_arn": role}}})
}

#[tokio::test]
async fn credentials_live_until_nobody_uses_them() {
    let account = Account::new().await;
    let (status, created) = account.send("POST", "credentials", body("main")).await;
    assert_eq!((status, &created["account_id"]), (201, &json!(account.sim.account_id)));
    assert!(created["x_unknown"].is_object(), "clients must pass over fields they do not know");
    let id = created["credentials_id"].as_str().unwrap();
    assert_eq!(account.get(&format!("credentials/{id}")).await.1["credentials_name"], "main");
    assert_eq!(account.get("credentials").await.1[0]["credentials_id"], id, "the list is a bare array");
    assert_eq!(refused(&account.send("POST", "credentials", body("main")).await), (409, "ALREADY_EXISTS"));

    let user = account.sim.insert("workspaces", json!({"credentials_id": id})).unwrap();
    assert_eq!(refused(&account.delete(&format!("credentials/{id}")).await), (400, "INVALID_STATE"));
    account.sim.remove("workspaces", &user["workspace_id"].to_string());
    assert_eq!(account.delete(&format!("credentials/{id}")).await.0, 200);
    assert_eq!(account.get(&format!("credentials/{id}")).await.0, 404);
    assert_eq!(account.get("credentials").await.1, json!([]));
}

#[tokio::test]
async fn a_second_object_of_the_same_name_is_a_question_a_test_can_answer_either_way() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.refuse_duplicates = false);
    for _ in 0..2 {
        assert_eq!(account.send("POST", "credentials", body("main")).await.0, 201);
    }
    assert_eq!(account.sim.objects("credentials").len(), 2);
}

/// Status, content type and text of what a call answers.
async fn raw(request: reqwest::RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.unwrap();
    let kind = response.headers().get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
    (response.status().as_u16(), kind, response.text().await.unwrap())
}

#[tokio::test]
async fn a_role_that_is_too_new_is_refused_in_several_wordings() {
    let account = Account::new().await;
    let old = account.sim.insert("credentials", json!({})).unwrap();
    let workspace = json!({
        "workspace_name": "main", "aws_region": "eu-west-1", "credentials_id": old["credentials_id"],
        "storage_configuration_id": "22222222-2222-4222-8222-222222222222",
    });
    account.sim.set(|settings| settings.fail_next_credentials = 8);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        for (path, body) in [("credentials", body("brand-new")), ("workspaces", workspace.clone())] {
            let (status, kind, text) = raw(account.request("POST", path).json(&body)).await;
            assert_eq!(status, 400);
            let plural = text.contains("Failed credentials validation checks: Spot Cancellation");
            assert!(plural || text.contains("Failed credential validation checks: "), "{text}");
            seen.insert((kind.starts_with("text/plain"), plural, text.contains("MALFORMED_REQUEST")));
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    for (path, body) in [("credentials", body("brand-new")), ("workspaces", workspace)] {
        assert_eq!(account.send("POST", path, body).await.0, 201, "then it is usable");
    }
}

#[tokio::test]
async fn credentials_are_not_released_at_once_and_a_refusal_has_four_forms() {
    let settings = Settings {
        start_ms: 0,
        provisioning_ms: 0,
        deletion_ms: 1_000,
        release_ms: 600_000,
        in_use: InUse::Rotate,
        ..Settings::default()
    };
    let account = Account::with(settings).await;
    let (_, made) = account.send("POST", "credentials", body("main")).await;
    let workspace = json!({
        "workspace_name": "main", "aws_region": "eu-west-1", "credentials_id": made["credentials_id"],
        "storage_configuration_id": "22222222-2222-4222-8222-222222222222",
    });
    let (_, user) = account.send("POST", "workspaces", workspace).await;
    let path = format!("credentials/{}", made["credentials_id"].as_str().unwrap());
    let user = format!("workspaces/{}", user["workspace_id"]);
    assert_eq!(account.delete(&user).await.0, 200);
    account.sim.advance_ms(2_000);
    assert_eq!(account.get(&user).await.0, 404);

    let mut forms = Vec::new();
    for _ in 0..4 {
        let (status, kind, text) = raw(account.request("DELETE", &path)).await;
        let what = match text.as_str() {
            "" => "nothing",
            text if text.starts_with("MALFORMED_REQUEST: ") => "text",
            text if text.contains("INVALID_STATE") => "state",
            _ => "json",
        };
        assert_eq!(kind.starts_with("text/plain"), what == "text", "{text}");
        forms.push((status, what));
    }
    assert_eq!(forms, [(400, "state"), (400, "text"), (409, "json"), (409, "nothing")]);
    account.sim.advance_ms(600_000);
    assert_eq!(account.delete(&path).await.0, 200);
}

#[tokio::test]
async fn a_client_may_name_the_account_and_what_only_an_answer_has() {
    let account = Account::new().await;
    let mut body = body("main");
    body["account_id"] = json!("another");
    body["credentials_id"] = json!("mine");
    body["creation_time"] = json!(1);
    let (status, made) = account.send("POST", "credentials", body).await;
    assert_eq!((status, &made["account_id"]), (201, &json!(account.sim.account_id)));
    assert!(made["credentials_id"] != "mine" && made["creation_time"] != 1, "{made}");
}
