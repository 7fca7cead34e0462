//! Two objects that would manage a part of one object in the account: who has it keeps it, and the other one writes nothing.

use super::*;

impl World {
    /// Applies another object with a share of the same, and reconciles it. Returns its status.
    async fn shares(&self, name: &str, more: Value) -> Value {
        let mut other = spec(&format!("of {name}"), more);
        other["value"] = json!("one of x");
        self.api.apply(name, other);
        self.again(name).await
    }

    async fn again(&self, name: &str) -> Value {
        self.reconcile_named(name).await;
        self.api.get(name).unwrap().data["status"].clone()
    }
}

/// What an object says that was refused.
fn refusal(status: &Value) -> &str {
    assert_eq!(condition(status, "Stalled"), "True ManagementConflict", "{status}");
    status["conditions"][0]["message"].as_str().unwrap()
}

/// Whether an object was refused because the object `it` has all of the part.
fn refusal_by_it(status: &Value) -> bool {
    refusal(status).starts_with("Fake ns/it manages x")
}

/// Covers LC-02.
#[tokio::test(start_paused = true)]
async fn an_object_that_shares_a_part_waits_until_the_holder_of_the_whole_part_gives_it_up() {
    for (end, written) in [
        (json!({"value": "v"}), &["PATCH id-a value", "POST of other"][..]),
        (json!({"value": "all of x", "managementPolicy": "Observe"}), &["POST of other"][..]),
    ] {
        let world = World::ready(json!({"value": "all of x"})).await;
        assert_eq!(world.status()["parts"], json!([{"what": "x"}]));
        let mut woken = world.engine.memory.triggers.subscribe("Fake", None);
        let other = world.shares("other", json!({})).await;
        let text = refusal(&other);
        assert!(text.starts_with("Fake ns/it manages x") && text.ends_with("change spec.value"), "{text}");
        assert_eq!((world.changes(), &other["parts"]), (vec![], &Value::Null));
        world.apply(end).reconcile().await;
        assert_eq!(woken.try_recv().ok(), Some(named("other")));
        assert_eq!(world.status()["parts"], Value::Null);
        let other = world.again("other").await;
        assert_eq!(condition(&other, "Ready"), "True Available");
        assert_eq!(other["parts"], json!([{"what": "x", "shared": true}]));
        assert_eq!(world.changes(), written);
    }
}

/// Covers LC-02. It is refused as a whole, and stays what it is for those that refer to it.
#[tokio::test(start_paused = true)]
async fn a_bound_object_waits_for_each_that_shares_a_part_and_records_that_it_has_all_before_it_writes() {
    let world = World::ready(json!({})).await;
    for name in ["other", "parent"] {
        let ready = world.shares(name, json!({})).await;
        assert_eq!(condition(&ready, "Ready"), "True Available", "{ready}");
    }
    world.quiet();
    world.apply(json!({"value": "all of x"}));
    for name in ["other", "parent"] {
        let status = world.again("it").await;
        let text = refusal(&status);
        assert!(text.starts_with(&format!("Fake ns/{name} manages x")), "{text}");
        assert_eq!((world.changes(), &status["parts"]), (vec![], &Value::Null));
        assert_eq!((&status["drift"][0]["path"], &status["usable"]), (&json!("value"), &json!(true)));
        // As the watch does when an object is gone.
        assert_eq!(world.engine.memory.claims.release(&named(name)), [named("it")]);
    }
    world.api.next_write("status", Trouble::Refuse(409));
    world.reconcile().await;
    assert_eq!(world.changes(), NOTHING, "after a restart another object could have it");
    world.reconcile().await;
    assert_eq!(world.changes(), ["PATCH id-a value"]);
    assert_eq!(world.status()["parts"], json!([{"what": "x"}]));
    assert_eq!(world.condition("Ready"), "True Available");
    let other = world.again("other").await;
    assert!(refusal(&other).starts_with("Fake ns/it manages x"), "{other}");
}

/// Covers LC-02. What is in the account may be there because of the other object: no policy helps.
#[tokio::test(start_paused = true)]
async fn what_has_all_of_a_part_is_named_also_where_the_share_is_in_the_account_already() {
    for policy in ["IfOwned", "IfExists", "Never"] {
        let world = world();
        let mut there = seen("1", "of other", None);
        there.state["value"] = json!("one of x");
        world.fake.put(there);
        world.apply(json!({"value": "all of x"})).settle().await;
        world.quiet();
        let other = world.shares("other", json!({"adoptionPolicy": policy})).await;
        assert!(refusal(&other).contains("Fake ns/it"), "{policy}: {other}");
        assert_eq!((world.changes(), &other["external"]), (vec![], &Value::Null), "{policy}");
    }
}

/// Covers LC-02. What its guard or the account refuses changes nothing in the account, so it keeps no other object from a part.
#[tokio::test(start_paused = true)]
async fn what_is_refused_leaves_its_part_to_others() {
    let denied = || Error::rejected(Reason::PermissionDenied, "not for you");
    for (refusal, more) in [(None, json!({"name": "lock-out"})), (Some(denied()), json!({}))] {
        let world = World::ready(json!({})).await;
        refusal.into_iter().for_each(|error| world.fake.refuse(error));
        let other = world.shares("other", more).await;
        assert!(condition(&other, "Ready").starts_with("False"), "{other}");
        assert_eq!((&other["parts"], &other["external"]), (&Value::Null, &Value::Null));
        world.apply(json!({"value": "all of x"})).reconcile().await;
        assert_eq!(world.condition("Ready"), "True Available");
        assert_eq!(world.status()["parts"], json!([{"what": "x"}]));
        assert!(refusal_by_it(&world.again("other").await));
    }
}

/// Covers LC-02. The same for an object that is bound: it has a part once it may write it, and then keeps it, whatever is refused.
#[tokio::test(start_paused = true)]
async fn a_refused_change_of_a_bound_object_claims_no_new_part_and_loses_no_old_one() {
    let world = World::ready(json!({})).await;
    let locks_out = json!({"name": "lock-out", "value": "all of x"});
    world.apply(locks_out.clone()).reconcile().await;
    assert_eq!(world.condition("Stalled"), "True WouldLockOut");
    assert_eq!((world.changes(), &world.status()["parts"]), (vec![], &Value::Null));
    let other = world.shares("other", json!({})).await;
    assert_eq!(condition(&other, "Ready"), "True Available", "{other}");

    let world = World::ready(json!({"value": "all of x"})).await;
    world.apply(locks_out).reconcile().await;
    assert_eq!(world.condition("Stalled"), "True WouldLockOut");
    assert_eq!(world.status()["parts"], json!([{"what": "x"}]));
    assert!(refusal_by_it(&world.shares("other", json!({})).await));
}

/// Covers LC-02. As long as no other object has a part, nothing is refused for it.
#[tokio::test(start_paused = true)]
async fn what_exists_without_a_holder_is_adopted_together_with_its_part() {
    let world = world();
    let mut there = seen("1", "a", None);
    there.state["value"] = json!("all of x");
    world.fake.put(there);
    world.apply(json!({"value": "all of x", "adoptionPolicy": "IfExists"})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["parts"], json!([{"what": "x"}]));
    assert!(refusal(&world.shares("other", json!({})).await).contains("Fake ns/it"));
    assert_eq!(world.changes(), NOTHING);
}
