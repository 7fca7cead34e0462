//! What a change keeps of a policy, and what it needs a permission for.

use super::*;

#[test]
fn what_is_not_managed_stays_in_the_whole_that_is_written() {
    let has = json!({
        "ingress": {"public_access": {"restriction_mode": "FULL_ACCESS"}},
        "egress": {"network_access": {
            "restriction_mode": "FULL_ACCESS", "new_field": 1,
            "allowed_internet_destinations": [
                {"destination": "packages.example.com", "internet_destination_type": "DNS_NAME", "note": "kept"},
                {"destination": "old.example", "internet_destination_type": "DNS_NAME"},
            ],
        }},
    });
    let host = |name: &str| json!({"destination": name, "internet_destination_type": "DNS_NAME"});
    let want = json!({"egress": {"network_access": {
        "restriction_mode": "RESTRICTED_ACCESS", "blocked_internet_destinations": null,
        "allowed_internet_destinations": [host("packages.example.com"), host("git.example.com")],
    }}});
    let mut expected = has.clone();
    let access = &mut expected["egress"]["network_access"];
    access["restriction_mode"] = json!("RESTRICTED_ACCESS");
    access["allowed_internet_destinations"][1] = host("git.example.com");
    assert_eq!(merged(has, &want), expected);
    let created = merged(Value::Null, &want);
    assert_eq!(created["egress"]["network_access"].get("blocked_internet_destinations"), None);
}

#[test]
fn only_a_restriction_of_the_default_policy_needs_a_permission() {
    let state = |mode: &str, more: Value| -> AccountNetworkPolicyState {
        let mut state = json!({
            "network_policy_id": DEFAULT, "egress": {"networkAccess": {"restrictionMode": mode}},
        });
        state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(state).unwrap()
    };
    let judged = |want: &AccountNetworkPolicyState, id: &str, before: &AccountNetworkPolicyState| {
        let (id, state) = (id.to_owned(), before.clone());
        let seen = Observed { id, state, facts: NoFacts {}, about: About::default() };
        keep_default_policy_open(&Act { want: Some(want), seen: Some(&seen) })
    };
    let (open, closed) = (state("FULL_ACCESS", json!({})), state("RESTRICTED_ACCESS", json!({})));
    let refused = judged(&closed, DEFAULT, &open).unwrap_err();
    assert!(refused.to_string().contains("spec.allowDefaultPolicyRestriction"), "{refused}");
    assert_eq!(refused.reason(), Some(Reason::WouldLockOut));
    let permitted = state("RESTRICTED_ACCESS", json!({"allow_default_policy_restriction": true}));
    let unmanaged = state("FULL_ACCESS", json!({"egress": null}));
    for (want, id, before) in [
        (&permitted, DEFAULT, &open),
        (&closed, "strict", &open),
        (&closed, DEFAULT, &closed),
        (&open, DEFAULT, &closed),
        (&unmanaged, DEFAULT, &open),
    ] {
        assert_eq!(judged(want, id, before), Ok(()), "{id}: {want:?} after {before:?}");
    }
    assert_eq!(wire(&permitted).get(PERMISSION), None);
}
