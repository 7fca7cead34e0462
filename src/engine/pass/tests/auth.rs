//! Reconciles of a DatabricksAuth.

use super::*;
use crate::engine::crd::FINALIZER;

/// A DatabricksAuth named `account`, which the watch has brought.
pub(super) fn with_auth(more: Value) -> World {
    with_auth_of(world(), more)
}

/// The same in a world that differs from others.
pub(super) fn with_auth_of(world: World, more: Value) -> World {
    let mut spec = json!({
        "cloud": "AWS", "accountId": "account", "authType": "OAUTH_M2M", "clientId": "client",
        "clientSecretRef": {"name": "databricks", "key": "secret"},
    });
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    world.api.apply("account", spec);
    world
}

impl World {
    pub(super) async fn check_auth(&self) -> Action {
        let object = self.api.get("account").unwrap();
        self.auths.lock().unwrap().apply_watcher_event(&Event::Apply((&object).into()));
        crate::engine::pass::reconcile_auth(&object, self.engine.clone()).await
    }

    pub(super) async fn reconcile_auth(&self) -> Value {
        self.check_auth().await;
        self.api.get("account").map_or(Value::Null, |object| object.data["status"].clone())
    }
}

/// The runbook of the alert on a DatabricksAuth that does not work explains this reason.
fn assert_explained(reason: &str) {
    let page = include_str!("../../../../docs/runbooks/DatabricksOperatorCredentialsInvalid.md");
    let explained =
        |line: &str| line.starts_with("* `") && line.split(": ").next().unwrap_or_default().contains(reason);
    assert!(page.lines().any(explained), "the runbook does not explain {reason}");
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_says_what_its_secret_lacks() {
    type Prepare = fn(&World);
    let cases: [(&str, Prepare, &str); 5] = [
        ("no secret", |_| {}, "SecretNotFound"),
        ("no key", |w| w.api.secret("databricks", json!({"other": "eA=="})), "SecretKeyMissing"),
        ("empty", |w| w.api.secret("databricks", json!({"secret": "Cg=="})), "SecretValueEmpty"),
        ("not text", |w| w.api.secret("databricks", json!({"secret": "//8="})), "CredentialsInvalid"),
        ("forbidden", |w| w.api.next_read("secret", 403), "SecretNotReadable"),
    ];
    for (case, prepare, reason) in cases {
        let world = with_auth(json!({}));
        prepare(&world);
        let status = world.reconcile_auth().await;
        assert_eq!(condition(&status, "Ready"), format!("False {reason}"), "{case}");
        assert_explained(reason);
        assert_eq!(
            condition(&status, "ReferencesResolved").split(' ').next(),
            Some("False"),
            "{case}: {status}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_that_cannot_work_is_for_a_person() {
    let cases = [
        (json!({"host": "https://example.com"}), "HostNotAllowed"),
        (json!({"clientSecretRef": null}), "InvalidSpec"),
        (json!({"cloud": "GCP", "authType": "GOOGLE_ID", "clientId": "a@example.com"}), "CredentialsInvalid"),
        (
            json!({"cloud": "GCP", "authType": "GOOGLE_ID", "clientId": "a@example.com", "clientSecretRef": null}),
            "CredentialsInvalid",
        ),
        (
            json!({
                "cloud": "GCP", "authType": "GOOGLE_ID", "clientId": "a@example.com",
                "host": "https://accounts.cloud.databricks.com",
            }),
            "HostNotAllowed",
        ),
        (json!({"egressCidrs": ["nonsense"]}), "InvalidSpec"),
        (json!({"cloud": "nonsense"}), "InvalidSpec"),
    ];
    for (more, reason) in cases {
        let world = with_auth(more.clone());
        world.api.secret("databricks", json!({"secret": "eA=="}));
        let status = world.reconcile_auth().await;
        assert_eq!(condition(&status, "Stalled"), format!("True {reason}"), "{more}");
        assert_explained(reason);
    }
}

/// Neither its grants nor its credentials are used any more, not even as they were before.
#[tokio::test(start_paused = true)]
async fn objects_report_that_the_spec_of_their_databricks_auth_cannot_be_read() {
    let world = with_auth_of(World::ready(json!({})).await, json!({"cloud": "nonsense"}));
    world.reconcile_auth().await;
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False CredentialsUnavailable");
    let message = world.message("Ready");
    assert!(message.starts_with("DatabricksAuth ns/account is not usable: spec cannot be read"), "{message}");
    assert_eq!(world.changes(), NOTHING);

    world.engine.memory.triggers.refer(&named("it"), vec![auth()]);
    world.api.edit("account", |auth| auth["metadata"]["finalizers"] = json!([FINALIZER]));
    world.api.delete("account");
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "DeletionBlocked"), "True DependencyStillInUse");

    world.api.edit("account", |auth| {
        auth["spec"]["cloud"] = json!("AWS");
        auth["spec"]["suspend"] = json!(true);
    });
    world.reconcile_auth().await;
    world.reconcile().await;
    let message = world.message("Ready");
    assert!(message.ends_with("is not usable: spec.suspend is true"), "it was corrected: {message}");
}

/// Many objects depend on it.
#[tokio::test(start_paused = true)]
async fn a_databricks_auth_that_does_not_work_is_checked_again_soon_however_long_that_lasts() {
    let world = with_auth(json!({"host": "https://example.com"}));
    let mut last = Action::await_change();
    for _ in 0..5 {
        last = world.check_auth().await;
    }
    assert_eq!(last, Action::requeue(world.engine.settings.pace.poll_max));
}

#[tokio::test(start_paused = true)]
async fn the_longer_an_account_rejects_the_operator_the_more_rarely_that_is_checked() {
    let world = with_auth(json!({"host": "https://example.com"}));
    world.engine.auths.doubt(&auth());
    for (doubted, again) in [(1, 1), (5, 3), (12, 9)] {
        tokio::time::advance(seconds(doubted)).await;
        assert_eq!(world.check_auth().await, Action::requeue(seconds(again)), "half of the time until now");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_status_of_a_databricks_auth_is_left_alone() {
    let world = with_auth(json!({}));
    world.api.edit("account", |auth| auth["status"] = json!({"external": 7}));
    assert_eq!(world.reconcile_auth().await, json!({"external": 7}));
    assert_eq!(world.api.writes(), NOTHING);
    assert_eq!(world.api.events(), ["Stalled"]);
}

/// A reference alone must not be enough, or any tenant could hold another's DatabricksAuth.
#[tokio::test(start_paused = true)]
async fn an_object_of_another_namespace_holds_a_databricks_auth_only_with_an_object_in_the_account() {
    let cases = [
        ("a reference", json!({}), json!([]), false),
        ("a finalizer", json!({}), json!([FINALIZER]), false),
        ("a record", json!({"external": {"id": "1"}}), json!([]), false),
        ("a record and a finalizer", json!({"external": {"id": "1"}}), json!([FINALIZER]), true),
        ("a create that began", json!({"intent": {"name": "a"}}), json!([FINALIZER]), true),
    ];
    for (case, status, finalizers, holds) in cases {
        let world = with_auth(json!({}));
        world.reconcile_auth().await;
        let there = ObjectName { namespace: "there".into(), ..named("it") };
        world.engine.memory.triggers.refer(&there, vec![auth()]);
        world.apply(json!({})).api.edit("it", |it| {
            it["metadata"]["namespace"] = json!("there");
            it["metadata"]["finalizers"] = finalizers;
            it["status"] = status;
        });
        world.watch();
        world.api.delete("account");
        world.reconcile_auth().await;
        assert_eq!(world.api.get("account").is_some(), holds, "{case}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_databricks_auth_stops_those_who_use_it() {
    let world = with_auth(json!({"suspend": true}));
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Suspended"), "True SuspendedBySpec");
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False CredentialsUnavailable");
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_is_released_when_nothing_uses_it() {
    let world = with_auth(json!({}));
    world.reconcile_auth().await;
    let it = ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: "it".into() };
    world.engine.memory.triggers.refer(&it, vec![auth()]);
    world.api.delete("account");
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "DeletionBlocked"), "True DependencyStillInUse");
    assert_eq!(status["dependents"]["count"], 1);
    world.engine.memory.triggers.refer(&it, vec![]);
    world.reconcile_auth().await;
    assert!(world.api.get("account").is_none());
}
