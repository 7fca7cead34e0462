//! Whole reconciles, against a kind, an account and an API server made by hand: what is sent, what is written, and in which
//! order. The tests of each hop are beside it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake::cluster::{ApiServer, Trouble};
use super::fake::{Fake, account, client, seen, settings};
use super::{Engine, Settings, reconcile};
use crate::databricks::{HostPolicy, Settings as ClientSettings};
use crate::engine::account::{Auths, Session};
use crate::engine::cluster::{Cluster, Events, Objects, Stores};
use crate::engine::crd::{DatabricksAuthSpec, ObjectName, Reason};
use crate::engine::error::Error;
use crate::engine::kind::{Driver, Lifecycle, Ownership, Permit, Phase};
use crate::engine::memory::{Memory, Wake};
use crate::engine::meter::Meter;

/// One operator, one API server, one account.
struct World {
    fake: &'static Fake,
    api: Arc<ApiServer>,
    engine: Arc<Engine>,
    cache: Mutex<Writer<DynamicObject>>,
    cached: Mutex<Vec<DynamicObject>>,
}

fn auth() -> ObjectName {
    ObjectName { kind: "DatabricksAuth".into(), namespace: "ns".into(), name: "account".into() }
}

fn auth_spec(grants: Value) -> DatabricksAuthSpec {
    let mut spec = json!({"cloud": "AWS", "accountId": "account", "authType": "OAUTH_M2M"});
    spec["grants"] = grants;
    serde_json::from_value(spec).unwrap()
}

fn world() -> World {
    world_of(Fake::new(Lifecycle::Object, Ownership::RecordedId), |_| {})
}

fn world_of(fake: &'static Fake, change: impl FnOnce(&mut Settings)) -> World {
    let (api, kube) = ApiServer::start();
    let mut settings = settings(Duration::from_secs(600), Duration::ZERO);
    change(&mut settings);
    let (resource, wake) = (fake.api_resource(), Arc::new(Wake::default()));
    let cache = Writer::new(resource.clone());
    let auths =
        ApiResource::from_gvk(&GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", "DatabricksAuth"));
    let no_auths = Writer::new(auths.clone());
    let stores = Stores::new([(resource, cache.as_reader()), (auths, no_auths.as_reader())].into_iter());
    let cluster = Cluster { objects: Objects::new(kube.clone()), events: Events::new(kube.clone()), stores };
    let auths = Auths::new(kube, wake.clone(), HostPolicy::default(), ClientSettings::default(), false);
    auths.store(&auth(), &auth_spec(Value::Null), Ok(Arc::new(Session::of(account()))));
    let memory = Memory::new(wake, settings.max_deletions_per_hour);
    memory.barrier.begin(std::iter::empty());
    let meter = Meter::register(&mut Registry::default(), ["Fake".to_owned()].into_iter());
    let kinds: [&dyn Driver; 1] = [fake];
    let shared = (cluster, auths, memory, meter);
    let engine = Arc::new(Engine::new(settings, shared, Permit::sole(), &kinds, CancellationToken::new()));
    World { fake, api, engine, cache: Mutex::new(cache), cached: Mutex::default() }
}

/// The spec of a managed object with this name in the account and this value.
fn spec(name: &str, more: Value) -> Value {
    let mut spec = json!({"authRef": {"name": "account"}, "name": name, "value": "v"});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    spec
}

impl World {
    /// Applies the object `it`.
    fn apply(&self, more: Value) -> &World {
        self.api.apply("it", spec("a", more));
        self
    }

    /// The watch brings what there is.
    fn watch(&self) {
        let (mut cache, mut cached) = (self.cache.lock().unwrap(), self.cached.lock().unwrap());
        for gone in
            cached.drain(..).filter(|object| self.api.get(object.metadata.name.as_ref().unwrap()).is_none())
        {
            cache.apply_watcher_event(&Event::Delete(gone));
        }
        for object in ["it", "other", "parent"].iter().filter_map(|name| self.api.get(name)) {
            cached.push(object.clone());
            cache.apply_watcher_event(&Event::Apply(object));
        }
    }

    async fn reconcile_named(&self, name: &str) -> Action {
        self.watch();
        let object = Arc::new(self.api.get(name).unwrap());
        reconcile(object, self.engine.clone(), self.fake).await
    }

    async fn reconcile(&self) -> Action {
        self.reconcile_named("it").await
    }

    /// Reconciles until the object is at rest.
    async fn settle(&self) -> &World {
        for _ in 0..4 {
            if self.api.get("it").is_some() {
                self.reconcile().await;
            }
        }
        self
    }

    /// An object that is Ready; the calls until then are forgotten.
    async fn ready(more: Value) -> World {
        let world = world();
        world.apply(more).settle().await;
        assert_eq!(world.condition("Ready"), "True Available");
        world.quiet();
        world
    }

    fn quiet(&self) {
        self.fake.calls();
        self.api.writes();
        self.api.events();
    }

    fn status(&self) -> Value {
        self.api.get("it").unwrap().data["status"].clone()
    }

    /// The status and the reason of a condition; empty if it does not exist.
    fn condition(&self, kind: &str) -> String {
        let status = self.status();
        let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
        found.map_or(String::new(), |c| {
            format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
        })
    }

    fn message(&self, kind: &str) -> String {
        let status = self.status();
        let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
        found.map_or(String::new(), |c| c["message"].as_str().unwrap().to_owned())
    }

    /// The calls that change something.
    fn changes(&self) -> Vec<String> {
        let reads = ["GET", "LIST"];
        self.fake
            .calls()
            .into_iter()
            .filter(|call| !reads.iter().any(|read| call.starts_with(read)))
            .collect()
    }

    fn fails(&self, error: Error) -> &World {
        *self.fake.fails.lock().unwrap() = Some(error);
        self
    }

    fn loses(&self, error: Error) -> &World {
        *self.fake.loses.lock().unwrap() = Some(error);
        self
    }
}

fn unknown() -> Error {
    Error::Unknown { message: "POST was sent, and there is no answer".into() }
}

const NOTHING: [&str; 0] = [];

#[tokio::test(start_paused = true)]
async fn a_create_is_announced_sent_and_recorded() {
    let world = world();
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "POST a"]);
    assert_eq!(world.api.writes(), ["metadata", "status", "status", "metadata"]);
    assert_eq!(world.api.events(), ["Created", "Ready"]);
    let it = world.api.get("it").unwrap();
    let status = &it.data["status"];
    assert_eq!(status["externalId"], "id-a");
    assert_eq!(status["external"]["adopted"], false);
    assert!(status["intent"].is_null() && status["external"]["createdAt"].is_string(), "{status}");
    assert_eq!(it.metadata.annotations.unwrap()["databricks-operator.io/external-id"], "id-a");
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("Synced"), "True InSync");
}

#[tokio::test(start_paused = true)]
async fn what_is_as_it_should_be_costs_one_list_and_no_write() {
    let world = World::ready(json!({})).await;
    for _ in 0..3 {
        world.reconcile().await;
    }
    assert_eq!(
        world.fake.calls(),
        NOTHING,
        "the LIST of the create serves until the resync interval is over"
    );
    assert_eq!(world.api.writes(), NOTHING);
    assert_eq!(world.api.events(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn drift_is_corrected_after_one_more_read() {
    let world = World::ready(json!({})).await;
    world.fake.edit("id-a", |seen| seen.state["value"] = json!("other"));
    tokio::time::advance(Duration::from_secs(601)).await;
    world.reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET id-a", "PATCH id-a value"]);
    assert_eq!(world.api.events(), ["DriftCorrected"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_the_spec_is_an_update_and_no_drift() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.api.events(), ["Updated"]);
    assert_eq!(world.status()["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_only_observed_is_shown_and_left_alone() {
    let world = world();
    world.apply(json!({"managementPolicy": "Observe"})).settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.condition("Ready"), "False WouldBeCreated");
    assert_eq!(world.status()["drift"][0]["path"], "name");
    world.fake.put(seen("1", "a", None));
    tokio::time::advance(Duration::from_secs(601)).await;
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.condition("Synced"), "False DriftDetected");
    assert_eq!(world.status()["external"]["observed"], true);
    world.api.delete("it");
    assert!(
        world.settle().await.api.get("it").is_none(),
        "it has no finalizer, so nothing has to be released"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_there_already_is_adopted_only_by_a_users_word_and_stays_on_deletion() {
    for (policy, ready) in [("IfOwned", false), ("Never", false), ("IfExists", true), ("Required", true)] {
        let world = world();
        let mut there = seen("1", "a", None);
        there.state["value"] = json!("v");
        world.fake.put(there);
        world.apply(json!({"adoptionPolicy": policy})).settle().await;
        assert_eq!(world.changes(), NOTHING, "{policy}");
        let expected = if ready { "True Available" } else { "False AlreadyExists" };
        assert_eq!(world.condition("Ready"), expected, "{policy}");
        assert_eq!(world.api.events().contains(&"Adopted".to_owned()), ready, "{policy}");
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{policy}");
        assert_eq!(world.changes(), NOTHING, "{policy}: what was adopted stays");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_create_never_makes_a_second_object() {
    let world = world_of(Fake::new(Lifecycle::Object, Ownership::RecordedId), |s| {
        s.quarantine = Duration::from_secs(60)
    });
    world.apply(json!({})).loses(unknown()).reconcile().await;
    assert_eq!(world.condition("Ready"), "False Retrying");
    assert!(world.status()["intent"].is_object());
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"], "it waits");
    assert!(world.message("Ready").contains("a create was interrupted"), "{}", world.message("Ready"));
    let long_ago = Timestamp::now().as_second() - 700;
    world.api.edit("it", |it| {
        it["status"]["intent"]["time"] = json!(Timestamp::from_second(long_ago).unwrap().to_string())
    });
    world.quiet();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(world.reconcile().await, Action::requeue(Duration::ZERO));
    assert_eq!(world.fake.calls(), ["LIST "]);
    assert_eq!(world.status()["externalId"], "id-a");
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), NOTHING);
    assert!(world.api.events().contains(&"Created".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_was_interrupted_before_it_was_sent_is_made() {
    let world = world();
    world.apply(json!({})).reconcile().await;
    world.fake.take("id-a");
    world.api.edit("it", |it| {
        let sent = Timestamp::from_second(Timestamp::now().as_second() - 700).unwrap().to_string();
        it["status"]["external"] = Value::Null;
        it["metadata"]["annotations"] = json!({});
        it["status"]["intent"] = json!({"accountId": "account", "within": "", "name": "a", "time": sent});
    });
    world.quiet();
    tokio::time::advance(Duration::from_secs(6)).await;
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_whose_announcement_was_not_written() {
    let world = world();
    world.apply(json!({})).api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING);
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    // The announcement was written without a response: the next reconcile finds that nothing was created.
    let world = self::world();
    world.apply(json!({})).api.next_write("status", Trouble::Lose);
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn the_id_of_a_new_object_is_written_whatever_others_write() {
    let world = world();
    world.apply(json!({})).api.next_write("metadata", Trouble::Lose);
    world.reconcile().await;
    world.quiet();
    let api = world.api.clone();
    // The second write of the status is the record.
    api.next_write("status", Trouble::Lose);
    world.settle().await;
    assert_eq!(world.status()["externalId"], "id-a");
    assert_eq!(world.changes().iter().filter(|call| *call == "POST a").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_object_vanished_meanwhile_is_undone() {
    let world = world();
    world.apply(json!({})).watch();
    world.api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    world.quiet();
    world.fake.fails.lock().unwrap().take();
    let before = world.api.get("it").unwrap();
    // The announcement succeeds, and the record finds no object.
    world.api.next_write("status", Trouble::Pass);
    world.api.next_write("status", Trouble::Vanish);
    reconcile(Arc::new(before), world.engine.clone(), world.fake).await;
    world.watch();
    world.engine.undoing.tasks.close();
    world.engine.undoing.tasks.wait().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-a"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_create_is_shown_at_once_and_stalled_when_it_is_confirmed() {
    let world = world();
    world.apply(json!({}));
    let refusal = || Error::rejected(Reason::ApiRefused, "Databricks refused: no such region");
    for stalled in ["", "", "True ApiRefused"] {
        world.fake.put(seen("0", "unrelated", None));
        tokio::time::advance(Duration::from_secs(40)).await;
        world.fake.next_write.lock().unwrap().replace(refusal());
        world.reconcile().await;
        assert_eq!(world.condition("Ready"), "False ApiRefused");
        assert_eq!(world.condition("Stalled"), stalled);
        assert!(world.status()["intent"].is_null(), "nothing was created");
    }
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn what_exists_although_no_list_shows_it_is_read_again_before_that_is_said() {
    let world = world();
    world.apply(json!({}));
    let exists = Error::rejected(Reason::AlreadyExists, "a exists already");
    world.fake.next_write.lock().unwrap().replace(exists);
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING, "it is not asked twice");
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
}

#[tokio::test(start_paused = true)]
async fn a_failed_read_leaves_what_is_ready_ready_until_it_lasts() {
    let world = World::ready(json!({})).await;
    for attempt in 0..5 {
        tokio::time::advance(Duration::from_secs(601)).await;
        world.fails(Error::retry("down")).reconcile().await;
        assert_eq!(world.condition("Ready"), "True Available", "{attempt}");
    }
    assert_eq!(world.condition("Synced"), "False Retrying");
    tokio::time::advance(Duration::from_secs(601)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Synced"), "True InSync");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_deletes_waits_until_it_is_gone_and_releases() {
    let world = World::ready(json!({})).await;
    world.api.delete("it");
    world.reconcile().await;
    assert_eq!(world.changes(), ["DELETE id-a"]);
    assert!(world.api.get("it").is_some());
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.api.events().last().unwrap(), "Deleted");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_held_by_whatever_says_so() {
    type Hold = fn(&World);
    let cases: [(&str, Hold, &str); 4] = [
        ("protection", |w| _ = w.apply(json!({"deletionProtection": true})), "True DeletionProtected"),
        (
            "another finalizer",
            |w| {
                w.api.edit("it", |it| it["metadata"]["finalizers"].as_array_mut().unwrap().push(json!("x/y")))
            },
            "True ForeignFinalizer",
        ),
        (
            "a dependent",
            |w| {
                let it = ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: "it".into() };
                let other = ObjectName { name: "other".into(), ..it.clone() };
                w.engine.memory.wake.refer(&other, vec![it]);
            },
            "True DependencyStillInUse",
        ),
        (
            "another name in the account",
            |w| w.fake.edit("id-a", |seen| seen.state["name"] = json!("renamed")),
            "True ApiRefused",
        ),
    ];
    for (case, hold, expected) in cases {
        let world = World::ready(json!({})).await;
        hold(&world);
        world.api.delete("it");
        tokio::time::advance(Duration::from_secs(601)).await;
        world.settle().await;
        assert_eq!(world.condition("DeletionBlocked"), expected, "{case}");
        assert_eq!(world.changes(), NOTHING, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_retained_is_released_without_a_call() {
    for (more, event) in [
        (json!({"deletionPolicy": "Retain"}), "Retained"),
        (json!({"suspend": true}), "OrphanedOnDelete"),
        (json!({"managementPolicy": "Observe"}), "OrphanedOnDelete"),
    ] {
        let world = World::ready(json!({})).await;
        world.apply(more.clone()).api.delete("it");
        world.reconcile().await;
        assert!(world.api.get("it").is_none(), "{more}");
        assert_eq!(world.fake.calls(), NOTHING, "{more}");
        assert_eq!(world.api.events(), [event], "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_at_the_last_moment_stops_a_deletion() {
    let world = World::ready(json!({})).await;
    world.api.delete("it");
    world.watch();
    let before = Arc::new(world.api.get("it").unwrap());
    world.apply(json!({"deletionPolicy": "Retain"}));
    reconcile(before, world.engine.clone(), world.fake).await;
    assert_eq!(world.changes(), NOTHING);
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn mass_deletion_is_stopped() {
    let fake = Fake::new(Lifecycle::Object, Ownership::RecordedId);
    let world = world_of(fake, |settings| settings.max_deletions_per_hour = 1);
    world.engine.memory.breaker.let_go("account", "another").unwrap();
    world.apply(json!({})).settle().await;
    world.quiet();
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.condition("DeletionBlocked"), "True TooManyDeletions");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_went_away_outside_is_created_again_once_that_is_sure() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["status"]["external"]["createdAt"] = json!("2026-01-01T00:00:00Z"));
    world.fake.take("id-a");
    tokio::time::advance(Duration::from_secs(601)).await;
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False Progressing");
    assert_eq!(world.changes(), NOTHING);
    tokio::time::advance(Duration::from_secs(11)).await;
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_object_costs_nothing_and_is_resumed() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"suspend": true})).settle().await;
    assert_eq!(world.fake.calls(), NOTHING);
    assert_eq!(world.condition("Suspended"), "True SuspendedBySpec");
    world.apply(json!({"suspend": false})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("Suspended"), "");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_for_a_person() {
    let world = world();
    world.api.apply("it", json!({"authRef": 7}));
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True InvalidSpec");
    world.api.edit("it", |it| it["metadata"]["finalizers"] = json!(["databricks-operator.io/finalizer"]));
    world.api.delete("it");
    world.reconcile().await;
    assert!(world.api.get("it").is_none(), "there is nothing outside");

    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["status"]["external"] = json!(7));
    let before = world.status();
    world.reconcile().await;
    assert_eq!(world.status(), before, "an unreadable status may hold an id: it is not overwritten");
    assert_eq!(world.api.events(), ["Stalled"]);
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_panic_harms_one_object_only_and_is_shown_on_it() {
    let world = world();
    world.apply(json!({"panic": true})).reconcile().await;
    assert_eq!(world.condition("Stalled"), "True InternalError");
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn an_object_needs_a_databricks_auth_that_admits_it() {
    let cases = [
        (json!({"name": "missing"}), "ReferenceNotFound"),
        (json!({"name": "account", "namespace": "elsewhere"}), "ReferenceNotPermitted"),
    ];
    for (auth_ref, reason) in cases {
        let world = world();
        world.apply(json!({"authRef": auth_ref})).reconcile().await;
        assert_eq!(world.condition("Ready"), format!("False {reason}"));
        assert_eq!(world.condition("ReferencesResolved"), format!("False {reason}"));
        assert_eq!(world.fake.calls(), NOTHING);
        assert!(world.api.get("it").unwrap().metadata.finalizers.is_none(), "it holds nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_fail_are_named_and_a_moment_of_it_is_no_news() {
    let broken = |error: Error| async move {
        let world = World::ready(json!({})).await;
        world.engine.auths.store(&auth(), &auth_spec(Value::Null), Err(error));
        tokio::time::advance(Duration::from_secs(601)).await;
        world.reconcile().await;
        (world.condition("Ready"), world.condition("ReferencesResolved"))
    };
    let terminal = Error::terminal(Reason::CredentialsInvalid, "the secret is wrong");
    assert_eq!(broken(terminal).await.0, "False CredentialsInvalid");
    assert_eq!(broken(Error::retry("no answer")).await.0, "True Available");
}

#[tokio::test(start_paused = true)]
async fn an_object_stays_with_the_account_it_was_created_in() {
    let world = World::ready(json!({})).await;
    let session = Arc::new(Session::of(client("another")));
    world.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(session));
    world.apply(json!({"value": "new"})).settle().await;
    assert_eq!(world.condition("Stalled"), "True AccountMismatch");
    assert_eq!(world.changes(), NOTHING);
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.condition("DeletionBlocked"), "True CredentialsUnavailable");
}

#[tokio::test(start_paused = true)]
async fn a_reference_is_waited_for_and_its_id_is_pinned() {
    let world = world();
    world.apply(json!({"parentRef": {"name": "parent"}})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotFound");
    world.api.apply("parent", spec("p", json!({})));
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotReady");
    *world.fake.mark.lock().unwrap() = "parent".into();
    world.reconcile_named("parent").await;
    *world.fake.mark.lock().unwrap() = "it".into();
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["resolvedRefs"]["parentRef"], "id-p");
    assert_eq!(world.fake.got.lock().unwrap()["id-a"].state["value"], "id-p");
    // What is being deleted gets no new dependents, and keeps those it has.
    world.api.delete("parent");
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_guard_refuses_before_anything_is_sent() {
    let fake = Fake::guarded();
    let world = world_of(fake, |_| {});
    world.apply(json!({"value": "lock-out"})).settle().await;
    assert_eq!(world.condition("Stalled"), "True WouldLockOut");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_that_mean_the_same_the_first_keeps_it() {
    let world = World::ready(json!({})).await;
    world.api.apply("other", spec("a", json!({"adoptionPolicy": "IfExists"})));
    world.reconcile_named("other").await;
    let other = world.api.get("other").unwrap();
    let ready = &other.data["status"]["conditions"][0];
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("ManagementConflict")),
        "{ready}"
    );
    assert!(ready["message"].as_str().unwrap().contains("Fake ns/it"), "{ready}");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn creates_wait_until_every_older_object_was_reconciled() {
    let world = world();
    world.api.apply("other", spec("b", json!({})));
    let other = ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: "other".into() };
    world.engine.memory.barrier.begin([("uid-other".to_owned(), other)].into_iter());
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False Progressing");
    assert_eq!(world.changes(), NOTHING);
    world.reconcile_named("other").await;
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST b", "POST a"]);
}

#[tokio::test(start_paused = true)]
async fn what_takes_time_is_polled_and_stalled_when_it_takes_too_long() {
    let world = world();
    *world.fake.phase.lock().unwrap() = Phase::Pending("being provisioned".into());
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "False Provisioning");
    assert_eq!(world.condition("Reconciling"), "True Progressing");
    world.api.edit("it", |it| it["status"]["operation"]["since"] = json!("2026-01-01T00:00:00Z"));
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True ProvisioningFailed");
    world.fake.edit("id-a", |seen| seen.about.phase = Phase::Ready);
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.changes(), ["POST a"]);
}

#[tokio::test(start_paused = true)]
async fn an_upsert_is_written_under_its_key_and_never_doubled() {
    let world = world_of(Fake::upsert(), |_| {});
    world.apply(json!({})).settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
    world.api.delete("it");
    for _ in 0..8 {
        tokio::time::advance(Duration::from_secs(61)).await;
        world.settle().await;
    }
    assert_eq!(world.changes(), ["DELETE /a"]);
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_restored_object_knows_its_own_by_the_annotation() {
    let world = World::ready(json!({})).await;
    // A backup without the status, restored under the same name.
    world.api.edit("it", |it| it["status"] = Value::Null);
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["external"]["adopted"], false);
    assert_eq!(world.changes(), NOTHING);
    // Copied from another namespace: it was not created as this object, so it stays on deletion.
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| {
        it["status"] = Value::Null;
        it["metadata"]["annotations"]["databricks-operator.io/created-by"] = json!("there/ns/it");
    });
    world.settle().await;
    assert_eq!(world.status()["external"]["adopted"], true);
    assert_eq!(
        world.api.events(),
        ["Adopted", "again"],
        "that it is Ready once more is counted on the first event"
    );
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_a_reconcile_reads_again_and_is_noted() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| {
        it["metadata"]["annotations"]["databricks-operator.io/reconcile-requested-at"] = json!("now");
    });
    tokio::time::advance(Duration::from_secs(5)).await;
    world.reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST "]);
    assert_eq!(world.status()["lastHandledReconcileAt"], "now");
    world.reconcile().await;
    assert_eq!(world.fake.calls(), NOTHING);
}

/// A DatabricksAuth named `account`, which the watch has brought.
fn with_auth(more: Value) -> World {
    let world = world();
    let mut spec = json!({
        "cloud": "AWS", "accountId": "account", "authType": "OAUTH_M2M", "clientId": "client",
        "clientSecretRef": {"name": "databricks", "key": "secret"},
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    world.api.apply("account", spec);
    world
}

impl World {
    async fn reconcile_auth(&self) -> Value {
        let object = self.api.get("account").unwrap();
        super::reconcile_auth(Arc::new(object), self.engine.clone()).await;
        self.api.get("account").map_or(Value::Null, |object| object.data["status"].clone())
    }
}

fn of(status: &Value, kind: &str) -> String {
    let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    found.map_or(String::new(), |c| {
        format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
    })
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_says_what_its_secret_lacks() {
    type Prepare = fn(&World);
    let cases: [(&str, Prepare, &str); 5] = [
        ("no secret", |_| {}, "SecretNotFound"),
        ("no key", |w| w.api.secret("databricks", json!({"other": "eA=="})), "SecretKeyMissing"),
        ("empty", |w| w.api.secret("databricks", json!({"secret": "Cg=="})), "SecretValueEmpty"),
        ("not text", |w| w.api.secret("databricks", json!({"secret": "//8="})), "CredentialsInvalid"),
        ("forbidden", |w| w.api.forbid_secrets(), "SecretNotReadable"),
    ];
    for (case, prepare, reason) in cases {
        let world = with_auth(json!({}));
        prepare(&world);
        let status = world.reconcile_auth().await;
        assert_eq!(of(&status, "Ready"), format!("False {reason}"), "{case}");
        assert_eq!(of(&status, "ReferencesResolved").split(' ').next(), Some("False"), "{case}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_that_cannot_work_is_for_a_person() {
    let cases = [
        (json!({"host": "https://example.com"}), "HostNotAllowed"),
        (json!({"clientSecretRef": null}), "InvalidSpec"),
        (json!({"egressCidrs": ["nonsense"]}), "InvalidSpec"),
        (json!({"cloud": "nonsense"}), "InvalidSpec"),
    ];
    for (more, reason) in cases {
        let world = with_auth(more.clone());
        world.api.secret("databricks", json!({"secret": "eA=="}));
        let status = world.reconcile_auth().await;
        assert_eq!(of(&status, "Stalled"), format!("True {reason}"), "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_databricks_auth_stops_those_who_use_it() {
    let world = with_auth(json!({"suspend": true}));
    let status = world.reconcile_auth().await;
    assert_eq!(of(&status, "Suspended"), "True SuspendedBySpec");
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False CredentialsUnavailable");
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_is_released_when_nothing_uses_it() {
    let world = with_auth(json!({}));
    world.reconcile_auth().await;
    let it = ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: "it".into() };
    world.engine.memory.wake.refer(&it, vec![auth()]);
    world.api.delete("account");
    let status = world.reconcile_auth().await;
    assert_eq!(of(&status, "DeletionBlocked"), "True DependencyStillInUse");
    assert_eq!(status["dependents"]["count"], 1);
    world.engine.memory.wake.refer(&it, vec![]);
    world.reconcile_auth().await;
    assert!(world.api.get("account").is_none());
}
