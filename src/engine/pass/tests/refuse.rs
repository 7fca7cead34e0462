//! What is refused before anything is sent, and what a person has to decide.

use super::*;
use crate::engine::crd::EXTERNAL_ID;

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_for_a_person() {
    let world = world();
    world.api.apply("it", json!({"authRef": 7}));
    world.reconcile().await;
    assert_eq!(world.condition("Stalled"), "True InvalidSpec");
    world.api.edit("it", |it| it["metadata"]["finalizers"] = json!(["databricks-operator.io/finalizer"]));
    world.api.delete("it");
    world.reconcile().await;
    assert!(world.api.get("it").is_none(), "there is nothing outside");

    let world = World::ready(json!({})).await;
    world.api.edit("it", |it| it["status"]["external"] = json!(7));
    let before = world.status();
    let (log, _kept) = Log::keep();
    world.reconcile().await;
    let said = log.lines();
    assert!(
        said.iter().any(|line| line.contains("InvalidSpec: status cannot be read")),
        "the event: {said:?}"
    );
    assert_eq!(world.status(), before, "an unreadable status may hold an id: it is not overwritten");
    assert_eq!(world.api.events(), ["Stalled"]);
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn an_annotation_that_is_no_id_causes_no_call_and_is_named() {
    for id in ["", " 1", "nonsense"] {
        let world = world();
        let annotations = json!({EXTERNAL_ID: id});
        world.apply(json!({})).api.edit("it", |it| it["metadata"]["annotations"] = annotations);
        world.reconcile().await;
        assert_eq!(world.condition("Stalled"), "True InvalidSpec", "{id:?}");
        assert!(world.message("Stalled").contains(EXTERNAL_ID), "{}", world.message("Stalled"));
        assert_eq!(world.fake.calls(), NOTHING, "{id:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_harms_one_object_only_and_is_shown_on_it() {
    let world = world();
    world.apply(json!({"panic": true})).reconcile().await;
    assert_eq!(world.condition("Stalled"), "True InternalError");
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

#[tokio::test(start_paused = true)]
async fn an_object_needs_a_databricks_auth_that_admits_it() {
    let cases = [
        (json!({"name": "missing"}), "ReferenceNotFound"),
        (json!({"name": "account", "namespace": "elsewhere"}), "ReferenceNotPermitted"),
    ];
    for (auth_ref, reason) in cases {
        let world = world();
        world.apply(json!({"authRef": auth_ref})).reconcile().await;
        assert_eq!(world.condition("Ready"), format!("False {reason}"));
        assert_eq!(world.condition("ReferencesResolved"), format!("False {reason}"));
        assert_eq!(world.fake.calls(), NOTHING);
        assert!(world.api.get("it").unwrap().metadata.finalizers.is_none(), "it holds nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_fail_are_named_and_a_moment_of_it_is_no_news() {
    let broken = |error: Error| async move {
        let world = World::ready(json!({})).await;
        world.engine.auths.store(&auth(), &auth_spec(Value::Null), Err(error));
        tokio::time::advance(Duration::from_secs(601)).await;
        world.reconcile().await;
        (world.condition("Ready"), world.condition("ReferencesResolved"))
    };
    let terminal = Error::terminal(Reason::CredentialsInvalid, "the secret is wrong");
    assert_eq!(broken(terminal).await.0, "False CredentialsInvalid");
    assert_eq!(broken(Error::retry("no answer")).await.0, "True Available");
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_not_blocked_by_one_failed_sign_in() {
    let world = World::ready(json!({})).await;
    world.engine.auths.store(&auth(), &auth_spec(Value::Null), Err(Error::retry("no answer")));
    world.api.delete("it");
    world.reconcile().await;
    assert_eq!(world.condition("Ready"), "True Available");
    assert_eq!(world.condition("DeletionBlocked"), "");
    assert_eq!(world.api.events(), NOTHING);
    world.settle().await;
    assert_eq!(world.condition("DeletionBlocked"), "True CredentialsUnavailable");
    assert!(world.message("DeletionBlocked").contains("DatabricksAuth ns/account"), "{}", world.status());
    assert_eq!(world.api.events(), ["DeletionBlocked"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_stays_with_the_account_it_was_created_in() {
    let world = World::ready(json!({})).await;
    let session = Arc::new(Session::of(client("another")));
    world.engine.auths.store(&auth(), &auth_spec(Value::Null), Ok(session));
    world.apply(json!({"value": "new"})).settle().await;
    assert_eq!(world.condition("Stalled"), "True AccountMismatch");
    assert_eq!(world.changes(), NOTHING);
    world.api.delete("it");
    world.settle().await;
    assert_eq!(world.condition("DeletionBlocked"), "True CredentialsUnavailable");
}

#[tokio::test(start_paused = true)]
async fn a_guard_refuses_before_anything_is_sent() {
    let fake = Fake::guarded();
    let world = world_of(fake, |_| {});
    world.apply(json!({"value": "lock-out"})).settle().await;
    assert_eq!(world.condition("Stalled"), "True WouldLockOut");
    assert_eq!(world.changes(), NOTHING);
}
