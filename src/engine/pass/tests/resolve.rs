//! References to other objects, and names of principals: waited for, pinned, and not followed to something else.

use super::*;
use crate::engine::kind::Immutable;

/// The fields by which the kind of [`children`] gets its value, which cannot be changed.
const VALUE: &[Immutable] = &[Immutable { state: "value", spec: &["value", "parentRef"] }];

fn children(lifecycle: Lifecycle) -> World {
    eager(Fake::with(|fake| (fake.traits.immutable, fake.traits.lifecycle) = (VALUE, lifecycle)))
}

#[tokio::test(start_paused = true)]
async fn all_references_that_are_missing_are_named_at_once() {
    let world = world();
    world.apply(json!({"parentRef": {"name": "parent"}, "otherRef": {"name": "other"}})).reconcile().await;
    assert_eq!(world.condition("ReferencesResolved"), "False ReferenceNotFound");
    let message = world.message("Ready");
    assert_eq!(
        message,
        "Fake ns/parent does not exist: create it, or correct spec.parentRef.name; \
         Fake ns/other does not exist: create it, or correct spec.otherRef.name"
    );
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_deleted_gets_no_new_dependents() {
    let world = world();
    world.api.apply("parent", spec("p", json!({"deletionProtection": true})));
    world.reconcile_named("parent").await;
    world.api.delete("parent");
    world.reconcile_named("parent").await;
    world.quiet();
    world.apply(json!({"parentRef": {"name": "parent"}})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotReady");
    assert_eq!(world.message("Ready"), "Fake ns/parent is not ready: it is being deleted");
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_child_does_not_move_to_a_parent_that_was_created_again() {
    let world = children(Lifecycle::Object);
    world.api.apply("parent", spec("p", json!({})));
    world.reconcile_named("parent").await;
    world.apply(json!({"parentRef": {"name": "parent"}})).settle().await;
    assert_eq!(world.status()["observed"]["value"], "id-p");
    world.api.edit("parent", |parent| parent["status"]["external"]["id"] = json!("id-q"));
    world.quiet();
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True ImmutableFieldChanged");
    let message = world.message("Ready");
    assert!(message.starts_with("spec.parentRef now means id-q, but this object was created for id-p: "));
    assert_eq!(world.fake.calls(), NOTHING);
}

/// A rule set knows a group by its name: the reference means what the status of the other object shows.
#[tokio::test(start_paused = true)]
async fn a_reference_by_a_fact_means_that_fact_as_long_as_it_stays_the_same() {
    let world = eager(Fake::with(|fake| {
        (fake.traits.immutable, fake.fact) = (VALUE, Some("label"));
    }));
    world.api.apply("parent", spec("p", json!({})));
    world.reconcile_named("parent").await;
    world.quiet();
    world.apply(json!({"parentRef": {"name": "parent"}})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotReady", "its status does not show it");
    assert_eq!(world.changes(), NOTHING);
    for (at, label) in [("observed", "named"), ("facts", "shown")] {
        world.api.edit("parent", |parent| match at {
            "observed" => parent["status"]["observed"]["label"] = json!(label),
            _ => parent["status"]["label"] = json!(label),
        });
        world.settle().await;
        if at == "observed" {
            assert_eq!(world.status()["resolvedRefs"], json!({"parentRef": "named"}));
            assert_eq!(world.changes(), ["POST a"]);
            continue;
        }
        assert_eq!(world.condition("Stalled"), "True ImmutableFieldChanged");
        let message = world.message("Ready");
        let text = "spec.parentRef now means shown, but this object was created for named: ";
        assert!(message.starts_with(text), "{message}");
        assert_eq!(world.changes(), NOTHING);
    }
}

/// What an object was created for is known from the pinned reference, from what was read, or from the id of an upsert.
#[tokio::test(start_paused = true)]
async fn a_reference_is_compared_with_whatever_is_known_of_the_object() {
    let cases = [
        ("pinned", Lifecycle::Object, json!({"resolvedRefs": {"parentRef": "id-q"}}), "id-q"),
        ("pinned and the same", Lifecycle::Object, json!({"resolvedRefs": {"parentRef": "7"}}), ""),
        ("read", Lifecycle::Object, json!({"observed": {"value": "id-q"}}), "id-q"),
        ("read and the same, as a number", Lifecycle::Object, json!({"observed": {"value": 7}}), ""),
        ("nothing is known", Lifecycle::Object, json!({}), ""),
        ("its id", Lifecycle::Upsert, json!({"external": {"id": "8/a"}}), "8/a"),
        ("its id and the same", Lifecycle::Upsert, json!({"external": {"id": "7/a"}}), ""),
    ];
    for (case, lifecycle, known, created_for) in cases {
        let world = children(lifecycle);
        for name in ["parent", "it"] {
            world.api.apply(name, spec(name, json!({})));
            world.reconcile_named(name).await;
        }
        world.api.edit("parent", |parent| parent["status"]["external"]["id"] = json!("7"));
        world.api.edit("it", |it| {
            let status = it["status"].as_object_mut().unwrap();
            for field in ["observed", "resolvedRefs"] {
                status.remove(field);
            }
            for (field, value) in known.as_object().unwrap() {
                match value["id"].as_str() {
                    Some(id) => status["external"]["id"] = json!(id),
                    None => _ = status.insert(field.clone(), value.clone()),
                }
            }
        });
        world.api.apply("it", spec("it", json!({"parentRef": {"name": "parent"}})));
        world.reconcile().await;
        let expected = if created_for.is_empty() { "" } else { "True ImmutableFieldChanged" };
        assert_eq!(world.condition("Stalled"), expected, "{case}: {}", world.message("Ready"));
        let says = format!("but this object was created for {created_for}:");
        assert!(created_for.is_empty() || world.message("Ready").contains(&says), "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_a_restored_object_needs_no_reference_that_is_gone() {
    let world = world();
    world.api.apply("parent", spec("p", json!({})));
    world.reconcile_named("parent").await;
    world.apply(json!({"parentRef": {"name": "parent"}})).settle().await;
    world.quiet();
    // A backup without the status; the parent is not restored.
    world.api.edit("it", |it| it["status"] = Value::Null);
    world.api.edit("parent", |parent| parent["metadata"]["finalizers"] = json!([]));
    world.api.delete("parent");
    world.api.delete("it");
    world.settle().await;
    // What its spec means is not known, so the object that the annotation names is not proven to be ours.
    assert_eq!(world.condition("DeletionBlocked"), "True ApiRefused");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn the_deletion_of_an_object_needs_no_spec_that_can_be_carried_out() {
    for (restored, expected) in [(false, &["DELETE id-a"][..]), (true, &[])] {
        let world = World::ready(json!({})).await;
        world.apply(json!({"name": 7}));
        if restored {
            world.api.edit("it", |it| it["status"] = Value::Null);
        }
        world.api.delete("it");
        world.settle().await;
        assert_eq!(world.changes(), expected, "restored: {restored}");
        assert_eq!(world.api.get("it").is_some(), restored);
    }
}

#[tokio::test]
async fn a_principal_is_found_by_its_name_and_pinned() {
    let (world, account) = (world(), HttpAccount::start().await);
    world.connect(&account).apply(json!({"group": "readers"})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotFound");
    assert_eq!(
        world.message("Ready"),
        "the account has no group readers: create it there, or correct spec.group"
    );
    assert_eq!(world.changes(), NOTHING);
    account.name("readers", Some("7"));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["resolvedRefs"]["group"], "7");
    assert_eq!(world.fake.got.lock().unwrap()["id-a"].state["value"], "7");
    // A group of the same name is another group: it gets nothing of what was given to the first one.
    account.name("readers", Some("8"));
    account.searches();
    world.quiet();
    world.connect(&account).settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(account.searches(), NOTHING, "what is pinned is not searched for");
    assert_eq!(world.status()["resolvedRefs"]["group"], "7");
}

/// Covers LC-17. What a name means is pinned for as long as the spec has a name there. After a reference that could not be resolved, another
/// name is not taken for the first one.
#[tokio::test]
async fn another_name_after_a_reference_that_was_missing_does_not_mean_what_the_first_one_did() {
    const GROUP: &[Immutable] = &[Immutable { state: "value", spec: &["value", "group", "parentRef"] }];
    let (fake, account) = (Fake::with(|fake| fake.traits.immutable = GROUP), HttpAccount::start().await);
    account.name("readers", Some("7"));
    account.name("writers", Some("8"));
    let world = world_of(fake, |_| {});
    world.connect(&account).apply(json!({"group": "readers"})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["resolvedRefs"], json!({"group": "7"}));
    world.quiet();
    world.apply(json!({"parentRef": {"name": "parent"}})).reconcile().await;
    assert_eq!(world.condition("ReferencesResolved"), "False ReferenceNotFound");
    assert_eq!(world.status()["resolvedRefs"], Value::Null);
    world.apply(json!({"group": "writers"})).reconcile().await;
    assert_eq!(world.condition("Stalled"), "True ImmutableFieldChanged");
    let message = world.message("Ready");
    assert!(message.starts_with("spec.group now means 8, but this object was created for 7: "), "{message}");
    world.apply(json!({"group": "readers"})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["resolvedRefs"], json!({"group": "7"}));
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test]
async fn what_was_lost_is_written_again_only_for_the_same_principal() {
    let cases = [
        (Some("7"), "True Available", ""),
        (None, "False ReferenceNotFound", "the account no longer has group readers: create it there"),
        (Some("8"), "False PrincipalChanged", "group readers now means another principal (8) than the one"),
    ];
    let account = HttpAccount::start().await;
    for (now, ready, message) in cases {
        account.name("readers", Some("7"));
        let world = world_of(Fake::upsert(), |_| {});
        world.connect(&account).apply(json!({"group": "readers"})).reconcile().await;
        assert_eq!(world.changes(), ["POST a"]);
        account.name("readers", now);
        world.fake.take("/a");
        world.connect(&account).reconcile().await;
        assert_eq!(world.condition("Ready"), ready, "{now:?}: {}", world.message("Ready"));
        assert!(world.message("Ready").starts_with(message), "{}", world.message("Ready"));
        let written = if now == Some("7") { vec!["POST a"] } else { vec![] };
        assert_eq!(world.changes(), written, "{now:?}");
    }
}

#[tokio::test]
async fn a_create_that_does_not_find_the_principal_searches_for_it_again() {
    let account = HttpAccount::start().await;
    account.name("readers", Some("7"));
    let world = world();
    world.connect(&account).apply(json!({"group": "readers"}));
    // The group was deleted and created again, since its id was requested.
    world.fake.refuse(Error::rejected(Reason::ReferenceNotFound, "spec.group names nothing"));
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotFound");
    account.name("readers", Some("8"));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.fake.got.lock().unwrap()["id-a"].state["value"], "8");
    assert_eq!(account.searches(), ["readers", "readers"]);
}
