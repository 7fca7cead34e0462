//! Faults, holds, lags and limits.

use serde_json::json;
use simulator::{Fault, RateLimit, Simulator, When};

use crate::{Account, answer, credentials::body, http, refused};

fn on_create(fault: Fault) -> Fault {
    Fault { method: Some("POST".to_owned()), path: "*/credentials".to_owned(), times: Some(1), ..fault }
}

#[tokio::test]
async fn a_fault_strikes_before_or_after_the_effect() {
    let account = Account::new().await;
    for (when, made) in [(When::Before, 0), (When::After, 1)] {
        let name = Some("outage".to_owned());
        let headers = [("Retry-After".to_owned(), "7".to_owned())].into();
        let error = json!({"error_code": "INTERNAL_ERROR"});
        let fault = Fault { name, when, status: Some(500), body: Some(error), headers, ..Fault::default() };
        account.sim.fault(on_create(fault));
        account.sim.clear_journal();
        let response = account.request("POST", "credentials").json(&body("main")).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (500, &"7".parse().unwrap())
        );
        assert_eq!(account.sim.objects("credentials").len(), made, "{when:?}");
        let call = &account.sim.writes()[0];
        assert_eq!(
            (call.status, call.applied, call.fault.as_deref()),
            (Some(500), made == 1, Some("outage"))
        );
    }
}

#[tokio::test]
async fn only_the_nth_call_is_hit() {
    let account = Account::new().await;
    let path = "/api/*/credentials".to_owned();
    account.sim.fault(Fault { path, nth: Some(2), status: Some(503), ..Fault::default() });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(account.get("credentials").await.0);
    }
    assert_eq!(statuses, [200, 503, 200]);
    assert_eq!((account.sim.calls("GET", "*/credentials"), account.sim.calls("*", "*/workspaces")), (3, 0));
}

#[tokio::test]
async fn an_answer_can_be_lost_cut_short_or_wrong() {
    let account = Account::new().await;
    account.sim.fault(on_create(Fault { when: When::After, drop: true, ..Fault::default() }));
    let lost = account.request("POST", "credentials").json(&body("main")).send().await;
    assert!(lost.unwrap_err().status().is_none(), "there is no answer");
    assert_eq!(account.sim.objects("credentials").len(), 1, "and yet it happened");
    let call = &account.sim.writes()[0];
    assert_eq!((call.status, call.applied), (None, true));

    account.sim.fault(on_create(Fault { drop: true, ..Fault::default() }));
    assert!(account.request("POST", "credentials").json(&body("other")).send().await.is_err());
    assert_eq!(account.sim.objects("credentials").len(), 1, "dropped before the effect");

    let short = Fault { truncate_bytes: Some(3), times: Some(1), ..Fault::default() };
    account.sim.fault(short);
    let response = account.request("GET", "credentials").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err(), "the body ends before its length");

    let page = Fault {
        body: Some(json!("<html>log in</html>")),
        content_type: Some("text/html".to_owned()),
        ..Fault::default()
    };
    account.sim.fault(Fault { times: Some(1), ..page });
    let response = account.request("GET", "credentials").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/html".parse().unwrap())
    );
    account.sim.fault(Fault { slow_ms_per_byte: Some(1), times: Some(1), ..Fault::default() });
    assert_eq!(account.get("credentials").await.1.as_array().map(Vec::len), Some(1), "slow, but whole");
}

#[tokio::test]
async fn a_call_can_be_held_on_either_side_of_its_effect() {
    let account = Account::new().await;
    for (when, made) in [(When::Before, 0), (When::After, 1)] {
        let id = account.sim.fault(on_create(Fault { when, hold: true, ..Fault::default() }));
        let call =
            tokio::spawn(account.request("POST", "credentials").json(&body(&format!("{when:?}"))).send());
        let held = account.sim.held(id).await;
        let before = account.sim.objects("credentials").len();
        assert_eq!(before, if when == When::Before { 0 } else { 1 + made }, "{when:?}");
        assert!(!call.is_finished());
        assert!(account.sim.release(held.n));
        assert_eq!(call.await.unwrap().unwrap().status(), 201, "the effect comes after the release");
        assert!(!account.sim.release(held.n), "it is held no more");
    }
}

#[tokio::test]
async fn what_a_client_no_longer_waits_for_still_happens() {
    let account = Account::new().await;
    let id = account.sim.fault(on_create(Fault { hold: true, ..Fault::default() }));
    let call = tokio::spawn(account.request("POST", "credentials").json(&body("late")).send());
    let held = account.sim.held(id).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    account.sim.release(held.n);
    // Later calls are served; the first to see the object ends the story.
    while account.get("credentials").await.1 == json!([]) {}
}

#[tokio::test]
async fn reads_may_lag_behind_writes() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.list_lag_ms = 60_000);
    let id = account.send("POST", "credentials", body("main")).await.1["credentials_id"].clone();
    let path = format!("credentials/{}", id.as_str().unwrap());
    assert_eq!(account.get("credentials").await.1, json!([]), "not listed yet");
    assert_eq!(account.get(&path).await.0, 200, "but there");
    account.sim.set(|settings| settings.get_lag_ms = 60_000);
    assert_eq!(account.get(&path).await.0, 404);
    account.sim.advance_ms(60_001);
    assert_eq!(account.get("credentials").await.1.as_array().map(Vec::len), Some(1));
    account.delete(&path).await;
    assert_eq!(account.get(&path).await.0, 200, "deleted, and still shown");
    assert_eq!(account.get("scim/v2/Groups").await.1["totalResults"], 2, "what was always there is there");
}

#[tokio::test]
async fn a_class_of_calls_can_be_limited() {
    let account = Account::new().await;
    let retry_after = Some("30".to_owned());
    let limit = RateLimit { class: "scim".to_owned(), limit: 1, window_ms: 60_000, retry_after };
    account.sim.set(|settings| settings.rate_limits = vec![limit]);
    assert_eq!(account.get("scim/v2/Users").await.0, 200);
    let response = account.request("GET", "scim/v2/Groups").send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"30".parse().unwrap())
    );
    assert_eq!(account.get("credentials").await.0, 200, "others are not limited");
    account.sim.advance_ms(60_001);
    assert_eq!(account.get("scim/v2/Users").await.0, 200);
}

#[tokio::test]
async fn lists_can_come_in_any_order() {
    let account = Account::new().await;
    for n in 0..20 {
        account.sim.insert("credentials", json!({"credentials_name": format!("name-{n}")})).unwrap();
    }
    let first = account.get("credentials").await.1;
    assert_eq!(account.get("credentials").await.1, first, "in order of creation");
    account.sim.set(|settings| settings.shuffle = true);
    assert_ne!(account.get("credentials").await.1, first, "one chance in 20! to be the same");
}

#[tokio::test]
async fn stopping_frees_the_port_and_ends_every_connection() {
    let account = Account::new().await;
    account.sim.fault(Fault { path: "*/workspaces".to_owned(), hold: true, ..Fault::default() });
    assert_eq!(account.get("credentials").await.0, 200);
    let held = tokio::spawn(account.request("GET", "workspaces").send());
    account.sim.held(1).await;
    let address = account.sim.url().trim_start_matches("http://").parse().unwrap();
    account.sim.stop().await;
    assert!(held.await.unwrap().is_err(), "a held call is abandoned");
    assert!(
        account.request("GET", "credentials").send().await.is_err(),
        "even on a connection that was open"
    );

    let config = simulator::Config { listen: address, ..simulator::Config::default() };
    let next = Simulator::start(config).await.unwrap();
    let known =
        answer(http().get(next.url() + &account.path("credentials")).bearer_auth(&account.token)).await;
    assert_eq!(refused(&known), (401, "UNAUTHENTICATED"), "another account, at the same address");
}
