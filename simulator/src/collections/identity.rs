//! Federation policies of the account and of service principals, and the secrets of these.
//!
//! Documented: paths, pages, the id of a policy that a client chooses, the fields of the two kinds of policies, the limits,
//! that a secret is shown once and cannot be read. Observed by others: which ids are refused, and the text; the audience
//! that is echoed. Assumed: that a policy of an id which is taken is refused, that an issuer must be an https address, what
//! a secret and its hash look like, that what belongs to a service principal goes with it; the codes.

use serde_json::{Value, json};

use super::table::{Chosen, Collection, Fill, GONE_AT, List, Under, Update, Write};
use crate::clock::rfc3339;
use crate::schema::{Field, Kind, TEXT, TEXTS};
use crate::wire::Reply;
use crate::world::World;

const HTTPS: Kind = Kind::Form(is_https, "must be an https address");

const OIDC: &[Field] = &[
    Field::new("issuer", HTTPS).required(),
    Field::new("audiences", TEXTS),
    Field::new("subject", TEXT),
    Field::new("subject_claim", TEXT),
    Field::new("jwks_json", TEXT).one_of("keys"),
    Field::new("jwks_uri", HTTPS).one_of("keys"),
];

const OF_SERVICE_PRINCIPAL: Under = Under {
    store: "ServicePrincipals",
    field: "service_principal_id",
    numeric: true,
    shown: true,
    holds: None,
};

const POLICY: Collection = Collection {
    list: List::SizedPages("policies"),
    chosen: Chosen::InQuery("policy_id", check_policy_id),
    most: Some((20, "QUOTA_EXCEEDED", "There may be 20 federation policies")),
    fields: &[Field::new("description", TEXT), Field::new("oidc_policy", Kind::Object(OIDC)).required()],
    on_create: &[("uid", Fill::Uuid), ("create_time", Fill::NowText), ("name", Fill::Name)],
    on_write: &[("update_time", Fill::NowText)],
    update: Update::Masked { required: false },
    ..Collection::paged("federationPolicies", "policy_id", "policies")
};

pub(super) const COLLECTIONS: &[Collection] = &[
    Collection { store: "federation-policies", rule: policy_of_account, ..POLICY },
    Collection {
        store: "service-principal-federation-policies",
        path: "servicePrincipals/*/federationPolicies",
        under: Some(OF_SERVICE_PRINCIPAL),
        rule: policy_of_service_principal,
        ..POLICY
    },
    Collection {
        store: "service-principal-secrets",
        list: List::SizedPages("secrets"),
        under: Some(Under { shown: false, ..OF_SERVICE_PRINCIPAL }),
        most: Some((5, "QUOTA_EXCEEDED", "A service principal may have 5 secrets")),
        fields: &[
            Field::new("lifetime", Kind::Form(is_lifetime, "must be 1s to 63072000s")),
            Field::new("scopes", TEXTS),
        ],
        on_create: &[
            ("create_time", Fill::NowText),
            ("secret_hash", Fill::Uuid),
            ("status", Fill::Text("ACTIVE")),
        ],
        on_write: &[("update_time", Fill::NowText)],
        ignored: &["expire_time"],
        shown_once: &[("secret", Fill::Secret)],
        readable: false,
        rule: ending,
        on_read: shown_ending,
        ..Collection::paged("servicePrincipals/*/credentials/secrets", "id", "secrets")
    },
];

fn is_https(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace))
}

fn check_policy_id(id: &str) -> Result<(), Reply> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.len() <= 63 && id.bytes().all(plain) {
        return Ok(());
    }
    let message = format!("Invalid federation policy id: '{id}'. Must contain only 0-9, a-z, and hyphen.");
    Err(Reply::invalid(message))
}

fn policy_of_account(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    echo_audience(world, write);
    let subject = write.value("oidc_policy").get("subject").is_some();
    if subject { Err(Reply::invalid("oidc_policy.subject is for service principals only")) } else { Ok(()) }
}

fn policy_of_service_principal(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    echo_audience(world, write);
    let subject = write.value("oidc_policy")["subject"].as_str().is_some_and(|subject| !subject.is_empty());
    if subject { Ok(()) } else { Err(Reply::invalid("Missing required field: oidc_policy.subject")) }
}

fn echo_audience(world: &World, write: &mut Write) {
    let policy = write.value_mut("oidc_policy");
    if policy["audiences"].as_array().is_none_or(Vec::is_empty) {
        policy["audiences"] = json!([world.account_id]);
    }
}

const LONGEST_LIFE_S: u64 = 63_072_000;

fn is_lifetime(text: &str) -> bool {
    let seconds = text.strip_suffix('s').and_then(|digits| digits.parse().ok());
    seconds.is_some_and(|seconds: u64| (1..=LONGEST_LIFE_S).contains(&seconds))
}

/// A secret says when it ends rather than how long it lives. Documented: lists do not show it after that.
fn ending(world: &mut World, write: &mut Write) -> Result<(), Reply> {
    let life_ms = lifetime_ms(write.value("lifetime"));
    write.after.insert("_made".to_owned(), json!(world.now()));
    write.after.insert(GONE_AT.to_owned(), json!(world.now() + life_ms));
    Ok(())
}

fn lifetime_ms(lifetime: &Value) -> u64 {
    let seconds = lifetime.as_str().and_then(|text| text.strip_suffix('s')?.parse().ok());
    seconds.unwrap_or(LONGEST_LIFE_S) * 1000
}

/// Only the end is shown.
fn shown_ending(world: &World, key: &str, shown: &mut serde_json::Map<String, Value>) {
    let made = world.store.get("service-principal-secrets", key).and_then(|secret| secret["_made"].as_u64());
    if let (Some(lifetime), Some(made)) = (shown.remove("lifetime"), made) {
        shown.insert("expire_time".to_owned(), json!(rfc3339(made + lifetime_ms(&lifetime))));
    } else if let Some(made) = made {
        shown.insert("expire_time".to_owned(), json!(rfc3339(made + LONGEST_LIFE_S * 1000)));
    }
}
