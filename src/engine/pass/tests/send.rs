//! Changes that Databricks refuses: what each refusal means, and what follows.

use super::*;
use crate::engine::kind::Key;

const LAG: Duration = Duration::from_secs(600);

/// Its reads may lag behind writes.
fn lagging() -> World {
    world_of(Fake::with(|fake| fake.traits.read_lag = LAG), |_| {})
}

/// Two objects, `a` and `b` in the account, of which each is to have the name of the other from now on.
async fn exchanging() -> World {
    let world = world_of(Fake::with(|fake| fake.steps_aside = true), |_| {});
    world.apply(json!({})).api.apply("other", spec("b", json!({})));
    world.settle().await.reconcile_named("other").await;
    world.quiet();
    world.apply(json!({"name": "b"})).api.apply("other", spec("a", json!({})));
    world
}

impl World {
    /// The change of an object that is Ready is refused with this error.
    async fn refused(&self, error: Error) {
        self.fake.refuse(error);
        self.reconcile().await;
    }

    fn name_of(&self, id: &str) -> String {
        self.fake.got.lock().unwrap()[id].state["name"].as_str().unwrap().to_owned()
    }
}

fn missing() -> Error {
    Error::rejected(Reason::ExternalResourceMissing, "there is no such object")
}

#[tokio::test(start_paused = true)]
async fn a_reference_that_the_account_may_not_know_yet_is_tried_for_longer_than_an_id_that_a_user_wrote() {
    for (field, patient, stalled) in
        [("parentRef", false, ""), ("value", false, "True ReferenceNotFound"), ("value", true, "")]
    {
        let world = world();
        world.api.apply("parent", spec("p", json!({})));
        world.reconcile_named("parent").await;
        world.apply(json!({"parentRef": {"name": "parent"}}));
        let refusal = Error::rejected(Reason::ReferenceNotFound, format!("spec.{field} names nothing"));
        // The kind may know that the account needs longer.
        let refusal = if patient { refusal.patient(seconds(600)) } else { refusal };
        for _ in 0..3 {
            tokio::time::advance(seconds(40)).await;
            world.refused(refusal.clone()).await;
            assert_eq!(world.condition("Ready"), "False ReferenceNotFound", "{field}");
            assert!(!world.message("Ready").contains("delete this object"), "nothing was created");
        }
        assert_eq!(world.condition("Stalled"), stalled, "{field}");
        tokio::time::advance(seconds(600)).await;
        world.refused(refusal).await;
        assert_eq!(world.condition("Stalled"), "True ReferenceNotFound", "{field}");
        world.settle().await;
        assert_eq!(world.condition("Ready"), "True Available", "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_created_again_as_its_parent_is_gone_too_may_be_deleted() {
    let world = eager(Fake::with(|_| {}));
    world.apply(json!({})).settle().await;
    world.fake.take("id-a");
    world.quiet();
    tokio::time::advance(seconds(6)).await;
    world.refused(Error::rejected(Reason::ReferenceNotFound, "spec.value names nothing")).await;
    assert_eq!(world.changes(), ["POST a"]);
    let message = world.message("Ready");
    assert_eq!(message, "spec.value names nothing, or delete this object if that was deleted in the account");
}

#[tokio::test(start_paused = true)]
async fn of_two_objects_that_exchange_their_names_one_steps_aside() {
    let world = exchanging().await;
    let mut woken = world.engine.memory.triggers.subscribe("Fake", None);
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a name"]);
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    assert!(woken.try_recv().is_err(), "the name is not free yet");
    assert_eq!(world.reconcile_named("other").await, Action::requeue(Duration::ZERO));
    assert_eq!(world.changes(), ["PATCH id-b name", "PATCH id-b name"]);
    assert_eq!(world.name_of("id-b"), "id-b aside");
    assert_eq!(woken.try_recv().unwrap(), named("it"), "the object that waits for the name");
    world.reconcile().await;
    world.reconcile_named("other").await;
    assert_eq!(world.changes(), ["PATCH id-a name", "PATCH id-b name"]);
    assert_eq!((world.name_of("id-a"), world.name_of("id-b")), ("b".into(), "a".into()));
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(condition(&world.api.get("other").unwrap().data["status"], "Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_stepped_aside_gets_its_name_as_soon_as_a_read_shows_that() {
    let world = exchanging().await;
    world.reconcile().await;
    *world.fake.late.lock().unwrap() = true;
    world.reconcile_named("other").await;
    *world.fake.late.lock().unwrap() = false;
    world.reconcile_named("other").await;
    assert_eq!(world.changes(), ["PATCH id-a name", "PATCH id-b name", "PATCH id-b name"], "nothing more");
    world.fake.edit("id-b", |seen| seen.state["name"] = json!("id-b aside"));
    world.reconcile().await;
    world.reconcile_named("other").await;
    assert_eq!(world.changes(), ["PATCH id-a name", "PATCH id-b name"], "without a pause");
    assert_eq!((world.name_of("id-a"), world.name_of("id-b")), ("b".into(), "a".into()));
}

#[tokio::test(start_paused = true)]
async fn no_object_steps_aside_for_a_name_that_is_not_given_up() {
    // Another user's object has the name: stepping aside would only lose the one that this object has.
    let world = world_of(Fake::with(|fake| fake.steps_aside = true), |_| {});
    world.apply(json!({})).settle().await;
    world.fake.put(seen("1", "b", None));
    world.quiet();
    world.apply(json!({"name": "b"})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a name"]);
    assert_eq!(world.name_of("id-a"), "a");
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    world.fake.take("1");
    world.settle().await;
    assert_eq!(world.name_of("id-a"), "b");
    assert_eq!(world.condition("Ready"), "True Available");

    // A kind that has no temporary name.
    let world = world_of(Fake::with(|_| {}), |_| {});
    world.apply(json!({})).api.apply("other", spec("b", json!({})));
    world.settle().await.reconcile_named("other").await;
    world.quiet();
    world.apply(json!({"name": "b"})).api.apply("other", spec("a", json!({})));
    world.reconcile().await;
    world.reconcile_named("other").await;
    assert_eq!(world.changes(), ["PATCH id-a name", "PATCH id-b name"]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_does_not_find_its_object_is_sent_once_more_before_that_is_reported() {
    let world = lagging();
    world.apply(json!({})).settle().await;
    world.quiet();
    world.apply(json!({"value": "new"}));
    world.refused(missing()).await;
    assert_eq!(world.fake.calls(), ["GET id-a", "PATCH id-a value"]);
    assert_eq!(world.condition("Ready"), "True Available", "it may be a replica that lags");
    world.refused(missing()).await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET id-a", "PATCH id-a value"], "a new read shows it");
    assert_eq!(world.condition("Ready"), "False ApplyFailed");
    let message = world.message("Ready");
    assert!(message.contains("the object id-a, but rejects the change of value"));
    for (wait, stalled) in [(100, ""), (400, ""), (200, "True ApplyFailed")] {
        tokio::time::advance(seconds(wait)).await;
        world.refused(missing()).await;
        assert_eq!(world.condition("Stalled"), stalled, "reads may lag for 600 s");
    }
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_what_is_gone_leads_to_a_new_object() {
    let world = eager(Fake::with(|_| {}));
    world.apply(json!({})).settle().await;
    world.quiet();
    world.apply(json!({"value": "new"}));
    world.refused(missing()).await;
    world.fake.take("id-a");
    tokio::time::advance(seconds(6)).await;
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH id-a value", "POST a"]);
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.fake.got.lock().unwrap()["id-a"].state["value"], "new");
}

#[tokio::test(start_paused = true)]
async fn another_refusal_of_a_change_is_shown_as_it_is() {
    let world = World::ready(json!({})).await;
    world.apply(json!({"value": "new"}));
    world.refused(Error::rejected(Reason::PermissionDenied, "not for you")).await;
    assert_eq!(world.condition("Ready"), "False PermissionDenied");
    assert_eq!(world.message("Ready"), "not for you");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_does_not_find_the_object_is_done() {
    let world = World::ready(json!({})).await;
    world.api.delete("it");
    world.fake.refuse(missing());
    world.fake.take("id-a");
    world.fake.put(seen("id-a", "a", None));
    world.reconcile().await;
    assert_eq!(world.changes(), ["DELETE id-a"]);
    world.fake.take("id-a");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_does_not_find_a_new_object_waits_until_reads_cannot_lag() {
    let world = lagging();
    world.apply(json!({})).settle().await;
    world.quiet();
    world.api.delete("it");
    world.refused(missing()).await;
    assert_eq!(world.changes(), ["DELETE id-a"]);
    let message = world.message("Ready");
    assert!(
        message.contains("it is deleted as soon as a read shows it, and counts as gone after"),
        "{message}"
    );
    world.settle().await;
    assert_eq!(world.changes(), ["DELETE id-a"], "it is sent again, and was not believed to be done");
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_is_refused_says_so_and_is_tried_again() {
    let cases = [
        (Error::rejected(Reason::ApplyFailed, "it is in use"), "True ApiRefused", "it is in use", 1),
        (Error::rejected(Reason::PermissionDenied, "not for you"), "True ApiRefused", "not for you", 0),
        (Error::retry("no answer"), "", "", 1),
    ];
    for (error, blocked, message, waits) in cases {
        let world = World::ready(json!({})).await;
        world.api.delete("it");
        world.refused(error).await;
        assert_eq!(world.changes(), ["DELETE id-a"]);
        assert_eq!(world.condition("DeletionBlocked"), blocked, "{message}");
        assert!(world.message("DeletionBlocked").starts_with(message));
        let attempts = world.engine.memory.objects.attempts("uid-it");
        assert_eq!(attempts, waits, "{message}: what may end by itself is tried again soon");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{message}");
        assert_eq!(world.changes(), ["DELETE id-a"]);
    }
}

/// What is believed of an update decides how soon it is sent again, and whether others may rely on reads.
#[tokio::test(start_paused = true)]
async fn an_update_counts_as_sent_unless_it_was_certainly_refused() {
    let rejected = |about_object| Error::Rejected {
        reason: Reason::PermissionDenied,
        message: "no".into(),
        patience: None,
        about_object,
    };
    let cases = [
        (Error::Fenced, false),
        (rejected(true), false),
        (rejected(false), true),
        (Error::waiting(Reason::ApplyFailed, "busy"), false),
        (Error::waiting(Reason::CredentialsInvalid, "a token"), true),
        (Error::retry("no answer"), true),
        (Error::Conflict("another token".into()), true),
    ];
    for (error, sent) in cases {
        let world = World::ready(json!({})).await;
        world.apply(json!({"value": "new"}));
        world.refused(error.clone()).await;
        let (remembered, _) = world.engine.memory.objects.changed("uid-it");
        assert_eq!(remembered.unshown_for().is_some(), sent, "{error:?}");
    }
}

/// A row of the account that another user set, with another value than the spec's.
fn row(id: &str, name: &str) -> Seen {
    let mut row = seen(id, name, None);
    row.state["value"] = json!("x");
    row
}

/// Covers LC-01, LC-03. A row that is written may appear long after its response was lost, also after it was deleted.
#[tokio::test(start_paused = true)]
async fn an_upsert_is_gone_only_once_no_write_of_it_can_come_any_more() {
    for created in [false, true] {
        let world = world_of(Fake::upsert(), |settings| settings.quarantine = seconds(60));
        if created {
            world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
            world.apply(json!({"deletionPolicy": "Delete", "value": "new"}));
        } else {
            world.apply(json!({"deletionPolicy": "Delete"}));
        }
        world.loses(unknown()).settle().await;
        assert_eq!(world.condition("Ready"), "True Available", "{created}: it was sent again");
        world.quiet();
        world.api.delete("it");
        world.settle().await;
        assert_eq!(world.changes(), ["DELETE /a"], "{created}");
        assert!(world.message("Ready").contains("may still have its effect"), "{}", world.status());
        // Now the first one has its effect.
        world.fake.put(row("/a", "a"));
        tokio::time::advance(seconds(61)).await;
        world.settle().await;
        assert_eq!(world.changes(), ["DELETE /a"], "{created}: again");
        assert!(world.api.get("it").is_none(), "{}", world.status());
    }
}

/// Covers IM-01. The id in `spec.externalId` is that of one object, and the rest of the spec means another.
#[tokio::test(start_paused = true)]
async fn an_id_of_one_object_and_the_spec_of_another_bind_and_change_neither() {
    let upsert = Fake::upsert();
    upsert.put(row("/b", "b"));
    let standing = Fake::new(Lifecycle::Standing, Ownership::RecordedId);
    standing.put(Seen { about: About::default(), ..row("b", "b") });
    let elsewhere = Fake::with(|_| {});
    let mut child = row("there/b", "a");
    child.state["within"] = json!("there");
    elsewhere.put(child);
    for (case, fake, id) in [
        ("an upsert", upsert, "/b"),
        ("what is always there", standing, "b"),
        ("an object under another parent", elsewhere, "there/b"),
    ] {
        let world = eager(fake);
        let before = fake.got.lock().unwrap().clone();
        world.apply(json!({"externalId": id})).settle().await;
        assert_eq!(world.condition("Stalled"), "True ImmutableFieldChanged", "{case}: {}", world.status());
        assert!(world.message("Ready").contains(&format!("spec.externalId names {id}")), "{case}");
        assert!(world.status()["external"].is_null(), "{case}: it can still be corrected");
        assert_eq!((world.changes(), fake.got.lock().unwrap().clone()), (vec![], before), "{case}");
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{case}");
        assert_eq!(world.changes(), NOTHING, "{case}");
    }
}

/// Covers IM-01. A backup tool may restore the status of an object beside the spec of another.
#[tokio::test(start_paused = true)]
async fn a_restored_record_of_one_object_changes_nothing_for_the_spec_of_another() {
    for adopted in [false, true] {
        let world = eager(Fake::upsert());
        world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
        world.fake.put(row("/b", "b"));
        world.api.edit("it", |it| {
            let external = &mut it["status"]["external"];
            (external["id"], external["name"]) = (json!("/b"), json!("b"));
            external["adopted"] = json!(adopted);
            it["status"]["externalId"] = json!("/b");
        });
        world.quiet();
        tokio::time::advance(seconds(61)).await;
        world.settle().await;
        assert_eq!(world.condition("Stalled"), "True ImmutableFieldChanged");
        assert!(world.message("Ready").starts_with("this object is bound to /b, and its spec means "));
        assert_eq!(world.changes(), NOTHING);
        // What the operator has created goes with its record. What it only adopted must be what the spec means.
        world.api.delete("it");
        tokio::time::advance(seconds(61)).await;
        world.settle().await;
        let deleted: &[&str] = if adopted { &[] } else { &["DELETE /b"] };
        assert_eq!(world.changes(), deleted, "{adopted}");
        if adopted {
            assert_eq!(world.condition("DeletionBlocked"), "True ApiRefused");
            world.apply(json!({"deletionPolicy": "Retain"})).settle().await;
            assert!(world.api.get("it").is_none());
            assert_eq!(world.changes(), NOTHING);
        }
    }
}

/// Covers IM-01, LC-20. It was only observed under that id, and is to be managed now.
#[tokio::test(start_paused = true)]
async fn what_nothing_manages_is_not_taken_up_for_the_spec_of_another() {
    let fake = Fake::new(Lifecycle::Standing, Ownership::RecordedId);
    fake.put(vacant("b"));
    let world = eager(fake);
    world.apply(json!({"externalId": "b", "managementPolicy": "Observe"})).settle().await;
    world.apply(json!({"externalId": "b", "adoptionPolicy": "Never"})).settle().await;
    assert_eq!(world.condition("Stalled"), "True ImmutableFieldChanged", "{}", world.status());
    assert_eq!(world.status()["external"]["observed"], true);
    assert_eq!(world.changes(), NOTHING);
}

/// The holder of a name gives it up after the account has refused it to another object, and before that refusal arrives.
#[tokio::test(start_paused = true)]
async fn a_name_that_is_freed_while_its_refusal_is_on_the_way_is_tried_again() {
    let world = world();
    world.apply(json!({})).settle().await;
    world.fake.put(seen("2", "b", None));
    world.apply(json!({"name": "b"}));
    *world.fake.waits.lock().unwrap() = Duration::from_secs(10);
    let meanwhile = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let who = |name: &str| ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: name.into() };
        let had = Key { within: String::new(), name: "b".into() };
        world.engine.memory.taken_names.freed("account", &who("other"), &had).len()
    };
    let (_, freed) = tokio::join!(world.reconcile(), meanwhile);
    assert_eq!(freed, 1);
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
}
