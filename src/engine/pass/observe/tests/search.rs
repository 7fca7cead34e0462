//! What is found without a record: by the key, in the LIST.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_record_the_account_is_searched_for_what_the_spec_means() {
    boot().await;
    type There<'a> = &'a [(&'a str, &'a str, Option<&'a str>)];
    let cases: [(&str, There<'_>, Found); 6] = [
        ("empty", &[], Found::Nothing { settled: true }),
        ("others", &[("1", "b", None)], Found::Nothing { settled: true }),
        ("one", &[("1", "a", None)], Found::Foreign(seen("1", "a", None))),
        ("two", &[("2", "a", None), ("1", "a", None)], Found::Several(vec!["1".into(), "2".into()])),
        ("ours", &[("1", "a", Some(MARK))], Found::Ours(seen("1", "a", Some(MARK)))),
        (
            "ours among two",
            &[("1", "a", None), ("2", "a", Some(MARK))],
            Found::Ours(seen("2", "a", Some(MARK))),
        ),
    ];
    for (case, there, found) in cases {
        let world = marked();
        there.iter().for_each(|(id, name, owner)| world.fake.put(seen(id, name, *owner)));
        let look = world.look(Freshness::Routine).await.unwrap();
        assert_eq!(look.found, found, "{case}");
        assert_eq!(look.may_be_stale, !matches!(found, Found::Nothing { .. }), "{case}");
        assert_eq!(world.fake.calls(), ["LIST "], "{case}");
    }
}

/// Covers LC-20. A disabled twin, or a setting that was never set.
#[tokio::test(start_paused = true)]
async fn of_what_nothing_manages_one_is_found_unless_something_manages_another() {
    boot().await;
    let vacant = |id: &str| {
        let mut seen = seen(id, "a", None);
        seen.about.phase = Phase::Vacant;
        seen
    };
    for (there, found) in [
        (vec![vacant("2"), vacant("1")], Found::Foreign(vacant("1"))),
        (vec![vacant("1"), seen("2", "a", None)], Found::Foreign(seen("2", "a", None))),
        (
            vec![vacant("1"), seen("2", "a", None), seen("3", "a", None)],
            Found::Several(vec!["2".into(), "3".into()]),
        ),
    ] {
        let world = unmarked();
        there.into_iter().for_each(|seen| world.fake.put(seen));
        assert_eq!(world.found().await, found);
    }
}

/// Covers LC-20. The shared LIST may be older than what another user set.
#[tokio::test(start_paused = true)]
async fn what_is_always_there_is_taken_up_after_a_read_of_its_own() {
    boot().await;
    let world = world(Lifecycle::Standing, Ownership::RecordedId);
    let mut vacant = seen("a", "a", None);
    vacant.about.phase = Phase::Vacant;
    world.fake.put(vacant.clone());
    let look = world.look(Freshness::Routine).await.unwrap();
    assert_eq!((look.found, look.may_be_stale), (Found::Foreign(vacant.clone()), true));
    // Another user set it meanwhile, and the LIST does not show that yet.
    world.fake.got.lock().unwrap().insert("a".into(), seen("a", "a", None));
    let look = world.look(Freshness::BeforeWrite).await.unwrap();
    assert_eq!((look.found, look.may_be_stale), (Found::Foreign(seen("a", "a", None)), false));
    assert_eq!(world.fake.calls(), ["LIST ", "GET a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_found_by_its_name_is_read_by_its_id_before_a_write() {
    boot().await;
    let world = unmarked();
    world.fake.put(seen("1", "a", None));
    let look = world.look(Freshness::BeforeWrite).await.unwrap();
    assert_eq!((look.found, look.may_be_stale), (Found::Foreign(seen("1", "a", None)), false));
    assert_eq!(look.before, ["1"], "a create must not take it for its result");
    assert_eq!(world.fake.calls(), ["LIST ", "GET 1"]);
    // It disappeared meanwhile.
    world.fake.got.lock().unwrap().clear();
    assert!(matches!(world.look(Freshness::BeforeWrite).await, Err(Error::Transient { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_being_deleted_does_not_prevent_a_create() {
    boot().await;
    let world = unmarked();
    let mut leaving = seen("1", "a", None);
    leaving.about.phase = Phase::Leaving("going".into());
    world.fake.put(leaving);
    let look = world.look(Freshness::Routine).await.unwrap();
    assert_eq!(look.found, Found::Nothing { settled: true });
    assert_eq!(look.before, ["1"], "nor is it the result of that create");
}

#[tokio::test(start_paused = true)]
async fn an_announced_upsert_finds_its_own_row_after_a_crash() {
    boot().await;
    let world = World { bound: Bound { intent: intent(NOW - 5, &[]), ..Bound::default() }, ..upsert() };
    world.fake.put(seen("/a", "a", None));
    assert!(matches!(world.found().await, Found::Ours(_)));
    let world = upsert();
    world.fake.put(seen("/a", "a", None));
    assert!(matches!(world.found().await, Found::Foreign(_)), "one that was there before is not");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_object_without_a_record_created_nothing() {
    boot().await;
    let world = World { deleting: true, ..unmarked() };
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(world.fake.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_get_does_not_confirm_is_not_adopted_and_the_list_is_read_again() {
    boot().await;
    let mut leaving = seen("1", "a", None);
    leaving.about.phase = Phase::Leaving("going".into());
    for (case, got) in [("it is being deleted", leaving), ("it is another one", seen("2", "a", None))] {
        let world = unmarked();
        world.fake.put(seen("1", "a", None));
        world.fake.got.lock().unwrap().insert("1".into(), got);
        let Err(Error::Transient { message, .. }) = world.look(Freshness::BeforeWrite).await else {
            panic!("{case}")
        };
        assert!(message.starts_with("1 existed a moment ago"), "{message}");
        assert_eq!(world.fake.calls(), ["LIST ", "GET 1"], "{case}");
        world.found().await;
        assert_eq!(world.fake.calls(), ["LIST "], "{case}");
    }
}

/// A thousand creates read a thousand keys in a LIST, not a million. A row that was changed since the LIST is found as it is now.
#[tokio::test(start_paused = true)]
async fn a_search_by_key_compares_only_the_rows_that_have_it() {
    boot().await;
    let fake = Fake::with(|fake| fake.traits.found_by_key = true);
    let world = World { fake, ..unmarked() };
    for n in 0..300 {
        fake.put(seen(&n.to_string(), "other", None));
    }
    let compared = || std::mem::take(&mut *fake.compared.lock().unwrap());
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(compared(), 0);
    world.snapshots.amend(fake, "", seen("7", "a", None)).await;
    assert_eq!(world.found().await, Found::Foreign(seen("7", "a", None)));
    assert!((1..=2).contains(&compared()));
    world.snapshots.amend(fake, "", seen("7", "b", None)).await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(compared(), 1, "it had the key");
    world.snapshots.amend(fake, "", seen("new", "a", None)).await;
    world.snapshots.remove(fake, "", "new").await;
    assert_eq!(world.found().await, Found::Nothing { settled: true });
    assert_eq!(fake.calls(), ["LIST "]);
}
