//! The part of Google: one service account, the token endpoint of Google for it, the metadata server beside a pod of it, and what a call
//! of an account on Google Cloud has to carry.
//!
//! Documented: the grant, the claims of an assertion and its longest life, the response for each of `target_audience` and `scope`, the
//! header of the access token and its scopes; that creates and changes of workspaces, networks, VPC endpoints and keys need it; of the
//! metadata server the paths, the parameters, the header of requests and responses, the 403 without it, the ID token as text. Observed by
//! others: the status, the code and the text of the refusal without an access token, the errors of the token endpoint. Assumed: that no
//! other call needs it; that a host of a workspace takes an ID token for that host alone; that the metadata server has no default for the
//! audience. Stricter than the API: an access token is refused where none is needed. The times of an assertion are not compared with the
//! clock, which tests move.

use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rsa::KeyPair;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::issued::GoogleToken;
use crate::settings::Cloud;
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The e-mail address of the service account, a user of the account and an administrator of it.
pub const EMAIL: &str = "databricks@simulated-project.iam.gserviceaccount.com";

/// The path of the token endpoint.
pub(crate) const TOKEN: &str = "/token";

/// What comes before the names of tokens at the metadata server.
pub(crate) const METADATA: &str = "/computeMetadata/v1/instance/service-accounts/default/";
/// In each request to the metadata server, and in each of its responses.
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");

/// A key that was generated for this file: it opens nothing.
const KEY: &str = include_str!("google_key.pem");
const KEY_ID: &str = "0123456789abcdef0123456789abcdef01234567";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPES: [&str; 2] =
    ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/compute"];
const ACCESS_TOKEN: &str = "x-databricks-gcp-sa-access-token";

/// The collections whose objects are created and changed in a project of Google Cloud.
const IN_THE_PROJECT: [&str; 4] = ["customer-managed-keys", "networks", "vpc-endpoints", "workspaces"];

/// The file that Google writes for a key of the service account. `url` is the address of this server.
pub(crate) fn key_file(url: &str) -> String {
    let file = json!({
        "type": "service_account", "project_id": "simulated-project", "private_key_id": KEY_ID, "private_key": KEY,
        "client_email": EMAIL, "client_id": "100000000000000000001", "token_uri": format!("{url}{TOKEN}"),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "universe_domain": "googleapis.com",
    });
    file.to_string()
}

/// The token endpoint.
pub(crate) fn token(world: &mut World, request: &Request) -> Answer {
    if world.settings.cloud != Cloud::GCP || request.method != "POST" {
        return Err(Reply::html(404, "Not Found"));
    }
    request.only_queries(&[])?;
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&request.body).into_owned().collect();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    if field("grant_type") != Some(GRANT) {
        return Err(refused("unsupported_grant_type", "Invalid grant_type"));
    }
    let claims = verified(field("assertion").unwrap_or_default())
        .ok_or_else(|| refused("invalid_grant", "Invalid JWT Signature."))?;
    check_claims(request, &claims)?;
    if let Some(audience) = claims["target_audience"].as_str() {
        return Ok(Reply::json(200, json!({"id_token": id_token(world, audience, true)})));
    }
    let scopes: Vec<&str> = claims["scope"].as_str().unwrap_or_default().split(' ').collect();
    if !SCOPES.iter().all(|scope| scopes.contains(scope)) {
        return Err(refused("invalid_scope", "Invalid OAuth scope or ID token audience provided."));
    }
    Ok(Reply::json(200, access_token(world)))
}

/// The metadata server beside a pod of the service account. `name` is that of a token.
pub(crate) fn metadata(world: &mut World, request: &Request, name: &str) -> Answer {
    if world.settings.cloud != Cloud::GCP || request.method != "GET" {
        return Err(Reply::html(404, "Not Found"));
    }
    if request.headers.get(FLAVOR.0).is_none_or(|value| value != FLAVOR.1) {
        return Err(Reply::html(403, "Missing Metadata-Flavor:Google header."));
    }
    let mut reply = match name {
        "identity" => {
            request.only_queries(&["audience", "format"])?;
            let missing = || Reply::text(400, "non-empty audience parameter required");
            let audience = request.query("audience").ok_or_else(missing)?;
            Reply::text(200, id_token(world, audience, request.query("format") == Some("full")))
        }
        "token" => {
            request.only_queries(&["scopes"])?;
            Reply::json(200, access_token(world))
        }
        _ => return Err(Reply::html(404, "Not Found")),
    };
    reply.headers.push((FLAVOR.0.to_owned(), FLAVOR.1.to_owned()));
    Ok(reply)
}

/// A new ID token for a host; one that is not full has no e-mail address.
fn id_token(world: &mut World, audience: &str, full: bool) -> String {
    let now = world.now();
    let expires_ms = now + world.settings.token_lifetime_ms;
    let mut claims = json!({
        "aud": audience, "iss": "https://accounts.google.com", "sub": "100000000000000000001",
        "iat": now / 1000, "exp": expires_ms / 1000,
    });
    if full {
        claims["email"] = json!(EMAIL);
        claims["email_verified"] = json!(true);
    }
    let encode = |part: String| URL_SAFE_NO_PAD.encode(part);
    let head = encode(json!({"alg": "RS256", "typ": "JWT"}).to_string());
    let value = format!("{head}.{}.{}", encode(claims.to_string()), Uuid::new_v4().simple());
    world.tokens.google.push(GoogleToken {
        value: value.clone(),
        expires_ms,
        audience: Some(origin(audience)),
    });
    value
}

/// A new access token, as a response has it.
fn access_token(world: &mut World) -> Value {
    let lifetime_ms = world.settings.token_lifetime_ms;
    let expires_ms = world.now() + lifetime_ms;
    let value = format!("ya29.{}", Uuid::new_v4().simple());
    world.tokens.google.push(GoogleToken { value: value.clone(), expires_ms, audience: None });
    json!({"access_token": value, "expires_in": lifetime_ms / 1000, "token_type": "Bearer"})
}

/// A host as it is compared: another spelling is no other host.
fn origin(host: &str) -> String {
    host.trim_end_matches('/').to_ascii_lowercase()
}

/// The claims of an assertion that the service account's key signed.
fn verified(assertion: &str) -> Option<Value> {
    let (signed, signature) = assertion.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    let key = key_pair()?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public());
    public.verify(signed.as_bytes(), &signature).ok()?;
    let (head, claims) = signed.split_once('.')?;
    let read =
        |part: &str| -> Option<Value> { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok() };
    let head = read(head)?;
    let known = head["alg"] == "RS256" && head["kid"] == KEY_ID;
    read(claims).filter(|_| known)
}

fn key_pair() -> Option<KeyPair> {
    let body: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
    KeyPair::from_pkcs8(&STANDARD.decode(body).ok()?).ok()
}

fn check_claims(request: &Request, claims: &Value) -> Result<(), Reply> {
    let bad = |text: &str| Err(refused("invalid_grant", text));
    if claims["iss"] != EMAIL {
        return bad("Invalid grant: account not found");
    }
    if claims["aud"] != format!("{}{TOKEN}", request.base_url()) {
        return bad("Invalid JWT: Failed audience check.");
    }
    let life = claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat);
    if !life.is_some_and(|life| (1..=3600).contains(&life)) {
        return bad(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp \
             values in the JWT claim.",
        );
    }
    Ok(())
}

/// Whether a call to an account on Google Cloud carries an ID token of the service account for the host that is called.
pub(crate) fn signs_in(world: &World, request: &Request) -> bool {
    let bearer = request.header(header::AUTHORIZATION).strip_prefix("Bearer ");
    world.settings.cloud == Cloud::GCP
        && bearer.is_some_and(|it| is_good(world, it, Some(&origin(&request.base_url()))))
}

/// Refuses a call that acts in a project and carries no access token for it, and one that carries it needlessly. Assumed: a deletion needs
/// none, and may carry it. `segments` are those below the account; a host of a workspace has none.
pub(crate) fn check_access(world: &World, request: &Request, segments: &[&str]) -> Result<(), Reply> {
    if world.settings.cloud != Cloud::GCP {
        return Ok(());
    }
    let of_project = match segments {
        [collection] | [collection, _] => IN_THE_PROJECT.contains(collection),
        _ => false,
    };
    let acts = of_project && matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    let access = request.headers.get(ACCESS_TOKEN).and_then(|value| value.to_str().ok());
    match (acts, access) {
        (false, None) => Ok(()),
        (false, Some(_)) if of_project && request.method.as_str() == "DELETE" => Ok(()),
        (false, Some(_)) => Err(Reply::invalid("this call needs no access token of Google, and has one")),
        (true, Some(access)) if signs_in(world, request) && is_good(world, access, None) => Ok(()),
        (true, _) => Err(Reply::error(400, "BAD_REQUEST", "Failed to get OAuth access token for the caller")),
    }
}

fn is_good(world: &World, value: &str, audience: Option<&str>) -> bool {
    let now = world.now();
    let mut issued = world.tokens.google.iter();
    issued
        .any(|token| token.value == value && token.audience.as_deref() == audience && now < token.expires_ms)
}

fn refused(error: &str, description: &str) -> Reply {
    Reply::json(400, json!({"error": error, "error_description": description}))
}
