//! Federation policies and secrets of service principals: ids of the client's choice, a numeric parent, a secret shown once.

use serde_json::{Value, json};
use simulator::Settings;

use crate::{Account, refused};

const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const GONE: (u16, &str) = (404, "RESOURCE_DOES_NOT_EXIST");

fn policy(subject: Option<&str>) -> Value {
    let mut policy = json!({"oidc_policy": {"issuer": "https://issuer.example.com"}});
    if let Some(subject) = subject {
        policy["oidc_policy"]["subject"] = json!(subject);
    }
    policy
}

/// The service principal `pipeline`: its id and its application id.
fn pipeline(account: &Account) -> (String, String) {
    let found = account.sim.objects("ServicePrincipals");
    let found = found.iter().find(|principal| principal["displayName"] == "pipeline").unwrap();
    let text = |field: &str| found[field].as_str().unwrap().to_owned();
    (text("id"), text("applicationId"))
}

#[tokio::test]
async fn a_policy_of_the_account_has_the_id_that_the_client_chose() {
    let account = Account::new().await;
    let (status, made) = account.send("POST", "federationPolicies?policy_id=ci-main", policy(None)).await;
    assert_eq!((status, &made["policy_id"]), (200, &json!("ci-main")), "{made}");
    assert_eq!(made["name"], format!("accounts/{}/federationPolicies/ci-main", account.sim.account_id));
    assert_eq!(made["oidc_policy"]["audiences"], json!([account.sim.account_id]), "the default is echoed");
    let again = account.send("POST", "federationPolicies?policy_id=ci-main", policy(None)).await;
    assert_eq!(refused(&again), (409, "ALREADY_EXISTS"));
    for id in ["a/b", "Main", &"a".repeat(85)] {
        let answer = account.send("POST", &format!("federationPolicies?policy_id={id}"), policy(None)).await;
        assert_eq!(refused(&answer), INVALID, "{id}");
        assert!(answer.1["message"].as_str().unwrap().starts_with("Invalid federation policy id"));
    }
    assert_eq!(refused(&account.send("POST", "federationPolicies", policy(Some("x"))).await), INVALID);
    let (_, other) = account.send("POST", "federationPolicies", policy(None)).await;
    assert!(other["policy_id"].is_string(), "an id of the server's own");

    let path = "federationPolicies/ci-main";
    let change = json!({"description": "CI", "oidc_policy": {"issuer": "https://other.example.com"}});
    let (status, after) =
        account.send("PATCH", &format!("{path}?update_mask=description"), change.clone()).await;
    assert_eq!((status, &after["description"]), (200, &json!("CI")));
    assert_eq!(after["oidc_policy"]["issuer"], "https://issuer.example.com", "the mask does not name it");
    let (_, after) =
        account.send("PATCH", &format!("{path}?update_mask=description,oidc_policy.issuer"), change).await;
    assert_eq!(after["oidc_policy"]["issuer"], "https://other.example.com");
    let (_, after) = account.send("PATCH", &format!("{path}?update_mask=description"), json!({})).await;
    assert_eq!(after.get("description"), None, "a name without a value takes it away");
    let (_, page) = account.get("federationPolicies?page_size=1").await;
    assert_eq!(page["policies"].as_array().map(Vec::len), Some(1));
    assert_eq!(account.delete(path).await.0, 200);
    assert_eq!(refused(&account.get(path).await), GONE);
}

#[tokio::test]
async fn a_policy_of_a_service_principal_goes_with_it() {
    let account = Account::new().await;
    let (id, application_id) = pipeline(&account);
    let path = format!("servicePrincipals/{id}/federationPolicies");
    assert_eq!(refused(&account.send("POST", &path, policy(None)).await), INVALID, "without a subject");
    let keys = json!({"oidc_policy": {"issuer": "https://i", "subject": "s", "jwks_json": "{}", "jwks_uri": "https://k"}});
    assert_eq!(refused(&account.send("POST", &path, keys).await), INVALID, "keys come from one place");
    let body = policy(Some("system:serviceaccount:ns:name"));
    let (status, made) = account.send("POST", &format!("{path}?policy_id=k8s"), body.clone()).await;
    assert_eq!((status, made["service_principal_id"].as_i64()), (200, id.parse().ok()), "{made}");
    let by_uuid = format!("servicePrincipals/{application_id}/federationPolicies");
    assert_eq!(refused(&account.send("POST", &by_uuid, body).await), GONE, "the number counts");
    assert_eq!(account.get("federationPolicies").await.1.get("policies"), None, "the account has none");
    account.sim.remove("ServicePrincipals", &id);
    assert_eq!(refused(&account.get(&format!("{path}/k8s")).await), GONE);
    assert!(account.sim.objects("service-principal-federation-policies").is_empty());
}

#[tokio::test]
async fn a_secret_is_shown_once_and_logs_its_principal_in() {
    let account = Account::for_years(Settings::default()).await;
    let (id, application_id) = pipeline(&account);
    let path = format!("servicePrincipals/{id}/credentials/secrets");
    let (status, made) = account.send("POST", &path, json!({"lifetime": "3600s"})).await;
    assert_eq!((status, &made["status"]), (200, &json!("ACTIVE")), "{made}");
    let secret = made["secret"].as_str().unwrap().to_owned();
    let (_, page) = account.get(&path).await;
    assert_eq!((&page["secrets"][0]["id"], page["secrets"][0].get("secret")), (&made["id"], None));
    assert!(page["secrets"][0]["expire_time"].is_string());
    let own = format!("{path}/{}", made["id"].as_str().unwrap());
    assert_eq!(refused(&account.get(&own).await), (404, "ENDPOINT_NOT_FOUND"), "one cannot be read");
    assert!(!format!("{:?}", account.sim.objects("service-principal-secrets")).contains(&secret));

    let login = async |secret: &str| account.login(&application_id, secret).await;
    let (status, token) = login(&secret).await;
    assert_eq!((status, login("guess").await.0), (200, 401));
    let request = account.http.get(account.sim.url() + &account.path("credentials"));
    let (status, refusal) = crate::answer(request.bearer_auth(token["access_token"].as_str().unwrap())).await;
    assert_eq!((status, &refusal["error_code"]), (403, &json!("PERMISSION_DENIED")), "it is no admin");

    for _ in 0..4 {
        assert_eq!(account.send("POST", &path, json!({})).await.0, 200);
    }
    assert_eq!(refused(&account.send("POST", &path, json!({})).await), (400, "QUOTA_EXCEEDED"));
    account.sim.advance_ms(3_600_001);
    assert_eq!(account.get(&path).await.1["secrets"].as_array().map(Vec::len), Some(4), "one has expired");
    assert_eq!(login(&secret).await.0, 401);
    assert_eq!(refused(&account.delete(&own).await), GONE);
    for lifetime in ["63072001s", "0s", "10m", "10"] {
        assert_eq!(
            refused(&account.send("POST", &path, json!({"lifetime": lifetime})).await),
            INVALID,
            "{lifetime}"
        );
    }
}
