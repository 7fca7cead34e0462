//! What is compared and sent of a Metastore.

use super::*;
use crate::engine::kind::of;

const ID: &str = "8d2f1a60-5c44-4f0e-9a53-0c1d2e3f4a5b";

fn observed(info: Value) -> Observed<Metastore> {
    let mut whole = json!({"metastore_id": ID, "name": "Main", "region": "eu-west-1"});
    whole.as_object_mut().unwrap().extend(info.as_object().unwrap().clone());
    serde_json::from_value::<Remote>(whole).unwrap().into()
}

fn want(spec: Value) -> MetastoreState {
    let mut whole = json!({"authRef": {"name": "a"}});
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    Metastore::desired(&serde_json::from_value(whole).unwrap(), &Resolved::default()).unwrap()
}

fn changed(want: &MetastoreState, seen: &Observed<Metastore>) -> Vec<String> {
    Metastore::changes(want, seen).unwrap().into_iter().map(|change| change.path).collect()
}

#[test]
fn the_case_of_a_name_and_what_the_server_adds_to_a_path_are_no_difference() {
    let root = format!("s3://lake/main/{ID}");
    let seen = observed(json!({"storage_root": root}));
    assert_eq!(seen.state.storage_root.as_deref(), Some("s3://lake/main"));
    for same in ["s3://lake/main", "s3://lake/main/", root.as_str()] {
        assert_eq!(changed(&want(json!({"name": "MAIN", "storageRoot": same})), &seen), [""; 0], "{same}");
    }
    for other in ["s3://lake/mai", "s3://lake/main2", "s3://lake/main/other"] {
        assert_eq!(changed(&want(json!({"storageRoot": other})), &seen), ["storage_root"], "{other}");
    }
    assert_eq!(changed(&want(json!({"name": "main2"})), &seen), ["name"]);
    assert_eq!(Metastore::key(&want(json!({"name": "MAIN"}))), Metastore::key(&seen.state));
}

/// What the account leaves out, or returns in another case, is what the spec may say in words.
#[test]
fn a_default_and_another_case_are_no_difference() {
    let root = "6d0e4b1a-7c2f-4f3d-9b58-1e2f3a4b5c6d";
    let default = json!({
        "externalAccessEnabled": false, "deltaSharingScope": "INTERNAL", "deltaSharingRecipientTokenLifetimeInSeconds": 0,
    });
    let lifetime = "delta_sharing_recipient_token_lifetime_in_seconds";
    let null = json!({"external_access_enabled": null, "delta_sharing_scope": null, lifetime: null});
    let zero = json!({"external_access_enabled": false, "delta_sharing_scope": "INTERNAL", lifetime: "0"});
    for info in [json!({}), null, zero] {
        for spec in [json!({}), default.clone()] {
            assert_eq!(changed(&want(spec.clone()), &observed(info.clone())), [""; 0], "{spec}, {info}");
        }
    }
    let limited =
        want(json!({"deltaSharingScope": "INTERNAL", "deltaSharingRecipientTokenLifetimeInSeconds": 60}));
    assert_eq!(changed(&limited, &observed(json!({}))), [lifetime]);
    let endless =
        want(json!({"deltaSharingScope": "INTERNAL", "deltaSharingRecipientTokenLifetimeInSeconds": 0}));
    assert_eq!(changed(&endless, &observed(json!({lifetime: 60}))), [lifetime]);

    let seen =
        observed(json!({"owner": "Ada@Example.com", "storage_root_credential_id": root.to_uppercase()}));
    let same = want(json!({"owner": "ada@example.com", "storageRootCredentialId": root}));
    assert_eq!(changed(&same, &seen), [""; 0]);
    assert_eq!(changed(&want(json!({"owner": "lin@example.com"})), &seen), ["owner"]);
}

#[test]
fn a_new_owner_goes_alone_and_last_and_the_fields_of_sharing_go_together() {
    let lifetime = "delta_sharing_recipient_token_lifetime_in_seconds";
    let seen = observed(json!({"delta_sharing_scope": "INTERNAL", lifetime: "3600"}));
    let want = want(json!({
        "owner": "admins", "deltaSharingScope": "INTERNAL_AND_EXTERNAL", "externalAccessEnabled": true,
    }));
    let now = ["delta_sharing_scope", "external_access_enabled", "owner"];
    assert_eq!(
        json!(bodies(&want, &seen.state, &now)),
        json!([
            {"external_access_enabled": true, "delta_sharing_scope": "INTERNAL_AND_EXTERNAL", lifetime: 3600},
            {"owner": "admins"},
        ])
    );
    let external = json!([{"external_access_enabled": true}]);
    assert_eq!(json!(bodies(&want, &seen.state, &["external_access_enabled"])), external);
}

/// Covers RF-14.
#[test]
fn an_owner_by_reference_is_the_name_that_the_account_knows_it_by() {
    let driver = of::<Metastore>();
    for (field, fact, name) in [
        ("groupRef", "displayName", "metastore-admins"),
        ("userRef", "userName", "ada@example.com"),
        ("servicePrincipalRef", "applicationId", "5f6e7d8c-9b0a-4c1d-8e2f-3a4b5c6d7e8f"),
    ] {
        let spec = json!({"authRef": {"name": "a"}, "ownerRef": {field: {"name": "it"}}});
        let needs = driver.needs(&spec).unwrap();
        let place = format!("ownerRef.{field}");
        let found: Vec<_> = needs.iter().map(|need| (need.field.as_str(), need.fact)).collect();
        assert_eq!(found, [(place.as_str(), Some(fact))]);
        let ids = [(place, name.to_owned())].into();
        let want = driver.desired(&spec, &Resolved { ids, ..Resolved::default() }).unwrap();
        assert_eq!(want["owner"], name);
    }
}
