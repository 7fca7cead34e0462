//! What a change needs a permission for, and what a PUT sends.

use super::*;

fn state(public: bool, more: Value) -> PrivateAccessSettingsState {
    let mut state =
        json!({"private_access_settings_name": "main", "region": "r", "public_access_enabled": public});
    state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(state).unwrap()
}

fn seen(state: PrivateAccessSettingsState) -> Observed<PrivateAccessSettings> {
    Observed { id: "p".into(), state, facts: NoFacts {}, about: About::default() }
}

#[test]
fn only_the_removal_of_public_access_needs_a_permission() {
    let allowed = |want: &PrivateAccessSettingsState, before: Option<bool>| {
        let before = before.map(|public| seen(state(public, json!({}))));
        keep_users_in(&Act { want: Some(want), seen: before.as_ref() })
    };
    let (open, closed) = (state(true, json!({})), state(false, json!({})));
    let refused = allowed(&closed, Some(true)).unwrap_err();
    assert!(refused.to_string().contains("spec.allowPublicAccessRemoval"), "{refused}");
    assert_eq!(refused.reason(), Some(Reason::WouldLockOut));
    let permitted = state(false, json!({"allow_public_access_removal": true}));
    let forbidden = state(false, json!({"allow_public_access_removal": false}));
    assert!(allowed(&forbidden, Some(true)).is_err());
    for (want, before) in [
        (&permitted, Some(true)),
        (&closed, Some(false)),
        (&closed, None),
        (&open, Some(true)),
        (&open, Some(false)),
    ] {
        assert_eq!(allowed(want, before), Ok(()), "{want:?} after {before:?}");
    }
}

#[test]
fn fewer_endpoints_need_a_permission_and_more_do_not() {
    let of = |ids: &[&str]| json!({"private_access_level": "ENDPOINT", "allowed_vpc_endpoint_ids": ids});
    let account = json!({"private_access_level": "ACCOUNT", "allowed_vpc_endpoint_ids": []});
    let unmanaged = json!({});
    let judged = |want: &Value, before: &Value, allowed: bool| {
        let mut want = state(true, want.clone());
        want.allow_endpoint_removal = Some(allowed);
        let before = seen(state(true, before.clone()));
        keep_users_in(&Act { want: Some(&want), seen: Some(&before) })
    };
    for (want, before, named) in [
        (of(&["a"]), of(&["a", "b"]), "endpoints b may"),
        (of(&["c"]), of(&["a", "b"]), "endpoints a, b may"),
        (of(&["a"]), account.clone(), "all VPC endpoints"),
    ] {
        let refused = judged(&want, &before, false).unwrap_err();
        let says = refused.to_string();
        assert!(says.contains(named) && says.contains("spec.allowEndpointRemoval"), "{says}");
        assert_eq!(refused.reason(), Some(Reason::WouldLockOut));
        assert_eq!(judged(&want, &before, true), Ok(()));
    }
    for (want, before) in [
        (of(&["a", "b"]), of(&["a"])),
        (of(&["a"]), of(&["a"])),
        (account, of(&["a"])),
        (unmanaged, of(&["a"])),
    ] {
        assert_eq!(judged(&want, &before, false), Ok(()), "{want} after {before}");
    }
    let many: Vec<String> = (10..99).map(|n| format!("endpoint-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let says = judged(&of(&["a"]), &of(&many), false).unwrap_err().to_string();
    assert!(says.contains("endpoint-14 and others") && !says.contains("endpoint-15"), "{says}");
}

#[test]
fn a_put_keeps_what_the_spec_does_not_manage_and_sends_no_permission() {
    let before = state(true, json!({"private_access_level": "ENDPOINT", "allowed_vpc_endpoint_ids": ["a"]}));
    let permissions = json!({"allow_public_access_removal": true, "allow_endpoint_removal": true});
    let unmanaged = state(true, permissions);
    let sent = body(&unmanaged, Some(&before));
    assert_eq!(sent["private_access_level"], "ENDPOINT");
    assert_eq!(sent["allowed_vpc_endpoint_ids"], json!(["a"]));
    assert_eq!(sent.get("allow_public_access_removal").or(sent.get("allow_endpoint_removal")), None);
    let all = state(true, json!({"private_access_level": "ACCOUNT"}));
    assert_eq!(body(&all, Some(&before)).get("allowed_vpc_endpoint_ids"), None, "it goes with the level");
}

#[test]
fn a_level_that_the_account_leaves_out_is_the_default() {
    let remote = |level: Value| -> Observed<PrivateAccessSettings> {
        let remote = json!({
            "private_access_settings_id": "p", "private_access_settings_name": "main", "region": "r", "public_access_enabled": true,
            "private_access_level": level,
        });
        serde_json::from_value::<Remote>(remote).unwrap().into()
    };
    let want = |level: &str| state(true, json!({"private_access_level": level}));
    let differ = |level: &str, shown: Value| {
        PrivateAccessSettings::changes(&want(level), &remote(shown)).unwrap().len()
    };
    assert_eq!((differ("ACCOUNT", Value::Null), differ("ACCOUNT", json!("ACCOUNT"))), (0, 0));
    assert_eq!((differ("ACCOUNT", json!("ENDPOINT")), differ("ENDPOINT", Value::Null)), (1, 1));
}
