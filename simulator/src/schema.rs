//! Checks a request body against a list of fields, field by field.
//!
//! The refusal of unknown fields is assumed, and stricter than the real API is thought to be: a misspelt field that is
//! ignored in silence would hide a client's bug.

use serde_json::{Map, Value};

use crate::wire::Reply;

/// What a field may hold.
pub(crate) enum Kind {
    /// Text of this many characters.
    Text(usize, usize),
    /// The ARN of an IAM role.
    RoleArn,
    Uuid,
    Bool,
    TextList,
    TextMap,
    OneOf(&'static [&'static str]),
    Object(&'static [Field]),
}

/// A field of a body.
pub(crate) struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// It must be in a full body (create, replace).
    pub required: bool,
    /// It cannot change once the object exists.
    pub immutable: bool,
}

impl Field {
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, required: false, immutable: false }
    }

    pub const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    pub const fn immutable(self) -> Self {
        Self { immutable: true, ..self }
    }
}

/// Checks a full body: known fields only, each of its type, the required ones present.
pub(crate) fn check_full(body: &Map<String, Value>, fields: &[Field]) -> Result<(), Reply> {
    check_partial(body, fields)?;
    for field in fields.iter().filter(|field| field.required) {
        if !body.contains_key(field.name) {
            return Err(Reply::invalid(format!("Missing required field: {}", field.name)));
        }
    }
    Ok(())
}

/// Checks a partial body: known fields only, each of its type.
pub(crate) fn check_partial(body: &Map<String, Value>, fields: &[Field]) -> Result<(), Reply> {
    for (name, value) in body {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            return Err(Reply::malformed(format!("Could not parse request object: unknown field '{name}'")));
        };
        check_value(name, value, &field.kind)?;
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
        Kind::RoleArn if is_role_arn(text()?) => Ok(()),
        Kind::RoleArn => bad("must be the ARN of an IAM role, arn:aws:iam::<12 digits>:role/<name>"),
        Kind::Uuid if is_uuid(text()?) => Ok(()),
        Kind::Uuid => bad("must be a UUID"),
        Kind::Bool if value.is_boolean() => Ok(()),
        Kind::Bool => Err(wrong_type(name, "a boolean")),
        Kind::TextList => match value.as_array() {
            Some(items) if items.iter().all(Value::is_string) => Ok(()),
            _ => Err(wrong_type(name, "an array of strings")),
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
    }
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
