//! Settings of the account by name, one line of [`SETTINGS`] each: those that need no API of their own. None is created or unset.
//!
//! Documented: paths, fields, pages of the list of what there is; that a value must have the form of its setting; that a response has what
//! was set apart from what holds. Not documented, and so assumed: that what was never set has no value of its own; that what was set
//! holds; the code for a name that does not exist, and for another form; the defaults. Invented: the names that begin with `example_`,
//! as which settings there are differs from account to account. Not here: settings that are also an API of their own share their value
//! with that in a real account, and here not.

use serde_json::{Map, Value, json};

use crate::schema::{Field, Kind, TEXT, check_full};
use crate::wire::{Answer, Reply, Request};
use crate::world::World;

/// The name in the store; the key is the name of the setting.
pub(crate) const STORE: &str = "settings-v2";

/// The methods of the API.
pub(crate) const METHODS: &[&str] = &["GET", "PATCH"];

/// One setting.
struct Setting {
    name: &'static str,
    /// The field that holds its value.
    form: &'static str,
    /// The value of an account that never set it, as JSON.
    default: &'static str,
    preview_phase: Option<&'static str>,
}

const SETTINGS: &[Setting] = &[
    Setting {
        name: "example_feature_preview",
        form: "boolean_val",
        default: "false",
        preview_phase: Some("BETA"),
    },
    Setting { name: "example_data_region", form: "string_val", default: r#""any""#, preview_phase: None },
    Setting { name: "example_session_minutes", form: "integer_val", default: "60", preview_phase: None },
    Setting { name: "llm_proxy_partner_powered", form: "boolean_val", default: "true", preview_phase: None },
];

const FLAG: &[Field] = &[Field::new("value", Kind::Bool).required()];
const WORDS: &[Field] = &[Field::new("value", TEXT).required()];
const NUMBER: &[Field] = &[Field::new("value", Kind::Int).required()];

/// The body of a change: one value.
const CHANGE: &[Field] = &[
    Field::new("name", Kind::Text(1, 128)),
    Field::new("boolean_val", Kind::Object(FLAG)).required().one_of("value"),
    Field::new("string_val", Kind::Object(WORDS)).required().one_of("value"),
    Field::new("integer_val", Kind::Object(NUMBER)).required().one_of("value"),
];

/// The largest page of the list.
const LARGEST_PAGE: usize = 1000;

/// Answers calls at `settings` and `settings-metadata`.
pub(crate) fn serve(world: &mut World, request: &Request, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", ["settings-metadata"]) => {
            request.only_queries(&["page_size", "page_token"])?;
            request.no_body()?;
            list(world, request)
        }
        ("GET", ["settings", name]) => {
            request.only_queries(&[])?;
            request.no_body()?;
            let setting = find(name)?;
            let set = world.read(STORE, setting.name);
            Ok(Reply::json(200, whole(setting, set.as_ref())))
        }
        ("PATCH", ["settings", name]) => {
            request.only_queries(&[])?;
            let setting = find(name)?;
            change(world, setting, &request.object()?)
        }
        _ => Err(Reply::no_endpoint(request)),
    }
}

fn find(name: &str) -> Result<&'static Setting, Reply> {
    let found = SETTINGS.iter().find(|setting| setting.name == name);
    found.ok_or_else(|| Reply::missing(format!("Setting {name} does not exist")))
}

/// A setting in full: what was set, if it was, and what holds.
fn whole(setting: &Setting, set: Option<&Value>) -> Value {
    let default: Value = serde_json::from_str(setting.default).unwrap_or_default();
    let mut shown = Map::new();
    shown.insert("name".to_owned(), json!(setting.name));
    let set = set.map(|set| set[setting.form].clone()).filter(|value| !value.is_null());
    if let Some(value) = &set {
        shown.insert(setting.form.to_owned(), value.clone());
    }
    let holds = set.unwrap_or_else(|| json!({"value": default}));
    shown.insert(format!("effective_{}", setting.form), holds);
    Value::Object(shown)
}

fn change(world: &mut World, setting: &Setting, body: &Map<String, Value>) -> Answer {
    check_full(body, CHANGE)?;
    if body.get("name").is_some_and(|name| name != setting.name) {
        return Err(Reply::invalid("name is not that of the path"));
    }
    let Some(value) = body.get(setting.form) else {
        return Err(Reply::invalid(format!("Setting {} takes {}", setting.name, setting.form)));
    };
    let set = json!({"name": setting.name, setting.form: value});
    world.put(STORE, setting.name, set.clone());
    Ok(Reply::json(200, whole(setting, Some(&set))))
}

/// The page that a call asks for.
fn list(world: &World, request: &Request) -> Answer {
    let number = |name: &str| {
        let text = request.query(name).filter(|text| !text.is_empty());
        let read = text
            .map(|text| text.parse::<usize>().map_err(|_| Reply::invalid(format!("{name} is not valid"))));
        read.transpose()
    };
    let begin = number("page_token")?.unwrap_or(0).min(SETTINGS.len());
    let asked = number("page_size")?.unwrap_or(LARGEST_PAGE).clamp(1, LARGEST_PAGE);
    let size = asked.min(world.settings.page_size.max(1));
    let end = (begin + size).min(SETTINGS.len());
    let rows: Vec<Value> = SETTINGS[begin..end].iter().map(metadata).collect();
    let mut page = json!({"settings_metadata": rows});
    if end < SETTINGS.len() {
        page["next_page_token"] = json!(end.to_string());
    }
    Ok(Reply::json(200, page))
}

fn metadata(setting: &Setting) -> Value {
    let mut shown = json!({
        "name": setting.name, "display_name": setting.name, "description": "A setting of the simulated account.",
        "type": setting.form, "docs_link": "https://docs.example.com/settings",
    });
    if let Some(phase) = setting.preview_phase {
        shown["preview_phase"] = json!(phase);
    }
    shown
}
