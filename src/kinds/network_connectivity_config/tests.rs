//! How refusals of a change and of a deletion are read.

use super::*;

fn refused(status: u16, code: &str, message: &str) -> databricks::Error {
    let (call, code, message) = ("PATCH config".into(), Some(code.to_owned()), message.into());
    databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None }
}

#[test]
fn what_still_uses_it_is_waited_for_in_every_form_of_the_refusal() {
    let rules = "config x has one or more private endpoint rules: r";
    let workspaces = "config x is attached to one or more workspaces: 42";
    for (status, code) in [(400, "INVALID_STATE"), (400, "MALFORMED_REQUEST"), (409, "RESOURCE_CONFLICT")] {
        for (text, expected) in [
            (rules, Reason::ApplyFailed),
            (workspaces, Reason::DependencyStillInUse),
            ("", Reason::ApplyFailed),
        ] {
            let held = Error::from(in_use(refused(status, code, text)));
            let Error::Waiting { reason, message } = held else { panic!("{held:?}") };
            assert!(reason == expected && message.contains("Retain"), "{reason:?}: {message}");
        }
    }
    let denied = Error::from(in_use(refused(403, "PERMISSION_DENIED", "no")));
    assert!(denied.is_rejected(Reason::PermissionDenied), "{denied:?}");
}

#[test]
fn a_workspace_that_cannot_be_billed_yet_is_waited_for() {
    let class = |now: &[&str]| Error::from(not_billed(refused(400, "INVALID_PARAMETER_VALUE", "no"), now));
    let waits = class(&["billing_workspace_id"]);
    assert!(
        matches!(&waits, Error::Waiting { message, .. } if message.contains("spec.billingWorkspaceId")),
        "{waits:?}"
    );
    assert!(class(&["name"]).is_rejected(Reason::InvalidSpec));
    // What is wrong may be another field of the same change.
    let both = &["billing_workspace_id", "name"];
    assert!(class(both).is_rejected(Reason::InvalidSpec));
    let billing = refused(400, "INVALID_PARAMETER_VALUE", "the workspace is not attached");
    assert!(matches!(Error::from(not_billed(billing, both)), Error::Waiting { .. }));
}

#[test]
fn the_name_of_a_configuration_that_steps_aside_is_valid() {
    let state = |name: Value| -> NetworkConnectivityConfigState {
        serde_json::from_value(json!({"name": name, "region": "eu-west-1"})).unwrap()
    };
    let id = "9d3c1f7e-2a4b-4c5d-8e6f-7a8b9c0d1e2f".to_owned();
    let aside = NetworkConnectivityConfig::aside(state(json!("main")), &id).unwrap();
    assert_eq!(aside.name.as_deref(), Some("aside-9d3c1f7e2a4b4c5d8e6f7a8b"));
    assert_eq!(aside.name.map(|name| name.len()), Some(30));
    assert_eq!(aside.region.as_deref(), Some("eu-west-1"));
    assert!(NetworkConnectivityConfig::aside(state(Value::Null), &id).is_none(), "its name is not managed");
}
