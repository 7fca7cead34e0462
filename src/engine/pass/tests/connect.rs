//! A DatabricksAuth whose account responds: over HTTP, on the real clock.

use super::auth::with_auth_of;
use super::*;

/// A DatabricksAuth of this account, which is Ready.
pub(super) async fn connected(account: &HttpAccount, more: Value) -> World {
    connected_of(world(), account, more).await
}

/// The same in a world that differs from others.
pub(super) async fn connected_of(world: World, account: &HttpAccount, more: Value) -> World {
    let mut spec = json!({"host": account.host()});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let world = with_auth_of(world, spec);
    world.api.secret("databricks", json!({"secret": "c2VjcmV0"}));
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Ready"), "True Authenticated", "{status}");
    world
}

#[tokio::test]
async fn a_databricks_auth_that_connects_shows_where_and_as_whom() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Synced"), "True InSync");
    assert_eq!(status["host"], account.host());
    assert_eq!(status["installation"], "here");
    assert_eq!((&status["externalId"], &status["external"]["id"]), (&json!("account"), &json!("account")));
    assert_eq!(account.searches(), NOTHING, "a token is proof enough");
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available", "its users work with it");
}

#[tokio::test]
async fn a_databricks_auth_shows_a_rate_limit_that_one_of_its_users_met() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    let mut woken = world.engine.memory.triggers.subscribe("DatabricksAuth", None);
    account.refuse(429, "REQUEST_LIMIT_EXCEEDED", "slow down");
    world.apply(json!({"group": "readers"})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False RateLimited");
    assert_eq!(woken.try_recv().unwrap(), auth());
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Ready"), "True Authenticated");
    assert_eq!(condition(&status, "Synced"), "False RateLimited");
}

#[tokio::test]
async fn a_databricks_auth_whose_calls_are_all_rejected_says_so_until_one_is_accepted() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    let mut checks = world.engine.memory.triggers.subscribe("DatabricksAuth", None);
    let mut users = world.engine.memory.triggers.subscribe("Fake", None);
    world.engine.memory.triggers.refer(&named("it"), vec![auth()]);
    for (code, text, reason) in [
        (
            "PERMISSION_DENIED",
            "Source IP address: 203.0.113.7 is blocked by Databricks IP ACL",
            "AddressBlocked",
        ),
        ("UNAUTHENTICATED", "the token is not valid", "CredentialsInvalid"),
    ] {
        account.refuse(403, code, text);
        world.apply(json!({"group": reason})).reconcile().await;
        assert_eq!(checks.try_recv().unwrap(), auth(), "a call of a user was rejected");
        account.searches();
        let status = world.reconcile_auth().await;
        assert_eq!(condition(&status, "Ready"), format!("False {reason}"));
        assert!(account.searches().iter().all(|name| name == "client"), "the proof depends on no spec");
        assert_eq!(users.try_recv().unwrap(), named("it"), "{reason}");
        world.reconcile().await;
        let message = world.message("Ready");
        assert!(message.starts_with("DatabricksAuth ns/account is not usable: "), "{reason}: {message}");
        assert_eq!(account.searches(), NOTHING, "its users send no calls");
        account.accept();
        let status = world.reconcile_auth().await;
        assert_eq!(condition(&status, "Ready"), "True Authenticated");
        assert_eq!(users.try_recv().unwrap(), named("it"), "{reason}");
        // The next case begins with a session that no call was rejected for.
        world.engine.auths.forget(&auth());
        world.reconcile_auth().await;
        while users.try_recv().is_ok() {}
    }
}

#[tokio::test]
async fn a_databricks_auth_stays_usable_while_its_secret_cannot_be_read_for_a_moment() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    for (status, synced) in [(403, "False SecretNotReadable"), (500, "False Retrying")] {
        world.api.next_read("secret", status);
        let of_auth = world.reconcile_auth().await;
        assert_eq!(condition(&of_auth, "Stalled"), "", "{synced}");
        world.apply(json!({})).reconcile().await;
        assert_eq!(world.condition("Ready"), "True Available", "{synced}");
    }
}

/// While the account is slow, a user removes the finalizer, or the label by which operators share their work.
#[tokio::test]
async fn a_databricks_auth_that_disappears_during_its_reconcile_admits_nothing() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    let object = world.api.get("account").unwrap();
    world.auths.lock().unwrap().apply_watcher_event(&Event::Delete((&object).into()));
    world.engine.auths.forget(&auth());
    crate::engine::pass::reconcile_auth(&object, world.engine.clone()).await;
    world.apply(json!({})).reconcile().await;
    assert_eq!(world.condition("Ready"), "False ReferenceNotFound");
    assert_eq!(world.fake.calls(), NOTHING);
}

#[tokio::test]
async fn a_databricks_auth_says_if_the_labels_that_it_grants_by_cannot_be_read() {
    let account = HttpAccount::start().await;
    let selector = json!({"from": "Selector", "selector": {"matchLabels": {"team": "data"}}});
    let world = connected(&account, json!({"grants": [{"namespaces": selector}]})).await;
    world.api.next_read("namespace", 403);
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Ready"), "True Authenticated");
    assert_eq!(condition(&status, "Synced"), "False OperatorNotPermitted");
    // A moment of it is no news.
    world.api.next_read("namespace", 500);
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Synced"), "True InSync");
}

#[tokio::test]
async fn a_rotated_secret_is_used_at_once_and_triggers_the_users_of_its_databricks_auth() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    let mut users = world.engine.memory.triggers.subscribe("Fake", None);
    world.engine.memory.triggers.refer(&named("it"), vec![auth()]);
    world.reconcile_auth().await;
    assert!(users.try_recv().is_err(), "nothing has changed");
    world.api.secret("databricks", json!({"secret": "YW5vdGhlcg=="}));
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Ready"), "True Authenticated");
    assert_eq!(users.try_recv().unwrap(), named("it"));
    assert!(users.try_recv().is_err(), "once");
    world.apply(json!({})).settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}

/// What was created with the credentials can be deleted with them, unless a person has stopped that.
#[tokio::test]
async fn deletions_use_the_last_good_credentials_after_a_rotation_to_wrong_ones() {
    for suspended in [false, true] {
        let account = HttpAccount::start().await;
        let world = connected(&account, json!({})).await;
        world.apply(json!({})).settle().await;
        assert_eq!(world.condition("Ready"), "True Available");
        world.api.secret("databricks", json!({"secret": "Cg=="}));
        let status = world.reconcile_auth().await;
        assert_eq!(condition(&status, "Ready"), "False SecretValueEmpty");
        world.apply(json!({"value": "new"})).reconcile().await;
        assert_eq!(world.condition("Ready"), "False CredentialsUnavailable", "other changes wait");
        if suspended {
            world.api.edit("account", |auth| {
                auth["spec"]["suspend"] = json!(true);
                auth["metadata"]["generation"] = json!(2);
            });
            let status = world.reconcile_auth().await;
            assert_eq!(condition(&status, "Suspended"), "True SuspendedBySpec");
        }
        world.api.delete("it");
        world.settle().await;
        assert_eq!(world.api.get("it").is_some(), suspended);
    }
}

/// What is in another account is not deleted with credentials of the former one.
#[tokio::test]
async fn deletions_wait_while_the_databricks_auth_means_another_account_or_service_principal() {
    for field in ["accountId", "clientId"] {
        let account = HttpAccount::start().await;
        let world = connected(&account, json!({})).await;
        world.apply(json!({})).settle().await;
        world.fake.calls();
        world.api.secret("databricks", json!({"secret": "Cg=="}));
        world.api.edit("account", |auth| {
            auth["spec"][field] = json!("another");
            auth["metadata"]["generation"] = json!(2);
        });
        let status = world.reconcile_auth().await;
        assert_eq!(condition(&status, "Ready"), "False SecretValueEmpty");
        world.api.delete("it");
        world.settle().await;
        assert_eq!(world.changes(), NOTHING, "{field}");
        assert!(world.api.get("it").is_some(), "{field}");
    }
}

/// No object uses the former credentials while the new ones have not worked yet.
#[tokio::test]
async fn a_changed_databricks_auth_admits_nothing_until_its_new_credentials_work() {
    let account = HttpAccount::start().await;
    let world = connected(&account, json!({})).await;
    world.apply(json!({})).settle().await;
    world.fake.calls();
    world.api.edit("account", |auth| {
        auth["spec"]["clientId"] = json!("another");
        auth["metadata"]["generation"] = json!(2);
    });
    world.api.next_read("secret", 500);
    let status = world.reconcile_auth().await;
    assert_eq!(condition(&status, "Synced"), "False Retrying");
    world.apply(json!({"value": "new"})).reconcile().await;
    assert_eq!(world.condition("Synced"), "False Retrying");
    assert_eq!(world.changes(), NOTHING, "the former credentials are not used any more");
    world.reconcile_auth().await;
    world.settle().await;
    assert_eq!(world.condition("Ready"), "True Available");
}
