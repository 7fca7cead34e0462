//! What the status shows of a list in the account that one object determines: what is on it in the account and not in the spec, and since
//! when. The record is kept across restarts, as what is not listed may be removed after a while. Values only.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The facts of a kind whose objects determine a list.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    /// How many entries the spec lists, as far as they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed_count: Option<i64>,
    /// How many principals have access that neither the spec lists nor another object manages, or more access than the spec lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unlisted_count: Option<i64>,
    /// Since when access that is not listed may be removed; absent while it is only reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced_since: Option<Time>,
    /// The entries that are not listed; of many, only some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<Unlisted>,
}

/// An entry in the account that is not listed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unlisted {
    /// The id that a PermissionAssignment for this entry would have.
    pub id: String,
    /// What it is.
    pub name: String,
    /// Its state in the account.
    pub state: String,
    /// When the operator first saw it there, or found that nothing keeps it any more.
    pub first_seen: Time,
    /// Why the access is not removed although its delay has ended. Once nothing keeps the access, the whole delay begins again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}
