//! What the events of a watch trigger, and what is remembered and forgotten with them.

use futures::FutureExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::stream::BoxStream;
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::watcher::Event;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::time::{Instant, advance};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::databricks::{HostPolicy, Settings};
use crate::engine::account::Auths;
use crate::engine::cluster::{Cached, Cluster, Events, Objects, Stores};
use crate::engine::crd::HeldPart;
use crate::engine::kind::Permit;
use crate::engine::memory::{Claim, Memory, Rank, Triggers};
use crate::engine::meter::Meter;
use crate::engine::pass::fake::cluster::ApiServer;
use crate::engine::pass::fake::{Fake, settings};
use crate::engine::run::startup;

/// A watch of a kind made by hand.
struct Watch {
    engine: Arc<Engine>,
    server: Arc<ApiServer>,
    events: UnboundedSender<watcher::Result<Event<DynamicObject>>>,
    due: BoxStream<'static, watcher::Result<Cached>>,
    /// The objects that others trigger: of the kind, and DatabricksAuths.
    woken: [UnboundedReceiver<ObjectName>; 2],
    /// The cache of DatabricksAuths.
    auths: Writer<Cached>,
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", kind))
}

impl Watch {
    fn start() -> Watch {
        let (fake, (server, kube), wake) =
            (Fake::upsert(), ApiServer::start(), Arc::new(Triggers::default()));
        let woken = ["Fake", AUTH_KIND].map(|kind| wake.subscribe(kind, None));
        let [objects, auths] = ["Fake", AUTH_KIND].map(|kind| Writer::<Cached>::new(resource(kind)));
        let stores = [(resource("Fake"), objects.as_reader()), (resource(AUTH_KIND), auths.as_reader())];
        let stores = Stores::new(stores.into_iter());
        let cluster =
            Cluster { objects: Objects::new(kube.clone()), events: Events::new(kube.clone()), stores };
        let settings = settings(Duration::ZERO, Duration::ZERO);
        let memory = Memory::new(wake.clone(), settings.max_deletions_per_hour, settings.concurrency.into());
        let sessions = Auths::new(kube, wake, HostPolicy::default(), Settings::default(), false, vec![]);
        let meter = Meter::register(&mut Registry::default(), ["Fake".to_owned()].into_iter());
        let kinds: [&dyn Driver; 1] = [fake];
        let shared = (cluster, sessions, memory, meter);
        let stop = CancellationToken::new();
        let engine = Arc::new(Engine::new(settings, shared, Permit::sole(), &kinds, stop));
        let (events, received) = unbounded();
        let source = Source { kind: "Fake".into(), namespace: None, driver: Some(fake) };
        let (filling, _) = tokio::sync::mpsc::channel(1);
        let due = triggers(received, objects, source, engine.clone(), filling).boxed();
        Watch { engine, server, events, due, woken, auths }
    }

    /// The watch brings an event. Returns the objects that are due because of it.
    fn bring(&mut self, event: Event<DynamicObject>) -> Vec<ObjectName> {
        self.events.unbounded_send(Ok(event)).unwrap();
        let mut due = vec![];
        while let Some(Some(Ok(object))) = self.due.next().now_or_never() {
            due.push(ObjectName::of("Fake", &object));
        }
        due
    }

    /// What was triggered by others since the last time.
    fn woken(&mut self) -> Vec<String> {
        let queues = self.woken.iter_mut();
        let woken = queues.flat_map(|queue| std::iter::from_fn(move || queue.try_recv().ok()));
        woken.map(|who| who.to_string()).collect()
    }

    /// Whether anything is remembered of the object with this UID.
    fn remembers(&self, uid: &str) -> bool {
        format!("{:?}", self.engine.memory.objects).contains(uid)
    }
}

fn who(name: &str) -> ObjectName {
    ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: name.into() }
}

/// An object with this name, changed like this.
fn object(name: &str, change: impl FnOnce(&mut Value)) -> DynamicObject {
    let mut object = json!({
        "metadata": {"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "generation": 1},
        "spec": {"authRef": {"name": "account"}, "name": name},
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

const NOTHING: [&str; 0] = [];

/// Covers RF-06, DL-08. A deletion that waits until nothing refers to its object continues; nothing else waits for that.
#[tokio::test]
async fn what_is_no_longer_referred_to_is_triggered_only_while_it_is_deleted() {
    let target = |name: &str, deleted: bool| {
        object(name, |it| {
            if deleted {
                it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            }
        })
    };
    for deleted in [false, true] {
        let mut watch = Watch::start();
        watch.auths.apply_watcher_event(&Event::Apply((&target("account", deleted)).into()));
        watch.bring(Event::Apply(target("parent", deleted)));
        let child = object("child", |it| it["spec"]["parentRef"] = json!({"name": "parent"}));
        watch.bring(Event::Apply(child));
        assert_eq!(watch.woken(), NOTHING);

        let child = object("child", |_| {});
        watch.bring(Event::Apply(child.clone()));
        let freed = watch.woken();
        watch.bring(Event::Delete(child));
        let gone = watch.woken();
        let due = watch.bring(Event::Apply(target("parent", true)));
        if deleted {
            assert_eq!(
                (freed, gone),
                (vec!["Fake ns/parent".into()], vec!["DatabricksAuth ns/account".into()])
            );
            assert_eq!(due, [], "that is known");
        } else {
            assert_eq!((freed, gone), (vec![], vec![]), "a DatabricksAuth would read its Secret for nothing");
            assert_eq!(due, [who("parent")], "a deletion that the watch shows later");
        }
    }
}

/// Whole objects would double the memory of a start.
#[tokio::test]
async fn a_list_triggers_its_objects_by_name_once_it_is_complete() {
    let mut watch = Watch::start();
    for event in [Event::Init, Event::InitApply(object("a", |_| {})), Event::InitApply(object("b", |_| {}))] {
        assert_eq!(watch.bring(event), []);
    }
    assert_eq!(watch.bring(Event::InitDone), ["a", "b"].map(who));
    assert_eq!(watch.bring(Event::Apply(object("c", |_| {}))), [who("c")]);
}

/// Covers RF-02. A long list arrives page by page, and a reconcile in between reads the cache from before it.
#[tokio::test]
async fn what_a_list_shows_triggers_others_once_it_is_complete() {
    let mut watch = Watch::start();
    let parent = |usable: bool| {
        object("parent", |it| it["status"] = json!({"external": {"id": "1"}, "usable": usable}))
    };
    let child = object("child", |it| it["spec"]["parentRef"] = json!({"name": "parent"}));
    for event in [Event::Apply(child.clone()), Event::Apply(parent(false))] {
        watch.bring(event);
    }
    assert_eq!(watch.woken(), ["Fake ns/child"]);
    // The watch is interrupted while it becomes usable.
    for event in [Event::Init, Event::InitApply(parent(true)), Event::InitApply(child)] {
        watch.bring(event);
        assert_eq!(watch.woken(), NOTHING, "the cache does not show it yet");
    }
    watch.bring(Event::InitDone);
    assert_eq!(watch.woken(), ["Fake ns/child"]);
}

#[tokio::test]
async fn what_was_written_counts_until_the_cache_shows_it_or_the_object_is_gone() {
    let mut watch = Watch::start();
    watch.server.apply("it", json!({"authRef": {"name": "account"}, "name": "it"}));
    let before = watch.server.get("it").unwrap();
    watch.bring(Event::Apply(before.clone()));
    let (engine, mut written) = (watch.engine.clone(), before.clone());
    let (objects, stores) = (&engine.cluster.objects, &engine.cluster.stores);
    let status = json!({"externalId": "1"});
    assert!(objects.write_status(&resource("Fake"), &mut written, &status).await.unwrap());
    let known = || objects.freshest(&before, || stores.object(&who("it"))).data["status"].clone();
    for event in [Event::Init, Event::InitApply(written.clone()), Event::InitDone] {
        watch.bring(event);
        assert_eq!(known(), status);
    }
    let status = json!({"externalId": "2"});
    assert!(objects.write_status(&resource("Fake"), &mut written, &status).await.unwrap());
    assert_eq!(known(), status);
    // It disappears while the watch is interrupted.
    for event in [Event::Init, Event::InitDone] {
        watch.bring(event);
    }
    assert_eq!(known(), Value::Null);
}

/// Covers LC-04, LC-13. The operator copies the recorded id to an annotation; any other change of it is for a reconcile.
#[test]
fn a_copy_of_the_recorded_id_triggers_nothing() {
    let fingerprint = |(annotation, recorded): (Option<&str>, Option<&str>)| {
        Fingerprint::of(&object("it", |it| {
            it["metadata"]["annotations"] = json!({"other": "annotation"});
            if let Some(id) = annotation {
                it["metadata"]["annotations"][EXTERNAL_ID] = json!(id);
            }
            it["status"]["external"]["id"] = json!(recorded);
        }))
    };
    for (before, after, triggers, case) in [
        ((None, None), (None, Some("1")), false, "created"),
        ((None, Some("1")), (Some("1"), Some("1")), false, "copied"),
        ((Some("1"), Some("1")), (Some("1"), Some("2")), false, "created again"),
        ((Some("1"), Some("2")), (Some("2"), Some("2")), false, "copied again"),
        ((Some("1"), Some("1")), (None, Some("1")), true, "removed by a user"),
        ((None, None), (Some("1"), None), true, "a user names what to adopt"),
        ((None, Some("1")), (Some("2"), Some("1")), true, "a user names another one"),
        ((Some("1"), None), (Some("2"), None), true, "a user corrects what a restored object names"),
        ((Some("1"), Some("1")), (Some("2"), Some("1")), false, "a user changes the copy"),
    ] {
        assert_eq!(fingerprint(after).triggers_reconcile_after(fingerprint(before)), triggers, "{case}");
    }
}

/// Covers LC-10.
#[tokio::test(start_paused = true)]
async fn a_request_for_a_reconcile_is_as_old_as_its_event() {
    let mut watch = Watch::start();
    let requested = |token: &str| {
        object("it", |it| {
            it["metadata"]["annotations"] = json!({RECONCILE_REQUESTED: token});
            it["status"]["lastHandledReconcileAt"] = json!("one");
        })
    };
    for event in [Event::Init, Event::InitApply(requested("one")), Event::InitDone] {
        watch.bring(event);
    }
    assert!(!watch.remembers("uid-it"), "it was handled before the start");
    let begin = Instant::now();
    assert_eq!(watch.bring(Event::Apply(requested("two"))), [who("it")]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(watch.bring(Event::Apply(requested("two"))), []);
    let seen = watch.engine.memory.objects.of("uid-it", |memory| memory.note_request("two"));
    assert_eq!(seen, begin, "its reconcile comes later");
}

#[tokio::test]
async fn what_disappeared_while_the_watch_was_interrupted_is_forgotten() {
    let mut watch = Watch::start();
    let names = ["gone", "replaced", "stays"];
    for name in names {
        watch.bring(Event::Apply(object(name, |_| {})));
        watch.engine.memory.objects.of(&format!("uid-{name}"), |memory| memory.attempts = 1);
    }
    let replaced = object("replaced", |it| it["metadata"]["uid"] = json!("another"));
    let list = [replaced, object("stays", |_| {})].map(Event::InitApply);
    for event in [Event::Init].into_iter().chain(list).chain([Event::InitDone]) {
        watch.bring(event);
    }
    assert_eq!(names.map(|name| watch.remembers(&format!("uid-{name}"))), [false, false, true]);
    watch.bring(Event::Delete(object("stays", |_| {})));
    assert!(!watch.remembers("uid-stays"));
}

/// A new object that was deleted while it waited takes no place from those behind it.
#[tokio::test]
async fn what_is_gone_leaves_the_line_of_new_objects() {
    let mut watch = Watch::start();
    let engine = watch.engine.clone();
    let inside = engine.memory.line.enter(&who("first"));
    assert!(inside.is_ok() && engine.memory.line.enter(&who("second")).is_err());
    watch.bring(Event::Delete(object("second", |_| {})));
    drop(inside);
    assert_eq!(watch.woken(), NOTHING);
}

/// Covers LC-02. Objects that hold a part keep it over a restart, though another one is older. One that only observes holds none.
#[tokio::test]
async fn what_held_a_part_before_the_start_holds_it_when_reconciles_begin() {
    let mut watch = Watch::start();
    let bound = |name: &str, policy: &str, parts: Value| {
        object(name, |it| {
            it["spec"]["managementPolicy"] = json!(policy);
            it["status"] = json!({"external": {"accountId": "account", "id": name}, "parts": parts});
        })
    };
    let share = json!([{"what": "x", "shared": true}]);
    for event in [
        Event::Init,
        Event::InitApply(bound("all", "Managed", Value::Null)),
        Event::InitApply(bound("observes", "Observe", share.clone())),
        Event::InitApply(bound("one", "Managed", share.clone())),
        Event::InitApply(bound("two", "Managed", share)),
        Event::InitDone,
    ] {
        watch.bring(event);
    }
    let engine = watch.engine.clone();
    startup::record_claims(&engine);
    let claims = &engine.memory.claims;
    let part = |shared| Claim::part("account", &HeldPart { what: "x".into(), shared });
    assert_eq!(claims.watch_holder(&part(false), &who("all")), None, "it may still change hands");
    startup::begin(&engine);
    let older = Rank { created: 0, uid: "uid-all".into() };
    assert_eq!(claims.take(&part(false), &older, &who("all")), Some(who("one")));
    assert_eq!(claims.release(&who("one")), [who("all")]);
    assert_eq!(claims.take(&part(false), &older, &who("all")), Some(who("two")));
    claims.release(&who("two"));
    assert_eq!(claims.take(&part(false), &older, &who("all")), None);
}

/// Covers LC-02. What comes from another operator, as its label was changed, keeps a part. What it has given up here it does not get back by
/// an event that comes late.
#[tokio::test]
async fn what_the_watch_shows_first_while_reconciles_run_keeps_the_part_that_it_held() {
    let mut watch = Watch::start();
    let engine = watch.engine.clone();
    startup::record_claims(&engine);
    startup::begin(&engine);
    let comes = || {
        object("all", |it| {
            let external = json!({"accountId": "account", "id": "all"});
            it["status"] = json!({"external": external, "parts": [{"what": "x"}]});
        })
    };
    watch.bring(Event::Apply(comes()));
    let claims = &engine.memory.claims;
    let (older, one) = (Rank { created: 0, uid: "uid-one".into() }, who("one"));
    let share = Claim::part("account", &HeldPart { what: "x".into(), shared: true });
    assert_eq!(claims.take(&share, &older, &one), Some(who("all")));
    assert_eq!(claims.keep_only(&who("all"), &[]), [who("one")]);
    watch.bring(Event::Apply(comes()));
    assert_eq!(claims.take(&share, &older, &one), None);
}
