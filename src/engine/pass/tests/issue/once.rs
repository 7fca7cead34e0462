//! A secret that comes once, with its object: it is kept or the object is gone again, and a lost one is a person's to decide about.

use super::*;

fn world_with_a_secret_each() -> World {
    eager(Fake::with(|fake| fake.traits.issues = Issues::WithSecret))
}

/// An object with its secret in the Kubernetes Secret `out`; the calls until then are forgotten.
async fn created() -> World {
    let world = world_with_a_secret_each();
    apply(&world, json!({}));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
    world.quiet();
    world
}

/// The object is bound, its secret is lost, and nothing was changed in the account since the calls that are given.
fn is_lost(world: &World, changes: &[&str]) {
    assert_eq!(world.changes(), changes);
    assert_eq!((there(world).len(), present(world)), (1, "id-1".into()));
    assert_eq!(world.condition("Stalled"), "True SecretLost", "{}", world.message("Ready"));
    assert_eq!(held(world), None);
    let says = world.message("Ready");
    assert!(says.contains("the Secret out") && says.contains("delete this object"), "{says}");
    assert!(!world.status().to_string().contains("secret of id"), "{}", world.status());
}

/// Covers LC-32. The response shows only ids and the secret, so the object is read afterwards.
#[tokio::test(start_paused = true)]
async fn a_secret_is_kept_with_what_its_users_need_before_the_status_names_the_object() {
    let world = world_with_a_secret_each();
    *world.fake.silent.lock().unwrap() = true;
    apply(&world, json!({}));
    world.reconcile().await;
    assert_eq!(world.api.writes(), ["metadata", "reserve", "status", "fill", "status", "metadata"]);
    assert_eq!(held(&world), Some("id-1".into()));
    assert_eq!(world.api.value(OUT, "user"), Some("user of id-1".into()));
    world.settle().await;
    assert_eq!((world.condition("Ready"), present(&world)), ("True Available".into(), "id-1".into()));
    assert_eq!(world.changes(), ["POST a"]);
    assert!(!world.status().to_string().contains("secret of id"), "{}", world.status());
}

/// Covers LC-32. Neither time, nor what other secrets are renewed by.
#[tokio::test(start_paused = true)]
async fn a_secret_that_is_kept_is_never_replaced() {
    let world = created().await;
    apply(&world, json!({"renewal": "now", "overlap": 0}));
    tokio::time::advance(seconds(1_000_000)).await;
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec![], Some("id-1".into())));
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
}

/// Covers LC-32, SE-09.
#[tokio::test(start_paused = true)]
async fn nothing_is_created_for_a_kubernetes_secret_that_cannot_be_written() {
    for what in ["reserve", "dry", "secret"] {
        let world = world_with_a_secret_each();
        apply(&world, json!({}));
        match what {
            "secret" => world.api.next_read(what, 403),
            _ => world.api.next_write(what, Trouble::Refuse(403)),
        }
        world.reconcile().await;
        assert_eq!(world.condition("Ready"), "False SecretNotWritable", "{what}");
        assert_eq!(world.changes(), NOTHING, "{what}");
    }
    let world = world_with_a_secret_each();
    world.api.secret(OUT, json!({"key": "eA=="}));
    apply(&world, json!({}));
    world.settle().await;
    assert_eq!(world.condition("Stalled"), "True SecretNotOwned");
    assert_eq!((world.changes(), world.api.value(OUT, "key")), (vec![], Some("x".into())));
}

/// An object without a place for its secret is one like any other: no Kubernetes Secret is read or written for it.
#[tokio::test(start_paused = true)]
async fn without_a_name_for_its_kubernetes_secret_an_object_has_none() {
    let world = world_with_a_secret_each();
    world.api.next_read("secret", 403);
    world.apply(json!({}));
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
    let writes = world.api.writes();
    assert!(!writes.iter().any(|write| ["reserve", "dry", "fill"].contains(write)), "{writes:?}");
}

/// Covers LC-01, LC-32. The value is lost with the process: the object is bound, and a person decides.
#[tokio::test(start_paused = true)]
async fn an_object_whose_response_was_lost_is_bound_and_its_secret_is_reported() {
    let world = world_with_a_secret_each();
    apply(&world, json!({}));
    world.loses(unknown()).reconcile().await;
    tokio::time::advance(seconds(6)).await;
    world.settle().await;
    is_lost(&world, &["POST a"]);
    world.settle().await;
    is_lost(&world, &NOTHING);
    // What the message names: with the object goes the one in the account.
    world.api.delete("it");
    world.settle().await.settle().await;
    assert_eq!((world.changes(), there(&world).len()), (vec!["DELETE id-1".to_owned()], 0));
}

/// Covers LC-01, LC-32. As if the process had ended at each point of a create.
#[tokio::test(start_paused = true)]
async fn a_crash_at_any_point_of_a_create_leaves_one_object_and_no_empty_promise() {
    let intent = || {
        json!({
            "accountId": "account", "within": "", "name": "a", "time": clock::now().to_string(), "secretName": OUT,
        })
    };
    // Before the call: nothing is in the account, and the Kubernetes Secret is empty.
    let world = world_with_a_secret_each();
    apply(&world, json!({}));
    world.fake.refuse(Error::rejected(Reason::QuotaExceeded, "not now"));
    world.reconcile().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], None));
    world.api.edit("it", |it| it["status"]["intent"] = intent());
    tokio::time::advance(seconds(6)).await;
    world.settle().await.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-1".into())));
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
    // After the value was written, and before the status was.
    for more in [json!({}), json!({"managementPolicy": "Observe"}), json!({"secretName": "elsewhere"})] {
        let world = created().await;
        world.api.edit("it", |it| {
            it["metadata"]["annotations"] = json!({});
            let status = it["status"].as_object_mut().unwrap();
            status.retain(|field, _| !["external", "externalId"].contains(&field.as_str()));
            status.insert("intent".into(), intent());
        });
        apply(&world, more.clone());
        tokio::time::advance(seconds(6)).await;
        world.settle().await;
        assert_eq!((world.changes(), held(&world)), (vec![], Some("id-1".into())), "{more}");
        assert_eq!(present(&world), "id-1", "{more}");
        let lost = more["secretName"].is_string();
        let ready = if lost { "False SecretLost" } else { "True Available" };
        assert_eq!(world.condition("Ready"), ready, "{more}: {}", world.message("Ready"));
    }
}

/// Covers LC-32. The response names what was just created, and no user has its secret: that alone is deleted.
#[tokio::test(start_paused = true)]
async fn an_object_whose_secret_cannot_be_written_is_deleted_at_once_and_created_again() {
    let world = world_with_a_secret_each();
    apply(&world, json!({}));
    (0..20).for_each(|_| world.api.next_write("fill", Trouble::Refuse(403)));
    world.reconcile().await;
    assert_eq!(world.changes(), ["POST a", "DELETE id-1"]);
    assert_eq!((there(&world).len(), held(&world)), (0, None));
    let status = world.status().to_string();
    assert!(!status.contains("secret of id"), "{status}");
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-2".into())));
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
}

/// Covers LC-32. The API server carries out a write and does not say so: users may find the secret.
#[tokio::test(start_paused = true)]
async fn a_write_without_a_response_is_no_loss() {
    let world = world_with_a_secret_each();
    apply(&world, json!({}));
    world.api.next_write("fill", Trouble::Lose);
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-1".into())));
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
}

/// Covers LC-08, LC-32. A lost Kubernetes Secret is not created again without a value, and the rest of the object is still managed.
#[tokio::test(start_paused = true)]
async fn a_lost_kubernetes_secret_is_reported_and_the_object_is_still_managed() {
    for how in ["deleted", "emptied", "overwritten", "of an earlier object"] {
        let world = created().await;
        match how {
            "deleted" => world.api.remove(OUT),
            "emptied" => world.api.edit(OUT, |secret| secret["data"] = json!({})),
            "overwritten" => world.api.edit(OUT, |secret| secret["data"]["key"] = json!("eA==")),
            _ => world
                .api
                .edit(OUT, |secret| secret["metadata"]["ownerReferences"][0]["uid"] = json!("earlier")),
        }
        world.settle().await;
        assert_eq!(world.changes(), NOTHING, "{how}");
        assert_eq!(world.condition("Stalled"), "True SecretLost", "{how}");
        assert_eq!(world.api.get(OUT).is_none(), how == "deleted", "{how}");
        world.fake.edit("id-1", |seen| seen.state["value"] = json!("theirs"));
        tokio::time::advance(seconds(601)).await;
        world.reconcile().await;
        assert_eq!(world.changes(), ["PATCH id-1 value"], "{how}");
        assert_eq!(world.condition("Ready"), "False SecretLost", "{how}: also right after a change");
        world.settle().await;
        assert_eq!((world.changes(), &world.status()["operation"]), (vec![], &Value::Null), "{how}");
    }
}

/// Covers LC-32. A user who has the secret elsewhere needs no Kubernetes Secret.
#[tokio::test(start_paused = true)]
async fn an_object_is_managed_without_its_secret_once_the_spec_says_so() {
    let world = created().await;
    world.api.remove(OUT);
    world.settle().await;
    is_lost(&world, &NOTHING);
    world.apply(json!({"adoptionPolicy": "Required"}));
    world.settle().await;
    assert_eq!((world.changes(), world.condition("Ready")), (vec![], "True Available".into()));
    assert_eq!(world.condition("Stalled"), "");
}

/// Covers LC-12, LC-32. No user of what is gone can sign in any more, so the new one takes its place in the same Kubernetes Secret.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_created_again_with_another_secret() {
    let world = created().await;
    tokio::time::advance(seconds(1_000)).await;
    world.fake.take("id-1");
    world.settle().await;
    assert_eq!((world.changes(), held(&world)), (vec!["POST a".to_owned()], Some("id-2".into())));
    assert_eq!(present(&world), "id-2");
    assert_eq!(world.status()["retired"], Value::Null);
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
}

/// Covers LC-03, LC-32. Another user has its secret.
#[tokio::test(start_paused = true)]
async fn an_object_that_is_there_gets_no_kubernetes_secret_and_no_second_one_is_created() {
    for adoption in ["Never", "IfOwned", "IfExists", "Required"] {
        let world = world_with_a_secret_each();
        world.fake.put(seen("theirs", "a", None));
        apply(&world, json!({"adoptionPolicy": adoption}));
        world.settle().await;
        assert_eq!((world.changes(), world.api.get(OUT).is_none()), (vec![], true), "{adoption}");
        assert_eq!(world.condition("Stalled"), "True AlreadyExists", "{adoption}");
        assert!(world.message("Ready").contains("remove spec.secretName"), "{}", world.message("Ready"));
    }
    let world = world_with_a_secret_each();
    world.fake.put(seen("theirs", "a", None));
    world.apply(json!({"adoptionPolicy": "Required"}));
    world.settle().await;
    assert_eq!(world.changes(), ["PATCH theirs value"]);
    assert_eq!(world.condition("Ready"), "True Available", "{}", world.message("Ready"));
}
