//! What is special about settings of the account: versions, first writes, values that others set. See `src/apis/setting.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{
    Acting, AuthFacts, Driver, Phase, Resolved, Seen, Shared, Writer, of,
};
use databricks_operator::kinds::csp_enablement_setting::CspEnablementSetting;
use databricks_operator::kinds::disable_legacy_features_setting::DisableLegacyFeaturesSetting;
use databricks_operator::kinds::ip_access_list::IpAccessList;
use databricks_operator::kinds::ip_access_list_enforcement::IpAccessListEnforcement;
use serde_json::{Value, json};
use simulator::{Config, Fault, Settings, Simulator};

#[path = "account/connect.rs"]
mod connect;

const LEGACY: &dyn Driver = of::<DisableLegacyFeaturesSetting>();
const CSP: &dyn Driver = of::<CspEnablementSetting>();
const ENFORCEMENT: &dyn Driver = of::<IpAccessListEnforcement>();
const LIST: &dyn Driver = of::<IpAccessList>();

struct Bench {
    driver: &'static dyn Driver,
    account: Simulator,
    api: Writer,
}

impl Bench {
    /// `unset` is the status of a read of a setting that was never set.
    async fn new(driver: &'static dyn Driver, unset: u16) -> Bench {
        let settings = Settings { unset_setting_status: unset, ..Settings::default() };
        let account = Simulator::start(Config { settings, ..Config::default() }).await.unwrap();
        let api = connect(&account);
        Bench { driver, account, api }
    }

    fn want(&self, mut spec: Value) -> Value {
        spec["authRef"] = json!({"name": "a"});
        self.driver.desired(&spec, &Resolved::default()).unwrap()
    }

    async fn read(&self) -> Seen {
        self.driver.list(&self.api, "").await.unwrap().remove(0)
    }

    async fn update(&self, seen: &Seen, want: &Value) -> Result<Seen, Error> {
        self.driver.update(&self.api, seen, want, &[]).await
    }

    /// The bodies of the changes.
    fn sent(&self) -> Vec<Value> {
        self.account.writes().into_iter().map(|call| call.body.unwrap_or_default()).collect()
    }
}

/// Covers LC-20. The API reports a setting that was never set as missing, or shows its default.
#[tokio::test]
async fn a_setting_that_was_never_set_has_its_default_and_is_set_by_one_call() {
    for unset in [404, 200] {
        let bench = Bench::new(LEGACY, unset).await;
        let seen = bench.read().await;
        assert_eq!((seen.about.phase.clone(), &seen.state), (Phase::Vacant, &json!({"value": false})));
        let set = bench.update(&seen, &bench.want(json!({"value": true}))).await.unwrap();
        assert_eq!((set.about.phase.clone(), &set.state), (Phase::Ready, &json!({"value": true})));
        assert_ne!(set.about.etag, seen.about.etag, "the next change names the new version");
        let sent = bench.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0]["field_mask"], "disable_legacy_features.value");
        assert_eq!(sent[0]["setting"]["etag"], json!(seen.about.etag));

        bench.driver.delete(&bench.api, &set).await.unwrap();
        assert_eq!(bench.read().await.about.phase, Phase::Vacant);
    }
}

/// Covers LC-21. A read need not name the version; the refusal of the first change does.
#[tokio::test]
async fn a_first_change_without_a_version_is_repeated_with_the_one_of_the_refusal() {
    let bench = Bench::new(LEGACY, 404).await;
    let body = json!({"error_code": "NOT_FOUND", "message": "never set"});
    bench.account.fault(Fault {
        method: Some("GET".into()),
        path: "*/settings/*".into(),
        status: Some(404),
        body: Some(body),
        ..Fault::default()
    });
    let seen = bench.read().await;
    assert_eq!((seen.about.phase.clone(), seen.about.etag.clone()), (Phase::Vacant, None));
    let set = bench.update(&seen, &bench.want(json!({"value": true}))).await.unwrap();
    assert_eq!(set.state, json!({"value": true}));
    let applied: Vec<bool> = bench.account.writes().iter().map(|call| call.applied).collect();
    assert_eq!(applied, [false, true]);
}

/// Covers LC-21.
#[tokio::test]
async fn a_change_of_an_older_version_changes_nothing_and_asks_for_a_read() {
    let bench = Bench::new(LEGACY, 404).await;
    let old = bench.read().await;
    let want = bench.want(json!({"value": true}));
    let set = bench.update(&old, &want).await.unwrap();
    for stale in [&old, &Seen { about: old.about.clone(), ..set.clone() }] {
        let refused = bench.update(stale, &bench.want(json!({"value": false}))).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let refused = bench.driver.delete(&bench.api, stale).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    }
    assert_eq!(bench.read().await, set);
    // A refusal for another reason is none.
    bench.account.fault(Fault {
        method: Some("PATCH".into()),
        path: "*".into(),
        status: Some(403),
        body: Some(json!({"error_code": "PERMISSION_DENIED", "message": "no"})),
        ..Fault::default()
    });
    assert!(matches!(bench.update(&set, &want).await, Err(Error::Rejected { .. })));
}

/// The profile of new workspaces is not changed by what a spec leaves out.
#[tokio::test]
async fn standards_that_are_not_managed_or_not_known_are_kept() {
    let bench = Bench::new(CSP, 404).await;
    let standards = |names: &[&str]| {
        let value = json!({"is_enforced": false, "compliance_standards": names});
        json!({"setting_type": "shield_csp_enablement_ac", "csp_enablement_account": value})
    };
    bench.account.insert("settings", standards(&["HIPAA", "NEW_STANDARD"])).unwrap();
    let seen = bench.read().await;
    assert_eq!(seen.about.phase, Phase::Ready, "others set a standard: it is not free to be taken up");
    assert_eq!(seen.state["compliance_standards"], json!(["HIPAA", "NEW_STANDARD"]));

    let set = bench.update(&seen, &bench.want(json!({"isEnforced": true}))).await.unwrap();
    assert_eq!(set.state, json!({"is_enforced": true, "compliance_standards": ["HIPAA", "NEW_STANDARD"]}));
    assert_eq!(bench.sent()[0]["field_mask"], "csp_enablement_account.is_enforced");

    let want = bench.want(json!({"isEnforced": true, "complianceStandards": ["PCI_DSS", "HIPAA"]}));
    let drift = bench.driver.changes(&want, &set).unwrap();
    assert_eq!(drift.iter().map(|change| &*change.path).collect::<Vec<_>>(), ["compliance_standards"]);
    let set = bench.update(&set, &want).await.unwrap();
    assert_eq!(set.state["compliance_standards"], json!(["HIPAA", "PCI_DSS"]));

    // An account where nothing manages it, in both forms.
    for names in [&[][..], &["NONE"]] {
        bench.account.insert("settings", standards(names)).unwrap();
        assert_eq!(bench.read().await.about.phase, Phase::Vacant, "{names:?}");
    }
}

/// An account that enforces its lists, or not.
fn enforcement(value: bool) -> Value {
    json!({"setting_type": "acct_ip_acl_enable", "acct_ip_acl_enable": {"value": value}})
}

/// Covers LC-27. All stored lists come into force at once, also those that others created; what is in force already locks out no one
/// that it did not before.
#[tokio::test]
async fn lists_come_into_force_only_if_they_let_the_operator_in() {
    let bench = Bench::new(ENFORCEMENT, 404).await;
    let auth = AuthFacts { egress: vec!["203.0.113.7/32".parse().unwrap()], ..AuthFacts::default() };
    let allows = async |seen: &Seen, value: bool, auth: &AuthFacts| {
        let want = bench.want(json!({"value": value}));
        let act = Acting { want: Some(&want), seen: Some(seen), siblings: &[], auth };
        bench.driver.guard(act, &bench.api).await
    };
    let unset = bench.read().await;
    assert_eq!(unset.about.phase, Phase::Vacant);
    assert_eq!(allows(&unset, true, &auth).await, Ok(()), "without lists every address has access");
    let office = json!({"label": "office", "list_type": "ALLOW", "ip_addresses": ["198.51.100.0/24"]});
    let id = bench.account.insert("ip-access-lists", office).unwrap()["list_id"].clone();
    bench.account.insert("settings", enforcement(false)).unwrap();
    let ignored = bench.read().await;
    assert_eq!((&ignored.about.phase, ignored.about.state.as_deref()), (&Phase::Ready, Some("IGNORED")));
    for seen in [&unset, &ignored] {
        let refused = allows(seen, true, &auth).await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::WouldLockOut));
        assert!(refused.to_string().contains("203.0.113.7"), "{refused}");
        assert_eq!(allows(seen, false, &auth).await, Ok(()));
    }
    // Nothing says where it calls from. An account that never set it heeds the lists already, and lets the operator in.
    let unknown = AuthFacts::default();
    assert_eq!(allows(&unset, true, &unknown).await, Ok(()));
    assert_eq!(allows(&ignored, false, &unknown).await, Ok(()));
    let refused = allows(&ignored, true, &unknown).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::WouldLockOut));
    assert!(refused.to_string().contains("spec.egressCidrs of the DatabricksAuth"), "{refused}");
    bench.account.insert("settings", enforcement(true)).unwrap();
    assert_eq!(allows(&bench.read().await, true, &auth).await, Ok(()), "they are in force already");
    let disabled = json!({"enabled": false});
    bench.account.edit("ip-access-lists", id.as_str().unwrap(), disabled).unwrap();
    for auth in [&auth, &unknown] {
        assert_eq!(allows(&ignored, true, auth).await, Ok(()), "no list restricts any address");
    }

    // What cannot be read is not taken for no lists.
    let fault = Fault { method: Some("GET".into()), path: "*/ip-access-lists".into(), ..Fault::default() };
    bench.account.fault(Fault { status: Some(403), ..fault });
    assert!(allows(&ignored, true, &auth).await.is_err());
}

/// Covers LC-27. What an account does that never set it is not known for sure, so the desired value is written.
#[tokio::test]
async fn an_enforcement_that_was_never_set_is_written() {
    let bench = Bench::new(ENFORCEMENT, 404).await;
    let unset = bench.read().await;
    for value in [true, false] {
        let want = bench.want(json!({"value": value}));
        assert_eq!(bench.driver.changes(&want, &unset).unwrap().len(), 1, "{value}");
    }
    let set = bench.update(&unset, &bench.want(json!({"value": true}))).await.unwrap();
    assert_eq!((&set.about.phase, set.about.state.as_deref()), (&Phase::Ready, Some("ENFORCED")));
    assert_eq!(bench.sent()[0]["field_mask"], "acct_ip_acl_enable.value");
}

/// Covers LC-26. The setting is a private preview: an account may not have it, or not let it be read.
#[tokio::test]
async fn a_list_says_whether_the_account_heeds_it_if_that_is_known() {
    let bench = Bench::new(LIST, 404).await;
    let shared = async || LIST.shared(&bench.api, "").await;
    assert_eq!(shared().await.unwrap(), Shared::default(), "it was never set");
    for value in [false, true] {
        bench.account.insert("settings", enforcement(value)).unwrap();
        let Shared { facts, remark } = shared().await.unwrap();
        assert_eq!(json!(facts), json!({"enforced": value}));
        let advised = remark.as_ref().is_some_and(|remark| remark.contains("IpAccessListEnforcement"));
        assert_eq!(advised, !value, "{remark:?}");
    }
    let fault = Fault { method: Some("GET".into()), path: "*/settings/*".into(), ..Fault::default() };
    for (status, known) in [(403, true), (404, true), (501, true), (500, false)] {
        let body = json!({"error_code": "X", "message": "no"});
        bench.account.clear_faults();
        bench.account.fault(Fault { status: Some(status), body: Some(body), ..fault.clone() });
        assert_eq!(
            shared().await.ok(),
            known.then(Shared::default),
            "{status}: what is not known changes nothing"
        );
    }
}
