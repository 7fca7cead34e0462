//! Who gets what is claimed, and who hears of its release.

use super::super::ranked::PASSED;
use super::*;

fn who(name: &str) -> ObjectName {
    ObjectName { kind: "IpAccessList".into(), namespace: "a".into(), name: name.into() }
}

fn rank(created: i64) -> Rank {
    Rank { created, uid: format!("u{created}") }
}

fn office() -> Claim {
    Claim::id("acc", "IpAccessList", "1")
}

#[test]
fn a_claim_that_is_taken_stays_taken() {
    let claims = Claims::default();
    assert_eq!(claims.take(&office(), &rank(2), &who("newer")), None);
    assert_eq!(claims.take(&office(), &rank(1), &who("older")), Some(who("newer")));
    assert_eq!(claims.take(&office(), &rank(2), &who("newer")), None, "again is no conflict with oneself");
    assert_eq!(claims.release(&who("newer")), [who("older")], "the loser is triggered");
    assert_eq!(claims.take(&office(), &rank(1), &who("older")), None);
}

#[test]
fn of_two_wishes_the_older_wins() {
    let claims = Claims::default();
    claims.wish(&office(), &rank(2), &who("newer"));
    claims.wish(&office(), &rank(1), &who("older"));
    assert_eq!(claims.take(&office(), &rank(2), &who("newer")), Some(who("older")));
    assert_eq!(claims.take(&office(), &rank(1), &who("older")), None);
}

#[test]
fn a_record_does_not_replace_the_holder() {
    let claims = Claims::default();
    assert_eq!(claims.record(&office(), &rank(2), &who("newer")), None);
    assert_eq!(claims.record(&office(), &rank(1), &who("forged")), Some(who("newer")));
    assert_eq!(claims.watch_holder(&office(), &who("third")), Some(who("newer")));
    let mut freed = claims.release(&who("newer"));
    freed.sort();
    assert_eq!(freed, [who("forged"), who("third")]);
}

fn members(shared: bool) -> Claim {
    Claim::part("acc", &HeldPart { what: "the members of the group 7".into(), shared })
}

#[test]
fn objects_that_share_a_part_exclude_only_one_that_wants_all_of_it() {
    let (claims, all, one) = (Claims::default(), members(false), members(true));
    assert_eq!(claims.take(&one, &rank(2), &who("one")), None);
    assert_eq!(claims.record(&one, &rank(3), &who("another")), None);
    assert_eq!(claims.take(&all, &rank(1), &who("all")), Some(who("one")), "the oldest is named");
    assert_eq!(claims.record(&all, &rank(1), &who("all")), Some(who("one")));
    assert_eq!(claims.watch_holder(&one, &who("another")), None);
    assert_eq!(claims.release(&who("one")), [who("all")], "it was refused for this one");
    assert_eq!(claims.take(&all, &rank(1), &who("all")), Some(who("another")));
    assert_eq!(claims.keep_only(&who("another"), &[]), [who("all")]);
    assert_eq!(claims.take(&all, &rank(1), &who("all")), None);
    for (name, age) in [("one", 2), ("another", 3)] {
        assert_eq!(claims.take(&one, &rank(age), &who(name)), Some(who("all")), "{name}");
    }
    assert!(claims.holds(&all, &rank(1), &who("all")) && !claims.holds(&one, &rank(2), &who("one")));
    assert_eq!(claims.release(&who("all")), [who("another"), who("one")]);
}

#[test]
fn the_older_wish_for_a_part_wins_and_no_sharer_waits_for_a_wish_that_cannot_be_met() {
    let (all, one) = (members(false), members(true));
    let wished = |all_older: bool| {
        let claims = Claims::default();
        let ranks = if all_older { [1, 2] } else { [2, 1] };
        claims.wish(&all, &rank(ranks[0]), &who("all"));
        claims.wish(&one, &rank(ranks[1]), &who("one"));
        (claims.take(&one, &rank(ranks[1]), &who("one")), claims.take(&all, &rank(ranks[0]), &who("all")))
    };
    assert_eq!(wished(true), (Some(who("all")), None));
    assert_eq!(wished(false), (None, Some(who("one"))));
    let claims = Claims::default();
    claims.record(&one, &rank(2), &who("one"));
    claims.wish(&all, &rank(1), &who("all"));
    assert_eq!(claims.take(&one, &rank(3), &who("another")), None);
}

#[test]
fn parts_that_an_object_may_not_have_are_free_and_its_wish_for_a_held_part_stays() {
    let (claims, all, one) = (Claims::default(), members(false), members(true));
    assert_eq!(claims.take(&office(), &rank(1), &who("refused")), None);
    assert_eq!(claims.take(&one, &rank(1), &who("refused")), None);
    assert_eq!(claims.take(&all, &rank(2), &who("all")), Some(who("refused")));
    assert_eq!(claims.give_up_parts(&who("refused"), &[]), [who("all")]);
    assert!(claims.holds(&office(), &rank(1), &who("refused")), "it is no part");

    claims.wish(&one, &rank(1), &who("refused"));
    assert!(claims.give_up_parts(&who("refused"), &[]).is_empty());
    assert_eq!(claims.take(&all, &rank(2), &who("all")), None, "an older wish keeps no object from it");
    claims.wish(&one, &rank(1), &who("refused"));
    assert!(claims.give_up_parts(&who("refused"), &[]).is_empty());
    assert_eq!(claims.release(&who("all")), [who("refused")]);
    assert_eq!(claims.take(&all, &rank(2), &who("all")), Some(who("refused")), "the older is the first");
    assert!(claims.give_up_parts(&who("refused"), std::slice::from_ref(&one)).is_empty());
    assert!(claims.holds(&one, &rank(1), &who("refused")));
}

#[test]
fn an_older_wish_takes_nothing_from_its_holder() {
    let claims = Claims::default();
    assert_eq!(claims.take(&office(), &rank(2), &who("newer")), None);
    claims.wish(&office(), &rank(1), &who("older"));
    assert_eq!(claims.take(&office(), &rank(2), &who("newer")), None);
    assert!(claims.holds(&office(), &rank(2), &who("newer")));
}

#[test]
fn a_part_is_one_thing_for_all_kinds_and_another_one_in_another_account() {
    let claims = Claims::default();
    let group = ObjectName { kind: "Group".into(), ..who("all") };
    assert_eq!(claims.take(&members(false), &rank(1), &group), None);
    assert_eq!(claims.take(&members(true), &rank(2), &who("one")), Some(group));
    let elsewhere = HeldPart { what: "the members of the group 7".into(), shared: true };
    assert_eq!(claims.take(&Claim::part("other", &elsewhere), &rank(2), &who("one")), None);
}

#[test]
fn a_renamed_object_releases_its_old_name() {
    let claims = Claims::default();
    let old = Claim::key("acc", "IpAccessList", &Key { within: String::new(), name: "old".into() });
    assert_eq!(claims.take(&old, &rank(1), &who("one")), None);
    claims.keep_only(&who("one"), &[office()]);
    assert_eq!(claims.take(&old, &rank(2), &who("two")), None);
}

/// Thousands of objects can share a part of one, and each is claimed, and released, as if there were few.
#[test]
fn what_a_claim_costs_does_not_grow_with_the_objects_that_share_it() {
    let passed = |count: i64| {
        let (claims, part, before) = (Claims::default(), members(true), PASSED.get());
        let all: Vec<_> = (0..count).map(|n| (rank(n), who(&n.to_string()))).collect();
        for (rank, who) in &all {
            claims.wish(&part, rank, who);
        }
        for (rank, who) in all.iter().rev() {
            assert_eq!(claims.take(&part, rank, who), None);
            assert_eq!(claims.record(&part, rank, who), None);
            assert!(claims.keep_only(who, std::slice::from_ref(&part)).is_empty());
        }
        assert_eq!(claims.watch_holder(&members(false), &who("all")), Some(who("0")));
        for (rank, who) in &all {
            assert!(claims.holds(&part, rank, who));
            claims.release(who);
        }
        PASSED.get() - before
    };
    let (few, many) = (passed(300), passed(3000));
    assert!(few > 0 && many <= 11 * few, "{few} steps for 300 objects, {many} for 3,000");
}

#[test]
fn an_object_that_was_created_again_wishes_once() {
    let (claims, again) = (Claims::default(), who("again"));
    claims.wish(&office(), &rank(1), &again);
    claims.wish(&office(), &rank(3), &again);
    assert_eq!(claims.take(&office(), &rank(2), &who("other")), None, "the older one of that name is gone");
    assert_eq!(claims.take(&office(), &rank(3), &again), Some(who("other")));
}
