//! The spec fields that every managed kind shares, and the values they may take.
//!
//! Policies are typed spec fields, never annotations: an annotation changes no generation and is not validated. No field
//! has a schema default, so that what is stored is what the user wrote; effective values are shown in `status.effective`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::names::{AUTH_KIND, ObjectName};

/// How often an object is compared with the account: its own interval, else that of its DatabricksAuth, else the operator's.
pub fn resync(
    own: Option<&ResyncInterval>,
    auth: Option<&ResyncInterval>,
    default: Option<Duration>,
) -> Option<Duration> {
    match own.or(auth) {
        Some(interval) => interval.duration(),
        None => default,
    }
}

/// The pattern of a Kubernetes object's name, as the API server requires it.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// The pattern of a namespace's name.
pub const NAMESPACE_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// The pattern of all text without a pattern of its own; `kind/schema.rs` adds it. With characters that end a line, or hide or
/// reorder text, the author of a spec could write lines of their own into messages.
pub const TEXT: &str = r"^[^\p{C}\p{Zl}\p{Zp}]*$";

/// The rule that the keys of a map match [`TEXT`]. Keys that the map had before may stay, as the oldest Kubernetes would
/// refuse even a status otherwise.
pub fn plain_keys(field: &str) -> Value {
    json!({
        "rule": format!("self.all(key, key.matches(r'{TEXT}') || (oldSelf.hasValue() && key in oldSelf.value()))"),
        "optionalOldSelf": true,
        "message": format!("the keys of {field} must have no control characters"),
    })
}

/// CEL: nothing is written for this spec.
pub const OBSERVES: &str = "(has(self.managementPolicy) && self.managementPolicy == 'Observe')";

/// CEL: nothing is ever created for this spec, so that it may lack what only a create needs.
pub const NEVER_CREATES: &str = "((has(self.managementPolicy) && self.managementPolicy == 'Observe') || has(self.externalId) || \
    (has(self.adoptionPolicy) && self.adoptionPolicy == 'Required'))";

/// A rule over a spec, about one of its fields.
pub fn rule(field: &str, rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message, "fieldPath": format!(".{field}")})
}

/// The rules of a kind that AWS and GCP describe by fields of their own.
pub fn aws_or_gcp(what: &str, aws: &[&str], gcp: &str) -> Value {
    let each = |form: &dyn Fn(&str) -> String, sign: &str| {
        aws.iter().map(|field| form(field)).collect::<Vec<_>>().join(sign)
    };
    let (all, any) =
        (each(&|f| format!("has(self.{f})"), " && "), each(&|f| format!("!has(self.{f})"), " && "));
    let (names, is) = match aws {
        [one] => ((*one).to_owned(), "is"),
        [many @ .., last] => (format!("{} and {last}", many.join(", ")), "are"),
        [] => Default::default(),
    };
    json!([
        rule(
            gcp,
            &format!("!has(self.{gcp}) || ({any})"),
            &format!("{names} {is} for AWS and {gcp} is for GCP: remove one of them"),
        ),
        rule(
            aws.first().copied().unwrap_or_default(),
            &format!("({all}) || has(self.{gcp}) || {NEVER_CREATES}"),
            &format!(
                "{names} {is} needed to create a {what} on AWS, and {gcp} on GCP: set what is missing; it can be left out where nothing is created: with externalId, adoptionPolicy Required or managementPolicy Observe"
            ),
        ),
    ])
}

/// The block of fields shared by all managed kinds, flattened into each spec.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Management {
    /// The DatabricksAuth whose account and credentials are used. May be changed, also while the object is being deleted, as long as the account stays the same. Known on all clouds.
    pub auth_ref: AuthRef,
    /// `Managed` (default) makes the object in the account match the spec. `Observe` reads, reports the difference in status.drift and the values in the account in status.observed, and writes nothing; it needs no adoptionPolicy. May be changed at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management_policy: Option<ManagementPolicy>,
    /// What happens if the object exists in the account already. `Never`: it is not adopted. `IfOwned` (default): it is adopted only if the operator can prove that it created it. `IfExists`: it is adopted, or else created. `Required`: it is adopted, and never created. May be changed at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption_policy: Option<AdoptionPolicy>,
    /// Adopt exactly the object with this id. Cannot be changed once an object is bound, except to the id that is bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub external_id: Option<String>,
    /// What happens to the object in the account when this one is deleted. Default: `Retain` where a deletion takes data from users, as that of a Workspace does, and for every adopted object, else `Delete`; status.effective shows it. May be changed at any time, also while the object is being deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// `true` holds the deletion of the object in the account until it is set to false. May be changed at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// `true` stops all calls for this object at once. If it is deleted while suspended, the object in the account stays. May be changed at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
    /// How often the object in the account is compared with the spec: a duration such as `10m`, at least 30s, or `Never`. Default: that of the DatabricksAuth, else that of the operator. May be changed at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync_interval: Option<ResyncInterval>,
    /// Where else the operator writes the ids and facts that the status shows, for programs that cannot read a status. Default: nowhere. May be changed at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
}

/// Where the ids and facts of a status go.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outputs {
    /// Name of a ConfigMap in the same namespace. The operator creates it, keeps it in step with the status, and deletes it when this field names another one; an existing ConfigMap is left alone. It is deleted with the object. The operator needs the right to write ConfigMaps: the chart's value rbac.outputConfigMaps.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub config_map_name: String,
}

/// A DatabricksAuth by name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthRef {
    /// Name of the DatabricksAuth.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Namespace of the DatabricksAuth. Default: this object's namespace. Another one works only where a grant of that DatabricksAuth admits this namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME))]
    pub namespace: Option<String>,
}

impl AuthRef {
    /// The DatabricksAuth that an object in `namespace` means.
    pub fn who(&self, namespace: &str) -> ObjectName {
        let namespace = self.namespace.as_deref().unwrap_or(namespace).to_owned();
        ObjectName { kind: AUTH_KIND.into(), namespace, name: self.name.clone() }
    }
}

/// Another object of the same namespace, by name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct NameRef {
    /// Name of the object, in the same namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// Whether the operator writes to the account.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, description = "")]
pub enum ManagementPolicy {
    /// Keep the account as the spec says.
    #[default]
    Managed,
    /// Read and report only.
    Observe,
}

/// What may happen to an object that exists already.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(inline, description = "")]
pub enum AdoptionPolicy {
    /// Do not adopt it.
    Never,
    /// Adopt it if it is proven that the operator created it.
    #[default]
    IfOwned,
    /// Adopt it.
    IfExists,
    /// Adopt it, and never create one.
    Required,
}

/// What happens outside when the Kubernetes object is deleted.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(inline, description = "")]
pub enum DeletionPolicy {
    /// The object in the account is deleted first.
    Delete,
    /// The object in the account stays.
    Retain,
}

/// A duration such as `10m`, or `Never`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(transparent)]
pub struct ResyncInterval(pub String);

impl ResyncInterval {
    /// The interval; `None` is `Never`. Text that the schema should have refused counts as `Never`, the quiet choice.
    pub fn duration(&self) -> Option<Duration> {
        if self.0 == "Never" { None } else { parse_duration(&self.0) }
    }
}

impl JsonSchema for ResyncInterval {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ResyncInterval".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": "^(Never|([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,7}s)?)$",
            "x-kubernetes-validations": [{
                "rule": "self == 'Never' || (self.matches('^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,7}s)?$') && size(self) > 0 && duration(self) >= duration('30s'))",
                "message": "resyncInterval must be Never or a duration of at least 30s, for example 10m",
            }],
        })
    }
}

/// Reads `1h30m`, `45s`, `500ms`. `None` where the text is not of that form.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |n| digits + n);
        total = total.checked_add(match &rest[digits..unit_end] {
            "h" => Duration::from_secs(number.checked_mul(3600)?),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return None,
        })?;
        rest = &rest[unit_end..];
    }
    (!text.is_empty()).then_some(total)
}

/// Writes a duration the way [`parse_duration`] reads it.
pub fn format_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    if millis != 0 {
        return format!("{}ms", duration.as_millis());
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".into() } else { text }
}

impl Management {
    /// Whether the operator may write, the default applied.
    pub fn policy(&self) -> ManagementPolicy {
        self.management_policy.unwrap_or_default()
    }

    /// What may happen to an existing object, the default applied.
    pub fn adoption(&self) -> AdoptionPolicy {
        self.adoption_policy.unwrap_or_default()
    }

    /// What happens on deletion: as written, else `Retain` for kinds that are retained by default, and for adopted objects, else `Delete`.
    pub fn deletion(&self, retained: bool, adopted: bool) -> DeletionPolicy {
        self.deletion_policy.unwrap_or(if retained || adopted {
            DeletionPolicy::Retain
        } else {
            DeletionPolicy::Delete
        })
    }

    /// Whether all calls are stopped.
    pub fn suspended(&self) -> bool {
        self.suspend.unwrap_or(false)
    }

    /// Whether this spec alone is certain to delete the object in the account with its own: it says `Delete`, and nothing in it
    /// prevents that.
    pub fn deletes(&self) -> bool {
        let writes = self.policy() == ManagementPolicy::Managed && !self.suspended();
        self.deletion_policy == Some(DeletionPolicy::Delete)
            && writes
            && self.deletion_protection != Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_users_write_them() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("1h30m", 5400), ("2h", 7200)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
        for wrong in ["", "10", "m", "10x", "-1s", "99999999999999999999s"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
    }
}
