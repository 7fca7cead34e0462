//! Client id and secret for a token (OAuth client credentials), and whether the host is the account's.
//!
//! The token endpoint is the documented fixed path on the checked host, one for the account and one for a workspace. A host may also *name* its endpoint in metadata;
//! that is not followed, because the secret would go to wherever the response says.
//!
//! A Google service account signs in at Google: an assertion that its key signed is exchanged for the tokens (RFC 7523). That of the
//! operator's own pod has no key here: the metadata server beside the pod issues its tokens.

use std::sync::Arc;

use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::wire::Wire;
use super::{Connection, Credentials, Inner, Try};
use crate::databricks::google::{self, Claims, GoogleKey};
use crate::databricks::rate::Class;
use crate::databricks::reply::{METADATA_FLAVOR, Reply};
use crate::databricks::shown::clean;
use crate::databricks::token::Token;
use crate::databricks::{Error, Method, Request, Urgency, path};

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    token_type: Option<String>,
    /// Seconds; a string in some deployments.
    expires_in: Option<Value>,
}

/// Google's response to a request for an ID token.
#[derive(Deserialize)]
struct GrantedId {
    id_token: String,
}

/// What the header says in requests to a metadata server and in its responses.
const FLAVOR: &str = "Google";

/// The two tokens of Google.
#[derive(Clone, Copy)]
enum OfGoogle {
    /// The one that Databricks accepts at the host that is called.
    Id,
    /// The one with which Databricks works in the project.
    Access,
}

impl Inner {
    /// Compares the account with the one in the host's metadata. A host without metadata is not at fault.
    pub(super) async fn check_account(&self) -> Result<(), Error> {
        let request = Request::get("/.well-known/databricks-config");
        let http = self.wire.request(Method::Get.http(), request.url(&self.connection.host)?);
        let call = request.call();
        let this = self.token_try(&self.wire, &call, request.method, Vec::new());
        let reply = match self.exchange(http, this).await {
            Ok(reply) => reply,
            Err(unreachable @ Error::Unreachable { .. }) => return Err(unreachable),
            Err(_) => return Ok(()),
        };
        let metadata: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let wanted = &self.connection.account_id;
        match metadata.get("account_id").and_then(Value::as_str) {
            Some(found) if !found.is_empty() && !found.eq_ignore_ascii_case(wanted) => {
                Err(Error::AccountMismatch { wanted: wanted.clone(), found: clean(found, &[], 100) })
            }
            _ => Ok(()),
        }
    }

    /// A token that is valid now.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Token, Error> {
        self.tokens
            .get(|| {
                let inner = self.clone();
                async move { inner.fetch_token().await.map_err(apart) }
            })
            .await
    }

    async fn fetch_token(&self) -> Result<Token, Error> {
        let token = match &self.connection.credentials {
            Credentials::Secret(secret) => self.ask_for_token(secret).await,
            Credentials::Google(key) => self.ask_google(Some(key)).await,
            Credentials::GoogleWorkload => self.ask_google(None).await,
        };
        self.settings.meter.refreshed(token.is_ok());
        token
    }

    async fn ask_for_token(&self, secret: &SecretString) -> Result<Token, Error> {
        let connection = &self.connection;
        let endpoint = match self.workspace {
            Some(_) => path(&["oidc", "v1", "token"]),
            None => path(&["oidc", "accounts", &connection.account_id, "v1", "token"]),
        };
        let request = Request::post(endpoint, Value::Null);
        let call = request.call();
        let secret = secret.expose_secret();
        let http = self
            .wire
            .request(Method::Post.http(), request.url(&connection.host)?)
            .basic_auth(&connection.client_id, Some(secret))
            .form(&[("grant_type", "client_credentials"), ("scope", "all-apis")]);
        let mut secrets = vec![secret.to_owned()];
        // A host may quote the header instead of its content.
        let built = http.try_clone().and_then(|http| http.build().ok());
        let header = built.as_ref().and_then(|http| http.headers().get(AUTHORIZATION)?.to_str().ok());
        secrets.extend(header.and_then(|value| value.strip_prefix("Basic ")).map(str::to_owned));

        let asked_at = Instant::now();
        let this = self.token_try(&self.wire, &call, request.method, secrets);
        let reply = self.exchange(http, this).await?;
        read_token(&reply, &call, asked_at)
    }

    /// The tokens of a Google service account, by its key or else from the metadata server: an ID token for the host that is called and,
    /// where a call may need it, an access token too.
    async fn ask_google(&self, key: Option<&GoogleKey>) -> Result<Token, Error> {
        let id = self.token_of_google(key, OfGoogle::Id).await?;
        if self.workspace.is_some() || !self.connection.host.takes_google_tokens() {
            return Ok(id);
        }
        Ok(id.beside(self.token_of_google(key, OfGoogle::Access).await?))
    }

    async fn token_of_google(&self, key: Option<&GoogleKey>, wanted: OfGoogle) -> Result<Token, Error> {
        match key {
            Some(key) => self.exchange_assertion(key, wanted).await,
            None => self.ask_metadata_server(wanted).await,
        }
    }

    async fn exchange_assertion(&self, key: &GoogleKey, wanted: OfGoogle) -> Result<Token, Error> {
        let call = format!("POST {}{}", key.host(), google::TOKEN);
        let wire = self.way_to_google(&call)?;
        let assertion = match wanted {
            OfGoogle::Id => key.assertion("target_audience", self.connection.host.as_str()),
            OfGoogle::Access => key.assertion("scope", google::SCOPES),
        };
        let assertion =
            assertion.map_err(|_| invalid(&call, "the key of the service account cannot sign"))?;
        let url = Request::post(google::TOKEN, Value::Null).url(key.host())?;
        let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let form = [("grant_type", grant_type), ("assertion", assertion.as_str())];
        let http = wire.request(Method::Post.http(), url).form(&form);
        let asked_at = Instant::now();
        let this = self.token_try(wire, &call, Method::Post, vec![assertion.clone()]);
        let reply = self.exchange(http, this).await.map_err(of_google)?;
        match wanted {
            OfGoogle::Id => {
                let GrantedId { id_token } = reply.decode(&call, true)?;
                self.id_token(id_token, &call, asked_at)
            }
            OfGoogle::Access => read_token(&reply, &call, asked_at),
        }
    }

    /// One token of the operator's own service account. Nothing secret is sent, and what responds must be the metadata server. The scopes
    /// of an access token are those of the pod or machine.
    async fn ask_metadata_server(&self, wanted: OfGoogle) -> Result<Token, Error> {
        let host = &self.connection.host;
        let server = host.google_metadata();
        let (name, query) = match wanted {
            OfGoogle::Id => ("identity", vec![("audience", host.as_str()), ("format", "full")]),
            OfGoogle::Access => ("token", vec![]),
        };
        let path = format!("{}/{name}", google::METADATA);
        let call = format!("GET {server}{path}");
        let wire = self.way_to_google(&call)?;
        let mut request = Request::get(path);
        request.query = query.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let http = wire.request(Method::Get.http(), request.url(&server)?);
        let http = http.header(METADATA_FLAVOR, FLAVOR);
        let asked_at = Instant::now();
        let this = self.token_try(wire, &call, Method::Get, Vec::new());
        let reply = self.exchange(http, this).await.map_err(of_metadata_server)?;
        if reply.metadata_flavor.as_deref() != Some(FLAVOR) {
            return Err(unusable(&call, "it has no header Metadata-Flavor, so no metadata server sent it"));
        }
        match wanted {
            OfGoogle::Id => {
                let text = String::from_utf8_lossy(&reply.body);
                self.id_token(text.trim().to_owned(), &call, asked_at)
            }
            OfGoogle::Access => read_token(&reply, &call, asked_at),
        }
    }

    /// An ID token, if it is for the host and the service account that are meant.
    fn id_token(&self, text: String, call: &str, asked_at: Instant) -> Result<Token, Error> {
        let Connection { host, client_id, .. } = &self.connection;
        let claims = Claims::of(&text).ok_or_else(|| unusable(call, "it is no ID token"))?;
        if !claims.is_for(host) {
            return Err(unusable(call, "the ID token is for another host"));
        }
        match claims.email() {
            Some(found) if !found.eq_ignore_ascii_case(client_id) => {
                let found = clean(found, &[], 200);
                let reason = format!(
                    "that is {found}, but clientId names another one: write {found} in clientId, or give the pod the other account"
                );
                Err(Error::NoOwnIdentity { call: call.to_owned(), reason })
            }
            _ => issued(text, claims.life(), call, asked_at),
        }
    }

    fn way_to_google(&self, call: &str) -> Result<&Wire, Error> {
        self.google.as_ref().ok_or_else(|| invalid(call, "there is no way to Google"))
    }

    fn token_try<'a>(&self, wire: &'a Wire, call: &'a str, method: Method, secrets: Vec<String>) -> Try<'a> {
        let limit = self.settings.request_timeout;
        Try { wire, call, method, class: Class::Token, urgency: Urgency::Urgent, fence: None, limit, secrets }
    }
}

fn read_token(reply: &Reply, call: &str, asked_at: Instant) -> Result<Token, Error> {
    let granted: Granted = reply.decode(call, true)?;
    if granted.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(unusable(call, "the token is not a bearer token"));
    }
    let expires_in = granted.expires_in.and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    });
    issued(granted.access_token, expires_in, call, asked_at)
}

/// A token that can be sent in a header.
fn issued(text: String, expires_in: Option<f64>, call: &str, asked_at: Instant) -> Result<Token, Error> {
    if text.is_empty() || text.len() > 16 << 10 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unusable(call, "the token has an invalid form"));
    }
    Ok(Token::new(SecretString::from(text), expires_in, asked_at))
}

fn invalid(call: &str, reason: &str) -> Error {
    Error::Invalid { call: call.to_owned(), reason: reason.to_owned() }
}

fn unusable(call: &str, reason: &str) -> Error {
    Error::Decode { call: call.to_owned(), reason: reason.to_owned() }
}

/// A refusal by Google's token endpoint is about the key; its other failures are like those of any call.
fn of_google(error: Error) -> Error {
    let error = match error {
        Error::TokenRefused { refusal, .. } => *refusal,
        error => error,
    };
    match error {
        // The page of a proxy has no code.
        Error::Api { call, status, code, message, .. }
            if status == 401 || (matches!(status, 400..=403) && code.is_some()) =>
        {
            Error::KeyRefused { call, message }
        }
        error => error,
    }
}

/// A refusal by the metadata server is about the service account of the pod. Without a server, the operator may run elsewhere.
fn of_metadata_server(error: Error) -> Error {
    let error = match error {
        Error::TokenRefused { refusal, .. } | Error::AddressBlocked(refusal) => *refusal,
        error => error,
    };
    let remedy = "give the pod a Google service account, or name a key in clientSecretRef";
    match error {
        Error::Api { call, status: 400..=404, message, .. } => {
            Error::NoOwnIdentity { call, reason: format!("the metadata server refuses: {message}; {remedy}") }
        }
        Error::NotTheApi { call, status: status @ 400..=404, .. } => {
            let reason = format!("the metadata server responds with the status {status}; {remedy}");
            Error::NoOwnIdentity { call, reason }
        }
        Error::Unreachable { call, reason } => {
            let reason = format!("{reason}; without clientSecretRef the operator must run on Google Cloud");
            Error::Unreachable { call, reason }
        }
        error => error,
    }
}

/// Distinguishes a failure to sign in from a failure of the call that needed the token: that call did not happen, and a 404
/// here says nothing about its object.
fn apart(error: Error) -> Error {
    // No token was sent, so none is bad.
    let error = match error {
        Error::TokenRefused { refusal, .. } => *refusal,
        error => error,
    };
    match error {
        Error::Api { call, status: 400..=403, code: Some(code), message, .. }
            if ["invalid_client", "unauthorized_client"].contains(&code.as_str()) =>
        {
            Error::CredentialsRefused { call, message }
        }
        Error::Api { call, status: 401, message, .. } => Error::CredentialsRefused { call, message },
        refused @ (Error::KeyRefused { .. } | Error::NoOwnIdentity { .. }) => refused,
        error => Error::NoToken(Box::new(error)),
    }
}
