//! Deletions: what is deleted first, what holds a deletion, and what is released.

use super::*;

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

/// A Workspace that stays uses what it was built from: without a policy, that stays too, and a deletion of all ends.
#[tokio::test(start_paused = true)]
async fn what_an_object_uses_that_stays_in_the_account_stays_too_unless_a_policy_says_otherwise() {
    for (more, events, calls) in [
        (json!({}), &["Retained"][..], &[][..]),
        (json!({"deletionPolicy": "Delete"}), &[], &["GET id-a", "DELETE id-a"]),
    ] {
        let world = World::ready(json!({})).await;
        let wake = &world.engine.memory.wake;
        wake.refer(&named("user"), vec![named("it")]);
        wake.retain(&named("user"));
        wake.refer(&named("user"), vec![]);
        world.apply(more.clone()).api.delete("it");
        world.reconcile().await;
        assert_eq!(world.fake.calls(), calls, "{more}");
        assert_eq!(world.api.events(), events, "{more}");
    }
}

/// What uses it may be unknown to this cluster. The operator waits as long as that may be a deletion under way.
#[tokio::test(start_paused = true)]
async fn what_stays_in_use_in_the_account_is_left_there_unless_a_policy_says_otherwise() {
    for (more, released) in [(json!({}), true), (json!({"deletionPolicy": "Delete"}), false)] {
        let world = World::ready(more.clone()).await;
        for _ in 0..20 {
            world.fake.refuse(Error::waiting(Reason::DependencyStillInUse, "a workspace uses it"));
        }
        world.api.delete("it");
        tokio::time::advance(Duration::from_secs(601)).await;
        world.settle().await;
        assert_eq!(world.condition("DeletionBlocked"), "True DependencyStillInUse", "{more}");
        assert!(world.message("DeletionBlocked").contains("a workspace uses it"), "{more}");
        tokio::time::advance(Duration::from_secs(1201)).await;
        world.settle().await;
        assert_eq!(world.api.get("it").is_none(), released, "{more}");
        assert_eq!(world.api.events().contains(&"Retained".to_owned()), released, "{more}");
        assert!(world.fake.got.lock().unwrap().contains_key("id-a"), "it is still in the account");
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
async fn an_accepted_deletion_is_not_sent_again_while_reads_may_lag() {
    let world = world_of(Fake::with(|fake| fake.traits.read_lag = seconds(600)), |_| {});
    world.apply(json!({})).settle().await;
    world.quiet();
    *world.fake.late.lock().unwrap() = true;
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), ["DELETE id-a"]);
    assert_eq!(world.condition("Ready"), "False Deleting");
    assert!(world.message("Ready").contains("the deletion was accepted; waiting"));
    tokio::time::advance(seconds(600)).await;
    world.reconcile().await;
    assert_eq!(world.changes(), ["DELETE id-a"], "it had no effect");
    assert_eq!(world.condition("Ready"), "False Deleting");
    world.fake.take("id-a");
    world.settle().await;
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn what_an_interrupted_create_may_have_created_is_named_when_it_stays() {
    let world = world();
    world.apply(json!({})).loses(unknown()).reconcile().await;
    world.apply(json!({"deletionPolicy": "Retain"})).quiet();
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.api.events(), ["OrphanedOnDelete"]);
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_restored_object_whose_object_is_gone_is_released_without_an_event() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["status"] = Value::Null);
    world.fake.take("id-a");
    world.api.delete("it");
    for _ in 0..2 {
        tokio::time::advance(seconds(11)).await;
        world.settle().await;
    }
    assert!(world.api.get("it").is_none());
    assert_eq!(world.api.events(), NOTHING, "it never said what it managed");
    assert_eq!(world.changes(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_only_others_hold_is_left_to_them() {
    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["metadata"]["finalizers"] = json!(["x/y"]));
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.fake.calls(), NOTHING);
    assert_eq!(world.api.writes(), NOTHING);
    assert!(world.api.get("it").is_some());
}
