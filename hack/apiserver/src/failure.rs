//! The errors of the API server, as the `Status` objects that it sends.

use serde_json::{Value, json};

use crate::resources::Resource;

/// A refused request: the HTTP status and the body.
#[derive(Clone, Debug)]
pub struct Failure {
    pub code: u16,
    pub status: Value,
}

/// A result of the server.
pub type Result<T> = std::result::Result<T, Failure>;

/// One cause of an invalid object.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    pub field: String,
    pub reason: &'static str,
    pub message: String,
}

impl Cause {
    pub fn new(field: impl Into<String>, reason: &'static str, message: impl Into<String>) -> Cause {
        Cause { field: field.into(), reason, message: message.into() }
    }

    /// A value that is not allowed; `value` as Go prints it.
    pub fn invalid(field: impl Into<String>, value: impl std::fmt::Display, why: &str) -> Cause {
        Cause::new(field, "FieldValueInvalid", format!("Invalid value: {value}: {why}"))
    }

    pub fn required(field: impl Into<String>, why: &str) -> Cause {
        let message = if why.is_empty() { "Required value".into() } else { format!("Required value: {why}") };
        Cause::new(field, "FieldValueRequired", message)
    }

    pub fn forbidden(field: impl Into<String>, why: &str) -> Cause {
        Cause::new(field, "FieldValueForbidden", format!("Forbidden: {why}"))
    }
}

impl Failure {
    /// A failure without details. `reason` may be empty.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Failure {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message.into(), "code": code,
        });
        if !reason.is_empty() {
            status["reason"] = reason.into();
        }
        Failure { code, status }
    }

    fn about(mut self, name: &str, group: &str, kind: &str) -> Failure {
        let mut details = json!({});
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                details[key] = value.into();
            }
        }
        self.status["details"] = details;
        self
    }

    pub fn bad_request(message: impl Into<String>) -> Failure {
        Failure::new(400, "BadRequest", message)
    }

    pub fn not_found(resource: &Resource, name: &str) -> Failure {
        let message = format!("{} {name:?} not found", resource.qualified());
        Failure::new(404, "NotFound", message).about(name, &resource.group, &resource.plural)
    }

    pub fn already_exists(resource: &Resource, name: &str) -> Failure {
        let message = format!("{} {name:?} already exists", resource.qualified());
        Failure::new(409, "AlreadyExists", message).about(name, &resource.group, &resource.plural)
    }

    /// The same for one that will soon be gone.
    pub fn still_exists(resource: &Resource, name: &str) -> Failure {
        let message = format!("object is being deleted: {} {name:?} already exists", resource.qualified());
        Failure::new(409, "AlreadyExists", message).about(name, &resource.group, &resource.plural)
    }

    /// A write that was computed from another version of the object.
    pub fn stale(resource: &Resource, name: &str) -> Failure {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Failure::new(409, "Conflict", message).about(name, &resource.group, &resource.plural)
    }

    /// A PUT of an object with another uid.
    pub fn another(resource: &Resource, name: &str, asked: &str, is: &str) -> Failure {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: StorageError: invalid object, Precondition failed: UID in \
             precondition: {asked}, UID in object meta: {is}",
            resource.qualified()
        );
        Failure::new(409, "Conflict", message).about(name, &resource.group, &resource.plural)
    }

    /// An apply to an object that is gone.
    pub fn missing(resource: &Resource, name: &str, uid: &str) -> Failure {
        let why = format!("the provided object specified uid {uid}, and no existing object was found");
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: uid mismatch: {why}",
            resource.qualified()
        );
        Failure::new(409, "Conflict", message).about(name, &resource.group, &resource.plural)
    }

    /// A delete whose preconditions do not hold. The real server names the kind here.
    pub fn precondition(resource: &Resource, name: &str, why: &str) -> Failure {
        let message =
            format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified_kind());
        Failure::new(409, "Conflict", message).about(name, &resource.group, &resource.kind)
    }

    /// An invalid object of this kind, which may not be the one that the resource has.
    pub fn invalid_as(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Failure {
        let mut texts: Vec<String> = vec![];
        for cause in &causes {
            let text = format!("{}: {}", cause.field, cause.message);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = if texts.len() == 1 { texts.remove(0) } else { format!("[{}]", texts.join(", ")) };
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let message = format!("{qualified} {name:?} is invalid: {text}");
        let mut failure = Failure::new(422, "Invalid", message).about(name, group, kind);
        failure.status["details"]["causes"] = causes
            .iter()
            .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
            .collect();
        failure
    }

    /// A create in a namespace that is being deleted.
    pub fn terminating(resource: &Resource, name: &str, namespace: &str) -> Failure {
        let why =
            format!("unable to create new content in namespace {namespace} because it is being terminated");
        let message = format!("{} {name:?} is forbidden: {why}", resource.qualified());
        let mut failure =
            Failure::new(403, "Forbidden", message).about(name, &resource.group, &resource.plural);
        failure.status["details"]["causes"] = json!([{
            "reason": "NamespaceTerminating", "field": "metadata.namespace",
            "message": format!("namespace {namespace} is being terminated"),
        }]);
        failure
    }

    /// A history that is gone.
    pub fn expired(message: impl Into<String>) -> Failure {
        Failure::new(410, "Expired", message)
    }
}
