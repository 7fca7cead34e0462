//! What is always in the account: how it is taken up, changed when others change it too, and put back.

use super::*;

/// A kind that is always there, of which nothing manages `a`.
fn standing() -> World {
    let fake = Fake::new(Lifecycle::Standing, Ownership::RecordedId);
    fake.put(vacant("a"));
    eager(fake)
}

fn overtaken() -> Error {
    Error::Conflict("PATCH a: another version".into())
}

impl World {
    /// Another user sets the value.
    fn theirs(&self, value: &str) {
        self.fake.edit("a", |seen| {
            (seen.state["value"], seen.about.phase) = (json!(value), Phase::Ready);
        });
    }

    fn value(&self) -> Value {
        self.fake.got.lock().unwrap()["a"].state["value"].clone()
    }
}

/// Covers LC-20.
#[tokio::test(start_paused = true)]
async fn what_nothing_manages_is_bound_and_then_changed() {
    let world = standing();
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET a", "PATCH a value"]);
    assert_eq!(world.api.writes(), ["metadata", "status", "status", "metadata"], "bound, then sent");
    assert_eq!(world.api.events(), ["Updated", "Created"]);
    assert_eq!(world.fake.judged.lock().unwrap().len(), 1, "its guard is asked once");
    let external = world.status()["external"].clone();
    assert_eq!((&external["id"], &external["adopted"]), (&json!("a"), &json!(false)), "it is put back later");
    assert_eq!(world.condition("Ready"), "True Available");
    world.quiet();
    world.settle().await;
    assert_eq!(world.changes(), NOTHING);
}

/// Covers LC-20.
#[tokio::test(start_paused = true)]
async fn what_is_wanted_as_it_is_when_nothing_manages_it_is_bound_without_a_call() {
    let world = standing();
    world.fake.edit("a", |seen| seen.state["value"] = json!("v"));
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.changes(), NOTHING);
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["externalId"], "a");
}

/// Covers LC-20.
#[tokio::test(start_paused = true)]
async fn what_others_set_is_left_alone() {
    let world = standing();
    world.theirs("x");
    world.apply(json!({})).settle().await;
    assert_eq!((world.changes(), world.value()), (vec![], json!("x")));
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    // With permission it is adopted, and so it is retained.
    world.apply(json!({"adoptionPolicy": "IfExists"})).settle().await;
    assert_eq!(world.value(), "v");
    assert_eq!(world.status()["effective"]["deletionPolicy"], "Retain");
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!((world.changes(), world.value()), (vec!["PATCH a value".to_owned()], json!("v")));
}

/// Covers LC-20, LC-21. Another user sets it between the read and the change, which the account refuses for its version.
#[tokio::test(start_paused = true)]
async fn what_others_set_at_the_same_moment_is_left_alone_too() {
    let world = standing();
    world.fake.refuse(overtaken());
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.changes(), ["PATCH a value"]);
    assert_eq!(world.status()["external"], Value::Null, "it is not ours");
    assert_eq!(world.status()["externalId"], Value::Null);
    assert!(!world.api.events().contains(&"Created".to_owned()));
    world.theirs("x");
    world.settle().await;
    assert_eq!((world.changes(), world.value()), (vec![], json!("x")));
    assert_eq!(world.condition("Ready"), "False AlreadyExists");
    assert!(world.api.get("it").unwrap().metadata.annotations.unwrap_or_default().is_empty());
}

/// Covers LC-21.
#[tokio::test(start_paused = true)]
async fn a_change_that_another_overtook_is_sent_once_more_after_a_read() {
    let world = standing();
    world.apply(json!({})).settle().await;
    world.theirs("x");
    world.quiet();
    tokio::time::advance(seconds(1)).await;
    world.fake.refuse(overtaken());
    assert_eq!(world.reconcile().await, Action::requeue(Duration::ZERO));
    assert_eq!(world.fake.calls(), ["LIST ", "GET a", "PATCH a value"]);
    assert_eq!(world.condition("Ready"), "True Available", "it resolves by itself");
    world.reconcile().await;
    assert_eq!(world.fake.calls(), ["LIST ", "GET a", "PATCH a value"], "no row from before is used");
    assert_eq!(world.value(), "v");
    world.settle().await;
    assert_eq!(world.changes(), NOTHING, "one value, without a loop");
}

/// Covers LC-20. What a crash, or a write without a response, leaves behind.
#[tokio::test(start_paused = true)]
async fn what_was_bound_and_not_changed_yet_is_changed_later_or_put_back() {
    for deleted in [false, true] {
        let world = standing();
        world.apply(json!({})).api.next_write("status", Trouble::Lose);
        world.reconcile().await;
        assert_eq!(world.changes(), NOTHING, "nothing is sent whose record may be missing");
        assert_eq!(world.status()["externalId"], "a");
        if deleted {
            world.api.delete("it");
        }
        world.settle().await;
        assert_eq!(world.api.get("it").is_none(), deleted);
        let expected: &[&str] = if deleted { &[] } else { &["PATCH a value"] };
        assert_eq!(world.changes(), expected);
    }
    // The change was carried out, and its response was lost.
    let world = standing();
    world.apply(json!({})).loses(Error::retry("no answer")).reconcile().await;
    assert_eq!((world.changes(), world.value()), (vec!["PATCH a value".to_owned()], json!("v")));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.status()["external"]["adopted"], false);
    assert_eq!(world.changes(), NOTHING);
}

/// Covers LC-20.
#[tokio::test(start_paused = true)]
async fn a_deletion_puts_it_back_and_says_what_stays() {
    let world = standing();
    world.apply(json!({})).settle().await;
    world.quiet();
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.fake.calls(), ["GET a", "DELETE a", "GET a"]);
    assert_eq!(world.fake.got.lock().unwrap()["a"].about.phase, Phase::Vacant);
    assert_eq!(world.api.events(), ["Deleted"]);
}

/// Covers LC-21. What another user changed since it was read is not put back unseen.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_another_change_overtook_is_sent_once_more_after_a_read() {
    let world = standing();
    world.apply(json!({})).settle().await;
    world.quiet();
    world.api.delete("it");
    world.fake.refuse(overtaken());
    world.reconcile().await;
    assert!(world.api.get("it").is_some());
    assert_eq!(world.fake.calls(), ["GET a", "DELETE a"]);
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.changes(), ["DELETE a"]);
}

/// Covers LC-20. The shared LIST may be from before another user set the value.
#[tokio::test(start_paused = true)]
async fn it_counts_as_put_back_only_by_a_read_of_its_own() {
    let world = world_of(standing().fake, |_| {});
    world.fake.edit("a", |seen| seen.state["value"] = json!("v"));
    world.apply(json!({})).settle().await;
    let set = Seen { about: About::default(), ..vacant("a") };
    world.fake.got.lock().unwrap().insert("a".into(), set);
    world.quiet();
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.changes(), ["DELETE a"]);
}

/// Covers LC-20. The API has no way to take it away.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_away_stays_as_it_is() {
    let fake =
        Fake::with(|fake| (fake.traits.lifecycle, fake.traits.removable) = (Lifecycle::Standing, false));
    fake.put(vacant("a"));
    let world = eager(fake);
    // The schema refuses this; an object may be older than the schema.
    world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
    assert_eq!(world.status()["effective"]["deletionPolicy"], "Retain");
    world.quiet();
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!((world.changes(), world.value()), (vec![], json!("v")));
    assert_eq!(world.api.events(), ["Retained"]);
}

/// Something that the API can only change, and its value before anything manages it.
fn changeable(value: &str) -> World {
    let fake = Fake::with(|fake| {
        fake.traits.lifecycle = Lifecycle::Standing;
        (fake.traits.removable, fake.traits.restored, fake.traits.retained) = (false, true, true);
    });
    fake.put(vacant("a"));
    fake.edit("a", |seen| seen.state["value"] = json!(value));
    eager(fake)
}

/// Covers LC-33. It is retained unless the spec says otherwise.
#[tokio::test(start_paused = true)]
async fn what_can_only_be_changed_is_set_back_if_the_spec_says_so() {
    for (policy, sent, value, event) in [
        (json!({"deletionPolicy": "Delete"}), vec!["PATCH a value"], "before", "Deleted"),
        (json!({"deletionPolicy": "Retain"}), vec![], "v", "Retained"),
        (json!({}), vec![], "v", "Retained"),
    ] {
        let world = changeable("before");
        world.apply(policy).settle().await;
        assert_eq!((world.value(), world.condition("Ready")), (json!("v"), "True Available".to_owned()));
        let former = world.status()["external"]["former"].as_str().unwrap().to_owned();
        let former: Value = serde_json::from_str(&former).unwrap();
        assert_eq!(former, json!({"name": "a", "value": "before"}));
        world.quiet();
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none());
        assert_eq!(
            (world.changes(), world.value()),
            (sent.iter().map(ToString::to_string).collect(), json!(value))
        );
        assert_eq!(world.api.events(), [event]);
    }
}

/// Covers LC-33. A value that is not known is not set; and what is as it was needs no call.
#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_not_set_back() {
    let world = changeable("before");
    world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
    assert_eq!(world.status()["effective"]["deletionPolicy"], "Delete");
    world.api.edit("it", |it| it["status"] = Value::Null);
    for _ in 0..2 {
        world.reconcile().await;
        assert_eq!(world.status()["effective"]["deletionPolicy"], "Retain", "what will happen is shown");
    }
    world.settle().await;
    assert_eq!(world.status()["external"]["id"], "a");
    world.quiet();
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!((world.changes(), world.value()), (vec![], json!("v")));
    assert_eq!(world.api.events(), ["Retained"]);

    let world = changeable("v");
    world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.changes(), NOTHING);
}

/// Covers LC-33. A record is input: one that is about something else, or that cannot be read, changes nothing.
#[tokio::test(start_paused = true)]
async fn what_a_record_says_of_something_else_is_not_set() {
    let other = json!({"name": "b", "value": "theirs"}).to_string();
    for former in [&*other, r#"{"value": "theirs"}"#, "null", "7", "{"] {
        let world = changeable("before");
        world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
        world.api.edit("it", |it| it["status"]["external"]["former"] = json!(former));
        world.quiet();
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{former}");
        assert_eq!((world.changes(), world.value()), (vec![], json!("v")), "{former}");
        assert_eq!(world.api.events(), ["Retained"], "{former}");
    }
}

/// Covers LC-33. Nor is anything set that the spec does not mean, whatever the record says that was taken up.
#[tokio::test(start_paused = true)]
async fn what_the_spec_does_not_mean_is_not_set_back() {
    let world = changeable("before");
    world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
    world.fake.put(Seen { state: json!({"name": "b", "value": "theirs"}), ..seen("b", "b", None) });
    world.api.edit("it", |it| {
        let external = &mut it["status"]["external"];
        (external["id"], external["name"]) = (json!("b"), json!("b"));
        external["former"] = json!(json!({"name": "b", "value": "x"}).to_string());
    });
    world.quiet();
    world.api.delete("it");
    world.settle().await;
    assert!(world.api.get("it").is_some());
    assert_eq!(world.changes(), NOTHING);
    assert!(world.condition("DeletionBlocked").starts_with("True"), "{}", world.status());
}

/// Covers LC-33, DL-05. A change back that Databricks refuses holds the object.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_set_back_keeps_its_object_until_it_is_or_is_retained() {
    let world = changeable("before");
    world.apply(json!({"deletionPolicy": "Delete"})).settle().await;
    world.quiet();
    world.fake.refuse(Error::rejected(Reason::ApplyFailed, "not now"));
    world.api.delete("it");
    world.reconcile().await;
    assert!(world.condition("DeletionBlocked").starts_with("True"), "{}", world.status());
    assert_eq!(world.value(), "v");
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.value(), "before");
}

#[tokio::test(start_paused = true)]
async fn without_what_it_belongs_to_it_is_neither_created_nor_held() {
    let world = standing();
    world.apply(json!({})).settle().await;
    world.fake.take("a");
    world.quiet();
    tokio::time::advance(seconds(6)).await;
    world.settle().await;
    assert_eq!(world.condition("Ready"), "False ExternalResourceMissing");
    assert_eq!(world.changes(), NOTHING);
    world.api.delete("it");
    tokio::time::advance(seconds(6)).await;
    world.settle().await;
    assert!(world.api.get("it").is_none());
    assert_eq!(world.changes(), NOTHING);
}

/// Covers LC-16, LC-20. A manifest that was exported from one cluster is applied in another, for another account.
#[tokio::test(start_paused = true)]
async fn a_copied_annotation_is_no_permission_to_change_what_others_set() {
    for (mark, ours) in [(json!("elsewhere/ns/it"), false), (Value::Null, false), (json!("here/ns/it"), true)]
    {
        let world = standing();
        world.theirs("x");
        world.apply(json!({})).api.edit("it", |it| {
            it["metadata"]["annotations"] = json!({"databricks-operator.io/external-id": "a"});
            if mark.is_string() {
                it["metadata"]["annotations"]["databricks-operator.io/created-by"] = mark.clone();
            }
        });
        world.settle().await;
        let expected = if ours { "True Available" } else { "False AlreadyExists" };
        assert_eq!(world.condition("Ready"), expected, "{mark}");
        assert_eq!(world.value(), if ours { "v" } else { "x" }, "{mark}");
        world.quiet();
        world.api.delete("it");
        world.settle().await;
        assert!(world.api.get("it").is_none(), "{mark}");
        assert_eq!(world.changes().is_empty(), !ours, "{mark}: only its own is put back");
    }
}
