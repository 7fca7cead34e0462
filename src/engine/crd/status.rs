//! What the operator writes about an object: ids, conditions, effective policies, drift, the open intent.
//!
//! It has no counter and no time except those of transitions and of the intent, so that it changes only when the object does.
//! Longer than other files, as it is one schema.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::management::{AdoptionPolicy, DeletionPolicy, ManagementPolicy, Outputs};
use super::reason::Reason;
use crate::databricks::plain;

/// Status with untyped facts, as the engine handles it.
pub type AnyStatus = Status<Map<String, Value>>;

/// Status of a managed kind; `F` holds the facts of one kind. The engine itself uses it with untyped facts.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase", bound(deserialize = "F: Deserialize<'de> + Default"))]
#[schemars(description = "What the operator found and did. Written by the operator alone.", extend("default" = {"observedGeneration": -1}))]
pub struct Status<F = Map<String, Value>> {
    /// The generation of the spec that was processed last; -1 before the first.
    #[serde(default = "never")]
    pub observed_generation: i64,
    /// State in the form that kstatus and `kubectl wait` read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// The id of the object in the Databricks account, once it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub external_id: Option<String>,
    /// What the object is bound to. It is never moved to another account or object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// State of the object in the account, in its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Whether the object in the account was usable when it was last read, whatever the spec asks for; objects that refer
    /// to this one depend on it. Missing while the object is not known to exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usable: Option<bool>,
    /// The policies in force, with defaults applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effective: Option<Effective>,
    /// Ids that references and names in the spec were resolved to, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resolved_refs: BTreeMap<String, String>,
    /// The values that were last read in the account, by field of the spec. A list has its first 1000 entries at most, fewer if they are long; `observedCounts` then says how many there are.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub observed: Map<String, Value>,
    /// How many entries a list has in the account of which the status shows only the first, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed_counts: BTreeMap<String, i64>,
    /// What differs between the spec and the account and has not been corrected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// A create that was started and whose result is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
    /// A change that was sent and takes time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Secrets that were replaced and are still valid in the account; the operator deletes them after `spec.overlap`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
    /// The parts of objects in the account that this object manages and that an object of another kind could manage in its place. It keeps them when the operator restarts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<HeldPart>,
    /// Where the operator has written ids and facts, if `spec.outputs` asks for it: it deletes this when the spec names another place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Outputs>,
    /// The last value of the annotation databricks-operator.io/reconcile-requested-at that was acted on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The facts of this kind.
    #[serde(flatten)]
    pub facts: F,
}

/// The facts of a kind that has none.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct NoFacts {}

fn never() -> i64 {
    -1
}

impl<F: Default> Default for Status<F> {
    fn default() -> Self {
        Status {
            observed_generation: never(),
            conditions: vec![],
            external_id: None,
            external: None,
            state: None,
            usable: None,
            effective: None,
            resolved_refs: BTreeMap::new(),
            observed: Map::new(),
            observed_counts: BTreeMap::new(),
            drift: vec![],
            intent: None,
            operation: None,
            retired: vec![],
            parts: vec![],
            outputs: None,
            last_handled_reconcile_at: None,
            facts: F::default(),
        }
    }
}

/// The object in the account that this one is bound to.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Id of the Databricks account.
    pub account_id: String,
    /// Id of the object.
    pub id: String,
    /// The natural name that the object last had, by which the operator recognises it while its name is being changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// True if the object existed before and was adopted.
    #[serde(default)]
    pub adopted: bool,
    /// True if the operator has only observed it so far. To manage it, adopt it first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// When the operator created it; absent if it was adopted. Reads of the account may not show it for a while after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// What the account had before the operator began to manage it, as JSON text. A deletion with `deletionPolicy: Delete` sets it back to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<String>,
}

/// Policies with defaults applied.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// Whether the operator writes.
    pub management_policy: ManagementPolicy,
    /// What may happen to an existing object.
    pub adoption_policy: AdoptionPolicy,
    /// What happens to the object in the account on deletion.
    pub deletion_policy: DeletionPolicy,
    /// How often the account is compared with the spec. A change of this in the DatabricksAuth or in a flag of the operator is in force at once, and shown from the next write of the status on.
    pub resync_interval: String,
}

/// One field that differs.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drift {
    /// The field of the spec.
    pub path: String,
    /// What the spec wants, as JSON text.
    pub want: String,
    /// What the account has, as JSON text.
    pub seen: String,
}

/// Written before a create is sent, so that no crash can lead to a second object.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// Account in which the object is being created.
    pub account_id: String,
    /// Id of the parent that the object is created under; empty for the account itself.
    #[serde(default)]
    pub within: String,
    /// What the created object can be found by.
    pub name: String,
    /// When the intent was written.
    pub time: Time,
    /// Kubernetes Secret that the created secret goes to, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Objects that matched before the create, so that none of them is its result.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
}

/// A secret that was replaced.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retired {
    /// Its id in the account.
    pub id: String,
    /// When its successor was recorded.
    pub since: Time,
}

/// A part of an object in the account that objects of several kinds can manage.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldPart {
    /// What it is, with the id of the object that it is a part of.
    pub what: String,
    /// True if other objects manage shares of it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
}

/// A change that was accepted and is still being carried out.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// The fields that were sent; empty while the object is being created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The generation of the spec they came from.
    pub generation: i64,
    /// When it began.
    pub since: Time,
}

/// Types of conditions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The object exists outside, is usable and matches the observed generation.
    Ready,
    /// The last comparison found no difference, or corrected it.
    Synced,
    /// The DatabricksAuth and every reference exist, are permitted and are ready.
    ReferencesResolved,
    /// Work is in progress, or a retry will come.
    Reconciling,
    /// Nothing changes until a person or another object does something.
    Stalled,
    /// `spec.suspend` is set.
    Suspended,
    /// The deletion of the object in the account is blocked.
    DeletionBlocked,
}

impl ConditionType {
    /// All of them, in the order in which they are written.
    pub const ALL: [ConditionType; 7] = [
        ConditionType::Ready,
        ConditionType::Synced,
        ConditionType::ReferencesResolved,
        ConditionType::Reconciling,
        ConditionType::Stalled,
        ConditionType::Suspended,
        ConditionType::DeletionBlocked,
    ];

    /// Whether it exists from the first write of the status on; the others exist only while they are True.
    pub fn always_there(self) -> bool {
        matches!(self, ConditionType::Ready | ConditionType::Synced | ConditionType::ReferencesResolved)
    }

    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            ConditionType::Ready => "Ready",
            ConditionType::Synced => "Synced",
            ConditionType::ReferencesResolved => "ReferencesResolved",
            ConditionType::Reconciling => "Reconciling",
            ConditionType::Stalled => "Stalled",
            ConditionType::Suspended => "Suspended",
            ConditionType::DeletionBlocked => "DeletionBlocked",
        }
    }
}

impl<F> Status<F> {
    /// The condition of a type.
    pub fn condition(&self, kind: ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|c| c.type_ == kind.name())
    }

    /// Whether this generation was carried out: nothing is urgent any more, and a difference is drift.
    pub fn is_settled(&self, generation: i64) -> bool {
        self.is_true(ConditionType::Ready) && self.observed_generation == generation
    }

    /// Whether the condition of a type exists and is True.
    pub fn is_true(&self, kind: ConditionType) -> bool {
        self.condition(kind).is_some_and(|c| c.status == "True")
    }
}

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionStatus {
    /// It is so.
    True,
    /// It is not so.
    False,
    /// Nothing is known yet. Used by `Synced` alone, for a generation that was not compared with the account.
    Unknown,
}

impl ConditionStatus {
    /// The word in the API.
    pub fn name(self) -> &'static str {
        match self {
            ConditionStatus::True => "True",
            ConditionStatus::False => "False",
            ConditionStatus::Unknown => "Unknown",
        }
    }

    /// Reads the word of the API; any other than True and False is Unknown.
    pub fn read(word: &str) -> ConditionStatus {
        match word {
            "True" => ConditionStatus::True,
            "False" => ConditionStatus::False,
            _ => ConditionStatus::Unknown,
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(so: bool) -> ConditionStatus {
        if so { ConditionStatus::True } else { ConditionStatus::False }
    }
}

/// One condition as a conclusion wants it, before times are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Which condition.
    pub kind: ConditionType,
    /// Whether it is so.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// What, why, and what to do.
    pub message: String,
}

/// Longest message that is written; Kubernetes allows 32 KiB, which is too long to read.
pub const MESSAGE_LIMIT: usize = 1024;

/// Merges verdicts into conditions: exactly the given types remain, in a fixed order; the transition time moves only when
/// the status does.
pub fn conditions(
    old: &[Condition],
    verdicts: &[Verdict],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    let mut verdicts: Vec<&Verdict> = verdicts.iter().collect();
    verdicts.sort_by_key(|v| v.kind);
    let merge = |v: &Verdict| {
        let status = v.status.name();
        let kept = old.iter().find(|c| c.type_ == v.kind.name() && c.status == status);
        Condition {
            type_: v.kind.name().into(),
            status: status.into(),
            reason: v.reason.name().into(),
            message: shorten(&v.message, MESSAGE_LIMIT),
            last_transition_time: kept.map_or_else(|| seconds(now), |c| c.last_transition_time.clone()),
            observed_generation: Some(generation),
        }
    };
    verdicts.into_iter().map(merge).collect()
}

/// Kubernetes times have whole seconds; more would make every comparison differ after a round trip.
pub fn seconds(now: Timestamp) -> Time {
    Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
}

/// Time elapsed since `since`; zero if `since` lies in the future (clock skew).
pub fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// A text as it may be shown, cut at a character boundary.
pub fn shorten(text: &str, limit: usize) -> String {
    let text = plain(text);
    if text.len() <= limit {
        return text;
    }
    let cut = (0..=limit - 3).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", &text[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_that_reads_as_it_is() {
        let text = "IpAccessList a\nFAKE \u{1b}[31m\u{202e}\u{2028}\u{85} é 日本\u{200d}\u{e0041}";
        let shown = r"IpAccessList a\nFAKE \u001b[31m\u202e\u2028\u0085 é 日本\u200d\udb40\udc41";
        assert_eq!(shorten(text, 200), shown);
        assert_eq!(shorten("日本日本", 7), "日…");
        assert_eq!(shorten("\u{1b}\u{1b}", 9), r"\u001b…");
    }
}
