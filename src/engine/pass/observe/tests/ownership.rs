//! Whose an object in the account is: by the record, the mark, the name, and the claims of other objects.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_record_alone_proves_nothing() {
    boot().await;
    let annotated = || Bound { annotated: Some("1".into()), ..Bound::default() };
    let cases = [
        ("our mark", Some(MARK), "a", true),
        ("our mark under another name", Some(MARK), "b", true),
        ("no mark, the natural name", None, "a", true),
        ("no mark, another name", None, "b", false),
        ("the mark of another", Some("here/ns/other"), "a", false),
    ];
    for (case, owner, name, ours) in cases {
        let world = World { bound: annotated(), ..marked() };
        world.fake.put(seen("1", name, owner));
        let found = world.found().await;
        assert_eq!(matches!(found, Found::Ours(_)), ours, "{case}: {found:?}");
        assert_eq!(matches!(found, Found::Foreign(_)), !ours, "{case}: {found:?}");
    }
}

/// A retained object that was renamed in the account, or whose spec is applied again with another name: a second one is not created,
/// and which one is meant is not guessed.
#[tokio::test(start_paused = true)]
async fn what_carries_our_mark_under_another_name_is_a_question() {
    boot().await;
    let with = |rows: &[(&str, &str, Option<&str>)]| {
        let world = marked();
        rows.iter().for_each(|(id, name, owner)| world.fake.put(seen(id, name, *owner)));
        world
    };
    let renamed = ("1", "b", Some(MARK));
    let other = ("2", "c", Some("here/ns/other"));
    assert_eq!(with(&[renamed, other]).found().await, Found::Renamed(vec!["1".into()]));
    // What has the name is meant, be it marked or not.
    let found = with(&[renamed, ("2", "a", Some(MARK))]).found().await;
    assert!(matches!(&found, Found::Ours(seen) if seen.id == "2"), "{found:?}");
    let found = with(&[renamed, ("2", "a", None)]).found().await;
    assert!(matches!(&found, Found::Foreign(seen) if seen.id == "2"), "{found:?}");
    for (observing, deleting) in [(true, false), (false, true)] {
        let world = World { observing, deleting, ..with(&[renamed]) };
        assert!(matches!(world.found().await, Found::Nothing { .. }), "{observing} {deleting}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_user_said_is_ours_is_ours_although_it_carries_another_mark() {
    boot().await;
    for (adoption, ours) in [(AdoptionPolicy::IfOwned, false), (AdoptionPolicy::IfExists, true)] {
        let bound = Bound { annotated: Some("1".into()), ..Bound::default() };
        let world = World { bound, adoption, ..marked() };
        world.fake.put(seen("1", "a", Some("old/ns/it")));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{adoption:?}");
    }
    let adopted = External { adopted: true, ..external("1", None).unwrap() };
    let world = World { bound: Bound { external: Some(adopted), ..Bound::default() }, ..marked() };
    world.fake.put(seen("1", "a", Some("old/ns/it")));
    assert!(matches!(world.found().await, Found::Ours(_)), "our mark is still to be set");
}

#[tokio::test(start_paused = true)]
async fn the_name_that_was_last_seen_is_recognised_and_any_other_is_not() {
    boot().await;
    let renamed = || World { bound: bound("1"), want: Some(json!({"name": "new"})), ..unmarked() };
    for (name, ours) in [("a", true), ("new", true), ("other", false)] {
        let world = renamed();
        world.fake.put(seen("1", name, None));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{name}");
    }
    // While deleting, the spec may be unreadable.
    for (name, ours) in [("a", true), ("other", false)] {
        let world = World { want: None, deleting: true, ..renamed() };
        world.fake.put(seen("1", name, None));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_spec_names_by_id_is_foreign_until_it_is_adopted() {
    boot().await;
    let world = World { bound: Bound { spec_id: Some("1".into()), ..Bound::default() }, ..marked() };
    world.fake.put(seen("1", "a", Some(MARK)));
    assert!(matches!(world.found().await, Found::Foreign(_)));
}

#[tokio::test(start_paused = true)]
async fn an_observer_needs_only_the_id_and_claims_nothing() {
    boot().await;
    let bound = bound("1");
    let world = World { bound, observing: true, ..marked() };
    world.held("1");
    world.fake.put(seen("1", "b", Some("here/ns/older")));
    assert!(matches!(world.found().await, Found::Ours(_)));
    // Managed again, what was only observed is ours only by its mark.
    let observed = External { observed: true, adopted: true, ..external("1", None).unwrap() };
    for (owner, ours) in [(Some(MARK), true), (None, false)] {
        let world =
            World { bound: Bound { external: Some(observed.clone()), ..Bound::default() }, ..marked() };
        world.fake.put(seen("1", "a", owner));
        assert_eq!(matches!(world.found().await, Found::Ours(_)), ours, "{owner:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_object_manages_is_held_and_costs_no_call() {
    boot().await;
    let world = World { bound: bound("1"), ..unmarked() };
    world.held("1");
    assert_eq!(world.found().await, Found::ManagedBy("Fake ns/older".into()));
    assert_eq!(world.fake.calls(), [""; 0]);
    let world = unmarked();
    world.held("1");
    world.fake.put(seen("1", "a", None));
    assert_eq!(world.found().await, Found::ManagedBy("Fake ns/older".into()), "found by its name");
}

#[tokio::test(start_paused = true)]
async fn a_recorded_manager_claims_its_object_before_it_is_read_and_an_object_that_only_observed_claims_nothing()
 {
    boot().await;
    let holder = |world: &World| world.claims.watch_holder(&Claim::id("account", "Fake", "1"), &who("other"));
    let world = World { bound: bound("1"), ..unmarked() };
    assert_eq!(world.found().await, Found::Nothing { settled: false });
    assert_eq!(holder(&world), Some(who("it")), "although no read has shown it");
    let observed = External { observed: true, adopted: true, ..external("1", None).unwrap() };
    let world = World { bound: Bound { external: Some(observed), ..Bound::default() }, ..marked() };
    world.fake.put(seen("1", "a", None));
    assert!(matches!(world.found().await, Found::Foreign(_)));
    assert_eq!(holder(&world), None, "another object may adopt it");
}
