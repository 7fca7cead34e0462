//! IP access lists: who may call, and how not to lock oneself out.

use serde_json::{Value, json};

use crate::{Account, refused};

fn list(label: &str, kind: &str, addresses: &[&str]) -> Value {
    json!({"label": label, "list_type": kind, "ip_addresses": addresses})
}

async fn create(account: &Account, body: Value) -> String {
    let (status, created) = account.send("POST", "ip-access-lists", body).await;
    assert_eq!((status, &created["ip_access_list"]["enabled"]), (200, &json!(true)), "{created}");
    format!("ip-access-lists/{}", created["ip_access_list"]["list_id"].as_str().unwrap())
}

#[tokio::test]
async fn a_list_is_made_changed_replaced_and_removed() {
    let account = Account::new().await;
    assert!(
        account.get("ip-access-lists").await.1.get("ip_access_lists").is_none(),
        "no key when there is none"
    );
    let path = create(&account, list("office", "ALLOW", &["203.0.113.9", "198.51.100.0/24"])).await;
    assert_eq!(account.send("PATCH", &path, json!({"enabled": false})).await.0, 200);
    let (_, read) = account.get(&path).await;
    assert_eq!(read["ip_access_list"]["enabled"], false);
    assert_eq!(read["ip_access_list"]["ip_addresses"], json!(["203.0.113.9", "198.51.100.0/24"]), "in order");
    assert_eq!(read["ip_access_list"]["address_count"], 2);

    let partial = account.send("PUT", &path, list("office", "BLOCK", &[])).await;
    assert_eq!(
        refused(&partial),
        (400, "INVALID_PARAMETER_VALUE"),
        "a replacement says whether it is enabled"
    );
    let whole = json!({"label": "office", "list_type": "BLOCK", "enabled": true});
    assert_eq!(account.send("PUT", &path, whole).await.0, 200);
    let (_, all) = account.get("ip-access-lists").await;
    assert_eq!(all["ip_access_lists"][0]["ip_addresses"], json!([]), "what a replacement leaves out is gone");
    assert_eq!(account.delete(&path).await.0, 200);
    assert_eq!(refused(&account.get(&path).await), (404, "RESOURCE_DOES_NOT_EXIST"));
}

#[tokio::test]
async fn two_lists_of_a_type_do_not_share_a_label() {
    let account = Account::new().await;
    create(&account, list("office", "ALLOW", &[])).await;
    create(&account, list("office", "BLOCK", &[])).await;
    let path = create(&account, list("home", "ALLOW", &[])).await;
    let taken = |status| (status, "RESOURCE_ALREADY_EXISTS");
    let again = || account.send("POST", "ip-access-lists", list("office", "ALLOW", &[]));
    assert_eq!(refused(&again().await), taken(400));
    assert_eq!(
        refused(&account.send("PATCH", &path, json!({"label": "office"})).await),
        taken(409),
        "by turns"
    );
    assert_eq!(refused(&again().await), taken(400));
    account.sim.set(|settings| settings.ip_list_taken_statuses = vec![409]);
    for _ in 0..2 {
        assert_eq!(refused(&again().await), taken(409), "one status, if so set");
    }
}

#[tokio::test]
async fn all_lists_together_have_a_thousand_values() {
    let account = Account::new().await;
    let many: Vec<String> = (0..999).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    create(&account, list("many", "BLOCK", &many)).await;
    let two = list("two", "BLOCK", &["1.1.1.1", "1.1.1.2"]);
    assert_eq!(refused(&account.send("POST", "ip-access-lists", two).await), (400, "QUOTA_EXCEEDED"));
    create(&account, list("one", "BLOCK", &["1.1.1.1"])).await;
}

#[tokio::test]
async fn no_change_locks_out_its_author() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.caller_ip = Some("203.0.113.9".parse().unwrap()));
    let guarded = (400, "INVALID_STATE");
    let elsewhere = list("elsewhere", "ALLOW", &["198.51.100.0/24"]);
    assert_eq!(refused(&account.send("POST", "ip-access-lists", elsewhere.clone()).await), guarded);
    let path = create(&account, list("office", "ALLOW", &["203.0.113.0/24"])).await;
    create(&account, elsewhere).await;
    assert_eq!(refused(&account.send("PATCH", &path, json!({"ip_addresses": []})).await), guarded);
    assert_eq!(refused(&account.send("PATCH", &path, json!({"enabled": false})).await), guarded);
    let block = list("block", "BLOCK", &["203.0.113.9"]);
    assert_eq!(
        refused(&account.send("POST", "ip-access-lists", block).await),
        guarded,
        "blocking comes first"
    );

    account.sim.set(|settings| settings.guard_ip_list_deletes = true);
    assert_eq!(refused(&account.delete(&path).await), guarded);
    account.sim.set(|settings| settings.guard_ip_list_deletes = false);
    assert_eq!(account.delete(&path).await.0, 200, "deleting is not known to be guarded");
    assert_eq!(
        refused(&account.get("credentials").await),
        (403, "PERMISSION_DENIED"),
        "and now it is locked out"
    );
    let (status, body) = account.ask_token(&account.sim.client_secret).await;
    assert_eq!(
        (status, &body["error_code"], body.get("error")),
        (403, &json!(403), None),
        "and has no tokens"
    );
    assert!(body["message"].as_str().unwrap().contains("blocked by Databricks IP ACL"), "{body}");
    assert_eq!(
        account.http.get(account.sim.url() + "/.well-known/databricks-config").send().await.unwrap().status(),
        200
    );
    account.sim.set(|settings| settings.caller_ip = Some("198.51.100.7".parse().unwrap()));
    assert_eq!(account.ask_token(&account.sim.client_secret).await.0, 200, "from elsewhere it has");
}

#[tokio::test]
async fn reads_of_lists_are_late_on_their_own() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.ip_list_lag_ms = 60_000);
    let path = create(&account, list("office", "ALLOW", &[])).await;
    assert_eq!(refused(&account.get(&path).await), (404, "RESOURCE_DOES_NOT_EXIST"));
    assert_eq!(account.get("ip-access-lists").await.1.get("ip_access_lists"), None);
    let role = json!({"sts_role": {"role_arn": "arn:aws:iam::111122223333:role/databricks"}});
    let made =
        account.send("POST", "credentials", json!({"credentials_name": "prompt", "aws_credentials": role}));
    assert_eq!(made.await.0, 201);
    assert_eq!(account.get("credentials").await.1.as_array().map(Vec::len), Some(1), "nothing else is late");

    account.sim.advance_ms(60_000);
    assert_eq!(account.get(&path).await.0, 200);
    account.sim.set(|settings| settings.get_lag_ms = 120_000);
    assert_eq!(account.get(&path).await.0, 404, "the greater of two lags counts");
    assert!(account.get("ip-access-lists").await.1.get("ip_access_lists").is_some());
}

#[tokio::test]
async fn addresses_may_come_back_in_another_form() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.rewrite_cidrs = true);
    let path = create(&account, list("office", "ALLOW", &["203.0.113.9", "198.51.100.7/24"])).await;
    let (_, read) = account.get(&path).await;
    assert_eq!(read["ip_access_list"]["ip_addresses"], json!(["203.0.113.9/32", "198.51.100.0/24"]));
}
