//! A change for the sample of each kind, for tests of its life: what a user edits, and what another client undoes in the account.

use databricks_operator::engine::kind::Driver;
use serde_json::{Value, json};

/// A change of the sample that the kind can carry out, if possible of what the object is found by. Its opposite, done in
/// the account, is the drift. `None`: no field of its state can be changed, so it has neither.
pub fn edit(driver: &dyn Driver, want: &Value) -> Option<Value> {
    if driver.traits().are_secrets() {
        return Some(json!({"renewal": "now", "overlap": "1s"}));
    }
    let immutable = driver.traits().immutable;
    let fixed = |field: &String| immutable.iter().any(|fixed| fixed.state == field);
    if want.as_object().is_some_and(|state| state.keys().all(fixed)) {
        return None;
    }
    Some(match &*driver.kind() {
        "AccountNetworkPolicy" => {
            let host = json!({"destination": "git.example.com", "internetDestinationType": "DNS_NAME"});
            json!({"egress": {"networkAccess": {"allowedInternetDestinations": [host]}}})
        }
        "AccountFederationPolicy" | "ServicePrincipalFederationPolicy" => json!({"description": "moved"}),
        "Budget" => json!({"displayName": "team-b", "filter": {"tags": []}}),
        "BudgetPolicy" => {
            json!({"policyName": "team-b", "customTags": [{"key": "team", "value": "b"}]})
        }
        "Group" => json!({"displayName": "finance", "members": [{"userName": "ada@example.com"}]}),
        // What the sample refers to is the only configuration of the account.
        "NetworkConnectivityBinding" => return None,
        // It is nothing but its key, beside a version that counts only at its creation.
        "UsageDashboard" => return None,
        // It is nothing but its key, beside a permission that the account does not have.
        "GroupMembership" => return None,
        "User" => json!({"displayName": "Lin", "name": {"givenName": "Linnea"}}),
        "ServicePrincipal" => json!({"displayName": "etl nightly"}),
        "IpAccessList" => json!({"label": "branch", "ipAddresses": ["192.0.2.0/24"]}),
        "WorkspaceIpAccessList" => {
            json!({"label": "branch", "ipAddresses": ["192.0.2.0/24"], "enforce": true})
        }
        "IpAccessListEnforcement" => json!({"value": false}),
        "LogDelivery" => json!({"status": "DISABLED"}),
        "NetworkConnectivityConfig" => json!({"name": "branch"}),
        "Metastore" => json!({"externalAccessEnabled": true}),
        "StorageCredential" => json!({"comment": "moved"}),
        "PermissionAssignment" => json!({"permissions": ["ADMIN"]}),
        // To lower what a principal has takes time, and a grant.
        "WorkspaceAccess" => json!({"principals": [{"groupName": "analysts"}, {"groupName": "data-eng"}]}),
        "DisableLegacyFeaturesSetting" => json!({"value": false}),
        "CspEnablementSetting" => json!({"isEnforced": false, "complianceStandards": ["HIPAA", "PCI_DSS"]}),
        "EsmEnablementSetting" => json!({"isEnforced": false}),
        "PersonalComputeSetting" => json!({"value": "ON"}),
        "LlmProxySetting" => json!({"value": true}),
        "LlmProxyEnforcementSetting" => json!({"value": false}),
        "AccountSetting" => json!({"booleanVal": false}),
        "WorkspaceNetworkOption" => json!({"networkPolicyId": "default-policy"}),
        "PrivateEndpointRule" => json!({"domainNames": ["orders.example.com"]}),
        "Workspace" => json!({"customTags": {"team": "science"}}),
        "CustomAppIntegration" => json!({"redirectUrls": ["https://bi.example.com/other"]}),
        "PublishedAppIntegration" => json!({"tokenAccessPolicy": {"accessTokenTtlInMinutes": 30}}),
        "PrivateAccessSettings" => json!({"privateAccessSettingsName": "branch"}),
        other => panic!(
            "{other}: not all of its State is in IMMUTABLE: add a line to `edit` in tests/account/edits.rs, with a change of the \
             spec of config/samples/{}.yaml that the kind can make",
            other.to_lowercase()
        ),
    })
}
