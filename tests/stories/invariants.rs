//! What must hold for every version of every object of our kinds, in every story: a watch sees each version and checks it
//! against the one before.
//!
//! ST-01 to ST-15 are about the status, GO-03 about what the operator may own. GO-07: a status is one of those that
//! `tests/argocd_health/statuses.rs` shows to Argo CD and Flux.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use databricks_operator::engine::cluster::FIELD_MANAGER;
use databricks_operator::engine::crd::{ConditionType, Reason};
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, DynamicObject, WatchEvent, WatchParams};
use serde_json::{Map, Value, json};
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use world::eventually;

use crate::support::{SOON, cluster, condition, kinds, resource};

/// What is seen of a namespace. All share one watch for each kind: with watches of their own, most of what the API server does
/// would be to begin and end them.
pub struct Watch {
    client: Client,
    namespace: String,
}

#[derive(Default)]
struct Seen {
    /// The last version of each object that is there, by UID.
    last: HashMap<String, Value>,
    /// What was wrong, with the object.
    wrong: Vec<String>,
}

/// What was seen, by namespace.
static SEEN: Mutex<BTreeMap<String, Seen>> = Mutex::new(BTreeMap::new());

/// Lists at a time: each one more is one more connection, and TLS costs the API server more than a list.
const AT_ONCE: usize = 4;

impl Watch {
    /// Begins before there is any object.
    pub async fn start(client: &Client, namespace: &str) -> Watch {
        static STARTED: OnceCell<()> = OnceCell::const_new();
        STARTED.get_or_init(watch_all).await;
        Watch { client: client.clone(), namespace: namespace.to_owned() }
    }

    /// Fails with all that was wrong, once the watch has seen the objects as they are now. Returns them.
    pub async fn check(&self) -> Vec<DynamicObject> {
        let caught_up = eventually("the watch has seen all", SOON, async || {
            let lists = kinds().into_iter().map(async |kind| {
                let client = self.client.clone();
                let api: Api<DynamicObject> = Api::namespaced_with(client, &self.namespace, &resource(&kind));
                api.list(&Default::default()).await
            });
            let lists = futures::stream::iter(lists).buffered(AT_ONCE).try_collect::<Vec<_>>();
            let lists = lists.await.map_err(|e| e.to_string())?;
            let objects: Vec<DynamicObject> = lists.into_iter().flatten().collect();
            let versions = objects.iter().map(|object| &object.metadata);
            let now: HashMap<_, _> = versions.map(|m| (m.uid.clone(), m.resource_version.clone())).collect();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            if let Some((what, why)) = FAILING.lock().unwrap().first_key_value() {
                return Err(format!("the watch of {what} fails: {why}"));
            }
            let seen = SEEN.lock().unwrap();
            let seen = seen.get(&self.namespace).into_iter().flat_map(|seen| seen.last.values());
            let seen = seen.map(|object| &object["metadata"]);
            let seen: HashMap<_, _> = seen.map(|m| (text(&m["uid"]), text(&m["resourceVersion"]))).collect();
            if seen == now { Ok(objects) } else { Err(format!("seen {seen:?}, there are {now:?}")) }
        });
        let caught_up = caught_up.await;
        let wrong = SEEN.lock().unwrap().get(&self.namespace).map(|seen| seen.wrong.join("\n"));
        assert_eq!(wrong.unwrap_or_default(), "", "what must always hold did not");
        caught_up.unwrap()
    }
}

/// Watches all kinds in a thread of its own, as each test ends with its runtime. Returns when nothing can be missed any more.
async fn watch_all() {
    let (begun, began) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = cluster().client().await.unwrap();
            let mut watches = JoinSet::new();
            for kind in kinds() {
                let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource(&kind));
                let from = api.list(&Default::default()).await.unwrap().metadata.resource_version.unwrap();
                watches.spawn(follow(api, from));
            }
            begun.send(()).unwrap();
            watches.join_all().await;
        });
    });
    began.await.expect("the API server lists all kinds");
}

/// The watches that do not work at present, and why, by what they watch. No story passes meanwhile.
static FAILING: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// Goes on where it was whenever the API server ends the watch, so that no version is missed. If that is no longer possible, it stays
/// failing.
async fn follow(api: Api<DynamicObject>, mut from: String) {
    loop {
        let Err(error) = watch(&api, &mut from).await else { continue };
        FAILING.lock().unwrap().insert(api.resource_url().to_owned(), error.to_string());
        if matches!(&error, kube::Error::Api(status) if status.code == 410) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// One watch, to its end.
async fn watch(api: &Api<DynamicObject>, from: &mut String) -> kube::Result<()> {
    let mut events = api.watch(&WatchParams::default().timeout(290), from).await?.boxed();
    FAILING.lock().unwrap().remove(api.resource_url());
    while let Some(event) = events.next().await {
        let (object, there) = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => (object, true),
            WatchEvent::Deleted(object) => (object, false),
            WatchEvent::Bookmark(bookmark) => {
                *from = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
        };
        *from = object.metadata.resource_version.clone().unwrap();
        let namespace = object.metadata.namespace.clone().unwrap();
        SEEN.lock().unwrap().entry(namespace).or_default().take(json!(object), there);
    }
    Ok(())
}

impl Seen {
    fn take(&mut self, object: Value, there: bool) {
        let uid = object["metadata"]["uid"].as_str().unwrap().to_owned();
        let before = self.last.remove(&uid);
        let mut wrong = vec![];
        check(before.as_ref(), &object, &mut wrong);
        for text in wrong {
            let kind = object["kind"].as_str().unwrap_or_default();
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            self.wrong.push(format!("{kind} {name}: {text}\nbefore: {}\nnow: {object}", json!(before)));
        }
        if there {
            self.last.insert(uid, object);
        }
    }
}

/// Checks a version of an object against the one before; none is there for a new object.
pub fn check(before: Option<&Value>, now: &Value, wrong: &mut Vec<String>) {
    generations(before, now, wrong);
    kinds_of_conditions(before, now, wrong);
    transitions(before, now, wrong);
    compared(before, now, wrong);
    words(now, wrong);
    ownership(now, wrong);
}

fn require(holds: bool, wrong: &mut Vec<String>, text: impl FnOnce() -> String) {
    if !holds {
        wrong.push(text());
    }
}

fn conditions(object: &Value) -> &[Value] {
    object["status"]["conditions"].as_array().map_or(&[], Vec::as_slice)
}

fn is(object: &Value, type_: &str, status: &str) -> bool {
    condition(object, type_).is_some_and(|c| c["status"] == status)
}

fn generations(before: Option<&Value>, now: &Value, wrong: &mut Vec<String>) {
    let generation = now["metadata"]["generation"].as_i64().unwrap();
    let observed = now["status"]["observedGeneration"].as_i64();
    require(observed.is_some_and(|o| o <= generation), wrong, || {
        format!("ST-01: observedGeneration is {observed:?}, generation is {generation}")
    });
    if before.is_none() {
        require(observed == Some(-1), wrong, || {
            format!("ST-02: a new object has observedGeneration {observed:?}")
        });
    }
    for condition in conditions(now) {
        let (type_, of) = (&condition["type"], condition["observedGeneration"].as_i64());
        require(of == conditions(now)[0]["observedGeneration"].as_i64() && of >= observed, wrong, || {
            format!("ST-04: {type_} is of generation {of:?}, the status of {observed:?}, and others differ")
        });
        require(of.is_some_and(|of| of <= generation), wrong, || {
            format!("ST-04: {type_} has observedGeneration {of:?}, generation is {generation}")
        });
        require(!is(now, "Ready", "True") || of == observed, wrong, || {
            format!("ST-04: Ready is True, but {type_} is of generation {of:?}, the status of {observed:?}")
        });
    }
}

fn kinds_of_conditions(before: Option<&Value>, now: &Value, wrong: &mut Vec<String>) {
    for condition in conditions(now) {
        let type_ = ConditionType::ALL.iter().find(|known| condition["type"] == known.name());
        let statuses: &[&str] = match type_ {
            None => &[],
            Some(ConditionType::Synced) => &["True", "False", "Unknown"],
            Some(type_) if type_.always_there() => &["True", "False"],
            Some(_) => &["True"],
        };
        require(statuses.iter().any(|status| condition["status"] == *status), wrong, || {
            let (type_, status) = (&condition["type"], &condition["status"]);
            format!(
                "GO-07: Argo CD and Flux were not tested with {type_} {status}: see tests/argocd_health/statuses.rs"
            )
        });
    }
    let written = [before, Some(now)].into_iter().flatten().any(|object| !conditions(object).is_empty());
    for type_ in ["Ready", "Synced", "ReferencesResolved"] {
        require(!written || condition(now, type_).is_some(), wrong, || format!("ST-03: there is no {type_}"));
    }
    let (reconciling, stalled) = (is(now, "Reconciling", "True"), is(now, "Stalled", "True"));
    require(!(reconciling && stalled), wrong, || "ST-05: both Reconciling and Stalled".into());
    let none = condition(now, "Reconciling").is_none() && condition(now, "Stalled").is_none();
    require(!is(now, "Ready", "True") || none, wrong, || {
        "ST-05: Ready, and Reconciling or Stalled is there".into()
    });
    require(!is(now, "Ready", "Unknown") || reconciling, wrong, || {
        "ST-05: Ready is Unknown, not Reconciling".into()
    });
}

/// `Synced` becomes True for a generation by a comparison that found it so, and that makes the object Ready.
fn compared(before: Option<&Value>, now: &Value, wrong: &mut Vec<String>) {
    let of = |object: &Value| condition(object, "Synced").and_then(|c| c["observedGeneration"].as_i64());
    let news = of(now) > before.and_then(of);
    require(!(news && is(now, "Synced", "True")) || is(now, "Ready", "True"), wrong, || {
        "ST-15: Synced is True for a generation that was not compared".into()
    });
}

fn transitions(before: Option<&Value>, now: &Value, wrong: &mut Vec<String>) {
    for new in conditions(now) {
        let Some(old) = before.and_then(|b| condition(b, new["type"].as_str()?)) else { continue };
        let kept = old["status"] != new["status"] || old["lastTransitionTime"] == new["lastTransitionTime"];
        require(kept, wrong, || format!("ST-08: {} changed its time and not its status", new["type"]));
    }
}

fn words(now: &Value, wrong: &mut Vec<String>) {
    for condition in conditions(now) {
        let (reason, message) = (&condition["reason"], condition["message"].as_str().unwrap_or_default());
        let known = Reason::ALL.iter().any(|(known, _)| reason == known.name());
        require(known, wrong, || format!("ST-09: {reason} is no reason of ours"));
        require(!message.to_lowercase().contains("request id"), wrong, || {
            format!("ST-09: a message has a request id: {message}")
        });
        require(message.len() <= 1024, wrong, || format!("ST-11: a message of {} bytes", message.len()));
    }
}

fn ownership(now: &Value, wrong: &mut Vec<String>) {
    let entries = now["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in entries.iter().filter(|entry| entry["manager"] == FIELD_MANAGER) {
        for (field, inner) in fields(&entry["fieldsV1"]) {
            let fine = match field.as_str() {
                "f:status" => true,
                "f:metadata" => fields(inner).all(|(field, inner)| match field.as_str() {
                    "f:finalizers" => {
                        fields(inner).all(|(f, _)| f == "." || f.starts_with("v:\"databricks-operator.io/"))
                    }
                    "f:annotations" => {
                        fields(inner).all(|(f, _)| f == "." || f.starts_with("f:databricks-operator.io/"))
                    }
                    _ => false,
                }),
                _ => false,
            };
            require(fine, wrong, || format!("GO-03: the operator owns {field}: {inner}"));
        }
    }
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&NONE).iter()
}

/// Covers ST-01, ST-02, ST-03, ST-04, ST-05, ST-08, ST-09, ST-15, GO-03, GO-07. Every story is watched so; this shows that the watch would see.
#[test]
fn each_violation_is_noticed_under_its_name() {
    let condition = |type_: &str, status: &str, reason: &str| {
        json!({"type": type_, "status": status, "reason": reason, "message": "", "observedGeneration": 2,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    };
    let owned =
        json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"databricks-operator.io/finalizer\"": {}}}});
    let fine = json!({
        "metadata": {"generation": 2, "managedFields": [{"manager": FIELD_MANAGER, "fieldsV1": owned}]},
        "status": {"observedGeneration": 2, "conditions": [
            condition("Ready", "True", "Available"),
            condition("Synced", "True", "InSync"),
            condition("ReferencesResolved", "True", "Resolved"),
        ]},
    });
    let found = |before: Option<&Value>, now: &Value| {
        let mut wrong = vec![];
        check(before, now, &mut wrong);
        wrong.iter().map(|text| text[..5].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(Some(&fine), &fine), [] as [&str; 0]);
    assert_eq!(found(None, &fine), ["ST-02"]);
    let changes = [
        ("ST-01", "/status/observedGeneration", json!(3)),
        ("ST-03", "/status/conditions", json!([])),
        ("ST-03", "/status/conditions/1/type", json!("Other")),
        ("ST-04", "/status/conditions/1/observedGeneration", json!(1)),
        ("ST-05", "/status/conditions/1", condition("Stalled", "True", "InvalidSpec")),
        ("ST-05", "/status/conditions/0/status", json!("Unknown")),
        ("ST-08", "/status/conditions/1/lastTransitionTime", json!("2026-01-01T00:00:01Z")),
        ("ST-09", "/status/conditions/0/reason", json!("Whatever")),
        ("ST-09", "/status/conditions/0/message", json!("Request ID 12")),
        ("GO-07", "/status/conditions/1/type", json!("Other")),
        ("GO-07", "/status/conditions/2/status", json!("Unknown")),
        ("GO-07", "/status/conditions/1", condition("Suspended", "False", "SuspendedBySpec")),
        ("GO-03", "/metadata/managedFields/0/fieldsV1", json!({"f:spec": {"f:label": {}}})),
        ("GO-03", "/metadata/managedFields/0/fieldsV1", json!({"f:metadata": {"f:labels": {}}})),
    ];
    let mut edited = fine.clone();
    edited["metadata"]["generation"] = json!(3);
    edited["status"]["conditions"] = json!([
        condition("Ready", "False", "ReferenceNotReady"),
        condition("Synced", "True", "InSync"),
        condition("ReferencesResolved", "False", "ReferenceNotReady"),
    ]);
    for at in 0..3 {
        edited["status"]["conditions"][at]["observedGeneration"] = json!(3);
        edited["status"]["conditions"][at]["lastTransitionTime"] =
            if at == 1 { json!("2026-01-01T00:00:00Z") } else { json!("2026-01-01T00:00:01Z") };
    }
    assert_eq!(found(Some(&fine), &edited), ["ST-15"]);
    for (name, place, value) in changes {
        let mut now = fine.clone();
        *now.pointer_mut(place).unwrap() = value;
        let found = found(Some(&fine), &now);
        assert!(found.iter().any(|code| code == name), "{name} at {place}: {found:?}");
    }
}
