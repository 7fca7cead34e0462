//! The key of a Google service account, the signed assertions that Google exchanges for tokens, and what an ID token says of itself.
//!
//! No HTTP: `client/sign_in.rs` sends the assertions. The JSON of a key is a secret as a whole, so no error repeats any of it.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::error::Unspecified;
use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::host::{Host, HostPolicy};
use super::shown::misfit;
use crate::clock;

/// What the access token is for: Databricks works in the project with it.
pub(super) const SCOPES: &str =
    "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/compute";
/// The longest life of an assertion that Google accepts, in seconds.
const LIFE: i64 = 3600;
/// How long ago an assertion says that it was issued, in seconds: Google refuses one that its own clock puts into the future.
const SLACK: i64 = 60;
/// The path of the token endpoint.
pub(super) const TOKEN: &str = "/token";
/// The path of the operator's own service account at the metadata server.
pub(super) const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default";

/// The key of a Google service account. A clone shares it.
#[derive(Clone)]
pub struct GoogleKey(Arc<Key>);

struct Key {
    email: String,
    id: String,
    /// The host of the token endpoint.
    host: Host,
    pair: KeyPair,
}

/// The fields that count, of the file that Google creates for a key.
#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key_id: String,
    private_key: String,
    token_uri: String,
}

impl GoogleKey {
    /// Reads the JSON of a key.
    ///
    /// # Errors
    /// In words that fit after the place of the JSON and repeat nothing of it, with what to write.
    pub fn parse(json: &SecretString, policy: &HostPolicy) -> Result<GoogleKey, String> {
        let file: KeyFile = serde_json::from_str(json.expose_secret()).map_err(|error| {
            let why = misfit(&error);
            format!(
                "it is not the JSON key of a Google service account ({why}): write the whole file into it that \
                 `gcloud iam service-accounts keys create` writes"
            )
        })?;
        let KeyFile { client_email: email, private_key_id: id, private_key, token_uri } = file;
        let private_key = SecretString::from(private_key);
        let origin = token_uri.strip_suffix(TOKEN).unwrap_or_default();
        let host = Host::of_google_tokens(origin, policy).map_err(|why| {
            format!("its token_uri is not allowed, as {why}: it must be https://oauth2.googleapis.com/token")
        })?;
        let unusable = || "its private_key cannot be used: it must be an RSA key in PEM form (-----BEGIN PRIVATE KEY-----)";
        let der = PrivatePkcs8KeyDer::from_pem_slice(private_key.expose_secret().as_bytes())
            .map_err(|_| unusable())?;
        let pair = KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unusable())?;
        Ok(GoogleKey(Arc::new(Key { email, id, host, pair })))
    }

    /// The e-mail address of the service account.
    pub fn email(&self) -> &str {
        &self.0.email
    }

    /// The host of the token endpoint.
    pub(super) fn host(&self) -> &Host {
        &self.0.host
    }

    /// An assertion for the token endpoint, with one claim about what is wanted: a secret, as Google gives the token to any holder of it.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub(super) fn assertion(&self, claim: &str, value: &str) -> Result<String, Unspecified> {
        let key = &*self.0;
        let issued = clock::now().as_second() - SLACK;
        let head = json!({"alg": "RS256", "typ": "JWT", "kid": key.id});
        // As Google writes it, however the JSON does: both name the same endpoint.
        let audience = format!("{}{TOKEN}", key.host);
        let mut claims = json!({"iss": key.email, "aud": audience, "iat": issued, "exp": issued + LIFE});
        claims[claim] = value.into();
        let encode = |part: Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(head), encode(claims));
        let mut signature = vec![0; key.pair.public().modulus_len()];
        key.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for GoogleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GoogleKey").field(&self.0.email).finish()
    }
}

/// What an ID token says of itself. Its signature is for Databricks to check: the operator only refuses to send what cannot work.
pub(super) struct Claims(Value);

impl Claims {
    /// Those of a token; `None` if it is no ID token.
    pub(super) fn of(token: &str) -> Option<Claims> {
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&claims).ok().filter(Value::is_object).map(Claims)
    }

    /// Whether the token is for this host, however the host is spelled.
    pub(super) fn is_for(&self, host: &Host) -> bool {
        let same = |text: &str| text.trim_end_matches('/').eq_ignore_ascii_case(host.as_str());
        match self.0.get("aud") {
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).any(same),
            one => one.and_then(Value::as_str).is_some_and(same),
        }
    }

    /// The e-mail address of the service account.
    pub(super) fn email(&self) -> Option<&str> {
        self.0.get("email")?.as_str()
    }

    /// For how many seconds the token is still valid: a metadata server may return one that it issued some time ago. By a slow
    /// clock of this machine it is still no longer than the life that Google gave it.
    pub(super) fn life(&self) -> Option<f64> {
        let (until, since) = (self.0.get("exp")?.as_f64()?, self.0.get("iat")?.as_f64()?);
        let left = until - clock::now().as_second() as f64;
        Some(left.min(until - since))
    }
}

#[cfg(test)]
mod tests;
