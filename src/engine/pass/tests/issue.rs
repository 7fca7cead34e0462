//! A secret that only the response to a create shows: when it is written to its Kubernetes Secret, what is replaced and deleted,
//! and what is left if something fails on the way.

use super::*;
use crate::clock;

mod doubts;
mod once;
mod troubles;

const OUT: &str = "out";

/// An object whose secret is in the Kubernetes Secret `out`; the calls until then are forgotten.
async fn issued(more: Value) -> World {
    let world = eager(Fake::with(|fake| fake.traits.issues = Issues::Secret));
    apply(&world, more);
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
    world.quiet();
    world
}

fn apply(world: &World, more: Value) {
    let mut spec = json!({"secretName": OUT});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.apply(spec);
}

/// The id whose secret the Kubernetes Secret holds, if it has the value of that.
fn held(world: &World) -> Option<String> {
    let annotations = world.api.get(OUT)?.metadata.annotations?;
    let id = annotations.get("databricks-operator.io/external-id")?.clone();
    (world.api.value(OUT, "key")? == format!("secret of {id}")).then_some(id)
}

/// The ids that the account has, in order.
fn there(world: &World) -> Vec<String> {
    let mut ids: Vec<String> = world.fake.listed.lock().unwrap().iter().map(|seen| seen.id.clone()).collect();
    ids.sort();
    ids
}

fn retired(world: &World) -> Vec<String> {
    let status = world.status();
    let all = status["retired"].as_array().into_iter().flatten();
    all.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

fn present(world: &World) -> String {
    world.status()["externalId"].as_str().unwrap_or_default().to_owned()
}

/// The status says that the create was announced.
async fn announced(world: &World) {
    while world.status()["intent"].is_null() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_in_its_kubernetes_secret_before_its_id_is_in_the_status() {
    let world = eager(Fake::with(|fake| fake.traits.issues = Issues::Secret));
    apply(&world, json!({}));
    world.reconcile().await;
    assert_eq!(world.api.writes(), ["metadata", "reserve", "status", "fill", "status", "metadata"]);
    assert_eq!(held(&world), Some("id-1".into()));
    world.settle().await;
    let owner = &world.api.get(OUT).unwrap().metadata.owner_references.unwrap()[0];
    assert_eq!((&*owner.kind, &*owner.name, &*owner.uid), ("Fake", "it", "uid-it"));
    assert_eq!((world.condition("Ready"), present(&world)), ("True Available".into(), "id-1".into()));
    assert!(!json!(world.status()).to_string().contains("secret of"));
}

#[tokio::test(start_paused = true)]
async fn a_kubernetes_secret_of_another_owner_is_not_touched_and_nothing_is_created() {
    let world = eager(Fake::with(|fake| fake.traits.issues = Issues::Secret));
    world.api.secret(OUT, json!({"key": "eA=="}));
    apply(&world, json!({}));
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True SecretNotOwned");
    assert!(world.message("Ready").contains("write another secretName"), "{}", world.message("Ready"));
    assert_eq!((world.changes(), world.api.value(OUT, "key")), (vec![], Some("x".into())));
    assert_eq!(world.status()["intent"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn a_missing_right_is_reported_before_anything_is_created() {
    for (what, status) in [("reserve", 403), ("dry", 403), ("secret", 403)] {
        let world = eager(Fake::with(|fake| fake.traits.issues = Issues::Secret));
        apply(&world, json!({}));
        match what {
            "secret" => world.api.next_read(what, status),
            _ => world.api.next_write(what, Trouble::Refuse(status)),
        }
        world.reconcile().await;
        assert_eq!(world.condition("Ready"), "False SecretNotWritable", "{what}");
        assert!(world.message("Ready").contains("rbac.outputSecrets.enabled"), "{}", world.message("Ready"));
        assert_eq!(world.changes(), NOTHING, "{what}");
        world.settle().await;
        assert_eq!(world.condition("Ready"), "True Available", "{what}: once it may");
        assert_eq!(there(&world).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_written_is_deleted_at_once_and_its_text_is_nowhere() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.api.next_write("fill", Trouble::Refuse(422));
    (0..19).for_each(|_| world.api.next_write("fill", Trouble::Refuse(403)));
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-2"]);
    assert_eq!((there(&world), held(&world)), (vec!["id-1".into()], Some("id-1".into())));
    assert_eq!(world.status()["intent"], Value::Null);
    let status = world.status().to_string();
    assert!(!status.contains("secret of") && !status.contains("made by hand"), "{status}");
    world.settle().await;
    assert_eq!((held(&world), retired(&world)), (Some("id-3".into()), vec!["id-1".into()]));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_response_is_no_second_secret() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.api.next_write("fill", Trouble::Lose);
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!((held(&world), present(&world)), (Some("id-2".into()), "id-2".into()));
}

#[tokio::test(start_paused = true)]
async fn a_replaced_secret_stays_valid_for_the_overlap_and_is_deleted_then() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    assert_eq!(
        (world.changes(), world.api.events()),
        (vec!["POST a".to_owned()], vec!["Created".to_owned()])
    );
    assert_eq!((held(&world), retired(&world)), (Some("id-2".into()), vec!["id-1".into()]));
    assert_eq!((there(&world).len(), world.condition("Ready")), (2, "True Available".into()));
    // Another one has to wait for that, and nothing is hidden about it.
    apply(&world, json!({"renewal": "again"}));
    world.settle().await;
    assert_eq!((world.changes(), world.condition("Reconciling")), (vec![], "True Retrying".into()));
    assert!(world.message("Reconciling").contains("spec.overlap"), "{}", world.message("Reconciling"));
    apply(&world, json!({"renewal": "again", "overlap": 0}));
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["DELETE id-1", "POST a", "DELETE id-2"]);
    assert_eq!((held(&world), there(&world)), (Some("id-3".into()), vec!["id-3".into()]));
    assert_eq!(world.status()["retired"], Value::Null);
}

/// Its users have not found the new one yet.
#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_forwards_does_not_end_the_overlap() {
    let start: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    clock::follow_tokio(start);
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    assert_eq!((world.changes(), retired(&world)), (vec!["POST a".to_owned()], vec!["id-1".to_owned()]));
    clock::follow_tokio(start.checked_add(seconds(700)).unwrap());
    world.settle().await;
    assert_eq!((world.changes(), retired(&world)), (vec![], vec!["id-1".to_owned()]));
    tokio::time::advance(seconds(600)).await;
    world.settle().await;
    assert_eq!((world.changes(), retired(&world)), (vec!["DELETE id-1".to_owned()], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_kubernetes_secret_gets_a_new_secret() {
    let world = issued(json!({})).await;
    world.api.remove(OUT);
    world.settle().await;
    assert_eq!(world.changes(), ["POST a"]);
    assert_eq!((held(&world), retired(&world)), (Some("id-2".into()), vec!["id-1".into()]));
    // One that a user empties, or fills with something else, is as good as lost.
    tokio::time::advance(seconds(60)).await;
    world.api.edit(OUT, |secret| secret["data"] = json!({}));
    world.settle().await;
    assert_eq!(world.changes(), ["DELETE id-1", "POST a"], "there are never three");
    assert_eq!(held(&world), Some("id-3".into()));
}

/// Another tool takes the value away each time. The account is not asked for a secret each time, and the object says why.
#[tokio::test(start_paused = true)]
async fn a_kubernetes_secret_that_is_lost_again_and_again_is_filled_once_a_minute() {
    let world = issued(json!({})).await;
    for ids in [["id-2", "id-1"], ["id-3", "id-2"]] {
        for _ in 0..3 {
            world.api.edit(OUT, |secret| secret["data"] = json!({}));
            world.settle().await;
        }
        assert_eq!(world.changes().iter().filter(|call| *call == "POST a").count(), 1, "{ids:?}");
        assert_eq!((present(&world), retired(&world)), (ids[0].to_owned(), vec![ids[1].to_owned()]));
        assert_eq!(world.condition("Ready"), "False Progressing", "users find nothing");
        assert!(world.message("Ready").contains("the Secret out"), "{}", world.message("Ready"));
        tokio::time::advance(seconds(60)).await;
    }
}

/// The Kubernetes Secret of an earlier object of this name, or of a backup: it is used again, and what it holds does not count.
#[tokio::test(start_paused = true)]
async fn a_kubernetes_secret_of_an_earlier_object_of_the_name_is_filled_again() {
    let world = issued(json!({})).await;
    world.api.edit(OUT, |secret| secret["metadata"]["ownerReferences"][0]["uid"] = json!("earlier"));
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-2".into())));
    let owners = world.api.get(OUT).unwrap().metadata.owner_references.unwrap();
    assert_eq!(owners[0].uid, "uid-it");
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_response_was_lost_is_deleted_and_created_again() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.loses(unknown()).reconcile().await;
    tokio::time::advance(seconds(6)).await;
    assert_eq!((there(&world).len(), held(&world)), (2, Some("id-1".into())));
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-2", "POST a"]);
    assert_eq!((held(&world), retired(&world)), (Some("id-3".into()), vec!["id-1".into()]));
}

/// One whose times the account does not show may be the result, or another user's: it is reported, and stays.
#[tokio::test(start_paused = true)]
async fn a_secret_that_may_be_the_lost_one_is_reported_and_not_deleted() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.loses(unknown()).reconcile().await;
    tokio::time::advance(seconds(6)).await;
    world.fake.edit("id-2", |seen| seen.about.expires = None);
    world.settle().await;
    assert_eq!((world.changes(), there(&world).len()), (vec!["POST a".to_owned()], 2));
    assert_eq!(world.condition("Stalled"), "True CreateResultUnknown");
    assert!(world.message("Ready").contains("id-2"), "{}", world.message("Ready"));
    world.fake.take("id-2");
    tokio::time::advance(seconds(6)).await;
    world.settle().await;
    assert_eq!(held(&world), Some("id-3".into()));
}

/// A replaced secret is in the Kubernetes Secret, and the last status was not written: there is the intent.
async fn crashed_after_the_fill() -> World {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    let before = world.status();
    world.settle().await;
    world.quiet();
    let intent = json!({
        "accountId": "account", "within": "", "name": "a", "time": clock::now().to_string(), "before": ["id-1"],
        "secretName": OUT,
    });
    world.api.edit("it", |object| {
        object["status"] = before;
        object["status"]["intent"] = intent;
    });
    world
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_the_kubernetes_secret_was_filled_loses_nothing() {
    let observe = json!({"managementPolicy": "Observe"});
    let nameless = json!({"managementPolicy": "Observe", "secretName": null});
    for more in [json!({}), observe, nameless] {
        let world = crashed_after_the_fill().await;
        let mut spec = json!({"renewal": "now"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        apply(&world, spec);
        world.settle().await;
        assert_eq!(world.changes(), NOTHING, "{more}");
        assert_eq!((held(&world), present(&world)), (Some("id-2".into()), "id-2".into()), "{more}");
        assert_eq!(retired(&world), ["id-1"], "{more}");
    }
}

/// Covers LC-06. A lost secret is of no use, and stays nevertheless until the object is managed again.
#[tokio::test(start_paused = true)]
async fn an_object_that_only_observes_deletes_no_lost_secret() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.loses(unknown()).reconcile().await;
    assert_eq!(world.changes(), ["POST a"]);
    apply(&world, json!({"renewal": "now", "managementPolicy": "Observe"}));
    tokio::time::advance(seconds(6)).await;
    world.settle().await;
    assert_eq!((world.changes(), there(&world).len()), (vec![], 2));
    assert_eq!(world.condition("Stalled"), "True CreateResultUnknown");
    assert!(
        world.message("Ready").contains("spec.managementPolicy to Managed"),
        "{}",
        world.message("Ready")
    );
    apply(&world, json!({"renewal": "now"}));
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["DELETE id-2", "POST a"]);
}

/// The successor was announced, and waits for its turn at the account. A mere change of the spec does not stop it then: otherwise a
/// start would have to find out whether it was sent.
#[tokio::test(start_paused = true)]
async fn a_change_of_the_spec_does_not_stop_a_successor_that_was_announced() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    *world.fake.waits.lock().unwrap() = seconds(10);
    let meanwhile = async {
        announced(&world).await;
        apply(&world, json!({"renewal": "now", "overlap": 900}));
        world.watch();
    };
    tokio::join!(world.reconcile(), meanwhile);
    assert_eq!(world.changes(), ["POST a"]);
    world.settle().await;
    assert_eq!((held(&world), present(&world)), (Some("id-2".into()), "id-2".into()));
    assert_eq!((world.changes(), retired(&world)), (vec![], vec!["id-1".into()]));
}

/// A user suspends the object while its new secret cannot be written: what is of no use is deleted anyway.
#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_written_is_deleted_whatever_was_changed_meanwhile() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    (0..20).for_each(|_| world.api.next_write("fill", Trouble::Refuse(403)));
    let sent = || world.fake.calls.lock().unwrap().iter().any(|call| call == "POST a");
    let meanwhile = async {
        while !sent() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        apply(&world, json!({"renewal": "now", "suspend": true}));
        world.watch();
    };
    tokio::join!(world.reconcile(), meanwhile);
    assert_eq!(world.changes(), ["POST a", "DELETE id-2"]);
    assert_eq!((there(&world), held(&world)), (vec!["id-1".into()], Some("id-1".into())));
}

#[tokio::test(start_paused = true)]
async fn with_the_object_all_its_secrets_go() {
    let world = issued(json!({})).await;
    apply(&world, json!({"renewal": "now"}));
    world.settle().await;
    world.quiet();
    world.api.delete("it");
    world.settle().await.settle().await;
    assert_eq!(world.changes(), ["DELETE id-1", "DELETE id-2"]);
    assert!(world.api.get("it").is_none() && there(&world).is_empty());
}

/// A record is no proof: what does not look like a secret of this object is not deleted, whatever a status says.
#[tokio::test(start_paused = true)]
async fn a_forged_record_deletes_no_secret_of_others() {
    let world = issued(json!({})).await;
    world.fake.put(seen("foreign", "b", None));
    let forged = json!([{"id": "foreign", "since": "2020-01-01T00:00:00Z"}]);
    world.api.edit("it", |object| object["status"]["retired"] = forged);
    world.settle().await;
    assert_eq!((world.changes(), there(&world)), (vec![], vec!["foreign".to_owned(), "id-1".to_owned()]));
    assert_eq!(world.api.events(), ["Retained"]);
    assert_eq!(world.status()["retired"], Value::Null);
}
