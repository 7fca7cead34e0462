//! Settings of the account, one line of [`SETTINGS`] each. They are always there: none is created, some can be reset.
//!
//! Documented: paths, the form of a change, that a write needs the freshest etag, which settings can be reset. Observed by
//! others: the refusal of another etag carries the fresh one; a setting that was never set is a 404 with its etag, or shows
//! the default (`unset_setting_status`). Assumed: the defaults; that a reset needs the etag; the text of the refusals.

use serde_json::{Map, Value, json};

use crate::etags;
use crate::schema::{Field, Kind, check_full, check_partial};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The name in the store; the key is the type of the setting.
pub(crate) const STORE: &str = "settings";

/// One setting.
struct Setting {
    /// The segment of its path.
    kind: &'static str,
    /// The field that holds its value.
    key: &'static str,
    fields: &'static [Field],
    /// The value of an account that never set it, as JSON.
    default: &'static str,
    resettable: bool,
}

const FLAG: &[Field] = &[Field::new("value", Kind::Bool)];
const ENFORCED: Field = Field::new("is_enforced", Kind::Bool);
const STANDARDS: Kind = Kind::List(0, 100, &Kind::Text(1, 100));

const SETTINGS: &[Setting] = &[
    Setting {
        kind: "disable_legacy_features",
        key: "disable_legacy_features",
        fields: FLAG,
        default: r#"{"value": false}"#,
        resettable: true,
    },
    Setting {
        kind: "shield_csp_enablement_ac",
        key: "csp_enablement_account",
        fields: &[ENFORCED, Field::new("compliance_standards", STANDARDS)],
        default: r#"{"is_enforced": false}"#,
        resettable: false,
    },
    Setting {
        kind: "shield_esm_enablement_ac",
        key: "esm_enablement_account",
        fields: &[ENFORCED],
        default: r#"{"is_enforced": false}"#,
        resettable: false,
    },
    Setting {
        kind: "dcp_acct_enable",
        key: "personal_compute",
        fields: &[Field::new("value", Kind::OneOf(&["ON", "DELEGATE"]))],
        default: r#"{"value": "ON"}"#,
        resettable: true,
    },
    Setting {
        kind: "llm_proxy_partner_powered",
        key: "boolean_val",
        fields: FLAG,
        default: r#"{"value": true}"#,
        resettable: false,
    },
    Setting {
        kind: "llm_proxy_partner_powered_enforce",
        key: "boolean_val",
        fields: FLAG,
        default: r#"{"value": false}"#,
        resettable: false,
    },
    // `ip_access_lists` acts on it.
    Setting {
        kind: "acct_ip_acl_enable",
        key: "acct_ip_acl_enable",
        fields: FLAG,
        default: r#"{"value": true}"#,
        resettable: true,
    },
];

/// The type of each setting, and the methods of its API.
pub(crate) fn methods() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    SETTINGS.iter().map(|setting| {
        let reset = Some("DELETE").filter(|_| setting.resettable);
        (setting.kind, ["GET", "PATCH"].into_iter().chain(reset).collect())
    })
}

/// Answers calls under `settings/types`.
pub(crate) fn serve(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    let setting = match rest {
        [kind, "names", "default"] => SETTINGS.iter().find(|setting| setting.kind == *kind),
        _ => None,
    };
    let setting = setting.ok_or_else(|| Reply::no_endpoint(request))?;
    match request.method.as_str() {
        "GET" => {
            request.only_queries(&["etag"])?;
            request.no_body()?;
            read(world, setting)
        }
        "PATCH" => {
            request.only_queries(&[])?;
            patch(world, setting, request.object()?)
        }
        "DELETE" if setting.resettable => {
            request.only_queries(&["etag"])?;
            request.no_body()?;
            check_etag(world, setting, request.query("etag"))?;
            world.remove(STORE, setting.kind);
            let etag = etags::renew(world, STORE, setting.kind);
            Ok(Reply::json(200, json!({"etag": etag})))
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

/// A setting in full.
fn whole(setting: &Setting, value: Option<Value>, etag: &str) -> Value {
    let default = || serde_json::from_str(setting.default).unwrap_or_default();
    let value = value.map_or_else(default, |found| found[setting.key].clone());
    json!({"setting_name": "default", "etag": etag, setting.key: value})
}

fn read(world: &mut World, setting: &Setting) -> Answer {
    let etag = etags::shown(world, STORE, setting.kind);
    let found = world.read(STORE, setting.kind);
    if found.is_none() && world.settings.unset_setting_status != 200 {
        return Err(unset(setting, &etag));
    }
    Ok(Reply::json(200, whole(setting, found, &etag)))
}

fn unset(setting: &Setting, etag: &str) -> Reply {
    refusal(404, "NOT_FOUND", format!("Setting {} was never set in this account", setting.kind), etag)
}

fn refusal(status: u16, code: &str, message: String, etag: &str) -> Reply {
    let info = json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "settings", "reason": code,
        "metadata": {"etag": etag},
    });
    Reply::json(status, json!({"error_code": code, "message": message, "details": [info]}))
}

/// Refuses a write that does not name the freshest etag.
fn check_etag(world: &mut World, setting: &Setting, given: Option<&str>) -> Result<(), Reply> {
    let fresh = etags::current(world, STORE, setting.kind);
    if given == Some(fresh.as_str()) {
        return Ok(());
    }
    let message = format!("The etag of setting {} is not the latest one", setting.kind);
    Err(refusal(409, "RESOURCE_CONFLICT", message, &fresh))
}

fn patch(world: &mut World, setting: &Setting, body: Map<String, Value>) -> Answer {
    let Change { etag, mask, value } = change(setting, body)?;
    let names = masked(setting, &mask)?;
    let stored = world.store.get(STORE, setting.kind).cloned();
    if stored.is_none() && etag.is_none() && world.settings.unset_setting_status != 200 {
        let fresh = etags::current(world, STORE, setting.kind);
        return Err(unset(setting, &fresh));
    }
    check_etag(world, setting, etag.as_ref().and_then(Value::as_str))?;
    let mut after = whole(setting, stored, "");
    for name in names {
        after[setting.key][name] = value.get(name).cloned().unwrap_or_default();
    }
    if let Value::Object(value) = &mut after[setting.key] {
        value.retain(|_, value| !value.is_null());
    }
    world.put(STORE, setting.kind, json!({setting.key: after[setting.key]}));
    let etag = etags::renew(world, STORE, setting.kind);
    Ok(Reply::json(200, whole(setting, Some(after), &etag)))
}

/// What the body of a PATCH says.
struct Change {
    etag: Option<Value>,
    mask: String,
    value: Map<String, Value>,
}

/// Checks the body of a PATCH.
fn change(setting: &Setting, mut body: Map<String, Value>) -> Result<Change, Reply> {
    const BODY: &[Field] = &[
        Field::new("allow_missing", Kind::Bool).required(),
        Field::new("field_mask", Kind::Text(1, 1000)).required(),
    ];
    let Some(Value::Object(mut sent)) = body.remove("setting") else {
        return Err(Reply::invalid("Missing required field: setting"));
    };
    check_full(&body, BODY)?;
    if body.get("allow_missing") != Some(&json!(true)) {
        return Err(Reply::invalid("allow_missing must be true"));
    }
    sent.remove("setting_name");
    let etag = sent.remove("etag");
    let value = sent.remove(setting.key).unwrap_or_else(|| json!({}));
    check_partial(&sent, &[])?;
    let Value::Object(value) = value else {
        let message = format!("Could not parse request object: expected an object at '{}'", setting.key);
        return Err(Reply::malformed(message));
    };
    check_partial(&value, setting.fields)?;
    let mask = body.get("field_mask").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Change { etag, mask, value })
}

/// The fields of the value that a mask names: `key.field`, or `key` for all. Observed by others: clients also name `key.value`
/// of a setting that has no such field, and it changes. Assumed: that stands for all.
fn masked<'a>(setting: &'a Setting, mask: &'a str) -> Result<Vec<&'a str>, Reply> {
    let mut names = Vec::new();
    for path in mask.split(',') {
        let (key, field) = path.split_once('.').map_or((path, None), |(key, field)| (key, Some(field)));
        let known = |name: &str| setting.fields.iter().any(|field| field.name == name);
        match field {
            Some(field) if key == setting.key && known(field) => names.push(field),
            None | Some("value") if key == setting.key => {
                names.extend(setting.fields.iter().map(|field| field.name));
            }
            _ => return Err(Reply::invalid(format!("field_mask names an unknown field '{path}'"))),
        }
    }
    Ok(names)
}
