//! Many objects at once: what they cost the account and the API server.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};
use simulator::Call;
use world::eventually;

use crate::support::{SOON, Story, cluster, condition};

const KIND: &str = "PermissionAssignment";
const COUNT: usize = 300;
/// The resync interval once the burst is over: longer than a machine with other work needs to look at all objects.
const INTERVAL: Duration = Duration::from_secs(8);

/// The objects' resource versions, which every write changes.
async fn versions(story: &Story) -> BTreeMap<String, String> {
    let all = story.api(KIND).list(&Default::default()).await.unwrap();
    all.into_iter().map(|object| (object.name_any(), object.resource_version().unwrap())).collect()
}

/// How many writes to the story's namespace the API server has logged, events too.
fn logged_writes(story: &Story) -> usize {
    let log = std::fs::read_to_string(cluster().control_plane.audit_log()).unwrap();
    let ours = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|event| {
        let write = ["create", "update", "patch", "delete"].iter().any(|verb| event["verb"] == *verb);
        write && event["objectRef"]["namespace"] == json!(story.namespace)
    });
    ours.count()
}

/// The LISTs of assignments so far.
fn lists(story: &Story) -> Vec<Call> {
    let is = |call: &Call| call.method == "GET" && call.path.ends_with("/permissionassignments");
    story.account.journal().into_iter().filter(is).collect()
}

async fn wait_lists(story: &Story, count: usize) {
    let seen = eventually(format!("{count} LISTs"), INTERVAL * 4, async || {
        let now = lists(story).len();
        if now >= count { Ok(()) } else { Err(now.to_string()) }
    });
    seen.await.unwrap();
}

/// Covers ER-09, ST-07. Three hundred assignments cost one PUT each and one LIST together; comparing them costs one LIST and no write
/// anywhere, also after their interval was changed.
#[tokio::test]
async fn three_hundred_assignments_share_one_list() {
    let mut story = Story::start_with("burst", &[("resync-interval", "Never")]).await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let api = story.api(KIND);
    let objects = (0..COUNT).map(|n| {
        let user = json!({"userName": format!("user-{n}@example.com")});
        let id = story.account.insert("Users", user).unwrap()["id"].clone();
        let id: i64 = id.as_str().unwrap().parse().unwrap();
        let spec = json!({"workspaceId": workspace, "principal": {"id": id}, "permissions": ["USER"]});
        serde_json::from_value(story.managed(KIND, &format!("user-{n}"), spec)).unwrap()
    });
    let objects: Vec<DynamicObject> = objects.collect();
    let as_tester = PostParams { field_manager: Some("tester".into()), ..PostParams::default() };
    let made = futures::stream::iter(&objects).map(|object| api.create(&as_tester, object));
    made.buffer_unordered(32).for_each(|result| async { drop(result.unwrap()) }).await;
    let ready = eventually("all are Ready", SOON * 10, async || {
        let all = api.list(&Default::default()).await.map_err(|e| e.to_string())?;
        // With the copy of the id, which is written last.
        let is = |object: &DynamicObject| {
            let ready = condition(&json!(object), "Ready").is_some_and(|ready| ready["status"] == "True");
            ready && object.annotations().contains_key("databricks-operator.io/external-id")
        };
        match all.iter().filter(|object| is(object)).count() {
            COUNT => Ok(()),
            other => Err(format!("{other} are")),
        }
    });
    ready.await.unwrap();

    // The burst: one PUT for each, and one LIST for all; half a minute is as long as a first write rests on one.
    let puts = story.account.writes();
    assert!(puts.iter().all(|call| call.method == "PUT"), "{puts:?}");
    let paths: HashSet<&str> = puts.iter().map(|call| &*call.path).collect();
    assert_eq!((puts.len(), paths.len()), (COUNT, COUNT));
    let all = lists(&story);
    let took = Duration::from_millis(puts.last().unwrap().at_ms - all[0].at_ms);
    assert_eq!(all.len(), 1 + usize::try_from(took.as_secs() / 30).unwrap(), "within {took:?}: {all:?}");

    // A start looks at all of them with one LIST, and so does each resync. That the interval is another one is no reason to write.
    let status = story.operator.take().unwrap().terminate().await.unwrap();
    assert!(status.success(), "{status}");
    let (before, known) = (versions(&story).await, all.len());
    story.start_operator(&[("resync-interval", "8s")]).await;
    wait_lists(&story, known + 2).await;
    // From one resync to the next.
    let logged = logged_writes(&story);
    assert!(logged > COUNT, "{logged}");
    wait_lists(&story, known + 3).await;
    for two in lists(&story)[known..].windows(2) {
        let apart = Duration::from_millis(two[1].at_ms - two[0].at_ms);
        // But for the time that the calls need to get there.
        assert!(apart > INTERVAL.mul_f64(0.9), "two LISTs are {apart:?} apart");
    }
    assert_eq!(story.account.writes().len(), COUNT);
    assert!(versions(&story).await == before, "the start or a resync wrote to an object");
    assert_eq!(logged_writes(&story), logged);
    // Nothing else was asked for either, but once who the operator itself is, before the first write.
    let others =
        story.account.journal().into_iter().filter(|call| !call.path.contains("/permissionassignments"));
    let others: Vec<String> =
        others.map(|call| call.class).filter(|class| class != "token" && class != "metadata").collect();
    assert_eq!(others, ["scim"]);
    story.end().await;
}
