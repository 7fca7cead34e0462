//! Tokens and addresses that the account turns away. Databricks says so in many forms, and none of them is a refusal of what
//! was asked for: nothing is Stalled, nothing is sent twice, hardly a token is asked for, and all go on once that is over.

use serde_json::{Value, json};
use simulator::Fault;
use world::eventually;

use crate::support::{AUTH, SOON, Story, condition};

const LIST: &str = "IpAccessList";
const AUTHS: &str = "DatabricksAuth";

/// What an installation has, but for the interval of comparison: objects call often enough to meet what goes wrong.
const USUAL: [(&str, &str); 8] = [
    ("resync-interval", "1s"),
    ("backoff-min", "1s"),
    ("backoff-max", "5m"),
    ("poll-min", "5s"),
    ("poll-max", "60s"),
    ("refusal-tries", "3"),
    ("refusal-period", "1m"),
    ("recheck-stalled-min", "10s"),
];

fn list(story: &Story, name: &str) -> Value {
    story.managed(LIST, name, json!({"label": name, "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]}))
}

fn numbered(message: &str) -> Value {
    json!({"error_code": 403, "message": message})
}

/// All calls of the API, but none of those for a token, are answered so.
fn answered(status: u16, body: Value) -> Fault {
    Fault { path: "/api/2.0/*".into(), status: Some(status), body: Some(body), ..Fault::default() }
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

fn tokens(story: &Story) -> usize {
    story.account.calls("POST", "/oidc/*")
}

/// The labels of the lists in the account, in order.
fn labels(story: &Story) -> Vec<String> {
    let all = story.account.objects("ip-access-lists");
    let mut labels: Vec<String> = all.iter().map(|l| l["label"].as_str().unwrap().to_owned()).collect();
    labels.sort();
    labels
}

/// Nobody was told that a person has to act.
async fn never_stalled(story: &Story, kind: &str, name: &str) {
    let events = story.events(kind, name).await;
    assert!(events.iter().all(|(reason, _)| reason != "Stalled"), "{kind} {name}: {events:?}");
    assert_eq!(condition(&story.get(kind, name).await, "Stalled"), None, "{kind} {name}");
}

/// Covers CR-08, ER-10. While every object is Ready the account begins to turn the token away, in each of the forms that are
/// known of it. The DatabricksAuth says so; what is settled stays Ready, and nothing is called Stalled. Once the token is taken
/// again, what was new or edited meanwhile is carried out, once.
#[tokio::test]
async fn a_rejected_token_stalls_no_object() {
    let expired = "io.jsonwebtoken.ExpiredJwtException: JWT expired at 2026-01-01T00:00:00Z.";
    let forms = [
        (403, numbered("Invalid access token.")),
        (403, numbered("Invalid access token. [ReqId: 145ae51b-da74-40a7-ac56-0ad190834faf]")),
        (403, numbered("JWT has expired")),
        (403, json!({"error_code": "PERMISSION_DENIED", "message": "Invalid access token."})),
        (403, json!({"message": "Token is expiring within 30 seconds. (token expired)"})),
        (403, json!("Invalid access token.")),
        (400, json!({"error_code": 400, "message": "Invalid Token"})),
        (400, json!({"error_code": "BAD_REQUEST", "message": expired})),
        (400, json!(format!("<html><title>Error 400 {expired}</title><pre>{expired}</pre></html>"))),
        (400, json!({"error": "invalid_token", "error_description": "The access token expired"})),
        (401, json!({"error_code": "UNAUTHENTICATED", "message": "Token is expired"})),
        (401, json!("")),
    ];
    // Side by side, as each form takes seconds.
    let each =
        forms.chunks(3).enumerate().map(|(n, forms)| stalls_no_object(format!("tokens-forms-{n}"), forms));
    futures::future::join_all(each).await;
}

/// One account that turns the token away in these forms, one after the other.
async fn stalls_no_object(name: String, forms: &[(u16, Value)]) {
    let story = Story::start_with(&name, &USUAL).await;
    story.apply(&list(&story, "calm")).await;
    story.apply(&list(&story, "edited")).await;
    story.wait_ready(LIST, "calm").await;
    story.wait_ready(LIST, "edited").await;
    for (n, (status, body)) in forms.iter().enumerate() {
        let (fresh, label) = (format!("fresh-{n}"), format!("edit-{n}"));
        let form = format!("{status} {body}");
        story.account.clear_journal();
        story.account.fault(answered(*status, body.clone()));
        story.patch(LIST, "edited", json!({"spec": {"label": label}})).await;
        story.apply(&list(&story, &fresh)).await;
        let auth = story.wait_condition(AUTHS, AUTH, "Ready", "False", "CredentialsInvalid").await;
        assert_eq!(condition(&auth, "Stalled"), None, "{form}: {auth}");
        let waiting = story.wait_condition(LIST, &fresh, "Ready", "False", "CredentialsInvalid").await;
        assert_eq!(condition(&waiting, "Reconciling").unwrap()["status"], "True", "{form}");
        assert_eq!(condition(&story.get(LIST, "calm").await, "Ready").unwrap()["status"], "True", "{form}");
        story.account.clear_faults();
        for name in ["edited", "calm", &fresh] {
            story.wait_ready(LIST, name).await;
        }
        story.wait_ready(AUTHS, AUTH).await;
        assert!(tokens(&story) <= 8, "{form}: {} tokens", tokens(&story));
        let writes = story.account.writes().into_iter().filter(|call| call.applied).count();
        assert_eq!(writes, 2, "{form}: one create and one change");
        never_stalled(&story, LIST, &fresh).await;
    }
    for (kind, name) in [(LIST, "calm"), (LIST, "edited"), (AUTHS, AUTH)] {
        never_stalled(&story, kind, name).await;
    }
    story.end().await;
}

/// Covers CR-08. All tokens are revoked while two hundred objects work: each goes on, and one new token is enough for all.
#[tokio::test]
async fn two_hundred_objects_replace_a_revoked_token_once() {
    let story = Story::start_with("tokens-many", &USUAL).await;
    let names: Vec<String> = (0..200).map(|n| format!("list-{n}")).collect();
    let all: Vec<Value> = names.iter().map(|name| list(&story, name)).collect();
    story.apply(&json!({"items": all})).await;
    for name in &names {
        story.wait_ready(LIST, name).await;
    }
    story.account.clear_journal();
    story.account.revoke_tokens();
    for name in &names {
        story.patch(LIST, name, json!({"spec": {"ipAddresses": ["198.51.100.0/24"]}})).await;
    }
    for name in &names {
        story.wait_ready(LIST, name).await;
    }
    assert_eq!(tokens(&story), 1);

    // Now for as long as all of them are edited again, and a while longer.
    story.account.clear_journal();
    story.account.fault(answered(403, numbered("Invalid access token.")));
    for name in &names {
        story.patch(LIST, name, json!({"spec": {"ipAddresses": ["192.0.2.0/24"]}})).await;
    }
    story.wait_condition(AUTHS, AUTH, "Ready", "False", "CredentialsInvalid").await;
    for name in &names {
        story.wait_condition(LIST, name, "Ready", "False", "CredentialsInvalid").await;
    }
    let since = story.account.journal().len();
    let probes = eventually("the DatabricksAuth asks three times more", SOON, async || {
        let asked = story.account.journal().iter().skip(since).filter(|c| c.class == "scim").count();
        if asked >= 3 { Ok(()) } else { Err(format!("{asked} so far")) }
    });
    probes.await.unwrap();
    let calls = story.account.journal();
    let meanwhile: Vec<_> = calls[since..].iter().filter(|c| c.class == "ip-access-lists").collect();
    assert!(meanwhile.len() <= 4, "nobody calls while it is known: {meanwhile:?}");
    assert!(tokens(&story) <= 8, "{} tokens", tokens(&story));
    story.account.clear_faults();
    for name in &names {
        story.wait_ready(LIST, name).await;
    }
    never_stalled(&story, LIST, "list-0").await;
    never_stalled(&story, AUTHS, AUTH).await;
    story.end().await;
}

/// Covers CR-08, LC-01. Only changes are turned away: they wait, are called neither Stalled nor wrong, cost few tokens, and
/// are made once when that is over.
#[tokio::test]
async fn changes_with_a_rejected_token_are_sent_later() {
    let story = Story::start_with("tokens-writes", &USUAL).await;
    for name in ["edited", "deleted"] {
        story.apply(&list(&story, name)).await;
        story.wait_ready(LIST, name).await;
    }
    story.account.clear_journal();
    for method in ["POST", "PATCH", "DELETE"] {
        let refused = answered(403, numbered("Invalid access token."));
        story.account.fault(Fault { method: Some(method.into()), ..refused });
    }
    story.apply(&list(&story, "made")).await;
    story.patch(LIST, "edited", json!({"spec": {"label": "better"}})).await;
    story.delete(LIST, "deleted").await;
    let made = story.wait_condition(LIST, "made", "Ready", "False", "CredentialsInvalid").await;
    assert_eq!(made["status"]["intent"], Value::Null, "nothing was made: {made}");
    story.wait_condition(LIST, "edited", "Ready", "False", "CredentialsInvalid").await;
    story.wait_condition(LIST, "deleted", "DeletionBlocked", "True", "CredentialsUnavailable").await;
    let posts = eventually("the create was tried three times", SOON, async || {
        let posts = story.account.calls("POST", "/api/*");
        if posts >= 3 { Ok(()) } else { Err(format!("{posts} so far")) }
    });
    posts.await.unwrap();
    assert!(tokens(&story) <= 8, "{} tokens", tokens(&story));
    story.account.clear_faults();
    story.wait_ready(LIST, "made").await;
    story.wait_ready(LIST, "edited").await;
    story.wait_gone(LIST, "deleted").await;
    assert_eq!(labels(&story), ["better", "made"]);
    for name in ["made", "edited"] {
        never_stalled(&story, LIST, name).await;
    }
    never_stalled(&story, AUTHS, AUTH).await;
    story.end().await;
}

/// Covers CR-08. A create meets a token that was just revoked: it is not sent a second time by itself, nothing is told of a
/// refusal, and the next pass makes it.
#[tokio::test]
async fn a_create_with_a_revoked_token_is_repeated_by_the_next_reconcile() {
    let story = Story::start_with("tokens-create", &USUAL).await;
    story.apply(&list(&story, "first")).await;
    story.wait_ready(LIST, "first").await;
    story.account.clear_journal();
    let refused = answered(403, numbered("Invalid access token."));
    story.account.fault(Fault { method: Some("POST".into()), times: Some(1), ..refused });
    story.apply(&list(&story, "second")).await;
    story.wait_ready(LIST, "second").await;
    assert_eq!((story.account.calls("POST", "/api/*"), tokens(&story)), (2, 1));
    assert_eq!(labels(&story), ["first", "second"]);
    let events: Vec<String> =
        story.events(LIST, "second").await.into_iter().map(|(reason, _)| reason).collect();
    assert!(events.iter().all(|reason| ["Created", "Ready"].contains(&reason.as_str())), "{events:?}");
    story.end().await;
}

/// Covers CR-08. A token that is turned away for good: the DatabricksAuth says so and does not waver, asks the account in
/// growing steps, and whatever refers to it waits for its word.
#[tokio::test]
async fn tokens_that_are_always_rejected_are_requested_with_growing_delays() {
    let mut story = Story::without_operator("tokens-never").await;
    story.account.fault(answered(403, numbered("Invalid access token.")));
    story.start_operator(&USUAL).await;
    story.apply(&list(&story, "office")).await;
    story.wait_condition(LIST, "office", "Ready", "False", "CredentialsInvalid").await;
    let auth = story.wait_condition(AUTHS, AUTH, "Ready", "False", "CredentialsInvalid").await;
    let says = message(&auth, "Ready");
    assert!(says.contains("Invalid access token.") && says.contains("service principal"), "{says}");
    story.account.clear_journal();
    let probes = eventually("the DatabricksAuth asks eight times more", SOON, async || {
        let asked = story.account.journal().into_iter().filter(|c| c.class == "scim");
        let mut asked: Vec<u64> = asked.map(|call| call.at_ms).collect();
        // Asked with a new token at once, it is one question.
        asked.dedup_by(|next, last| next.saturating_sub(*last) < 500);
        if asked.len() >= 8 { Ok(asked) } else { Err(format!("{asked:?}")) }
    });
    let probes = probes.await.unwrap();
    let gaps: Vec<u64> = probes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[6] > 2 * gaps[0], "the steps grow: {gaps:?}");
    // A retry with the new token can have been under way when the journal was cleared.
    let calls = story.account.calls("*", "*/ip-access-lists*");
    assert!(calls <= 1, "the object waits: {calls} calls");
    let after = story.get(AUTHS, AUTH).await;
    assert_eq!(after["metadata"]["resourceVersion"], auth["metadata"]["resourceVersion"], "{after}");
    story.account.clear_faults();
    story.wait_ready(AUTHS, AUTH).await;
    story.wait_ready(LIST, "office").await;
    story.end().await;
}

/// Covers CR-08. A lack of rights is no bad token: it is what it was before, and costs no token.
#[tokio::test]
async fn a_lack_of_rights_costs_no_token() {
    let story = Story::start("tokens-rights").await;
    let refused = [
        json!({"error_code": "PERMISSION_DENIED", "message": "only account admins may do this"}),
        json!({"error_code": 403, "message": "This token is not for this account"}),
        json!({"error_code": "PERMISSION_DENIED", "message": "Provided OAuth token does not have required scopes"}),
        json!({}),
    ];
    for (n, body) in refused.into_iter().enumerate() {
        story.account.clear_journal();
        let method = Some("POST".into());
        story.account.fault(Fault { method, ..answered(403, body) });
        let name = format!("denied-{n}");
        story.apply(&list(&story, &name)).await;
        story.wait_condition(LIST, &name, "Stalled", "True", "PermissionDenied").await;
        story.pass(LIST, &name).await;
        assert_eq!(tokens(&story), 0);
        story.account.clear_faults();
    }
    story.wait_ready(AUTHS, AUTH).await;
    story.end().await;
}

/// Covers CR-09. The account's own access lists shut the operator out: the DatabricksAuth and its objects say so under a name
/// of its own and what to write, no token is asked for, nothing is Stalled, and once the address is let in all go on.
#[tokio::test]
async fn a_blocked_address_is_named_and_recovered_from() {
    let story = Story::start_with("tokens-blocked", &USUAL).await;
    story.apply(&list(&story, "calm")).await;
    story.apply(&list(&story, "edited")).await;
    story.wait_ready(LIST, "calm").await;
    story.wait_ready(LIST, "edited").await;
    story.account.clear_journal();
    let text = "Source IP address: 192.0.2.7 is blocked by Databricks IP ACL for account";
    let forms = [
        json!({"error_code": "PERMISSION_DENIED", "message": text}),
        numbered(text),
        json!(text),
        json!(format!("<html><pre>{text}</pre></html>")),
    ];
    for (n, body) in forms.into_iter().enumerate() {
        let form = body.to_string();
        story.account.fault(answered(403, body));
        let name = format!("fresh-{n}");
        story.patch(LIST, "edited", json!({"spec": {"label": format!("edit {n}")}})).await;
        story.apply(&list(&story, &name)).await;
        let auth = story.wait_condition(AUTHS, AUTH, "Ready", "False", "AddressBlocked").await;
        let says = message(&auth, "Ready");
        for part in [text, "ALLOW", "BLOCK", "egressCidrs"] {
            assert!(says.contains(part), "{form}: {part} is missing in {says}");
        }
        story.wait_condition(LIST, &name, "Ready", "False", "AddressBlocked").await;
        assert_eq!(condition(&story.get(LIST, "calm").await, "Ready").unwrap()["status"], "True", "{form}");
        story.account.clear_faults();
        for name in ["edited", "calm", &name] {
            story.wait_ready(LIST, name).await;
        }
        story.wait_ready(AUTHS, AUTH).await;
        never_stalled(&story, LIST, &name).await;
    }
    assert_eq!(tokens(&story), 0);
    never_stalled(&story, AUTHS, AUTH).await;
    story.end().await;
}

/// Covers CR-09. The token endpoint itself does not let the operator in.
#[tokio::test]
async fn an_address_that_gets_no_token_is_named_too() {
    let mut story = Story::without_operator("tokens-endpoint").await;
    let text = "Source IP address: 192.0.2.7 is blocked by Databricks IP ACL for account";
    for body in [json!(text), json!({"error_code": "PERMISSION_DENIED", "message": text})] {
        let (path, status) = ("/oidc/*".into(), Some(403));
        story.account.fault(Fault { path, status, body: Some(body), ..Fault::default() });
    }
    story.start_operator(&USUAL).await;
    story.apply(&list(&story, "office")).await;
    let auth = story.wait_condition(AUTHS, AUTH, "Ready", "False", "AddressBlocked").await;
    let says = message(&auth, "Ready");
    assert!(says.contains(text) && says.contains("ALLOW") && says.contains("egressCidrs"), "{says}");
    story.wait_condition(LIST, "office", "Ready", "False", "AddressBlocked").await;
    assert!(tokens(&story) <= 3, "{} tokens", tokens(&story));
    story.account.clear_faults();
    story.wait_ready(LIST, "office").await;
    never_stalled(&story, AUTHS, AUTH).await;
    story.end().await;
}

/// Covers CR-08. An account turns revoked tokens away in forms that take turns: each is known, and costs one token.
#[tokio::test]
async fn revoked_tokens_are_known_in_forms_that_take_turns() {
    let story = Story::start_with("tokens-turns", &USUAL).await;
    story.apply(&list(&story, "office")).await;
    story.wait_ready(LIST, "office").await;
    story.account.clear_journal();
    for round in 0..6 {
        story.account.revoke_tokens();
        story.patch(LIST, "office", json!({"spec": {"label": format!("office {round}")}})).await;
        story.wait_ready(LIST, "office").await;
    }
    let refused: Vec<u16> = story.account.journal().iter().filter_map(|call| call.status).collect();
    for status in [400, 401, 403] {
        assert!(refused.contains(&status), "{status} was never the answer: {refused:?}");
    }
    assert_eq!(tokens(&story), 6);
    assert_eq!(labels(&story), ["office 5"]);
    for (kind, name) in [(LIST, "office"), (AUTHS, AUTH)] {
        never_stalled(&story, kind, name).await;
    }
    story.end().await;
}
