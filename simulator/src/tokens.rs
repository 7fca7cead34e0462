//! Host metadata, OAuth discovery, the token endpoint, the owner of a bearer token, and the refusals of a bad one.
//!
//! The first client is the service principal `operator`; on Google Cloud also the service account of Google. Any other one logs in with a secret that it got through the API.
//! Documented: only an account admin may call. Assumed: the role `account_admin` is all that it takes, and the code; that an account
//! admin may call any workspace.

use axum::http::header;
use serde_json::json;
use uuid::Uuid;

use crate::google;
use crate::ip_access_lists;
use crate::issued::Token;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// Refuses a call without a good token.
pub(crate) fn authenticate(world: &mut World, request: &Request) -> Result<(), Reply> {
    if let Some(client) = caller(world, request) {
        let message = "This API can be called by account admins only";
        let refusal = || Reply::error(403, "PERMISSION_DENIED", message);
        return if is_admin(world, &client) { Ok(()) } else { Err(refusal()) };
    }
    if !request.header(header::AUTHORIZATION).starts_with("Bearer ") {
        // Observed by others: the code is a number here.
        let message = "Credential was not sent or was of an unsupported type for this API.";
        return Err(Reply::json(401, json!({"error_code": 401, "message": message})));
    }
    let statuses = world.settings.bad_token_statuses.clone();
    Err(bad_token(world.next_status("bad_token", &statuses).unwrap_or(401)))
}

/// The client whose good token a request carries.
pub(crate) fn caller(world: &World, request: &Request) -> Option<String> {
    if google::signs_in(world, request) {
        return Some(google::EMAIL.to_owned());
    }
    let token = world.tokens.of(request, world.now())?;
    is_good(world, &token.client_id, &token.secret).then(|| token.client_id.clone())
}

/// Whether a client may log in with this secret.
fn is_good(world: &World, client_id: &str, secret: &str) -> bool {
    if client_id == world.client_id && world.tokens.good_secret(secret, world.now()) {
        return true;
    }
    let principals = world.store.list("ServicePrincipals").into_iter();
    let mut own =
        principals.filter(|(_, found)| found["applicationId"] == client_id && found["active"] != false);
    own.any(|(id, _)| {
        let prefix = format!("{id}/");
        let secrets = world.store.list("service-principal-secrets").into_iter();
        secrets.filter(|(key, _)| key.starts_with(&prefix)).any(|(_, found)| found["_secret"] == secret)
    })
}

fn is_admin(world: &World, client_id: &str) -> bool {
    let principals = world.store.list("ServicePrincipals").into_iter();
    let mut own = principals.filter(|(_, found)| found["applicationId"] == client_id);
    let has_role = own.any(|(_, found)| {
        found["roles"]
            .as_array()
            .is_some_and(|roles| roles.iter().any(|role| role["value"] == "account_admin"))
    });
    has_role || client_id == world.client_id || client_id == google::EMAIL
}

/// The response to a token that is not good. Documented: the 401. Observed by others: the 403, whose code is a number, and
/// the 400, which is plain text. Assumed: each of them for any fault of the token.
fn bad_token(status: u16) -> Reply {
    match status {
        400 => Reply::text(400, "Invalid Token"),
        403 => Reply::json(403, json!({"error_code": 403, "message": "Invalid access token."})),
        other => Reply::error(other, "UNAUTHENTICATED", "Token is invalid or expired"),
    }
}

/// Refuses a call for an account that is not the token's.
pub(crate) fn check_account(world: &World, account: &str) -> Result<(), Reply> {
    if account == world.account_id {
        return Ok(());
    }
    Err(match world.settings.other_account_status {
        // Assumed: such an account is forbidden rather than unknown.
        403 => Reply::error(403, "PERMISSION_DENIED", "This token is not for this account"),
        // Observed by others: the status; it does not come from the API. Assumed: it is a page.
        other => Reply::html(other, "Not Found"),
    })
}

/// `GET /.well-known/databricks-config`; the placeholder in it is documented.
pub(crate) fn metadata(world: &World, request: &Request) -> Answer {
    if request.method != "GET" {
        return Err(Reply::html(405, "HTTP method is not supported by this URL"));
    }
    let endpoint = format!("{}/oidc/accounts/{{account_id}}", request.base_url());
    let body = json!({
        "oidc_endpoint": endpoint,
        "account_id": world.account_id,
        "cloud": world.settings.cloud,
        // Observed by others: clients that know the field take a host without it for one of a workspace.
        "host_type": "account",
        "token_federation_default_oidc_audiences": [world.account_id],
    });
    Ok(Reply::json(200, body))
}

/// Everything under `/oidc/accounts/`.
pub(crate) fn oidc(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    let known_account = rest.first() == Some(&world.account_id.as_str());
    match (request.method.as_str(), rest) {
        ("GET", [account, ".well-known", "oauth-authorization-server"]) if known_account => {
            let issuer = format!("{}/oidc/accounts/{account}", request.base_url());
            Ok(Reply::json(
                200,
                json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/v1/authorize"),
                    "token_endpoint": format!("{issuer}/v1/token"),
                    "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic", "none"],
                }),
            ))
        }
        // Assumed: an unknown account has no such client.
        ("POST", [_, "v1", "token"]) if !known_account => {
            Err(refused(401, "invalid_client", "unknown account"))
        }
        ("POST", [_, "v1", "token"]) => {
            // Assumed: the address is checked before the secret.
            ip_access_lists::admit_to_tokens(world, None)?;
            token(world, request)
        }
        ("GET" | "POST", _) => Err(Reply::html(404, "Not Found")),
        _ => Err(Reply::html(405, "HTTP method is not supported by this URL")),
    }
}

/// The token endpoint, of the account or of a workspace.
pub(crate) fn token(world: &mut World, request: &Request) -> Answer {
    request.only_queries(&[])?;
    if request.media_type() != "application/x-www-form-urlencoded" {
        return Err(refused(400, "invalid_request", "the body must be a form"));
    }
    let now = world.now();
    let failed = || refused(401, "invalid_client", "Client authentication failed");
    let (client, secret) = basic(request.header(header::AUTHORIZATION)).ok_or_else(failed)?;
    if !is_good(world, &client, &secret) {
        return Err(failed());
    }
    let mut grant_type = None;
    let mut scope = None;
    for (key, value) in url::form_urlencoded::parse(&request.body).into_owned() {
        match key.as_str() {
            "grant_type" => grant_type = Some(value),
            "scope" => scope = Some(value),
            // Assumed: stricter than the real endpoint is thought to be.
            _ => return Err(refused(400, "invalid_request", &format!("unknown parameter {key}"))),
        }
    }
    match (grant_type.as_deref(), scope.as_deref()) {
        (None, _) => return Err(refused(400, "invalid_request", "grant_type is missing")),
        (Some("client_credentials"), Some("all-apis")) => {}
        (Some("client_credentials"), _) => {
            return Err(refused(400, "invalid_scope", "scope must be all-apis"));
        }
        _ => return Err(refused(400, "unsupported_grant_type", "not simulated")),
    }
    let lifetime_ms = world.settings.token_lifetime_ms;
    let value = format!("sim.{}", Uuid::new_v4().simple());
    world.tokens.issued.retain(|token| now < token.expires_ms);
    let expires_ms = now + lifetime_ms;
    let deployment = request.deployment().map(str::to_owned);
    world.tokens.issued.push(Token {
        value: value.clone(),
        expires_ms,
        client_id: client,
        secret,
        deployment,
    });
    let expires_in = world.settings.announced_expires_in.unwrap_or((lifetime_ms / 1000) as i64);
    let body =
        json!({"access_token": value, "token_type": "Bearer", "expires_in": expires_in, "scope": "all-apis"});
    Ok(Reply::json(200, body))
}

fn refused(status: u16, error: &str, description: &str) -> Reply {
    Reply::json(status, json!({"error": error, "error_description": description}))
}

/// User and password of an HTTP Basic header.
fn basic(header: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(base64(header.strip_prefix("Basic ")?)?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.trim_end_matches('=').bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}
