//! Keys of Google service accounts: what is signed, what is refused, and that nothing of a key is shown.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use simulator::{Config, GOOGLE_EMAIL, Simulator};

use super::*;

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The file of a key, with these changes; a null removes a field.
fn file(changes: &Value) -> SecretString {
    let key = Simulator::in_process(Config::default()).unwrap().google_key();
    let mut file: Value = serde_json::from_str(&key).unwrap();
    file["token_uri"] = json!(TOKEN_URI);
    for (name, value) in changes.as_object().unwrap() {
        file[name] = value.clone();
    }
    file.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    file.to_string().into()
}

fn parse(changes: &Value, policy: &HostPolicy) -> Result<GoogleKey, String> {
    GoogleKey::parse(&file(changes), policy)
}

#[tokio::test]
async fn an_assertion_is_signed_and_says_what_is_wanted() {
    let key = parse(&json!({}), &HostPolicy::default()).unwrap();
    assert_eq!((key.email(), key.host().as_str()), (GOOGLE_EMAIL, "https://oauth2.googleapis.com"));
    let assertion = key.assertion("target_audience", "https://accounts.gcp.databricks.com").unwrap();
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.0.pair.public());
    public.verify(signed.as_bytes(), &signature).unwrap();
    let part = |at: usize| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    let (head, claims) = (part(0), part(1));
    assert_eq!((&head["alg"], head["kid"].is_string()), (&json!("RS256"), true));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(GOOGLE_EMAIL), &json!(TOKEN_URI)));
    assert_eq!(claims["target_audience"], "https://accounts.gcp.databricks.com");
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), LIFE);
    let early = clock::now().as_second() - claims["iat"].as_i64().unwrap();
    assert!((30..=90).contains(&early), "{early} s: a clock of Google that is slow accepts it too");
    assert_eq!(format!("{key:?}"), format!("GoogleKey({GOOGLE_EMAIL:?})"));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_without_a_word_of_it() {
    let canary = "canary-of-a-key";
    for (changes, says) in [
        (json!({"private_key": null}), "missing field `private_key`"),
        (json!({"client_email": [canary]}), "not the JSON key of a Google service account"),
        (json!({"private_key": canary}), "an RSA key in PEM form"),
        (
            json!({"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}),
            "RSA key in PEM form",
        ),
        (json!({"token_uri": format!("https://{canary}.example.com/token")}), "token_uri is not allowed"),
    ] {
        let error = parse(&changes, &HostPolicy::default()).unwrap_err();
        assert!(error.contains(says) && !error.contains(canary), "{changes}: {error}");
    }
    let error = GoogleKey::parse(&canary.to_owned().into(), &HostPolicy::default()).unwrap_err();
    assert!(error.contains("not whole, valid JSON") && !error.contains(canary), "{error}");
}

/// Covers SE-04.
#[tokio::test]
async fn an_assertion_goes_to_google_only() {
    let loopback = HostPolicy { allow_loopback_http: true, ..HostPolicy::default() };
    let own = HostPolicy { extra_suffixes: vec!["example.com".into()], ..HostPolicy::default() };
    let default = HostPolicy::default();
    for (uri, policy, allowed) in [
        (TOKEN_URI, &default, true),
        ("https://oauth2.googleapis.com/token/", &default, false),
        ("https://oauth2.googleapis.com/other", &default, false),
        ("https://oauth2.googleapis.com", &default, false),
        ("http://oauth2.googleapis.com/token", &loopback, false),
        ("https://x.oauth2.googleapis.com/token", &default, false),
        ("https://oauth2.googleapis.com.example.org/token", &default, false),
        ("https://oauth2.googleapis.com@example.org/token", &default, false),
        ("https://accounts.gcp.databricks.com/token", &default, false),
        ("https://sts.example.com/token", &default, false),
        ("https://sts.example.com/token", &own, false),
        ("http://127.0.0.1:18080/token", &default, false),
        ("http://127.0.0.1:18080/token", &loopback, true),
    ] {
        assert_eq!(parse(&json!({"token_uri": uri}), policy).is_ok(), allowed, "{uri}");
    }
    assert!(Host::parse("https://oauth2.googleapis.com", &default).is_err(), "it is no host of Databricks");
}

/// The file may spell the address in any way that means Google's; Google compares the audience as text.
#[tokio::test]
async fn an_assertion_names_the_endpoint_as_google_does() {
    let key = parse(&json!({"token_uri": "HTTPS://OAuth2.googleapis.com:443/token"}), &HostPolicy::default())
        .unwrap();
    let claims = Claims::of(&key.assertion("scope", SCOPES).unwrap()).unwrap();
    assert_eq!(claims.0["aud"], TOKEN_URI);
}

fn token(claims: &Value) -> String {
    format!("head.{}.signature", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[test]
fn an_id_token_says_for_which_host_it_is() {
    let host = Host::parse("accounts.gcp.databricks.com", &HostPolicy::default()).unwrap();
    for (audience, expected) in [
        (json!("https://accounts.gcp.databricks.com"), true),
        (json!("https://Accounts.gcp.databricks.com/"), true),
        (json!(["https://accounts.gcp.databricks.com"]), true),
        (json!("https://accounts.gcp.databricks.com.example.com"), false),
        (json!("accounts.gcp.databricks.com/x"), false),
        (json!(["https://example.com"]), false),
        (json!([]), false),
        (json!(null), false),
    ] {
        let claims = Claims::of(&token(&json!({"aud": audience}))).unwrap();
        assert_eq!(claims.is_for(&host), expected, "{audience}");
    }
}

#[test]
fn an_id_token_lives_as_long_as_it_says_and_no_longer() {
    let now = clock::now().as_second();
    let life = |since: i64, until: i64| {
        Claims::of(&token(&json!({"iat": now + since, "exp": now + until}))).unwrap().life().unwrap()
    };
    assert!((598.0..=600.0).contains(&life(-3_000, 600)), "it was issued some time ago");
    assert_eq!(life(3_600, 7_200), 3_600.0, "by a slow clock");
    assert!(life(-3_600, -1) < 0.0);
    for token in ["", "opaque", "a.b.c", "a.e30.c", "..", "a.bnVsbA.c"] {
        assert_eq!(Claims::of(token).and_then(|claims| claims.life()), None, "{token}");
    }
}
