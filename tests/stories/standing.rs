//! What is always in the account: settings, some by their names, and the network policy of a workspace.

use serde_json::{Value, json};
use simulator::Fault;

use crate::support::{AUTH, Story, condition};

const LEGACY: &str = "DisableLegacyFeaturesSetting";
const CSP: &str = "CspEnablementSetting";
const SETTING: &str = "AccountSetting";
/// A setting that has no kind of its own.
const PREVIEW: &str = "example_feature_preview";
const OPTION: &str = "WorkspaceNetworkOption";
const STORE: &str = "disable_legacy_features";

fn legacy(value: bool) -> Value {
    json!({"disable_legacy_features": {"value": value}})
}

/// The value in the account; none if it was never set.
fn value(story: &Story) -> Option<bool> {
    let settings = story.account.objects("settings");
    let found = settings.iter().find(|setting| setting["setting_type"] == STORE)?;
    found["disable_legacy_features"]["value"].as_bool()
}

/// Status and method of each change that reached the account.
fn changes(story: &Story) -> Vec<(u16, String)> {
    let changes = story.account.writes().into_iter();
    changes.map(|call| (call.status.unwrap_or_default(), call.method)).collect()
}

fn expected(changes: &[(u16, &str)]) -> Vec<(u16, String)> {
    changes.iter().map(|(status, method)| (*status, (*method).to_owned())).collect()
}

/// Covers LC-20. A setting that was never set is set, and after the deletion it is as if it had never been set.
#[tokio::test]
async fn a_setting_is_deleted_and_goes_back_to_what_it_was() {
    let story = Story::start("setting-life").await;
    story.apply(&story.managed(LEGACY, "legacy", json!({"value": true}))).await;
    let ready = story.wait_ready(LEGACY, "legacy").await;
    assert_eq!((&ready["status"]["externalId"], value(&story)), (&json!(STORE), Some(true)));
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Delete");

    story.delete(LEGACY, "legacy").await;
    story.wait_gone(LEGACY, "legacy").await;
    assert_eq!(value(&story), None);
    assert_eq!(changes(&story), expected(&[(200, "PATCH"), (200, "DELETE")]));
    // The event follows the release.
    let deleted = story.wait_event(LEGACY, "legacy", "Deleted").await;
    assert!(deleted.contains("stays there as ENABLED"), "{deleted}");
    story.end().await;
}

/// Covers LC-20, LC-21. An administrator changes the setting in the console, and another one changes it again at the moment
/// at which the operator corrects it.
#[tokio::test]
async fn a_setting_changed_by_two_people_ends_in_one_value_without_a_loop() {
    let story = Story::start("setting-two").await;
    story.apply(&story.managed(LEGACY, "legacy", json!({"value": true}))).await;
    story.wait_ready(LEGACY, "legacy").await;
    let patch = Fault { method: Some("PATCH".into()), path: "*".into(), hold: true, ..Fault::default() };
    let held = story.account.fault(Fault { nth: Some(1), ..patch });
    story.account.clear_journal();

    story.account.edit("settings", STORE, legacy(false)).unwrap();
    let correction = story.account.held(held).await;
    story.account.edit("settings", STORE, legacy(false)).unwrap();
    assert!(story.account.release(correction.n));
    story.wait_event(LEGACY, "legacy", "DriftCorrected").await;
    let seen = story.wait_ready(LEGACY, "legacy").await;
    assert_eq!(value(&story), Some(true));
    assert_eq!(
        changes(&story),
        expected(&[(409, "PATCH"), (200, "PATCH")]),
        "read again, and sent once more"
    );

    for _ in 0..3 {
        story.pass(LEGACY, "legacy").await;
    }
    assert_eq!(changes(&story).len(), 2, "the value is kept without a call that changes something");
    assert_eq!(condition(&seen, "Synced").unwrap()["status"], "True");
    story.end().await;
}

/// Covers LC-20, LC-21, LC-03. An administrator sets it at the very moment at which the operator first does: it is theirs.
#[tokio::test]
async fn a_setting_that_others_set_is_left_alone_until_a_policy_allows_it() {
    let story = Story::start("setting-theirs").await;
    let patch = Fault { method: Some("PATCH".into()), path: "*".into(), hold: true, ..Fault::default() };
    let held = story.account.fault(Fault { nth: Some(1), ..patch });
    let standards = json!({"is_enforced": false, "compliance_standards": ["PCI_DSS"]});
    let theirs = json!({"setting_type": "shield_csp_enablement_ac", "csp_enablement_account": standards});
    let csp = |more: Value| {
        let mut spec = json!({"isEnforced": true, "complianceStandards": ["HIPAA"]});
        more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
        story.managed(CSP, "csp", spec)
    };
    story.apply(&csp(json!({}))).await;
    let first = story.account.held(held).await;
    story.account.insert("settings", theirs).unwrap();
    assert!(story.account.release(first.n));
    let refused = story.wait_condition(CSP, "csp", "Ready", "False", "AlreadyExists").await;
    assert_eq!(refused["status"]["externalId"], Value::Null, "{refused}");
    assert_eq!(changes(&story), expected(&[(409, "PATCH")]));
    assert_eq!(story.account.objects("settings")[0]["csp_enablement_account"], standards);

    // The API cannot put it back: what no deletion could do is refused at once.
    let delete = story.try_apply(&csp(json!({"deletionPolicy": "Delete"}))).await;
    let text = delete.unwrap_err().to_string();
    assert!(text.contains("spec.deletionPolicy") && text.contains("cannot take this away"), "{text}");

    story.apply(&csp(json!({"adoptionPolicy": "IfExists"}))).await;
    story.wait_ready(CSP, "csp").await;
    story.delete(CSP, "csp").await;
    story.wait_gone(CSP, "csp").await;
    story.wait_event(CSP, "csp", "Retained").await;
    let left = story.account.objects("settings")[0]["csp_enablement_account"].clone();
    assert_eq!(left, json!({"is_enforced": true, "compliance_standards": ["HIPAA"]}), "it stays as it was");
    story.end().await;
}

/// Grants AccountSetting, which a grant must name.
async fn begin(name: &str) -> Story {
    let story = Story::start(name).await;
    let grants = json!([{"namespaces": {"from": "Same"}, "kinds": [SETTING]}]);
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"grants": grants}})).await;
    story
}

fn preview(story: &Story, value: bool, more: Value) -> Value {
    let mut spec = json!({"name": PREVIEW, "booleanVal": value});
    more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
    story.managed(SETTING, "preview", spec)
}

/// What was set in the account; null if nothing was.
fn previewed(story: &Story) -> Value {
    let settings = story.account.objects("settings-v2");
    settings.first().map_or(Value::Null, |setting| setting["boolean_val"]["value"].clone())
}

/// Covers LC-20, LC-33. A team tries a preview, and takes the switch back with its object.
#[tokio::test]
async fn a_deleted_account_setting_goes_back_to_what_it_was() {
    let story = begin("setting-by-name").await;
    story.apply(&preview(&story, true, json!({"deletionPolicy": "Delete"}))).await;
    let ready = story.wait_ready(SETTING, "preview").await;
    assert_eq!((&ready["status"]["externalId"], previewed(&story)), (&json!(PREVIEW), json!(true)));
    assert_eq!(
        (&ready["status"]["state"], &ready["status"]["effectiveValue"]),
        (&json!("true"), &json!("true"))
    );
    story.delete(SETTING, "preview").await;
    story.wait_gone(SETTING, "preview").await;
    assert_eq!(previewed(&story), false);
    assert_eq!(changes(&story), expected(&[(200, "PATCH"), (200, "PATCH")]));
    let deleted = story.wait_event(SETTING, "preview", "Deleted").await;
    assert!(deleted.contains("stays there as false"), "{deleted}");
    story.end().await;
}

/// Covers LC-20, LC-03. An administrator has switched a preview off: that is a decision, also if it is the default.
#[tokio::test]
async fn an_account_setting_that_others_set_is_left_alone_until_a_policy_allows_it() {
    let story = begin("setting-by-name-theirs").await;
    let off = json!({"name": PREVIEW, "boolean_val": {"value": false}});
    story.account.insert("settings-v2", off.clone()).unwrap();
    story.apply(&preview(&story, true, json!({}))).await;
    story.wait_condition(SETTING, "preview", "Ready", "False", "AlreadyExists").await;
    assert_eq!((changes(&story), previewed(&story)), (vec![], json!(false)));

    story.apply(&preview(&story, true, json!({"adoptionPolicy": "IfExists"}))).await;
    let ready = story.wait_ready(SETTING, "preview").await;
    assert_eq!(ready["status"]["effective"]["deletionPolicy"], "Retain");
    story.account.edit("settings-v2", PREVIEW, off).unwrap();
    let corrected = story.wait_event(SETTING, "preview", "DriftCorrected").await;
    assert!(corrected.contains("booleanVal"), "{corrected}");
    assert_eq!(previewed(&story), true);
    story.delete(SETTING, "preview").await;
    story.wait_gone(SETTING, "preview").await;
    story.wait_event(SETTING, "preview", "Retained").await;
    assert_eq!(previewed(&story), true);
    story.end().await;
}

/// Covers SE-05. What a setting decides is not known here, and Databricks adds more of them: a team gets them only if a grant says so.
#[tokio::test]
async fn an_account_setting_needs_a_grant_that_names_its_kind() {
    let story = Story::start("setting-by-name-grant").await;
    story.apply(&preview(&story, true, json!({}))).await;
    let refused = story.wait_condition(SETTING, "preview", "Ready", "False", "ReferenceNotPermitted").await;
    let message = condition(&refused, "Ready").unwrap()["message"].to_string();
    assert!(message.contains(SETTING), "{message}");
    assert_eq!((changes(&story), previewed(&story)), (vec![], Value::Null));
    story.end().await;
}

/// A name with a typo, and one that has a kind of its own.
#[tokio::test]
async fn an_unknown_account_setting_is_refused_with_the_list_of_what_there_is() {
    let story = begin("setting-by-name-unknown").await;
    story
        .apply(&story.managed(SETTING, "typo", json!({"name": "example_preview", "booleanVal": true})))
        .await;
    let refused = story.wait_condition(SETTING, "typo", "Stalled", "True", "InvalidSpec").await;
    let text = condition(&refused, "Stalled").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(text.contains(PREVIEW) && text.contains("settings-metadata"), "{text}");
    story.delete(SETTING, "typo").await;
    story.wait_gone(SETTING, "typo").await;

    let typed = json!({"name": "acct_ip_acl_enable", "booleanVal": true});
    let text = story.try_apply(&story.managed(SETTING, "typed", typed)).await.unwrap_err().to_string();
    assert!(text.contains("kind IpAccessListEnforcement"), "{text}");
    assert!(changes(&story).is_empty());
    story.end().await;
}

/// Covers LC-20, DL-06. The policy of a workspace is set, kept and put back, and does not outlive its workspace.
#[tokio::test]
async fn a_workspace_is_put_under_a_network_policy_and_back() {
    let story = Story::start("network-option").await;
    let workspace = story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    story.account.insert("network-policies", json!({"network_policy_id": "open"})).unwrap();
    let policy = || {
        let options = story.account.objects("workspace-network-options");
        options.first().map(|option| option["network_policy_id"].as_str().unwrap().to_owned())
    };
    let option = |name: &str, policy: &str| {
        story.managed(OPTION, name, json!({"workspaceId": workspace, "networkPolicyId": policy}))
    };
    story.apply(&option("strict", "sealed")).await;
    let ready = story.wait_ready(OPTION, "strict").await;
    assert_eq!(ready["status"]["externalId"], json!(workspace.to_string()));
    assert_eq!(policy().as_deref(), Some("sealed"));

    // Two for one workspace: the older one manages it.
    story.wait_older(OPTION, "strict").await;
    story.apply(&option("other", "open")).await;
    story.wait_condition(OPTION, "other", "Ready", "False", "ManagementConflict").await;
    story.delete(OPTION, "other").await;
    story.wait_gone(OPTION, "other").await;
    assert_eq!(policy().as_deref(), Some("sealed"));

    let id = workspace.to_string();
    story.account.edit("workspace-network-options", &id, json!({"network_policy_id": "open"})).unwrap();
    let corrected = story.wait_event(OPTION, "strict", "DriftCorrected").await;
    assert!(corrected.contains("networkPolicyId"), "{corrected}");
    story.delete(OPTION, "strict").await;
    story.wait_gone(OPTION, "strict").await;
    assert_eq!(policy().as_deref(), Some("default-policy"));

    // Its workspace is deleted in the account: there is nothing left to put back.
    story.apply(&option("strict", "sealed")).await;
    story.wait_ready(OPTION, "strict").await;
    assert!(story.account.remove("workspaces", &id));
    story.wait_condition(OPTION, "strict", "Stalled", "True", "ExternalResourceMissing").await;
    story.delete(OPTION, "strict").await;
    story.wait_gone(OPTION, "strict").await;
    story.end().await;
}
