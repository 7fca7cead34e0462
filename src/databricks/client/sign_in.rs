//! Client id and secret for a token (OAuth client credentials), and whether the host is the account's.
//!
//! The token endpoint is the documented fixed path on the checked host, one for the account and one for a workspace. A host may also *name* its endpoint in metadata;
//! that is not followed, because the secret would go to wherever the response says.

use std::sync::Arc;

use reqwest::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{Inner, Try};
use crate::databricks::rate::Class;
use crate::databricks::reply::Reply;
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

impl Inner {
    /// Compares the account with the one in the host's metadata. A host without metadata is not at fault.
    pub(super) async fn check_account(&self) -> Result<(), Error> {
        let request = Request::get("/.well-known/databricks-config");
        let http = self.wire.request(Method::Get.http(), request.url(&self.connection.host)?);
        let call = request.call();
        let this = self.token_try(&call, request.method, Vec::new());
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
        let token = self.ask_for_token().await;
        self.settings.meter.refreshed(token.is_ok());
        token
    }

    async fn ask_for_token(&self) -> Result<Token, Error> {
        let connection = &self.connection;
        let endpoint = match self.workspace {
            Some(_) => path(&["oidc", "v1", "token"]),
            None => path(&["oidc", "accounts", &connection.account_id, "v1", "token"]),
        };
        let request = Request::post(endpoint, Value::Null);
        let call = request.call();
        let secret = connection.client_secret.expose_secret();
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
        let reply = self.exchange(http, self.token_try(&call, request.method, secrets)).await?;
        read_token(&reply, &call, asked_at)
    }

    fn token_try<'a>(&self, call: &'a str, method: Method, secrets: Vec<String>) -> Try<'a> {
        let limit = self.settings.request_timeout;
        Try { call, method, class: Class::Token, urgency: Urgency::Urgent, fence: None, limit, secrets }
    }
}

fn read_token(reply: &Reply, call: &str, asked_at: Instant) -> Result<Token, Error> {
    let granted: Granted = reply.decode(call, true)?;
    let unusable = |reason: &str| Error::Decode { call: call.to_owned(), reason: reason.to_owned() };
    if granted.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(unusable("the token is not a bearer token"));
    }
    let text = granted.access_token.as_str();
    if text.is_empty() || text.len() > 16 << 10 || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(unusable("the token has a form that no token has"));
    }
    let expires_in = granted.expires_in.and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    });
    Ok(Token::new(SecretString::from(granted.access_token), expires_in, asked_at))
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
        error => Error::NoToken(Box::new(error)),
    }
}
