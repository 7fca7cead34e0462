//! What is compared and sent of a StorageCredential.

use super::*;

const METASTORE: &str = "8d2f1a60-5c44-4f0e-9a53-0c1d2e3f4a5b";
const CONNECTOR: &str = "/subscriptions/a/accessConnectors/b";

fn seen(info: Value) -> Observed<StorageCredential> {
    let mut whole = json!({"name": "Lake"});
    whole.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
    observed(METASTORE, serde_json::from_value(whole).unwrap())
}

fn want(spec: Value) -> StorageCredentialState {
    let mut whole = json!({"authRef": {"name": "a"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    StorageCredentialState::of(&serde_json::from_value(whole).unwrap(), METASTORE)
}

#[test]
fn what_only_a_response_has_is_shown_and_never_sent_back() {
    let identity = json!({"access_connector_id": CONNECTOR, "credential_id": "c"});
    let seen = seen(json!({"id": "1", "azure_managed_identity": identity, "created_at": "1700000000123"}));
    assert_eq!(seen.facts.storage_credential_id.as_deref(), Some("1"));
    assert_eq!(seen.about.created, Some(1_700_000_000));
    let want = want(json!({"name": "LAKE", "azureManagedIdentity": {"accessConnectorId": CONNECTOR}}));
    assert_eq!(StorageCredential::changes(&want, &seen).unwrap(), []);
    assert!(StorageCredential::recognises(&want, &seen) && StorageCredential::key(&want).name == "lake");
    let sent = json!(want.body(&["azure_managed_identity", "comment"]));
    assert_eq!(sent, json!({"azure_managed_identity": {"access_connector_id": CONNECTOR}}));
}

#[test]
fn the_external_id_is_a_fact_and_a_changed_role_is_a_difference() {
    let arn = "arn:aws:iam::123456789012:role/lake";
    let role = json!({"role_arn": arn, "external_id": "e", "unity_catalog_iam_arn": "u"});
    let seen = seen(json!({"aws_iam_role": role}));
    assert_eq!(seen.facts.sts_external_id.as_deref(), Some("e"));
    assert_eq!(seen.facts.unity_catalog_iam_arn.as_deref(), Some("u"));
    let changes = |arn: &str| {
        let want = want(json!({"name": "Lake", "awsIamRole": {"roleArn": arn}, "skipValidation": true}));
        let changes = StorageCredential::changes(&want, &seen).unwrap();
        changes.into_iter().map(|change| change.path).collect::<Vec<_>>()
    };
    assert_eq!(changes(arn), [""; 0]);
    assert_eq!(changes(&format!("{arn}-2")), ["aws_iam_role.roleArn"]);
}

fn changed(want: &StorageCredentialState, seen: &Observed<StorageCredential>) -> Vec<String> {
    StorageCredential::changes(want, seen).unwrap().into_iter().map(|change| change.path).collect()
}

/// What the account leaves out, or returns in another case, is what the spec may say in words.
#[test]
fn a_default_and_another_case_are_no_difference() {
    let default = json!({"comment": "", "readOnly": false, "isolationMode": "ISOLATION_MODE_OPEN"});
    let null = json!({"comment": null, "read_only": null, "isolation_mode": null});
    let words = json!({"comment": "", "read_only": false, "isolation_mode": "ISOLATION_MODE_OPEN"});
    for info in [json!({}), null, words] {
        for spec in [json!({}), default.clone()] {
            assert_eq!(changed(&want(spec.clone()), &seen(info.clone())), [""; 0], "{spec}, {info}");
        }
    }
    let isolated = want(json!({"isolationMode": "ISOLATION_MODE_ISOLATED"}));
    assert_eq!(changed(&isolated, &seen(json!({}))), ["isolation_mode"]);

    let identity = json!({"access_connector_id": CONNECTOR, "managed_identity_id": format!("{CONNECTOR}/i")});
    let seen = seen(json!({"owner": "Admins", "azure_managed_identity": identity}));
    let upper = CONNECTOR.to_uppercase();
    let identity = json!({"accessConnectorId": upper, "managedIdentityId": format!("{upper}/I")});
    let same = want(json!({"owner": "admins", "azureManagedIdentity": identity}));
    assert_eq!(changed(&same, &seen), [""; 0]);
    let other = want(json!({"owner": "others", "azureManagedIdentity": {"accessConnectorId": "/b"}}));
    assert_eq!(changed(&other, &seen), ["azure_managed_identity.accessConnectorId", "owner"]);
}

/// A change replaces an identity as a whole, so it has what the spec leaves out, but for the identity that the spec says is none.
#[test]
fn a_changed_connector_keeps_the_identity_that_the_spec_leaves_out() {
    let identity = json!({"access_connector_id": CONNECTOR, "managed_identity_id": "/i"});
    let seen = seen(json!({"azure_managed_identity": identity}));
    let sent = |identity: Value| {
        let want = want(json!({"azureManagedIdentity": identity}));
        json!(want.completed(&seen.state).body(&["azure_managed_identity"]))["azure_managed_identity"].clone()
    };
    let kept = json!({"access_connector_id": "/b", "managed_identity_id": "/i"});
    assert_eq!(sent(json!({"accessConnectorId": "/b"})), kept);
    let other = json!({"access_connector_id": CONNECTOR, "managed_identity_id": "/j"});
    assert_eq!(sent(json!({"accessConnectorId": CONNECTOR, "managedIdentityId": "/j"})), other);
    let own = json!({"access_connector_id": "/b"});
    assert_eq!(sent(json!({"accessConnectorId": "/b", "managedIdentityId": ""})), own);
}

#[test]
fn a_credential_of_another_sort_is_not_given_a_second_one() {
    let role = json!({"awsIamRole": {"roleArn": "arn:aws:iam::123456789012:role/lake"}});
    let identity = json!({"azureManagedIdentity": {"accessConnectorId": CONNECTOR}});
    let secret = json!({"azure_service_principal": {"directory_id": "d", "application_id": "a"}});
    let google = json!({"databricks_gcp_service_account": {"email": "a@example.com"}});
    let azure = json!({"azure_managed_identity": {"access_connector_id": CONNECTOR}});
    for (spec, info) in [(&role, &secret), (&role, &google), (&role, &azure), (&identity, &secret)] {
        let changes = StorageCredential::changes(&want(spec.clone()), &seen(info.clone())).unwrap();
        assert!(
            matches!(changes.as_slice(), [Change { when: When::Never(_), .. }]),
            "{spec}, {info}: {changes:?}"
        );
    }
}

/// A cloud shows a new role or policy everywhere only after a while. What may have happened stays in doubt.
#[test]
fn a_failed_test_is_waited_for_and_what_may_have_happened_is_not_taken_for_one() {
    let class = |status, code: &str, message: &str| {
        let (call, code, message) = ("PUT lake".into(), Some(code.to_owned()), message.to_owned());
        let error =
            databricks::Error::Api { call, status, code, message, retry_after: None, request_id: None };
        failed_test(error)
    };
    for (status, code) in [(400, "INVALID_PARAMETER_VALUE"), (403, "PERMISSION_DENIED")] {
        let refused = class(status, code, "the role cannot be assumed");
        let CallError::Classified(Error::Rejected { patience, message, .. }) = refused else {
            panic!("{status} {code}")
        };
        assert_eq!(patience, Some(NEW_IN_AWS));
        assert!(message.contains("the role cannot be assumed") && message.contains("status.stsExternalId"));
    }
    for (status, code) in
        [(500, "INTERNAL_ERROR"), (404, "METASTORE_DOES_NOT_EXIST"), (400, "INTERNAL_ERROR")]
    {
        assert!(matches!(class(status, code, "no"), CallError::Api(_)), "{status} {code}");
    }
}
