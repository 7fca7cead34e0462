//! Names that the whole engine shares: of objects, of annotations and the finalizer, and of fields.

use kube::ResourceExt;
use kube::core::DynamicObject;

/// A field's wire name as users write it: `ip_addresses` is `ipAddresses`. Only the first part of a path is a field.
pub fn camel(path: &str) -> String {
    let (field, rest) = path.split_at(path.find('.').unwrap_or(path.len()));
    let mut out = String::with_capacity(path.len());
    let mut upper = false;
    for c in field.chars() {
        match c {
            '_' => upper = true,
            c if upper => {
                out.extend(c.to_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out + rest
}

/// Our finalizer: the operator deletes or releases the external object before the Kubernetes object disappears.
pub const FINALIZER: &str = "databricks-operator.io/finalizer";

/// Whether our finalizer is on an object.
pub fn has_finalizer(object: &DynamicObject) -> bool {
    object.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// A copy of the id, which survives a backup and restore without status.
pub const EXTERNAL_ID: &str = "databricks-operator.io/external-id";

/// Our mark on an object that created what it is bound to. It survives together with the id, so that `Delete` stays `Delete`.
pub const CREATED_BY: &str = "databricks-operator.io/created-by";

/// On a Secret of ours: the value of `spec.renewal` that it was written for.
pub const RENEWAL: &str = "databricks-operator.io/renewal";

/// Triggers one reconcile, with any new value.
pub const RECONCILE_REQUESTED: &str = "databricks-operator.io/reconcile-requested-at";

/// The kind `DatabricksAuth`.
pub const AUTH_KIND: &str = "DatabricksAuth";

/// A Kubernetes object of one of our kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    /// The name of an object of this kind.
    pub fn of(kind: &str, object: &impl ResourceExt) -> ObjectName {
        ObjectName {
            kind: kind.into(),
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Lists objects that block something, for a message: how many, what they still do (`use`, `refer to`) with what, the first few.
pub fn still(all: &[ObjectName], verb: &str, what: &str) -> String {
    let names: Vec<String> = all.iter().take(5).map(ObjectName::to_string).collect();
    let more = if all.len() > names.len() { ", …" } else { "" };
    let (first, rest) = verb.split_once(' ').unwrap_or((verb, ""));
    let does = match all.len() {
        1 => format!("1 object still {first}s {rest}"),
        count => format!("{count} objects still {first} {rest}"),
    };
    format!("{} {what} ({}{more})", does.trim_end(), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_not_called_objects() {
        let all: Vec<ObjectName> = (1..=7)
            .map(|n| ObjectName { kind: "K".into(), namespace: "ns".into(), name: n.to_string() })
            .collect();
        assert_eq!(still(&all[..1], "use", "it"), "1 object still uses it (K ns/1)");
        assert_eq!(still(&all[..1], "refer to", "this one"), "1 object still refers to this one (K ns/1)");
        assert_eq!(
            still(&all[..2], "refer to", "this one"),
            "2 objects still refer to this one (K ns/1, K ns/2)"
        );
        let five = "K ns/1, K ns/2, K ns/3, K ns/4, K ns/5";
        assert_eq!(still(&all[..5], "use", "it"), format!("5 objects still use it ({five})"));
        assert_eq!(still(&all, "use", "it"), format!("7 objects still use it ({five}, …)"));
    }
}
