//! `reportUnmanaged`: what a person created in the account beside the manifests is counted, by kind and for the asking.

use serde_json::{Value, json};
use world::eventually;

use crate::metrics::scrape;
use crate::support::{AUTH, SOON, Story};

const LIST: &str = "IpAccessList";
const SERIES: &str = r#"unmanaged_objects{kind="IpAccessList"}"#;

/// A person creates an IP access list in the account.
fn create_by_hand(story: &Story, label: &str) {
    let list = json!({"label": label, "list_type": "ALLOW", "ip_addresses": ["198.51.100.7"]});
    story.account.insert("ip-access-lists", list).unwrap();
    story.let_reads_catch_up();
}

/// The manifest for such a list, with this field more.
fn manifest(story: &Story, label: &str, field: &str, value: &str) -> Value {
    let mut spec = json!({"label": label, "listType": "ALLOW", "ipAddresses": ["198.51.100.7"]});
    spec[field] = json!(value);
    story.managed(LIST, label, spec)
}

/// Waits until the DatabricksAuth shows so many lists that no object names; returns the DatabricksAuth.
async fn wait_count(story: &Story, count: i64) -> Value {
    let what = format!("{count} are unmanaged");
    story
        .wait("DatabricksAuth", AUTH, &what, |auth| {
            let entry = &auth["status"]["unmanaged"][0];
            (entry["kind"] == LIST && entry["count"] == count).then(|| auth.clone())
        })
        .await
}

fn lists(story: &Story) -> usize {
    story.account.calls("GET", "*/ip-access-lists")
}

/// Covers OB-06, ST-07. By default nothing is counted. What is created by hand is counted until an object adopts it or observes it, and
/// again once it is retained. The status is written when the number changes, not when it is counted.
#[tokio::test]
async fn what_was_created_by_hand_is_counted_until_an_object_names_it() {
    let story = Story::start("unmanaged").await;
    create_by_hand(&story, "office");
    assert_eq!(lists(&story), 0, "nothing asks for it");
    assert!(!scrape(&story).await.contains_key(SERIES));

    story.patch("DatabricksAuth", AUTH, json!({"spec": {"reportUnmanaged": [LIST]}})).await;
    let auth = wait_count(&story, 1).await;
    let said = auth["status"]["unmanaged"][0]["message"].as_str().unwrap();
    assert!(said.contains("--namespaces"), "the operators of stories watch one namespace: {said}");
    assert!(!auth["status"].to_string().contains("office"), "a number, and no name");

    // Counted again and again, with the same result.
    let before = lists(&story);
    let again = eventually("it is counted again", SOON, async || {
        if lists(&story) >= before + 2 { Ok(()) } else { Err(lists(&story).to_string()) }
    });
    again.await.unwrap();
    let version = |auth: &Value| auth["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&story.get("DatabricksAuth", AUTH).await), version(&auth));
    assert_eq!(scrape(&story).await.get(SERIES), Some(&1.0));

    story.apply(&manifest(&story, "office", "adoptionPolicy", "IfExists")).await;
    story.wait_ready(LIST, "office").await;
    wait_count(&story, 0).await;
    create_by_hand(&story, "branch");
    wait_count(&story, 1).await;
    story.apply(&manifest(&story, "branch", "managementPolicy", "Observe")).await;
    story.wait_ready(LIST, "branch").await;
    wait_count(&story, 0).await;
    story.delete(LIST, "office").await;
    story.wait_gone(LIST, "office").await;
    wait_count(&story, 1).await;

    story.patch("DatabricksAuth", AUTH, json!({"spec": {"reportUnmanaged": null}})).await;
    story
        .wait("DatabricksAuth", AUTH, "nothing is counted", |auth| {
            auth["status"]["unmanaged"].is_null().then_some(())
        })
        .await;
    let gone = eventually("the metric is gone", SOON, async || match scrape(&story).await.get(SERIES) {
        None => Ok(()),
        Some(count) => Err(count.to_string()),
    });
    gone.await.unwrap();
    story.end().await;
}
