//! Deletions: what is deleted first, what holds a deletion, and what is released.

use super::*;

impl World {
    /// An object that used another one was deleted, and stays in the account.
    fn stays_and_uses(&self, user: &str, used: &str) {
        let wake = &self.engine.memory.triggers;
        wake.refer(&named(user), vec![named(used)]);
        wake.retain(&named(user), vec![named(used)]);
        wake.refer(&named(user), vec![]);
    }
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
                w.engine.memory.triggers.refer(&other, vec![it]);
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

/// A Workspace that stays uses what it was built from. The account knows whether it does: the deletion is tried, and if it is
/// refused, that stays too, at once and not after twenty minutes.
#[tokio::test(start_paused = true)]
async fn what_an_object_uses_that_stays_in_the_account_stays_too_if_the_account_refuses_its_deletion() {
    let delete = json!({"deletionPolicy": "Delete"});
    for (more, in_use, events, gone) in [
        (json!({}), true, &["Retained"][..], true),
        (json!({}), false, &[], false),
        (delete.clone(), true, &["DeletionBlocked"], false),
        (delete, false, &[], false),
    ] {
        let world = World::ready(json!({})).await;
        world.stays_and_uses("user", "it");
        if in_use {
            world.fake.refuse(Error::waiting(Reason::DependencyStillInUse, "a workspace uses it"));
        }
        world.apply(more.clone()).api.delete("it");
        world.reconcile().await;
        assert_eq!(world.fake.calls(), ["GET id-a", "DELETE id-a"], "{more} {in_use}");
        assert_eq!(world.api.events(), events, "{more} {in_use}");
        assert_eq!(world.api.get("it").is_none(), gone, "{more} {in_use}");
    }
}

/// Nothing manages what was suspended or only observed, whatever else is known of it: that is a warning of its own.
#[tokio::test(start_paused = true)]
async fn what_is_not_managed_when_it_is_deleted_is_reported_as_such_even_if_it_is_used() {
    for more in [json!({"suspend": true}), json!({"managementPolicy": "Observe"})] {
        let world = World::ready(json!({})).await;
        world.stays_and_uses("user", "it");
        world.apply(more.clone()).api.delete("it");
        world.reconcile().await;
        assert!(world.api.get("it").is_none(), "{more}");
        assert_eq!(world.api.events(), ["OrphanedOnDelete"], "{more}");
        assert_eq!(world.fake.calls(), NOTHING, "{more}");
    }
}

/// Only what was released, and stays, keeps what it uses.
#[tokio::test(start_paused = true)]
async fn an_object_keeps_what_it_uses_once_it_was_released_and_stays() {
    type Happens = for<'a> fn(&'a World) -> futures::future::BoxFuture<'a, ()>;
    let cases: [(&str, Happens, bool); 5] = [
        ("retained", |w| Box::pin(async { _ = w.apply(json!({"deletionPolicy": "Retain"})) }), true),
        ("suspended", |w| Box::pin(async { _ = w.apply(json!({"suspend": true})) }), true),
        ("observed", |w| Box::pin(async { _ = w.apply(json!({"managementPolicy": "Observe"})) }), false),
        (
            "another manages it",
            |w| {
                Box::pin(async {
                    w.engine.memory.claims.release(&named("it"));
                    let claim = crate::engine::memory::Claim::id("account", "Fake", "id-a");
                    let rank = crate::engine::memory::Rank { created: 1, uid: "older".into() };
                    w.engine.memory.claims.record(&claim, &rank, &named("other"));
                })
            },
            false,
        ),
        (
            "the release failed, and it was deleted in the account after all",
            |w| {
                Box::pin(async {
                    w.apply(json!({"deletionPolicy": "Retain"})).api.delete("it");
                    w.api.next_write("metadata", Trouble::Refuse(409));
                    w.reconcile().await;
                    w.apply(json!({"deletionPolicy": "Delete"}));
                })
            },
            false,
        ),
    ];
    for (case, happens, keeps) in cases {
        let world = World::ready(json!({})).await;
        let wake = &world.engine.memory.triggers;
        wake.refer(&named("it"), vec![named("parent")]);
        happens(&world).await;
        if world.api.get("it").unwrap().metadata.deletion_timestamp.is_none() {
            world.api.delete("it");
        }
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{case}");
        wake.refer(&named("it"), vec![]);
        assert_eq!(!wake.keepers(&named("parent")).is_empty(), keeps, "{case}");
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

/// A reconcile between two refusals sends no deletion, so nothing is known of that time: it does not count.
#[tokio::test(start_paused = true)]
async fn how_long_an_object_is_in_use_counts_from_the_first_refusal_in_a_row() {
    let world = World::ready(json!({})).await;
    for _ in 0..20 {
        world.fake.refuse(Error::waiting(Reason::DependencyStillInUse, "a workspace uses it"));
    }
    world.api.delete("it");
    for (name, blocked) in [
        ("a", "True DependencyStillInUse"),
        ("renamed", "True ApiRefused"),
        ("a", "True DependencyStillInUse"),
    ] {
        world.fake.edit("id-a", |seen| seen.state["name"] = json!(name));
        tokio::time::advance(seconds(601)).await;
        world.settle().await;
        assert!(world.api.get("it").is_some(), "{name}");
        assert_eq!(world.condition("DeletionBlocked"), blocked, "{name}");
    }
    tokio::time::advance(seconds(1201)).await;
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert!(world.api.events().contains(&"Retained".to_owned()));
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

/// A list in a workspace that cannot be called, and both are deleted. If the workspace stays, the list would be in force, and no object
/// would manage it. The status of the workspace is from before the edit of its spec; it may say that the workspace was only observed.
#[tokio::test(start_paused = true)]
async fn what_is_in_a_workspace_is_left_to_its_deletion_only_if_that_is_certain() {
    let delete = json!({"deletionPolicy": "Delete"});
    for (of_parent, observed, left) in [
        (json!({}), false, true),
        (json!({"deletionProtection": false, "suspend": false, "managementPolicy": "Managed"}), false, true),
        (json!({"deletionProtection": true}), false, false),
        (json!({"suspend": true}), false, false),
        (json!({"managementPolicy": "Observe"}), false, false),
        (json!({"deletionPolicy": "Retain"}), false, false),
        (json!({"deletionPolicy": null}), false, false),
        (json!({}), true, false),
    ] {
        let world = eager(Fake::new(Lifecycle::Object, Ownership::RecordedId));
        world.api.apply("parent", spec("p", delete.clone()));
        world.reconcile_named("parent").await;
        world.apply(json!({"parentRef": {"name": "parent"}})).settle().await;
        assert_eq!(world.status()["resolvedRefs"], json!({"parentRef": "id-p"}), "{of_parent}");
        world.api.edit("it", |it| it["status"]["external"]["id"] = json!("id-p/a"));
        let mut edited = spec("p", delete.clone());
        edited.as_object_mut().unwrap().extend(of_parent.as_object().unwrap().clone());
        world.api.apply("parent", edited);
        world.api.edit("parent", |it| it["status"]["external"]["observed"] = json!(observed));
        world.api.delete("parent");
        world.api.delete("it");
        let reason = Reason::WaitingForWorkspace;
        world.fails(Error::Transient { reason, message: "it does not run".into(), after: None });
        world.reconcile().await;
        assert_eq!(world.api.get("it").is_none(), left, "{of_parent}");
        assert_eq!(world.changes().last().map(String::as_str), Some("POST a"), "{of_parent}");
        if !left {
            assert_eq!(world.condition("DeletionBlocked"), "True WaitingForWorkspace", "{of_parent}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_at_the_last_moment_stops_a_deletion() {
    let world = World::ready(json!({})).await;
    world.api.delete("it");
    world.watch();
    let before = world.api.get("it").unwrap();
    world.apply(json!({"deletionPolicy": "Retain"}));
    reconcile(&before, world.engine.clone(), world.fake).await;
    assert_eq!(world.changes(), NOTHING);
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
    assert!(world.api.get("it").is_none());
}

#[tokio::test(start_paused = true)]
async fn mass_deletion_is_stopped() {
    let fake = Fake::new(Lifecycle::Object, Ownership::RecordedId);
    let world = world_of(fake, |settings| settings.max_deletions_per_hour = 1);
    world.engine.memory.breaker.admit("account", "another").unwrap();
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

/// It was restored by a backup tool, and deleted before its first reconcile. The annotation names what stays.
#[tokio::test(start_paused = true)]
async fn a_restored_object_that_is_released_at_once_says_what_stays() {
    for (more, refused, event) in [
        (json!({"deletionPolicy": "Retain"}), false, "Retained"),
        (json!({"suspend": true}), false, "OrphanedOnDelete"),
        (json!({}), true, "Retained"),
    ] {
        let world = World::ready(json!({})).await;
        world.stays_and_uses("user", "it");
        world.api.edit("it", |it| it["status"] = Value::Null);
        if refused {
            world.fake.refuse(Error::waiting(Reason::DependencyStillInUse, "a workspace uses it"));
        }
        world.apply(more.clone()).api.delete("it");
        let (log, _kept) = Log::keep();
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{more}");
        assert_eq!(world.api.events().last().map(String::as_str), Some(event), "{more}");
        assert!(
            log.lines().iter().any(|line| line.contains("the object id-a stays in the account")),
            "{more}"
        );
    }
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
