//! What is special about settings of the account: versions, first writes, values that others set. See `src/apis/setting.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{
    Acting, AuthFacts, Driver, Lifecycle, Phase, Resolved, Seen, Shared, Writer, of,
};
use databricks_operator::kinds::KINDS;
use databricks_operator::kinds::account_setting::AccountSetting;
use databricks_operator::kinds::csp_enablement_setting::CspEnablementSetting;
use databricks_operator::kinds::disable_legacy_features_setting::DisableLegacyFeaturesSetting;
use databricks_operator::kinds::ip_access_list::IpAccessList;
use databricks_operator::kinds::ip_access_list_enforcement::IpAccessListEnforcement;
use databricks_operator::kinds::llm_proxy_setting::LlmProxySetting;
use databricks_operator::kinds::personal_compute_setting::PersonalComputeSetting;
use serde_json::{Value, json};
use simulator::{Config, Fault, Settings, Simulator};

#[path = "account/connect.rs"]
mod connect;

const LEGACY: &dyn Driver = of::<DisableLegacyFeaturesSetting>();
const CSP: &dyn Driver = of::<CspEnablementSetting>();
const ENFORCEMENT: &dyn Driver = of::<IpAccessListEnforcement>();
const LIST: &dyn Driver = of::<IpAccessList>();
const PERSONAL_COMPUTE: &dyn Driver = of::<PersonalComputeSetting>();
const LLM_PROXY: &dyn Driver = of::<LlmProxySetting>();
const BY_NAME: &dyn Driver = of::<AccountSetting>();

/// A setting that has no kind of its own.
const PREVIEW: &str = "example_feature_preview";

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
    // The API may leave out what is false: that is not the same as never set.
    let fault = Fault { method: Some("GET".into()), path: "*/settings/*".into(), ..Fault::default() };
    let body = json!({"setting_name": "default", "etag": "e", "acct_ip_acl_enable": {}});
    bench.account.fault(Fault { status: Some(200), body: Some(body), ..fault });
    let left_out = bench.read().await;
    assert_eq!((&left_out.about.phase, left_out.about.state.as_deref()), (&Phase::Ready, Some("IGNORED")));
    let refused = allows(&left_out, true, &unknown).await.unwrap_err();
    assert_eq!(refused.reason(), Some(Reason::WouldLockOut));
    bench.account.clear_faults();
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

/// Covers LC-27. Reads of lists lag behind writes by minutes. To open the account waits for nothing.
#[test]
fn only_what_puts_lists_in_force_waits_for_reads_of_lists() {
    let reads = ENFORCEMENT.traits().guard_reads.unwrap();
    assert_eq!(reads.kind, "IpAccessList");
    for (value, waits) in [(json!(true), true), (json!(false), false), (Value::Null, false)] {
        assert_eq!((reads.when)(&json!({"value": value})), waits, "{value}");
    }
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

/// Covers LC-20. A setting whose default is documented is vacant with it; otherwise only one that was never set is, and every value
/// is written.
#[tokio::test]
async fn a_default_counts_as_not_managed_only_if_it_is_documented() {
    let bench = Bench::new(PERSONAL_COMPUTE, 200).await;
    let unset = bench.read().await;
    assert_eq!((&unset.about.phase, unset.about.state.as_deref()), (&Phase::Vacant, Some("ON")));
    let set = bench.update(&unset, &bench.want(json!({"value": "DELEGATE"}))).await.unwrap();
    assert_eq!((&set.about.phase, set.about.state.as_deref()), (&Phase::Ready, Some("DELEGATE")));
    bench.driver.delete(&bench.api, &set).await.unwrap();
    assert_eq!(bench.read().await.about.phase, Phase::Vacant);

    let bench = Bench::new(LLM_PROXY, 404).await;
    let unset = bench.read().await;
    assert_eq!((&unset.about.phase, &unset.state), (&Phase::Vacant, &json!({"value": null})));
    for value in [true, false] {
        let want = bench.want(json!({"value": value}));
        assert_eq!(bench.driver.changes(&want, &unset).unwrap().len(), 1, "{value}");
    }
    let set = bench.update(&unset, &bench.want(json!({"value": false}))).await.unwrap();
    assert_eq!((&set.about.phase, set.about.state.as_deref()), (&Phase::Ready, Some("DISABLED")));
    assert_eq!(bench.sent()[0]["field_mask"], "boolean_val.value");

    // The API may leave out what is false. That is what the spec wants, and needs no call.
    let body = json!({"setting_name": "default", "etag": "e", "boolean_val": {}});
    let fault = Fault { method: Some("GET".into()), path: "*/settings/*".into(), ..Fault::default() };
    bench.account.fault(Fault { status: Some(200), body: Some(body), ..fault });
    let left_out = bench.read().await;
    assert_eq!((&left_out.about.phase, left_out.about.state.as_deref()), (&Phase::Ready, Some("DISABLED")));
    assert_eq!(bench.driver.changes(&bench.want(json!({"value": false})), &left_out), Ok(vec![]));
}

/// Covers LC-20. What was set is distinguished from what holds: only what was never set is vacant.
#[tokio::test]
async fn a_setting_by_name_is_vacant_until_it_is_set() {
    let bench = Bench::new(BY_NAME, 404).await;
    let read = async || bench.driver.list(&bench.api, PREVIEW).await.unwrap().remove(0);
    let unset = read().await;
    assert_eq!((&unset.about.phase, &unset.state["boolean_val"]), (&Phase::Vacant, &json!(false)));
    let want = bench.want(json!({"name": PREVIEW, "booleanVal": true}));
    let set = bench.driver.update(&bench.api, &unset, &want, &["boolean_val"]).await.unwrap();
    assert_eq!(
        (&set.about.phase, &*set.id, set.about.state.as_deref()),
        (&Phase::Ready, PREVIEW, Some("true"))
    );
    assert_eq!((json!(set.facts), &set.about.remark), (json!({"effectiveValue": "true"}), &None));
    assert_eq!(bench.sent(), [json!({"name": PREVIEW, "boolean_val": {"value": true}})]);
    assert_eq!(read().await, set);

    // A value that is false may be left out of its envelope. Something else may decide what holds.
    let returns = |body: Value| {
        bench.account.clear_faults();
        let fault = Fault { method: Some("GET".into()), path: "*/settings/*".into(), ..Fault::default() };
        bench.account.fault(Fault { status: Some(200), body: Some(body), ..fault });
    };
    returns(json!({"name": PREVIEW, "boolean_val": {}, "effective_boolean_val": {"value": true}}));
    let overridden = read().await;
    assert_eq!((&overridden.about.phase, &overridden.state["boolean_val"]), (&Phase::Ready, &json!(false)));
    assert!(overridden.about.remark.is_some_and(|remark| remark.starts_with("true is in effect")));
    returns(json!({"name": PREVIEW, "integer_val": {"value": "90"}}));
    assert_eq!(read().await.state["integer_val"], 90);

    // The form of the value is wrong.
    bench.account.clear_faults();
    let text = bench.want(json!({"name": PREVIEW, "stringVal": "on"}));
    let refused = bench.driver.update(&bench.api, &set, &text, &["string_val"]).await.unwrap_err();
    assert!(refused.to_string().contains("settings-metadata"), "{refused}");
}

/// Covers LC-33, SE-05. What a status says was there before is input: it changes no other setting than the one that was read, and none
/// that has a kind of its own, whose guard would be passed by.
#[tokio::test]
async fn no_record_leads_to_another_setting_or_to_one_with_a_kind_of_its_own() {
    let bench = Bench::new(BY_NAME, 404).await;
    let unset = bench.driver.list(&bench.api, PREVIEW).await.unwrap().remove(0);
    let forged =
        json!({"name": "acct_ip_acl_enable", "boolean_val": true, "string_val": null, "integer_val": null});
    let set = bench.driver.update(&bench.api, &unset, &forged, &["boolean_val"]).await.unwrap();
    assert_eq!((&*set.id, &set.state["name"]), (PREVIEW, &json!(PREVIEW)));
    assert_eq!(bench.sent(), [json!({"name": PREVIEW, "boolean_val": {"value": true}})]);

    let typed = Seen { id: "acct_ip_acl_enable".into(), ..unset };
    let refused = bench.driver.update(&bench.api, &typed, &forged, &["boolean_val"]).await.unwrap_err();
    let spec = json!({"authRef": {"name": "a"}, "name": "acct_ip_acl_enable", "booleanVal": true});
    let older_than_the_rule = bench.driver.desired(&spec, &Resolved::default()).unwrap_err();
    for error in [refused, older_than_the_rule] {
        assert!(error.to_string().contains("of kind IpAccessListEnforcement"), "{error}");
    }
    assert_eq!(bench.sent().len(), 1);
}

/// The account lists what it has: that decides between a wrong name, a setting that was never set, and one that is gone.
#[tokio::test]
async fn a_setting_of_an_unknown_name_is_refused_with_the_names_that_there_are() {
    let bench = Bench::new(BY_NAME, 404).await;
    let unknown = bench.driver.list(&bench.api, "colour").await.unwrap_err();
    assert_eq!(unknown.reason(), Some(Reason::InvalidSpec));
    let text = unknown.to_string();
    for part in
        ["no setting colour", "correct spec.name", PREVIEW, "example_data_region", "settings-metadata"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("llm_proxy"), "one that has a kind of its own: {text}");
    assert_eq!(bench.driver.get(&bench.api, "colour").await, Ok(None));

    let fault = Fault { method: Some("GET".into()), path: "*/settings/*".into(), ..Fault::default() };
    let body = json!({"error_code": "NOT_FOUND", "message": "never set"});
    bench.account.fault(Fault { status: Some(404), body: Some(body), ..fault });
    let unset = bench.driver.list(&bench.api, PREVIEW).await.unwrap().remove(0);
    assert_eq!((&unset.about.phase, &unset.state["boolean_val"]), (&Phase::Vacant, &Value::Null));
}

/// Two objects that set one thing would undo each other's changes, and a guard would be passed by: the rules of AccountSetting refuse
/// what has a kind of its own, and name that kind.
#[test]
fn no_setting_has_two_kinds() {
    let crd = json!(BY_NAME.crd());
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let rules = spec["x-kubernetes-validations"].as_array().unwrap();
    let mut kinds = 0;
    for driver in KINDS.iter().filter(|driver| driver.traits().lifecycle == Lifecycle::Standing) {
        // The key of a setting is always the same; that of what belongs to something else is not.
        let Ok(key) = driver.key(&json!({})) else { continue };
        kinds += 1;
        let (name, kind) = (format!("'{}'", key.name), driver.kind());
        let text = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
        let refuses =
            |rule: &Value| text(rule, "rule").contains(&name) && text(rule, "message").contains(&*kind);
        assert!(rules.iter().any(refuses), "add {name} of {kind} to TYPED in account_setting/spec.rs");
    }
    assert_eq!(kinds, 7);
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
