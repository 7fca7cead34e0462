//! OAuth apps with which users sign in: those of Databricks' catalogue that the account enables, and its own.
//!
//! Documented: fields, pages, that a change is partial and its response empty, the limits of a token's life, that only the response to
//! the create of a confidential app shows its secret. Observed by others: that the server fills in the absolute limit of a session; that
//! an app of one's own needs a scope, and the text of that refusal. Assumed: that an app of the catalogue is enabled once, and that names of
//! own apps need not be unique; that a change of the policy of tokens replaces all of it; its defaults; that an absolute limit needs
//! single-use refresh tokens; the other codes. Not here: the catalogue, so any id of an app is accepted; which scopes exist; the names of
//! creators; sign-in with an app.

use serde_json::{Map, Value, json};

use super::table::{Collection, Fill, List, Update, Write};
use crate::schema::{Field, Kind, TEXT, TEXTS, whole_number};
use crate::wire::Reply;
use crate::world::World;

const TOKEN_POLICY: &str = "token_access_policy";
const ACCESS: &str = "access_token_ttl_in_minutes";
const REFRESH: &str = "refresh_token_ttl_in_minutes";
const SINGLE_USE: &str = "enable_single_use_refresh_tokens";
const ABSOLUTE: &str = "absolute_session_lifetime_in_minutes";

const TOKENS: Kind = Kind::Object(&[
    Field::new(ACCESS, Kind::Int),
    Field::new(REFRESH, Kind::Int),
    Field::new(SINGLE_USE, Kind::Bool),
    Field::new(ABSOLUTE, Kind::Int),
]);

const WHO: &[(&str, Fill)] = &[("created_by", Fill::Json("4242")), ("create_time", Fill::NowText)];

pub(super) const COLLECTIONS: &[Collection] = &[
    Collection {
        store: "published-app-integrations",
        list: List::SizedPages("apps"),
        unique: &["app_id"],
        fields: &[
            Field::new("app_id", Kind::Text(1, 256)).required().immutable(),
            Field::new(TOKEN_POLICY, TOKENS),
        ],
        on_create: WHO,
        ignored: &["name"],
        created: Some(&["integration_id"]),
        update: Update::Merge,
        rule: published,
        ..Collection::paged("oauth2/published-app-integrations", "integration_id", "apps")
    },
    Collection {
        store: "custom-app-integrations",
        list: List::SizedPages("apps"),
        name: "name",
        fields: &[
            Field::new("name", Kind::Text(1, 256)).required().immutable(),
            Field::new("redirect_urls", Kind::List(1, usize::MAX, &TEXT)).required(),
            Field::new("confidential", Kind::Bool).immutable(),
            Field::new("scopes", TEXTS),
            Field::new("user_authorized_scopes", TEXTS),
            Field::new(TOKEN_POLICY, TOKENS),
        ],
        on_create: &[
            ("client_id", Fill::Uuid),
            ("created_by", Fill::Json("4242")),
            ("create_time", Fill::NowText),
        ],
        defaults: &[("confidential", Fill::Bool(false))],
        shown_once: &[("client_secret", Fill::Secret)],
        shown_once_if: Some("confidential"),
        created: Some(&["integration_id", "client_id", "client_secret"]),
        update: Update::Merge,
        rule: custom,
        ..Collection::paged("oauth2/custom-app-integrations", "integration_id", "apps")
    },
];

fn published(_: &mut World, write: &mut Write) -> Result<(), Reply> {
    let name = write.value("app_id").as_str().unwrap_or_default().replace('-', " ");
    write.after.entry("name").or_insert(json!(name));
    tokens(write)
}

fn minutes(policy: &Map<String, Value>, name: &str) -> Option<i64> {
    policy.get(name).and_then(whole_number)
}

fn custom(_: &mut World, write: &mut Write) -> Result<(), Reply> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let scopes = list(write.value("scopes"));
    if scopes.is_empty() {
        let message = "Custom application integration must specify at least one valid scope.";
        return Err(Reply::error(400, "BAD_REQUEST", message));
    }
    if !list(write.value("user_authorized_scopes")).iter().all(|scope| scopes.contains(scope)) {
        return Err(Reply::invalid("user_authorized_scopes must be a subset of scopes"));
    }
    tokens(write)
}

/// Checks how long tokens live, and fills in what is left out.
fn tokens(write: &mut Write) -> Result<(), Reply> {
    let policy = write.after.entry(TOKEN_POLICY).or_insert(json!({}));
    let Value::Object(policy) = policy else { return Ok(()) };
    policy.entry(ACCESS).or_insert(json!(60));
    policy.entry(REFRESH).or_insert(json!(129_600));
    policy.entry(SINGLE_USE).or_insert(json!(false));
    for (name, most) in [(ACCESS, 1440), (REFRESH, 129_600)] {
        if minutes(policy, name).is_some_and(|minutes| !(5..=most).contains(&minutes)) {
            return Err(Reply::invalid(format!("{name} must be between 5 and {most}")));
        }
    }
    if minutes(policy, ABSOLUTE).is_some_and(|minutes| minutes < 1) {
        return Err(Reply::invalid(format!("{ABSOLUTE} must be at least 1")));
    }
    if minutes(policy, REFRESH) < minutes(policy, ACCESS) {
        return Err(Reply::invalid(format!("{REFRESH} must not be less than {ACCESS}")));
    }
    if policy.get(SINGLE_USE) == Some(&json!(true)) {
        policy.entry(ABSOLUTE).or_insert(json!(129_600));
    } else if policy.contains_key(ABSOLUTE) {
        return Err(Reply::invalid(format!("{ABSOLUTE} needs {SINGLE_USE}")));
    }
    Ok(())
}
