//! How messages name fields, values and other objects, and what they say to do. Texts only; [`super::decide`] chooses
//! between them.

use serde_json::Value;

use super::secret::IssuedSecret;
use super::step::View;
use crate::engine::crd::{camel, shorten};
use crate::engine::kind::{Immutable, Part, Reference};
use crate::engine::memory::AS_ENTRY;

/// The message of an object whose object in the account is managed by another one.
pub fn managed_by(holder: &str) -> String {
    if holder.ends_with(AS_ENTRY) {
        return format!(
            "the object in the account is managed by {holder}: remove it from that list, or delete this object"
        );
    }
    format!(
        "the object in the account is managed by {holder}: delete one of the two. To replace that one by this one without a gap \
         in the account, set spec.deletionPolicy to Retain on that one and spec.adoptionPolicy to IfExists on this one, then \
         delete that one"
    )
}

/// The message of an object that would manage a part of an object in the account that another one manages.
pub fn part_managed_by(part: &Part, holder: &str) -> String {
    format!("{holder} manages {}, and this object would undo its changes: {}", part.what, part.remedy)
}

/// How to start over with another object in the account. A retained one would be found again.
pub fn start_over(view: &View<'_>) -> String {
    let mut first = vec![];
    if !view.delete_outside {
        first.push(
            "spec.deletionPolicy to Delete (with Retain the one in the account stays, and is found again)",
        );
    }
    if view.protected {
        first.push("spec.deletionProtection to false");
    }
    let set = if first.is_empty() { String::new() } else { format!("set {}, ", first.join(" and ")) };
    let lost = if view.data_bearing { " with all that it holds" } else { "" };
    format!(
        "to start over, {set}delete this object, which deletes the one in the account{lost}, and apply it again"
    )
}

/// What to do first about an object that is gone, if Databricks can restore it.
pub fn restore_first(view: &View<'_>) -> String {
    view.undelete.map(|how| format!("{how}; else ")).unwrap_or_default()
}

/// What to do about an object whose secret is lost: only another object would have another one.
pub fn lost_for_good(view: &View<'_>, secret: &IssuedSecret) -> String {
    format!(
        "the Secret {} does not hold the secret of {} as the operator wrote it, and Databricks shows a secret only once: if another Secret \
         holds it, write the name of that one in spec.secretName again; {}: the new one has another id and another secret; or, to manage it \
         without its secret, remove spec.secretName and set spec.adoptionPolicy to Required",
        secret.output.secret_name,
        view.called,
        start_over(view)
    )
}

/// How to write the account's value into the spec.
pub fn write_back(field: &str, value: &Value) -> String {
    let text = shorten(&value.to_string(), 200);
    match value {
        Value::Null => "remove the field, as the account has no value for it".into(),
        _ if field.ends_with("Ref") || field.ends_with("Refs") => {
            format!("let it refer to {text}, as the account has it")
        }
        _ => format!("write {text}, as the account has it"),
    }
}

/// Fields of the state as users write them.
pub fn words(fields: &[String]) -> String {
    fields.iter().map(|f| camel(f)).collect::<Vec<_>>().join(", ")
}

/// A path of the state as the field of the spec that it comes from.
pub fn spec_path(immutable: &[Immutable], references: &[Reference], spec: &Value, path: &str) -> String {
    let field = path.split('.').next().unwrap_or(path);
    let fixed = immutable.iter().find(|i| i.state == field).map(|i| i.written(spec));
    let refers = || references.iter().find(|r| r.state == field).map(|r| r.written(spec));
    let written = fixed.or_else(refers);
    written.map_or_else(|| camel(path), |name| format!("{name}{}", &path[field.len()..]))
}
