//! IP access lists.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::support::{AUTH, Story, condition};

const LIST: &str = "IpAccessList";
const AUTHS: &str = "DatabricksAuth";
/// The address that the operator calls from.
const OURS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
/// So late are reads of lists, by the account's clock.
const LATE_MS: u64 = 75_000;

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// The methods of the changes that the account carried out, in order.
fn applied(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().filter(|call| call.applied).map(|call| call.method).collect()
}

#[tokio::test]
async fn a_list_is_created_kept_and_deleted() {
    let story = Story::start("ip-list-life").await;
    let spec = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.apply(&story.managed("IpAccessList", "office", spec)).await;
    let ready = story.wait_ready("IpAccessList", "office").await;
    let made = story.account.objects("ip-access-lists").remove(0);
    let id = made["list_id"].as_str().unwrap();
    assert_eq!(ready["status"]["externalId"], id);
    assert_eq!(made["ip_addresses"], json!(["203.0.113.0/24"]));

    // Somebody changes it in the console.
    story.account.edit("ip-access-lists", id, json!({"ip_addresses": ["198.51.100.7"]})).unwrap();
    let corrected = story.wait_event("IpAccessList", "office", "DriftCorrected").await;
    assert!(corrected.contains("ipAddresses"), "{corrected}");
    let now: Value = story.account.objects("ip-access-lists").remove(0);
    assert_eq!((&now["list_id"], &now["ip_addresses"]), (&made["list_id"], &made["ip_addresses"]));

    let wanted = json!(["192.0.2.0/24", "203.0.113.0/24"]);
    story.patch("IpAccessList", "office", json!({"spec": {"ipAddresses": wanted}})).await;
    story.wait_ready("IpAccessList", "office").await;
    assert_eq!(story.account.objects("ip-access-lists")[0]["ip_addresses"], wanted);

    story.delete("IpAccessList", "office").await;
    story.wait_gone("IpAccessList", "office").await;
    assert_eq!(story.account.objects("ip-access-lists"), [] as [Value; 0]);
    assert_eq!(story.account.writes().len(), 4, "{:?}", story.account.writes());
    story.end().await;
}

/// Covers LC-15, LC-03, ER-10. An account as it is: it guards the address that calls come from, reads of lists are late, and
/// a name that nobody can see yet is refused with 409. No list is created twice, and none of somebody else is touched.
#[tokio::test]
async fn lists_of_an_account_that_is_late_and_guarded() {
    let usual = [("read-lag", "10m"), ("refusal-tries", "3"), ("refusal-period", "1m")];
    let story = Story::start_with("ip-list-late", &usual).await;
    story.account.set(|settings| {
        settings.caller_ip = Some(OURS);
        settings.get_lag_ms = LATE_MS;
        settings.ip_list_lag_ms = LATE_MS;
        settings.ip_list_taken_statuses = vec![409];
    });
    let theirs = json!({"label": "branch", "list_type": "ALLOW", "ip_addresses": ["203.0.113.0/28"]});
    let theirs = story.account.insert("ip-access-lists", theirs).unwrap();
    let list = |label: &str, kind: &str, addresses: &[&str]| {
        story.managed(LIST, label, json!({"label": label, "listType": kind, "ipAddresses": addresses}))
    };

    // The account refuses what would block the operator; with its address added the list is created.
    story.apply(&list("office", "BLOCK", &["203.0.113.0/24"])).await;
    let refused = story.wait_condition(LIST, "office", "Ready", "False", "ApplyFailed").await;
    assert!(message(&refused, "Ready").contains(&OURS.to_string()), "{refused}");
    assert_eq!(condition(&refused, "Stalled"), None, "{refused}");
    story.apply(&list("office", "BLOCK", &["198.51.100.0/24"])).await;
    story.wait_ready(LIST, "office").await;

    // The name is taken by a list that no read shows yet.
    story.apply(&list("branch", "ALLOW", &["203.0.113.0/28"])).await;
    let taken = story.wait_condition(LIST, "branch", "Ready", "False", "AlreadyExists").await;
    assert_eq!(condition(&taken, "Stalled"), None, "no read shows it: {taken}");
    let conflicts = story.account.journal().into_iter().filter(|call| call.status == Some(409)).count();
    assert!(conflicts > 0, "the account answered 409");

    // Meanwhile the first is edited, and looked at again and again.
    story.patch(LIST, "office", json!({"spec": {"ipAddresses": ["192.0.2.0/24"]}})).await;
    story.wait_condition(LIST, "office", "Ready", "False", "Retrying").await;
    for _ in 0..3 {
        story.pass(LIST, "office").await;
    }
    assert_eq!(applied(&story), ["POST"]);

    story.account.advance_ms(LATE_MS);
    story.wait_condition(LIST, "office", "Ready", "False", "Provisioning").await;
    story.pass(LIST, "branch").await;
    let known = story.wait_condition(LIST, "branch", "Stalled", "True", "AlreadyExists").await;
    assert!(message(&known, "Stalled").contains(theirs["list_id"].as_str().unwrap()), "{known}");
    story.account.advance_ms(LATE_MS);
    story.wait_ready(LIST, "office").await;
    assert_eq!(applied(&story), ["POST", "PATCH"]);
    assert_eq!(story.account.objects("ip-access-lists").len(), 2);
    story.delete(LIST, "branch").await;
    story.wait_gone(LIST, "branch").await;
    assert!(story.account.objects("ip-access-lists").contains(&theirs), "it is not ours");
    story.end().await;
}

/// Covers SE-06, IM-03. A list that blocks every address would shut out the operator, wherever it calls from: the API server refuses it, for
/// the account and for a workspace.
#[tokio::test]
async fn a_list_that_blocks_every_address_is_refused() {
    let story = Story::start("ip-list-blocks-all").await;
    let list = |kind: &str, name: &str, more: Value| {
        let mut spec =
            json!({"label": name, "listType": "BLOCK", "ipAddresses": ["198.51.100.7", "0.0.0.0/0"]});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        story.managed(kind, name, spec)
    };
    for (kind, more) in [
        (LIST, json!({})),
        (LIST, json!({"ipAddresses": ["203.0.113.7/0"], "enabled": true})),
        ("WorkspaceIpAccessList", json!({"workspaceId": 7})),
    ] {
        let refused = story.try_apply(&list(kind, "all", more)).await.unwrap_err().to_string();
        assert!(
            refused.contains("spec.ipAddresses") && refused.contains("blocks every address"),
            "{refused}"
        );
    }
    for (name, more) in [
        ("disabled", json!({"enabled": false})),
        ("allowed", json!({"listType": "ALLOW"})),
        ("some", json!({"ipAddresses": ["100.64.0.0/10"]})),
    ] {
        story.apply(&list(LIST, name, more)).await;
        story.wait_ready(LIST, name).await;
    }
    let refused = story.try_apply(&list(LIST, "disabled", json!({"enabled": true}))).await;
    assert!(refused.is_err_and(|refused| refused.to_string().contains("set enabled to false")));
    story.end().await;
}

/// Covers CR-09. Somebody blocks the operator's address in the console: the API and the token endpoint turn it away, which
/// is said, and once the address is let in again all goes on.
#[tokio::test]
async fn a_list_that_blocks_the_operator_is_named_and_recovered_from() {
    let mut story = Story::start("ip-list-blocked").await;
    story.account.set(|settings| settings.caller_ip = Some(OURS));
    let spec = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    story.apply(&story.managed(LIST, "office", spec)).await;
    story.wait_ready(LIST, "office").await;
    let block = json!({"label": "theirs", "list_type": "BLOCK", "ip_addresses": [OURS.to_string()]});
    let block = story.account.insert("ip-access-lists", block).unwrap();
    let named = async |story: &Story| {
        let auth = story.wait_condition(AUTHS, AUTH, "Ready", "False", "AddressBlocked").await;
        let says = message(&auth, "Ready");
        assert!(says.contains(&OURS.to_string()) && says.contains("egressCidrs"), "{says}");
        story.patch(LIST, "office", json!({"spec": {"label": "headquarters"}})).await;
        story.wait_condition(LIST, "office", "Ready", "False", "AddressBlocked").await;
    };
    named(&story).await;

    // An operator that starts now gets no token either.
    story.operator.take().unwrap().kill().unwrap();
    story.account.clear_journal();
    story.start_operator(&[]).await;
    let refused = |story: &Story| {
        let calls = story.account.journal();
        calls.iter().any(|call| call.class == "token" && call.status == Some(403))
    };
    world::eventually("the token endpoint refuses", crate::support::SOON, async || {
        if refused(&story) { Ok(()) } else { Err(format!("{:?}", story.account.journal())) }
    })
    .await
    .unwrap();
    named(&story).await;

    assert!(story.account.remove("ip-access-lists", block["list_id"].as_str().unwrap()));
    story.wait_ready(AUTHS, AUTH).await;
    story.wait_ready(LIST, "office").await;
    assert_eq!(story.account.objects("ip-access-lists")[0]["label"], "headquarters");
    story.end().await;
}
