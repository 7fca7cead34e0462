//! An account on Google Cloud: who gets the tokens of Google, which calls need both, and what its objects consist of.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};
use simulator::{Cloud, GOOGLE_EMAIL, Settings};

use crate::{Account, Answer, answer, refused};

const SCOPES: &str = "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/compute";
const INVALID: (u16, &str) = (400, "INVALID_PARAMETER_VALUE");
const MALFORMED: (u16, &str) = (400, "MALFORMED_REQUEST");

async fn on_google() -> Account {
    Account::with(Settings { cloud: Cloud::GCP, provisioning_ms: 60_000, start_ms: 0, ..Settings::default() })
        .await
}

/// An assertion with these claims, and the usual ones where they are not given. A null leaves one out.
fn assertion(account: &Account, claims: &Value) -> String {
    let file: Value = serde_json::from_str(&account.sim.google_key()).unwrap();
    let mut whole =
        json!({"iss": GOOGLE_EMAIL, "aud": file["token_uri"], "iat": 1_000_000, "exp": 1_003_600});
    whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    whole.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    let head = json!({"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]});
    let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(head), encode(whole));
    let pem = file["private_key"].as_str().unwrap();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let key = KeyPair::from_pkcs8(&STANDARD.decode(body).unwrap()).unwrap();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

async fn exchange(account: &Account, assertion: &str) -> Answer {
    let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let form = [("grant_type", grant_type), ("assertion", assertion)];
    answer(account.http.post(account.sim.url() + "/token").form(&form)).await
}

/// An ID token for the account, and an access token.
async fn tokens(account: &Account) -> (String, String) {
    let wanted = [
        (json!({"target_audience": account.sim.url()}), "id_token"),
        (json!({"scope": SCOPES}), "access_token"),
    ];
    let mut found = vec![];
    for (claims, field) in wanted {
        let (status, body) = exchange(account, &assertion(account, &claims)).await;
        assert_eq!(status, 200, "{body}");
        found.push(body[field].as_str().unwrap().to_owned());
    }
    (found.remove(0), found.remove(0))
}

/// A call with these tokens.
async fn call(account: &Account, id: &str, access: Option<&str>, to: (&str, &str), body: &Value) -> Answer {
    let method = to.0.parse().unwrap();
    let mut request = account.http.request(method, account.sim.url() + &account.path(to.1)).bearer_auth(id);
    if let Some(access) = access {
        request = request.header("X-Databricks-GCP-SA-Access-Token", access);
    }
    answer(if body.is_null() { request } else { request.json(body) }).await
}

fn workspace() -> Value {
    json!({
        "workspace_name": "analytics", "location": "us-east4",
        "cloud_resource_container": {"gcp": {"project_id": "my-project"}},
    })
}

#[tokio::test]
async fn google_exchanges_only_what_the_key_signed_for_it() {
    let account = on_google().await;
    let wanted = json!({"target_audience": account.sim.url()});
    let (status, body) = exchange(&account, &assertion(&account, &wanted)).await;
    assert_eq!((status, body.get("access_token")), (200, None), "{body}");
    for (claims, error, says) in [
        (json!({"iss": "other@example.com", "scope": SCOPES}), "invalid_grant", "account not found"),
        (json!({"aud": "https://oauth2.googleapis.com/token", "scope": SCOPES}), "invalid_grant", "audience"),
        (json!({"exp": 1_003_601, "scope": SCOPES}), "invalid_grant", "short-lived"),
        (json!({"exp": null, "scope": SCOPES}), "invalid_grant", "short-lived"),
        (json!({}), "invalid_scope", "scope"),
        (json!({"scope": "https://www.googleapis.com/auth/compute"}), "invalid_scope", "scope"),
    ] {
        let (status, body) = exchange(&account, &assertion(&account, &claims)).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{claims}");
        assert!(body["error_description"].as_str().unwrap().contains(says), "{body}");
    }
    let signed = assertion(&account, &wanted);
    let (_, signature) = signed.rsplit_once('.').unwrap();
    let (other, _) = assertion(&account, &json!({"scope": SCOPES}))
        .rsplit_once('.')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    for forged in [format!("{other}.{signature}"), "a.b.c".to_owned(), String::new()] {
        let (status, body) = exchange(&account, &forged).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")), "{forged}");
    }
    let journal = serde_json::to_string(&account.sim.journal()).unwrap();
    assert!(!journal.contains(signature), "an assertion is in the journal");

    let elsewhere = Account::new().await;
    let signed = assertion(&elsewhere, &json!({"target_audience": elsewhere.sim.url()}));
    assert_eq!(exchange(&elsewhere, &signed).await.0, 404, "an account on AWS");
}

#[tokio::test]
async fn what_acts_in_the_project_needs_both_tokens() {
    let account = on_google().await;
    let (id, access) = tokens(&account).await;
    let post = ("POST", "workspaces");
    let none = (400, "BAD_REQUEST");
    assert_eq!(refused(&call(&account, &id, None, post, &workspace()).await), none);
    assert_eq!(refused(&call(&account, &id, Some("made-up"), post, &workspace()).await), none);
    assert_eq!(refused(&call(&account, &id, Some(&id), post, &workspace()).await), none);
    let databricks = account.token.clone();
    assert_eq!(refused(&call(&account, &databricks, Some(&access), post, &workspace()).await), none);
    let (status, made) = call(&account, &id, Some(&access), post, &workspace()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["cloud_resource_container"], workspace()["cloud_resource_container"]);
    assert_eq!(made.get("custom_tags"), None);

    // What only reads, and what is Databricks' own, needs one.
    let one = format!("workspaces/{}", made["workspace_id"]);
    assert_eq!(refused(&call(&account, &id, Some(&access), ("GET", &one), &Value::Null).await), INVALID);
    assert_eq!(call(&account, &id, None, ("GET", &one), &Value::Null).await.0, 200);
    assert_eq!(account.get(&one).await.0, 200, "a token of Databricks");
    let access_settings = json!({"private_access_settings_name": "main", "region": "us-east4"});
    let to = ("POST", "private-access-settings");
    let (status, settings) = call(&account, &id, None, to, &access_settings).await;
    assert_eq!(status, 201, "{settings}");

    account.sim.advance_ms(60_001);
    let change = json!({"private_access_settings_id": settings["private_access_settings_id"]});
    assert_eq!(refused(&call(&account, &id, None, ("PATCH", &one), &change).await), none);
    let bare = call(&account, &id, Some(&access), ("PATCH", &one), &change).await;
    assert_eq!(refused(&bare), INVALID, "the mask is missing");
    let masked = format!("{one}?update_mask=private_access_settings_id");
    assert_eq!(call(&account, &id, Some(&access), ("PATCH", &masked), &change).await.0, 200);

    let other_host = assertion(&account, &json!({"target_audience": "https://accounts.gcp.databricks.com"}));
    let other_host = exchange(&account, &other_host).await.1["id_token"].as_str().unwrap().to_owned();
    assert_ne!(call(&account, &other_host, None, ("GET", &one), &Value::Null).await.0, 200);
    account.sim.advance_ms(3_600_000);
    assert_ne!(call(&account, &id, None, ("GET", &one), &Value::Null).await.0, 200, "its time is over");
}

#[tokio::test]
async fn the_metadata_server_issues_both_tokens_to_a_pod() {
    let account = on_google().await;
    let (http, url) = (&account.http, account.sim.url());
    let own = "/computeMetadata/v1/instance/service-accounts/default";
    let asked = |name: &str| http.get(format!("{url}{own}/{name}")).header("Metadata-Flavor", "Google");
    let bare = http.get(format!("{url}{own}/token")).send().await.unwrap();
    assert_eq!(bare.status(), 403, "without the header");
    let id = asked(&format!("identity?audience={url}&format=full")).send().await.unwrap();
    assert_eq!(id.status(), 200);
    assert_eq!(id.headers()["metadata-flavor"], "Google");
    let id = id.text().await.unwrap();
    let claims = URL_SAFE_NO_PAD.decode(id.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["aud"], &claims["email"]), (&json!(url), &json!(GOOGLE_EMAIL)));
    let (status, access) = answer(asked("token")).await;
    assert_eq!(status, 200, "{access}");
    let access = access["access_token"].as_str();
    let (status, made) = call(&account, &id, access, ("POST", "workspaces"), &workspace()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(asked("identity").send().await.unwrap().status(), 400, "no audience");
    assert_eq!(asked("email").send().await.unwrap().status(), 404);

    let aws = Account::new().await;
    let request = aws.http.get(aws.sim.url() + own + "/token").header("Metadata-Flavor", "Google");
    assert_eq!(request.send().await.unwrap().status(), 404, "an account on AWS");
}

#[tokio::test]
async fn objects_on_google_have_fields_of_their_own() {
    let account = on_google().await;
    let (id, access) = tokens(&account).await;
    let send = async |collection: &str, body: &Value| {
        call(&account, &id, Some(&access), ("POST", collection), body).await
    };
    let network =
        json!({"network_project_id": "p", "vpc_id": "v", "subnet_id": "s", "subnet_region": "us-east4"});
    let network = json!({"network_name": "main", "gcp_network_info": network});
    let (status, network) = send("networks", &network).await;
    assert_eq!((status, &network["gcp_network_info"]["vpc_id"]), (201, &json!("v")), "{network}");

    let endpoint = json!({"project_id": "p", "psc_endpoint_name": "e", "endpoint_region": "us-east4"});
    let body = |name: &str| json!({"vpc_endpoint_name": name, "gcp_vpc_endpoint_info": endpoint});
    let (status, made) = send("vpc-endpoints", &body("main")).await;
    assert_eq!(status, 201, "{made}");
    assert!(
        made["gcp_vpc_endpoint_info"]["psc_connection_id"].is_string() && made.get("state").is_none(),
        "{made}"
    );
    assert_eq!(refused(&send("vpc-endpoints", &body("twin")).await), (409, "ALREADY_EXISTS"));

    let key = json!({"use_cases": ["STORAGE"], "gcp_key_info": {"kms_key_id": "projects/p/cryptoKeys/k"}});
    let (status, key) = send("customer-managed-keys", &key).await;
    assert_eq!(status, 201, "{key}");
    assert!(key["gcp_key_info"]["gcp_service_account"]["service_account_email"].is_string(), "{key}");

    let with = |field: &str, value: Value| {
        let mut body = workspace();
        body[field] = value;
        body
    };
    for (collection, body, refusal) in [
        ("workspaces", with("aws_region", json!("eu-west-1")), MALFORMED),
        ("workspaces", with("custom_tags", json!({"a": "b"})), MALFORMED),
        ("workspaces", with("location", json!("eu-west-1")), INVALID),
        ("workspaces", with("cloud_resource_container", json!({})), INVALID),
        ("networks", json!({"network_name": "none"}), INVALID),
        ("networks", json!({"network_name": "aws", "vpc_id": "vpc-1"}), INVALID),
        ("vpc-endpoints", json!({"vpc_endpoint_name": "none"}), INVALID),
        ("customer-managed-keys", json!({"use_cases": ["STORAGE"], "gcp_key_info": {}}), INVALID),
    ] {
        assert_eq!(refused(&send(collection, &body).await), refusal, "{collection} {body}");
    }
    let mut both = with("network_id", network["network_id"].clone());
    both["gcp_managed_network_config"] = json!({"subnet_cidr": "10.0.0.0/20"});
    assert_eq!(refused(&send("workspaces", &both).await), INVALID, "a VPC of both");
    both.as_object_mut().unwrap().remove("gcp_managed_network_config");
    assert_eq!(send("workspaces", &both).await.0, 201);
}
