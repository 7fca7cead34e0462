//! Who gets a token, and what it is good for.

use serde_json::{Value, json};

use crate::{Account, answer, refused};

#[tokio::test]
async fn a_client_finds_its_way_from_the_host_to_a_call() {
    let account = Account::new().await;
    let (sim, http) = (&account.sim, &account.http);
    let (_, host) = answer(http.get(sim.url() + "/.well-known/databricks-config")).await;
    let oidc = host["oidc_endpoint"].as_str().unwrap().replace("{account_id}", &sim.account_id);
    assert_eq!((&host["host_type"], &host["cloud"]), (&json!("account"), &json!("AWS")));
    let (_, server) = answer(http.get(oidc + "/.well-known/oauth-authorization-server")).await;
    let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
    let ask = http.post(server["token_endpoint"].as_str().unwrap()).form(&form);
    let (status, token) = answer(ask.basic_auth(&sim.client_id, Some(&sim.client_secret))).await;
    assert_eq!((status, &token["token_type"], &token["expires_in"]), (200, &json!("Bearer"), &json!(3600)));

    assert_eq!(account.get("credentials").await.0, 200);
    let journal = serde_json::to_string(&sim.journal()).unwrap();
    assert!(
        journal.contains("client_credentials")
            && journal.contains(&format!("\"client_id\":\"{}\"", sim.client_id))
    );
    for secret in [&sim.client_secret, &account.token] {
        assert!(!journal.contains(secret.as_str()), "a secret is in the journal");
    }
}

#[tokio::test]
async fn the_token_endpoint_refuses_strangers_and_oddities() {
    let account = Account::new().await;
    let (status, body) = account.ask_token("wrong").await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));

    let url = format!("{}/oidc/accounts/{}/v1/token", account.sim.url(), account.sim.account_id);
    let basic =
        || account.http.post(&url).basic_auth(&account.sim.client_id, Some(&account.sim.client_secret));
    for (request, error) in [
        (basic().form(&[("grant_type", "password"), ("scope", "all-apis")]), "unsupported_grant_type"),
        (basic().form(&[("grant_type", "client_credentials")]), "invalid_scope"),
        (basic().form(&[("scope", "all-apis")]), "invalid_request"),
        (basic().json(&json!({"grant_type": "client_credentials"})), "invalid_request"),
    ] {
        let (status, body) = answer(request).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)));
    }
    let in_body = basic().form(&[("grant_type", "client_credentials"), ("client_secret", "s3cr3t")]);
    assert_eq!(answer(in_body).await.0, 400, "the secret belongs in the header");
    let journal = serde_json::to_string(&account.sim.journal()).unwrap();
    assert!(journal.contains("client_secret") && !journal.contains("s3cr3t"), "{journal}");
    let other = url.replace(&account.sim.account_id, "00000000-0000-4000-8000-000000000000");
    let (status, _) = answer(account.http.post(other).basic_auth("x", Some("y"))).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn a_token_ends_with_its_time_its_revocation_or_its_secret() {
    let mut account = Account::new().await;
    account.sim.set(|settings| settings.bad_token_statuses = vec![401]);
    account.sim.advance_ms(3_600_001);
    assert_eq!(refused(&account.get("credentials").await), (401, "UNAUTHENTICATED"));

    let secret = account.sim.client_secret.clone();
    account.token = account.ask_token(&secret).await.1["access_token"].as_str().unwrap().to_owned();
    assert_eq!(account.get("credentials").await.0, 200);
    account.sim.revoke_tokens();
    assert_eq!(account.get("credentials").await.0, 401);

    account.token = account.ask_token(&secret).await.1["access_token"].as_str().unwrap().to_owned();
    account.sim.rotate_secret("new", 60_000);
    assert_eq!(account.get("credentials").await.0, 200, "the old secret has a minute of grace");
    account.sim.advance_ms(60_001);
    assert_eq!(account.get("credentials").await.0, 401, "the token falls with its secret");
    assert_eq!(account.ask_token(&secret).await.0, 401);
    assert_eq!(account.ask_token("new").await.0, 200);
}

#[tokio::test]
async fn a_call_needs_a_token_and_the_right_account() {
    let mut account = Account::new().await;
    let bare = account.http.get(account.sim.url() + &account.path("credentials"));
    let (status, body) = answer(bare).await;
    assert_eq!((status, &body["error_code"]), (401, &json!(401)), "this code is a number");

    let path = "/api/2.0/accounts/00000000-0000-4000-8000-000000000000/credentials";
    let other = || account.http.get(account.sim.url() + path).bearer_auth(&account.token);
    assert_eq!(answer(other()).await, (404, Value::Null), "this 404 is not the API's");
    account.sim.set(|settings| settings.other_account_status = 403);
    assert_eq!(refused(&answer(other()).await), (403, "PERMISSION_DENIED"));

    let none =
        account.http.get(account.sim.url() + "/api/2.0/accounts/credentials").bearer_auth(&account.token);
    let response = none.send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert!(response.text().await.unwrap().starts_with("<html>"), "no JSON without an account id");

    account.token = "made-up".to_owned();
    assert_eq!(account.get("credentials").await.0, 401);
}

#[tokio::test]
async fn a_bad_token_is_answered_in_several_forms_by_turns() {
    let mut account = Account::new().await;
    let good = std::mem::replace(&mut account.token, "made-up".to_owned());
    let mut forms = vec![];
    for _ in 0..6 {
        let response = account.request("GET", "credentials").send().await.unwrap();
        let (status, kind) = (response.status().as_u16(), response.headers()["content-type"].clone());
        forms.push((status, kind.to_str().unwrap().to_owned(), response.text().await.unwrap()));
    }
    assert_eq!(forms[..3], forms[3..], "they take turns");
    let of = |status: u16| forms.iter().find(|form| form.0 == status).unwrap();
    assert!(of(401).2.contains("UNAUTHENTICATED"), "{forms:?}");
    let numeric: Value = serde_json::from_str(&of(403).2).unwrap();
    assert_eq!(numeric, json!({"error_code": 403, "message": "Invalid access token."}));
    assert!(of(400).1.starts_with("text/plain") && of(400).2 == "Invalid Token", "{forms:?}");

    account.sim.set(|settings| settings.bad_token_statuses = vec![403]);
    for _ in 0..2 {
        assert_eq!(account.send("POST", "credentials", json!({})).await.0, 403, "one form, if so set");
    }
    account.token = good;
    assert_eq!(account.get("credentials").await.0, 200);
}
