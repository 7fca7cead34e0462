//! What is always there: settings of the account, rule sets, the network policy of a workspace. None is created.

use serde_json::{Value, json};
use simulator::Settings;

use crate::{Account, Answer, answer, refused};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const CONFLICT: (u16, &str) = (409, "RESOURCE_CONFLICT");
const GONE: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");
const LEGACY: &str = "settings/types/disable_legacy_features/names/default";
const CSP: &str = "settings/types/shield_csp_enablement_ac/names/default";

/// A change of the legacy features.
fn legacy(value: bool, etag: Option<&str>) -> Value {
    let mut setting = json!({"setting_name": "default", "disable_legacy_features": {"value": value}});
    if let Some(etag) = etag {
        setting["etag"] = json!(etag);
    }
    json!({"allow_missing": true, "field_mask": "disable_legacy_features.value", "setting": setting})
}

/// The fresh etag in a refusal.
fn fresh_etag(refusal: &Answer) -> &str {
    assert_eq!(refusal.1["details"][0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{}", refusal.1);
    refusal.1["details"][0]["metadata"]["etag"].as_str().unwrap()
}

#[tokio::test]
async fn a_setting_changes_with_the_etag_of_the_refusal() {
    let account = Account::new().await;
    let unset = account.get(LEGACY).await;
    assert_eq!(refused(&unset), (404, "NOT_FOUND"));
    let first = account.send("PATCH", LEGACY, legacy(true, None)).await;
    assert_eq!((refused(&first), fresh_etag(&first)), ((404, "NOT_FOUND"), fresh_etag(&unset)));
    let stale = account.send("PATCH", LEGACY, legacy(true, Some("old"))).await;
    assert_eq!((refused(&stale), fresh_etag(&stale)), (CONFLICT, fresh_etag(&unset)));
    let (status, set) = account.send("PATCH", LEGACY, legacy(true, Some(fresh_etag(&unset)))).await;
    assert_eq!((status, &set["disable_legacy_features"]["value"]), (200, &json!(true)));
    let again = account.send("PATCH", LEGACY, legacy(false, Some(fresh_etag(&unset)))).await;
    assert_eq!((refused(&again), fresh_etag(&again)), (CONFLICT, set["etag"].as_str().unwrap()));
    assert_eq!(account.get(LEGACY).await.1["etag"], set["etag"]);

    let other = json!({"disable_legacy_features": {"value": false}});
    account.sim.edit("settings", "disable_legacy_features", other).unwrap();
    let bare = account.delete(LEGACY).await;
    assert_eq!(refused(&bare), CONFLICT, "a reset names the version, too");
    let late = account.delete(&format!("{LEGACY}?etag={}", set["etag"].as_str().unwrap())).await;
    assert_eq!(refused(&late), CONFLICT, "another client changed it");
    assert_eq!(fresh_etag(&bare), fresh_etag(&late));
    let (status, reset) = account.delete(&format!("{LEGACY}?etag={}", fresh_etag(&late))).await;
    assert_eq!((status, reset["etag"].is_string()), (200, true));
    assert_eq!(refused(&account.get(LEGACY).await), (404, "NOT_FOUND"));
    account.sim.set(|settings| settings.unset_setting_status = 200);
    let (_, default) = account.get(LEGACY).await;
    assert_eq!(
        (&default["disable_legacy_features"]["value"], &default["etag"]),
        (&json!(false), &reset["etag"])
    );
}

#[tokio::test]
async fn a_mask_names_what_changes_and_some_settings_are_never_reset() {
    let account = Account::with(Settings { unset_setting_status: 200, ..Settings::default() }).await;
    let change = |mask: &str, etag: &Value| {
        json!({"allow_missing": true, "field_mask": mask, "setting": {"etag": etag, "csp_enablement_account": {
            "is_enforced": true, "compliance_standards": ["HIPAA"],
        }}})
    };
    let mut etag = account.get(CSP).await.1["etag"].clone();
    let masks = "csp_enablement_account.is_enforced,csp_enablement_account.compliance_standards";
    for (mask, standards) in [("csp_enablement_account.is_enforced", Value::Null), (masks, json!(["HIPAA"]))]
    {
        let (status, set) = account.send("PATCH", CSP, change(mask, &etag)).await;
        assert_eq!(
            (status, &set["csp_enablement_account"]["compliance_standards"]),
            (200, &standards),
            "{set}"
        );
        etag = set["etag"].clone();
    }
    assert_eq!(refused(&account.delete(CSP).await), (404, "ENDPOINT_NOT_FOUND"));
    let mut missing = change(masks, &etag);
    missing["allow_missing"] = json!(false);
    for body in [missing, change("colour", &etag), json!({"allow_missing": true, "field_mask": masks})] {
        assert_eq!(refused(&account.send("PATCH", CSP, body.clone()).await), INVALID, "{body}");
    }
    let wrong = legacy(true, None);
    assert_eq!(refused(&account.send("PATCH", CSP, wrong).await), (400, "MALFORMED_REQUEST"));
    let none = account.get("settings/types/colour/names/default").await;
    assert_eq!(refused(&none), (404, "ENDPOINT_NOT_FOUND"));
}

#[tokio::test]
async fn a_setting_by_name_shows_what_was_set_apart_from_what_holds() {
    let account = Account::new().await;
    let path = |name: &str| format!("/api/2.1/accounts/{}/{name}", account.sim.account_id);
    let call = async |method: &str, name: &str, body: Option<Value>| {
        let request = account.http.request(method.parse().unwrap(), account.sim.url() + &path(name));
        let request = request.bearer_auth(&account.token);
        answer(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    };
    let preview = "settings/example_feature_preview";
    let (status, unset) = call("GET", preview, None).await;
    assert_eq!((status, unset.get("boolean_val")), (200, None), "{unset}");
    assert_eq!(unset["effective_boolean_val"], json!({"value": false}));
    let (status, set) = call("PATCH", preview, Some(json!({"boolean_val": {"value": true}}))).await;
    assert_eq!((status, &set["boolean_val"]["value"]), (200, &json!(true)), "{set}");
    assert_eq!(set["effective_boolean_val"], json!({"value": true}));
    assert_eq!(call("GET", preview, None).await.1, set);

    for body in [
        json!({"string_val": {"value": "on"}}),
        json!({"boolean_val": {"value": true}, "string_val": {"value": "on"}}),
        json!({"name": "other", "boolean_val": {"value": true}}),
        json!({}),
    ] {
        assert_eq!(refused(&call("PATCH", preview, Some(body.clone())).await), INVALID, "{body}");
    }
    assert_eq!(refused(&call("GET", "settings/colour", None).await), GONE);
    assert_eq!(refused(&call("DELETE", preview, None).await), (404, "ENDPOINT_NOT_FOUND"));
    account.sim.set(|settings| settings.page_size = 3);
    let (_, first) = call("GET", "settings-metadata", None).await;
    let token = first["next_page_token"].as_str().unwrap();
    let (_, last) = call("GET", &format!("settings-metadata?page_token={token}"), None).await;
    let names = |page: &Value| page["settings_metadata"].as_array().unwrap().len();
    assert_eq!((names(&first), last.get("next_page_token")), (3, None));
    assert!(names(&last) > 0);
}

#[tokio::test]
async fn a_setting_switches_ip_access_lists_off() {
    let account =
        Account::with(Settings { caller_ip: "203.0.113.9".parse().ok(), ..Settings::default() }).await;
    let office = json!({"label": "office", "list_type": "ALLOW", "ip_addresses": ["198.51.100.1"]});
    account.sim.insert("ip-access-lists", office).unwrap();
    assert_eq!(account.get("workspaces").await.0, 403);
    let off = json!({"setting_type": "acct_ip_acl_enable", "acct_ip_acl_enable": {"value": false}});
    account.sim.insert("settings", off).unwrap();
    assert_eq!(account.get("workspaces").await.0, 200);
}

async fn rule_sets(account: &Account, query: &str, body: Option<Value>) -> Answer {
    let path = format!("/api/2.0/preview/accounts/{}/access-control/{query}", account.sim.account_id);
    let method = if body.is_some() { "PUT" } else { "GET" };
    let request = account.http.request(method.parse().unwrap(), account.sim.url() + &path);
    let request = request.bearer_auth(&account.token);
    answer(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

fn rules(name: &str, etag: &Value, rules: Value) -> Option<Value> {
    Some(json!({"name": name, "rule_set": {"name": name, "etag": etag, "grant_rules": rules}}))
}

#[tokio::test]
async fn a_rule_set_is_written_with_the_freshest_etag() {
    let account = Account::new().await;
    let robots = account.sim.objects("ServicePrincipals");
    let robot = robots[1]["applicationId"].as_str().unwrap();
    let name = format!("accounts/{}/servicePrincipals/{robot}/ruleSets/default", account.sim.account_id);
    let get = async || rule_sets(&account, &format!("rule-sets?name={name}&etag="), None).await;
    let (status, empty) = get().await;
    assert_eq!((status, empty.get("grant_rules")), (200, None), "it is there from the start");
    let user = json!([{"role": "roles/servicePrincipal.user", "principals": ["groups/data-eng", "users/ada@example.com"]}]);
    let (status, set) = rule_sets(&account, "rule-sets", rules(&name, &empty["etag"], user.clone())).await;
    assert_eq!(
        (status, set["grant_rules"][0]["principals"].as_array().map(Vec::len)),
        (200, Some(2)),
        "{set}"
    );
    let stale = rule_sets(&account, "rule-sets", rules(&name, &empty["etag"], json!([]))).await;
    assert_eq!((refused(&stale), stale.1.get("details")), (CONFLICT, None));

    for (rule, why) in [
        (
            json!({"role": "roles/servicePrincipal.user", "principals": ["groups/"]}),
            "Unsupported principal: groups/",
        ),
        (json!({"role": "roles/servicePrincipal.user", "principals": ["groups/none"]}), "does not exist"),
        (json!({"role": "roles/group.manager", "principals": ["groups/data-eng"]}), "cannot be granted"),
    ] {
        let refusal = rule_sets(&account, "rule-sets", rules(&name, &set["etag"], json!([rule]))).await;
        assert_eq!(refused(&refusal), INVALID, "{}", refusal.1);
        assert!(refusal.1["message"].as_str().unwrap().contains(why), "{}", refusal.1);
    }
    let group =
        account.sim.objects("Groups").into_iter().find(|group| group["displayName"] == "data-eng").unwrap();
    account.sim.remove("Groups", group["id"].as_str().unwrap());
    let (status, kept) = rule_sets(&account, "rule-sets", rules(&name, &set["etag"], user)).await;
    assert_eq!(status, 200, "a grant that was there may stay, though its group is gone");
    let odd = json!([{"role": "roles/servicePrincipal.user", "principals": ["groups/data-eng"], "condition": {"hours": "night"}}]);
    let (status, odd) = rule_sets(&account, "rule-sets", rules(&name, &kept["etag"], odd)).await;
    assert_eq!((status, &odd["grant_rules"][0]["condition"]["hours"]), (200, &json!("night")), "{odd}");
    let kept = odd;
    let (_, dropped) = rule_sets(&account, "rule-sets", rules(&name, &kept["etag"], json!([]))).await;
    assert_eq!(dropped.get("grant_rules"), None);

    let roles =
        rule_sets(&account, &format!("assignable-roles?resource=accounts/{}", account.sim.account_id), None)
            .await;
    assert!(roles.1["roles"].as_array().unwrap().iter().any(|role| role["name"] == "roles/billing.admin"));
    assert_eq!(
        refused(&rule_sets(&account, &format!("rule-sets?name={name}"), None).await),
        INVALID,
        "without etag"
    );
    account.sim.remove("ServicePrincipals", robots[1]["id"].as_str().unwrap());
    assert_eq!(refused(&get().await), GONE);
}

#[tokio::test]
async fn a_workspace_has_one_network_policy_at_any_time() {
    let account = Account::new().await;
    let workspace = account.sim.insert("workspaces", json!({})).unwrap()["workspace_id"].clone();
    let path = format!("workspaces/{workspace}/network");
    let (_, before) = account.get(&path).await;
    assert_eq!(
        (&before["workspace_id"], &before["network_policy_id"]),
        (&workspace, &json!("default-policy"))
    );
    let strict = json!({"workspace_id": workspace, "network_policy_id": "strict"});
    assert_eq!(
        refused(&account.send("PUT", &path, strict.clone()).await),
        INVALID,
        "there is no such policy yet"
    );
    account.sim.insert("network-policies", json!({"network_policy_id": "strict"})).unwrap();
    let (status, after) = account.send("PUT", &path, strict).await;
    assert_eq!(
        (status, after.get("workspace_id"), &after["network_policy_id"]),
        (200, None, &json!("strict"))
    );
    assert_eq!(account.get(&path).await.1["network_policy_id"], "strict");
    let held = account.delete("network-policies/strict").await;
    assert_eq!(refused(&held), (400, "INVALID_STATE"), "{}", held.1);
    let other = json!({"workspace_id": 7, "network_policy_id": "strict"});
    assert_eq!(refused(&account.send("PUT", &path, other).await), INVALID);
    assert_eq!(refused(&account.send("PUT", &path, json!({})).await), INVALID);
    assert_eq!(refused(&account.delete(&path).await), (404, "ENDPOINT_NOT_FOUND"));
    account.sim.remove("workspaces", &workspace.to_string());
    assert_eq!(refused(&account.get(&path).await), GONE);
    assert!(account.sim.objects("workspace-network-options").is_empty());
}
