//! What is special about settings of the account: versions, first writes, values that others set. See `src/apis/setting.rs`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Driver, Phase, Resolved, Seen, Writer, of};
use databricks_operator::kinds::csp_enablement_setting::CspEnablementSetting;
use databricks_operator::kinds::disable_legacy_features_setting::DisableLegacyFeaturesSetting;
use serde_json::{Value, json};
use simulator::{Config, Fault, Settings, Simulator};

#[path = "account/connect.rs"]
mod connect;

const LEGACY: &dyn Driver = of::<DisableLegacyFeaturesSetting>();
const CSP: &dyn Driver = of::<CspEnablementSetting>();

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
