//! Checks a request body against a list of fields, field by field.
//!
//! The refusal of unknown fields is assumed, and stricter than the real API is thought to be: a misspelt field that is
//! ignored in silence would hide a client's bug. Assumed as well: a whole number may also be sent as a string of digits.

use serde_json::{Map, Value};

use crate::wire::Reply;

/// What a field may hold.
pub(crate) enum Kind {
    /// Text of this many characters.
    Text(usize, usize),
    /// Text of a form: the test, and how the refusal continues after "Invalid value: ".
    Form(fn(&str) -> bool, &'static str),
    /// A whole number of 64 bits.
    Int,
    Bool,
    /// So many items, all of one kind.
    List(usize, usize, &'static Kind),
    TextMap,
    OneOf(&'static [&'static str]),
    Object(&'static [Field]),
    /// An object whose fields are not checked.
    Opaque,
}

pub(crate) const ROLE_ARN: Kind =
    Kind::Form(is_role_arn, "must be the ARN of an IAM role, arn:aws:iam::<12 digits>:role/<name>");

pub(crate) const UUID: Kind = Kind::Form(is_uuid, "must be a UUID");

/// Any text.
pub(crate) const TEXT: Kind = Kind::Text(0, usize::MAX);

/// Any number of texts.
pub(crate) const TEXTS: Kind = Kind::List(0, usize::MAX, &TEXT);

/// A field of a body.
pub(crate) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// It must be in a full body (create, replace).
    pub required: bool,
    /// It cannot change once the object exists.
    pub immutable: bool,
    /// At most one of the fields of a group may be in a body. If it is required, one of them must be.
    pub group: Option<&'static str>,
}

impl Field {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: false, immutable: false, group: None }
    }

    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub const fn immutable(self) -> Self {
        Self { immutable: true, ..self }
    }

    pub const fn one_of(self, group: &'static str) -> Self {
        Self { group: Some(group), ..self }
    }
}

/// Checks a full body: known fields only, each of its type, the required ones present.
pub(crate) fn check_full(body: &Map<String, Value>, fields: &[Field]) -> Result<(), Reply> {
    check_partial(body, fields)?;
    for field in fields.iter().filter(|field| field.required) {
        let alternative = |other: &&Field| other.name == field.name || is_alternative(field, other);
        let names: Vec<&str> = fields.iter().filter(alternative).map(|other| other.name).collect();
        if !names.iter().any(|name| body.contains_key(*name)) {
            return Err(Reply::invalid(format!("Missing required field: {}", names.join(" or "))));
        }
    }
    Ok(())
}

fn is_alternative(field: &Field, other: &Field) -> bool {
    field.group.is_some() && field.group == other.group && field.name != other.name
}

/// Checks a partial body: known fields only, each of its type, one of a group.
pub(crate) fn check_partial(body: &Map<String, Value>, fields: &[Field]) -> Result<(), Reply> {
    for (name, value) in body {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Err(Reply::malformed(format!("Could not parse request object: unknown field '{name}'")));
        };
        check_value(name, value, &field.kind)?;
        let mut others = fields.iter().filter(|other| is_alternative(field, other));
        if let Some(other) = others.find(|other| body.contains_key(other.name)) {
            return Err(Reply::invalid(format!("Only one of {name} and {} may be given", other.name)));
        }
    }
    Ok(())
}

fn check_value(name: &str, value: &Value, kind: &Kind) -> Result<(), Reply> {
    let text = || value.as_str().ok_or_else(|| wrong_type(name, "a string"));
    let bad = |why: &str| Err(Reply::invalid(format!("Invalid value for {name}: {why}")));
    match kind {
        Kind::Text(min, max) => match text()?.chars().count() {
            length if (*min..=*max).contains(&length) => Ok(()),
            length => bad(&format!("must have {min} to {max} characters, has {length}")),
        },
        Kind::Form(fits, _) if fits(text()?) => Ok(()),
        Kind::Form(_, why) => bad(why),
        Kind::Int if whole_number(value).is_some() => Ok(()),
        Kind::Int => Err(wrong_type(name, "a whole number")),
        Kind::Bool if value.is_boolean() => Ok(()),
        Kind::Bool => Err(wrong_type(name, "a boolean")),
        Kind::List(min, max, kind) => match value.as_array() {
            Some(items) if (*min..=*max).contains(&items.len()) => {
                items.iter().try_for_each(|item| check_value(name, item, kind))
            }
            Some(items) => bad(&format!("must have {min} to {max} items, has {}", items.len())),
            None => Err(wrong_type(name, "an array")),
        },
        Kind::TextMap => match value.as_object() {
            Some(map) if map.values().all(Value::is_string) => Ok(()),
            _ => Err(wrong_type(name, "a map of strings")),
        },
        Kind::OneOf(values) if values.contains(&text()?) => Ok(()),
        Kind::OneOf(values) => bad(&format!("must be one of {}", values.join(", "))),
        Kind::Object(fields) => match value.as_object() {
            Some(object) => check_full(object, fields),
            None => Err(wrong_type(name, "an object")),
        },
        Kind::Opaque if value.is_object() => Ok(()),
        Kind::Opaque => Err(wrong_type(name, "an object")),
    }
}

/// A whole number, sent as one or as a string of digits.
pub(crate) fn whole_number(value: &Value) -> Option<i64> {
    let digits = || value.as_str().and_then(|text| text.parse().ok());
    value.as_i64().or_else(digits)
}

fn wrong_type(name: &str, expected: &str) -> Reply {
    Reply::malformed(format!("Could not parse request object: expected {expected} at '{name}'"))
}

fn is_role_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return false };
    let name = resource.strip_prefix("role/").unwrap_or_default();
    matches!(*partition, "aws" | "aws-cn" | "aws-us-gov")
        && account.len() == 12
        && account.bytes().all(|digit| digit.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether the text is a UUID in its canonical form: lower case, with hyphens.
pub(crate) fn is_uuid(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|uuid| uuid.to_string() == text)
}
