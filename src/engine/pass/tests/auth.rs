//! Reconciles of a DatabricksAuth.

use super::*;

/// A DatabricksAuth named `account`, which the watch has brought.
fn with_auth(more: Value) -> World {
    let world = world();
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
    async fn reconcile_auth(&self) -> Value {
        let object = self.api.get("account").unwrap();
        crate::engine::pass::reconcile_auth(Arc::new(object), self.engine.clone()).await;
        self.api.get("account").map_or(Value::Null, |object| object.data["status"].clone())
    }
}

fn of(status: &Value, kind: &str) -> String {
    let found = status["conditions"].as_array().into_iter().flatten().find(|c| c["type"] == kind);
    found.map_or(String::new(), |c| {
        format!("{} {}", c["status"].as_str().unwrap(), c["reason"].as_str().unwrap())
    })
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_says_what_its_secret_lacks() {
    type Prepare = fn(&World);
    let cases: [(&str, Prepare, &str); 5] = [
        ("no secret", |_| {}, "SecretNotFound"),
        ("no key", |w| w.api.secret("databricks", json!({"other": "eA=="})), "SecretKeyMissing"),
        ("empty", |w| w.api.secret("databricks", json!({"secret": "Cg=="})), "SecretValueEmpty"),
        ("not text", |w| w.api.secret("databricks", json!({"secret": "//8="})), "CredentialsInvalid"),
        ("forbidden", |w| w.api.forbid_secrets(), "SecretNotReadable"),
    ];
    for (case, prepare, reason) in cases {
        let world = with_auth(json!({}));
        prepare(&world);
        let status = world.reconcile_auth().await;
        assert_eq!(of(&status, "Ready"), format!("False {reason}"), "{case}");
        assert_eq!(of(&status, "ReferencesResolved").split(' ').next(), Some("False"), "{case}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_that_cannot_work_is_for_a_person() {
    let cases = [
        (json!({"host": "https://example.com"}), "HostNotAllowed"),
        (json!({"clientSecretRef": null}), "InvalidSpec"),
        (json!({"egressCidrs": ["nonsense"]}), "InvalidSpec"),
        (json!({"cloud": "nonsense"}), "InvalidSpec"),
    ];
    for (more, reason) in cases {
        let world = with_auth(more.clone());
        world.api.secret("databricks", json!({"secret": "eA=="}));
        let status = world.reconcile_auth().await;
        assert_eq!(of(&status, "Stalled"), format!("True {reason}"), "{more}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_databricks_auth_stops_those_who_use_it() {
    let world = with_auth(json!({"suspend": true}));
    let status = world.reconcile_auth().await;
    assert_eq!(of(&status, "Suspended"), "True SuspendedBySpec");
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False CredentialsUnavailable");
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_databricks_auth_is_released_when_nothing_uses_it() {
    let world = with_auth(json!({}));
    world.reconcile_auth().await;
    let it = ObjectName { kind: "Fake".into(), namespace: "ns".into(), name: "it".into() };
    world.engine.memory.wake.refer(&it, vec![auth()]);
    world.api.delete("account");
    let status = world.reconcile_auth().await;
    assert_eq!(of(&status, "DeletionBlocked"), "True DependencyStillInUse");
    assert_eq!(status["dependents"]["count"], 1);
    world.engine.memory.wake.refer(&it, vec![]);
    world.reconcile_auth().await;
    assert!(world.api.get("account").is_none());
}
