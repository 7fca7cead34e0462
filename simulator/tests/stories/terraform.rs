//! The bodies that Databricks' Terraform provider sends: the simulated account accepts all of them. The table is `terraform.txt`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{Account, Answer, answer};

const TABLE: &str = include_str!("terraform.txt");

/// What is in the account before, for references and changes: the word of the table, and the id.
const IDS: &[(&str, &str)] = &[
    ("credentials", "11111111-0000-4000-8000-000000000001"),
    ("storage", "11111111-0000-4000-8000-000000000002"),
    ("network", "11111111-0000-4000-8000-000000000003"),
    ("endpoint", "11111111-0000-4000-8000-000000000004"),
    ("private-access", "11111111-0000-4000-8000-000000000005"),
    ("key", "11111111-0000-4000-8000-000000000006"),
    ("connectivity", "11111111-0000-4000-8000-000000000007"),
    ("rule", "11111111-0000-4000-8000-000000000008"),
    ("log-delivery", "11111111-0000-4000-8000-000000000009"),
    ("budget", "11111111-0000-4000-8000-00000000000a"),
    ("application", "11111111-0000-4000-8000-00000000000b"),
    ("user", "4001"),
    ("group", "4002"),
    ("robot", "4003"),
    ("workspace", "5001"),
    ("workspace-list", "11111111-0000-4000-8000-00000000000c"),
    ("metastore", "11111111-0000-4000-8000-0000000000a1"),
    ("lake", "11111111-0000-4000-8000-0000000000a2"),
    ("budget-policy", "11111111-0000-4000-8000-00000000000d"),
    ("app", "11111111-0000-4000-8000-00000000000e"),
];

/// Changes for which the provider has no resource.
const NO_RESOURCE: &[(&str, &str)] = &[
    ("ip-access-lists", "POST"),
    ("ip-access-lists", "PUT"),
    ("ip-access-lists", "PATCH"),
    ("network-connectivity-configs", "PATCH"),
    ("workspace-ip-access-lists", "PATCH"),
    ("published-app-integrations", "POST"),
    ("published-app-integrations", "PATCH"),
    ("usage-dashboards", "POST"),
    ("settings/dcp_acct_enable", "PATCH"),
    ("settings/acct_ip_acl_enable", "PATCH"),
    ("settings/llm_proxy_partner_powered", "PATCH"),
    ("settings/llm_proxy_partner_powered_enforce", "PATCH"),
];

/// One request of the provider.
struct Sent {
    resource: &'static str,
    collection: &'static str,
    method: &'static str,
    path: &'static str,
    body: String,
}

/// The rows of the table: each ends with an empty line.
fn table() -> Vec<Sent> {
    let rows = TABLE.split("\n\n").map(|row| row.lines().filter(|line| !line.starts_with('#')));
    let rows = rows.filter_map(|mut lines| {
        let (resource, collection) = lines.next()?.split_once(": ").expect("resource: collection");
        let (method, path) = lines.next().and_then(|line| line.split_once(' ')).expect("method and path");
        Some(Sent { resource, collection, method, path, body: lines.collect::<Vec<_>>().join("\n") })
    });
    rows.collect()
}

fn with_ids(account: &Account, text: &str) -> String {
    let text = text.replace("{account}", &account.sim.account_id);
    IDS.iter().fold(text, |text, (word, id)| text.replace(&format!("{{{word}}}"), id))
}

async fn account_with_objects() -> Account {
    let account = Account::new().await;
    for (collection, object) in [
        ("credentials", r#"{"credentials_id": "{credentials}"}"#),
        ("storage-configurations", r#"{"storage_configuration_id": "{storage}"}"#),
        ("networks", r#"{"network_id": "{network}"}"#),
        ("vpc-endpoints", r#"{"vpc_endpoint_id": "{endpoint}"}"#),
        (
            "private-access-settings",
            r#"{"private_access_settings_id": "{private-access}", "region": "eu-west-1"}"#,
        ),
        ("customer-managed-keys", r#"{"customer_managed_key_id": "{key}", "use_cases": ["STORAGE"]}"#),
        ("network-connectivity-configs", r#"{"network_connectivity_config_id": "{connectivity}"}"#),
        (
            "private-endpoint-rules",
            r#"{"network_connectivity_config_id": "{connectivity}", "rule_id": "{rule}", "enabled": true,
                "endpoint_service": "com.amazonaws.eu-west-1.s3", "resource_names": ["bucket-0"]}"#,
        ),
        (
            "log-delivery",
            r#"{"config_id": "{log-delivery}", "credentials_id": "{credentials}",
                "storage_configuration_id": "{storage}", "log_type": "AUDIT_LOGS", "output_format": "JSON"}"#,
        ),
        ("budgets", r#"{"budget_configuration_id": "{budget}"}"#),
        ("budget-policies", r#"{"policy_id": "{budget-policy}"}"#),
        (
            "custom-app-integrations",
            r#"{"integration_id": "{app}", "redirect_urls": ["https://example.com/cb"], "scopes": ["sql"]}"#,
        ),
        ("Users", r#"{"id": "{user}", "userName": "bob@example.com", "displayName": "Bob"}"#),
        ("Groups", r#"{"id": "{group}", "displayName": "members"}"#),
        ("Groups", r#"{"displayName": "tf-admins"}"#),
        (
            "ServicePrincipals",
            r#"{"id": "{robot}", "displayName": "robot", "applicationId": "{application}"}"#,
        ),
        (
            "workspaces",
            r#"{"workspace_id": {workspace}, "credentials_id": "{credentials}", "network_id": "{network}",
                "storage_configuration_id": "{storage}", "storage_customer_managed_key_id": "{key}", "deployment_name": "tf"}"#,
        ),
        ("metastores", r#"{"metastore_id": "{metastore}", "region": "eu-west-1"}"#),
        (
            "storage-credentials",
            r#"{"metastore_id": "{metastore}", "name": "tf-root", "id": "{lake}",
                "aws_iam_role": {"role_arn": "arn:aws:iam::123456789012:role/tf"}}"#,
        ),
        ("workspace-ip-access-lists", r#"{"workspace_id": {workspace}, "list_id": "{workspace-list}"}"#),
    ] {
        let object = serde_json::from_str(&with_ids(&account, object)).unwrap();
        account.sim.insert(collection, object).unwrap();
    }
    account
}

/// Sends a body, to the workspace if it is not for the account; SCIM has a media type of its own.
async fn send(account: &Account, sent: &Sent, body: String) -> Answer {
    let url = format!("{}/api/{}", account.sim.url(), with_ids(account, sent.path));
    let (host, token) = host_of(account, sent).await;
    let is_scim = sent.path.contains("/scim/");
    let kind = if is_scim { "application/scim+json; charset=utf-8" } else { "application/json" };
    let method = Method::from_bytes(sent.method.as_bytes()).unwrap();
    let request = account.http.request(method, url).header("Host", host).bearer_auth(token);
    answer(request.header("Content-Type", kind).body(body)).await
}

/// The host that serves a path, and a token of it.
async fn host_of(account: &Account, sent: &Sent) -> (String, String) {
    let own = account.sim.url().replace("http://", "");
    if sent.path.contains("accounts/") {
        return (own, account.token.clone());
    }
    let (host, sim) = (own.replace("127.0.0.1", "tf.localhost"), &account.sim);
    let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
    let request = account.http.post(sim.url() + "/oidc/v1/token").header("Host", &host).form(&form);
    let (_, body) = answer(request.basic_auth(&sim.client_id, Some(&sim.client_secret))).await;
    (host, body["access_token"].as_str().unwrap().to_owned())
}

/// The body of a row. The provider reads the etag of a rule set first, and takes that of a setting from the refusal of a first try.
async fn body(account: &Account, sent: &Sent) -> String {
    let text = with_ids(account, &sent.body);
    let mut body: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    if sent.collection == "rule-sets" {
        let url = format!("{}/api/{}", account.sim.url(), with_ids(account, sent.path));
        let query = [("name", body["name"].as_str().unwrap()), ("etag", "")];
        let (_, found) = answer(account.http.get(url).query(&query).bearer_auth(&account.token)).await;
        return text.replace("{etag}", found["etag"].as_str().unwrap());
    }
    if sent.collection.starts_with("settings/") {
        let (status, refusal) = send(account, sent, text).await;
        let etag = &refusal["details"][0]["metadata"]["etag"];
        assert!(matches!(status, 404 | 409) && etag.is_string(), "{}: {status} {refusal}", sent.resource);
        body["setting"]["etag"] = etag.clone();
        return body.to_string();
    }
    text
}

#[tokio::test]
async fn every_body_of_the_terraform_provider_is_accepted() {
    let account = account_with_objects().await;
    let mut refused = Vec::new();
    for sent in table() {
        let body = body(&account, &sent).await;
        let (status, reply) = send(&account, &sent, body.clone()).await;
        if !(200..300).contains(&status) {
            let Sent { resource, method, path, .. } = sent;
            refused.push(format!("{resource}: {method} {path}\n{body}\n{status} {reply}"));
        }
    }
    assert!(refused.is_empty(), "{} are refused:\n\n{}", refused.len(), refused.join("\n\n"));
}

#[tokio::test]
async fn every_change_that_the_account_serves_is_in_the_table() {
    let served = Account::new().await.sim.served();
    let table = table();
    let changes = served.iter().flat_map(|served| {
        let writes = served.methods.iter().filter(|method| matches!(**method, "POST" | "PUT" | "PATCH"));
        writes.map(|method| (served.name.as_str(), *method))
    });
    let changes: Vec<(&str, &str)> = changes.collect();
    let is_sent = |change: &(&str, &str)| table.iter().any(|sent| (sent.collection, sent.method) == *change);
    let wrong: Vec<_> =
        changes.iter().filter(|change| is_sent(change) == NO_RESOURCE.contains(change)).collect();
    assert!(wrong.is_empty(), "each is either in terraform.txt or in NO_RESOURCE: {wrong:?}");
    let unknown: Vec<_> =
        table.iter().filter(|sent| !changes.contains(&(sent.collection, sent.method))).collect();
    assert!(unknown.is_empty(), "not served: {:?}", unknown.iter().map(|sent| sent.path).collect::<Vec<_>>());
}

/// What the habits of the provider mean.
#[tokio::test]
async fn what_the_provider_leaves_out_or_wraps_has_its_meaning() {
    let account = account_with_objects().await;
    let ids = |text: &str| with_ids(&account, text);
    let path = ids("network-connectivity-configs/{connectivity}/private-endpoint-rules/{rule}");
    let (_, off) = account.send("PATCH", &format!("{path}?update_mask=enabled"), json!({})).await;
    assert_eq!(off["enabled"], false, "the mask names it: {off}");

    let user = ids("scim/v2/Users/{user}");
    let operation = json!({"op": "replace", "path": "active", "value": [{"value": "false"}]});
    let body =
        json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]});
    assert_eq!(account.send("PATCH", &user, body).await.0, 200);
    assert_eq!(account.get(&user).await.1["active"], false);
    let bob = json!({"userName": "bob@example.com", "active": true, "entitlements": [{}]});
    let (_, replaced) = account.send("PUT", &user, bob).await;
    assert_eq!(replaced.get("entitlements"), None, "an empty entry is none: {replaced}");

    let csp = "settings/types/shield_csp_enablement_ac/names/default";
    let (_, unset) = account.get(csp).await;
    let value = json!({"is_enforced": true, "compliance_standards": ["HIPAA"]});
    let setting = json!({"etag": unset["details"][0]["metadata"]["etag"], "csp_enablement_account": value});
    let body =
        json!({"allow_missing": true, "field_mask": "csp_enablement_account.value", "setting": setting});
    assert_eq!(account.send("PATCH", csp, body).await.1["csp_enablement_account"], value);

    for filter in ["userName eq 'bob@example.com'", "userName eq \"bob@example.com\""] {
        let (status, found) =
            answer(account.request("GET", "scim/v2/Users").query(&[("filter", filter)])).await;
        assert_eq!((status, &found["totalResults"]), (200, &json!(1)), "{filter}: {found}");
    }
}
