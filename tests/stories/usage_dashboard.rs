//! Usage dashboards: one of each type in a workspace, created once, and never removed.

use serde_json::{Value, json};
use simulator::{Fault, When};

use crate::support::Story;

const KIND: &str = "UsageDashboard";
const STORE: &str = "usage-dashboards";
const GLOBAL: &str = "USAGE_DASHBOARD_TYPE_GLOBAL";

fn workspace(story: &Story) -> i64 {
    let workspace = json!({"aws_region": "eu-west-1"});
    story.account.insert("workspaces", workspace).unwrap()["workspace_id"].as_i64().unwrap()
}

fn dashboard(story: &Story, name: &str, workspace: i64, which: &str) -> Value {
    story.managed(KIND, name, json!({"workspaceId": workspace, "dashboardType": which}))
}

/// The bodies of the changes that the account carried out.
fn sent(story: &Story) -> Vec<Value> {
    let all = story.account.writes().into_iter();
    all.filter(|call| call.applied && call.class == STORE).map(|call| call.body.unwrap()).collect()
}

/// Covers LC-12. Whether the account returns a 404 or an empty id where there is none. A dashboard that is lost in the account is created
/// again; one whose object is deleted stays, and is adopted by a word when it is applied again.
#[tokio::test]
async fn a_dashboard_is_created_once_and_stays() {
    let story = Story::start("usage-dashboard").await;
    for status in [404, 200] {
        story.account.clear_journal();
        story.account.set(|settings| settings.missing_dashboard_status = status);
        let (workspace, name) = (workspace(&story), format!("costs-{status}"));
        let mut object = dashboard(&story, &name, workspace, GLOBAL);
        object["spec"]["majorVersion"] = json!("USAGE_DASHBOARD_MAJOR_VERSION_2");
        story.apply(&object).await;
        let ready = story.wait_ready(KIND, &name).await;
        let id = format!("{workspace}/{GLOBAL}");
        assert_eq!(ready["status"]["externalId"], id);
        let made = story.account.objects(STORE).pop().unwrap();
        assert_eq!(ready["status"]["dashboardId"], made["dashboard_id"]);
        assert_eq!(ready["status"]["dashboardUrl"], made["dashboard_url"]);
        assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");
        story.pass(KIND, &name).await;
        let body = json!({"workspace_id": workspace, "dashboard_type": GLOBAL,
            "major_version": "USAGE_DASHBOARD_MAJOR_VERSION_2"});
        assert_eq!(sent(&story), std::slice::from_ref(&body));

        assert!(story.account.remove(STORE, &id));
        story
            .wait(KIND, &name, "another dashboard", |object| {
                let other = object["status"]["dashboardId"] != made["dashboard_id"];
                (other && object["status"]["dashboardId"].is_string()).then_some(())
            })
            .await;
        story.wait_ready(KIND, &name).await;
        assert_eq!(sent(&story), [body.clone(), body]);

        story.delete(KIND, &name).await;
        story.wait_gone(KIND, &name).await;
        story.apply(&object).await;
        story.wait_condition(KIND, &name, "Ready", "False", "AlreadyExists").await;
        story.patch(KIND, &name, json!({"spec": {"adoptionPolicy": "IfExists"}})).await;
        story.wait_ready(KIND, &name).await;
        assert_eq!(sent(&story).len(), 2);
        story.delete(KIND, &name).await;
        story.wait_gone(KIND, &name).await;
        assert!(story.account.remove("workspaces", &workspace.to_string()));
    }
    story.end().await;
}

/// Covers LC-15. It is not known whether Databricks refuses a second dashboard, and no call removes one. So neither a create whose
/// response is lost nor one that reads do not show yet is repeated.
#[tokio::test]
async fn a_dashboard_that_no_read_shows_yet_is_not_created_again() {
    let story = Story::start_with("usage-dashboard-late", &[("read-lag", "6s"), ("quarantine", "1s")]).await;
    story.account.set(|settings| settings.get_lag_ms = 3_000);
    let types = [(GLOBAL, true), ("USAGE_DASHBOARD_TYPE_WORKSPACE", false)];
    for (which, is_lost) in types {
        let (workspace, name) = (workspace(&story), if is_lost { "lost" } else { "late" });
        let fault = Fault {
            method: Some("POST".into()),
            path: "*/dashboard".into(),
            when: When::After,
            drop: true,
            ..Fault::default()
        };
        if is_lost {
            story.account.fault(fault);
        }
        story.account.clear_journal();
        story.apply(&dashboard(&story, name, workspace, which)).await;
        let ready = story.wait_ready(KIND, name).await;
        assert_eq!(ready["status"]["externalId"], format!("{workspace}/{which}"));
        let made = story.account.objects(STORE).pop().unwrap();
        assert_eq!(ready["status"]["dashboardId"], made["dashboard_id"]);
        assert_eq!(sent(&story).len(), 1, "{name}: {:?}", sent(&story));
        story.account.clear_faults();
    }
    story.end().await;
}

/// Covers LC-03. The two types of a workspace do not touch each other, and `deletionPolicy: Delete` is refused.
#[tokio::test]
async fn the_two_types_of_a_workspace_are_apart_and_neither_can_be_removed() {
    let story = Story::start("usage-dashboard-types").await;
    let workspace = workspace(&story);
    let mut deleted = dashboard(&story, "deleted", workspace, GLOBAL);
    deleted["spec"]["deletionPolicy"] = json!("Delete");
    let refused = story.try_apply(&deleted).await.unwrap_err().to_string();
    assert!(refused.contains("spec.deletionPolicy cannot be Delete"), "{refused}");

    let own = "USAGE_DASHBOARD_TYPE_WORKSPACE";
    let theirs = json!({"workspace_id": workspace, "dashboard_type": own, "dashboard_url": "https://a/b"});
    story.account.insert(STORE, theirs).unwrap();
    story.apply(&dashboard(&story, "own", workspace, own)).await;
    story.apply(&dashboard(&story, "all", workspace, GLOBAL)).await;
    story.wait_ready(KIND, "all").await;
    story.wait_condition(KIND, "own", "Stalled", "True", "AlreadyExists").await;
    assert_eq!(sent(&story), [json!({"workspace_id": workspace, "dashboard_type": GLOBAL})]);
    for name in ["own", "all"] {
        story.delete(KIND, name).await;
        story.wait_gone(KIND, name).await;
    }
    assert_eq!(story.account.objects(STORE).len(), 2);
    story.end().await;
}
