//! Credentials: a plain collection.

use serde_json::{Value, json};

use crate::{Account, refused};

pub(crate) fn body(name: &str) -> Value {
    json!({"credentials_name": name, "aws_credentials": {"sts_role": {"role_arn": "arn:aws:iam::1:role/x"}}})
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
