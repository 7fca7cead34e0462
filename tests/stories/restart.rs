//! A start with many objects: it costs reads and nothing else, and a user who changes something then does not wait for it.

use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;
use world::eventually;

use crate::support::{SOON, Story, kubeconfig};

const KIND: &str = "PermissionAssignment";
const COUNT: usize = 2000;

/// Makes an object as an operator leaves it behind: with its finalizer, its annotation and this status.
async fn leave_behind(story: &Story, object: Value, status: Value) {
    let api = story.api(KIND);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let as_operator = || Some("databricks-operator".to_owned());
    let params = PostParams { field_manager: Some("tester".into()), ..PostParams::default() };
    let name = api.create(&params, &object).await.unwrap().name_any();
    let params = PatchParams { field_manager: as_operator(), ..PatchParams::default() };
    let held = json!({"metadata": {"finalizers": ["databricks-operator.io/finalizer"],
        "annotations": {"databricks-operator.io/external-id": status["externalId"]}}});
    api.patch(&name, &params, &Patch::Merge(held)).await.unwrap();
    api.patch_status(&name, &params, &Patch::Merge(json!({"status": status}))).await.unwrap();
}

/// Covers HA-04. Two thousand assignments that are as they should be cost a start one LIST and no write, and a change that a
/// user makes right after it is in the account within 5 s.
#[tokio::test]
async fn a_start_with_two_thousand_objects_reads_once_and_serves_at_once() {
    let mut story = Story::start_with("restart", &[("resync-interval", "10m")]).await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let user = |story: &Story, n: usize| {
        let user = json!({"userName": format!("user-{n}@example.com")});
        let id = story.account.insert("Users", user).unwrap()["id"].clone();
        id.as_str().unwrap().parse::<i64>().unwrap()
    };
    let assignment = |story: &Story, n: usize, id: i64| {
        let spec = json!({"workspaceId": workspace, "principal": {"id": id}, "permissions": ["USER"]});
        story.managed(KIND, &format!("user-{n}"), spec)
    };
    let first = user(&story, 0);
    story.apply(&assignment(&story, 0, first)).await;
    let status = story.wait_ready(KIND, "user-0").await["status"].clone();
    let status = eventually("the list was read once more", SOON, async || {
        // What the answer to a PUT does not tell is in the list.
        let status = story.pass(KIND, "user-0").await["status"].clone();
        if status["principalName"].is_string() { Ok(status) } else { Err(status.to_string()) }
    })
    .await
    .unwrap_or(status);
    let ended = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(ended.success(), "{ended}");

    let others = (1..COUNT).map(|n| {
        let id = user(&story, n);
        let row = json!({"workspace_id": workspace, "principal_id": id, "permissions": ["USER"]});
        story.account.insert("permissionassignments", row).unwrap();
        let text = status.to_string().replace(&first.to_string(), &id.to_string());
        let mut status: Value =
            serde_json::from_str(&text.replace("user-0@example.com", &format!("user-{n}@example.com")))
                .unwrap();
        // The one asked for a pass, the others did not.
        status.as_object_mut().unwrap().remove("lastHandledReconcileAt");
        leave_behind(&story, assignment(&story, n, id), status)
    });
    let made: Vec<_> = others.collect();
    futures::stream::iter(made).buffer_unordered(64).collect::<Vec<()>>().await;
    let versions = async |story: &Story| {
        let all = story.api(KIND).list(&Default::default()).await.unwrap();
        let mut all: Vec<_> = all.into_iter().map(|o| (o.name_any(), o.resource_version())).collect();
        all.sort();
        all
    };
    let before = versions(&story).await;
    assert_eq!(before.len(), COUNT);
    story.account.clear_journal();

    let since = Instant::now();
    let operator = story.replica(kubeconfig(), &[("resync-interval", "10m")]).await;
    let ready = since.elapsed();
    let changed = Instant::now();
    story.patch(KIND, "user-7", json!({"spec": {"permissions": ["ADMIN"]}})).await;
    let written = eventually("the change is in the account", SOON, async || {
        let writes = story.account.writes();
        if writes.is_empty() { Err("nothing was written".to_owned()) } else { Ok(changed.elapsed()) }
    });
    let written = written.await.unwrap();
    let looked = eventually("all were looked at", SOON * 3, async || {
        let text = operator.text();
        let of = |line: &&str| line.contains("kind=\"PermissionAssignment\"") && line.contains(": done ");
        let seen = text.lines().filter(of).count();
        if seen >= COUNT - 1 { Ok(since.elapsed()) } else { Err(seen.to_string()) }
    });
    let looked = looked.await.unwrap();
    let lists = story.account.calls("GET", "*/permissionassignments");
    let mut err = std::io::stderr();
    writeln!(
        err,
        "restart: {COUNT} objects, ready after {ready:.1?}, a change in the account after {written:.1?}, all looked at after \
         {looked:.1?}, {lists} LIST"
    )
    .unwrap();
    // How fast depends on the machine. On any, a change does not wait until all others were reconciled.
    assert!(written < Duration::from_secs(5).max(looked), "a user waited for {written:?} of {looked:?}");
    assert_eq!(story.account.writes().len(), 1);
    assert_eq!(lists, 1);
    let after: Vec<_> = versions(&story).await.into_iter().filter(|(name, _)| name != "user-7").collect();
    let before: Vec<_> = before.into_iter().filter(|(name, _)| name != "user-7").collect();
    assert!(after == before, "a start wrote to an object");
    story.operator = Some(operator);
    story.end().await;
}
