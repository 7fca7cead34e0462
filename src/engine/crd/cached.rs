//! What is read from an object as the caches have it: of its text, or of the object once it is decoded.

use std::borrow::Cow;

use kube::Resource;
use kube::core::DynamicObject;
use serde::Deserialize;

use super::status::ConditionType;

/// What every object shows to those that refer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Whether the object in the account is usable, whether or not its spec is carried out; `None` while its
    /// existence is unknown.
    pub usable: Option<bool>,
    /// Ready for its current generation or an earlier one.
    pub ready: bool,
    /// Suspended.
    pub suspended: bool,
    /// Its id in the account.
    pub id: Option<String>,
    /// Being deleted.
    pub leaving: bool,
}

/// The conditions of an object, which are read from its text where all objects are counted.
#[derive(Deserialize, Default)]
pub struct Conditions<'a> {
    #[serde(borrow, default)]
    status: Listed<'a>,
}

#[derive(Deserialize, Default)]
struct Listed<'a> {
    #[serde(borrow, default)]
    conditions: Vec<Condition<'a>>,
}

/// One of them. What is missing is empty.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    /// True, False or Unknown.
    #[serde(borrow, default)]
    pub status: Cow<'a, str>,
    /// Why.
    #[serde(borrow, default)]
    pub reason: Cow<'a, str>,
    /// When the status changed last.
    #[serde(borrow, default)]
    pub last_transition_time: Cow<'a, str>,
}

impl<'a> Conditions<'a> {
    /// Those of an object that is decoded.
    pub fn of(object: &'a DynamicObject) -> Conditions<'a> {
        Conditions::deserialize(&object.data).unwrap_or_default()
    }

    /// The condition of a type.
    pub fn get(&self, kind: ConditionType) -> Option<&Condition<'a>> {
        self.status.conditions.iter().find(|condition| condition.r#type == kind.name())
    }

    /// Whether the condition of a type exists and is True.
    pub fn is_true(&self, kind: ConditionType) -> bool {
        self.get(kind).is_some_and(|condition| condition.status == "True")
    }
}

/// Reads the summary of an object. A suspended object that is bound counts as usable: only its freshness is in doubt. If an
/// older version wrote the status, `Ready` decides.
pub fn summary(object: &DynamicObject) -> Summary {
    let conditions = Conditions::of(object);
    let ready = conditions.is_true(ConditionType::Ready);
    let suspended = conditions.is_true(ConditionType::Suspended);
    let status = &object.data["status"];
    let seen = status["usable"].as_bool().filter(|_| !suspended);
    Summary {
        usable: seen.or((ready || suspended).then_some(true)),
        ready,
        suspended,
        id: status["external"]["id"].as_str().map(str::to_owned),
        leaving: object.metadata.deletion_timestamp.is_some(),
    }
}

/// Whether the object is bound to one that it only observes and never adopted.
pub fn only_observed(object: &DynamicObject) -> bool {
    object.data["status"]["external"]["observed"] == true
}

/// When an object was created, in seconds since 1970. One without a time counts as the youngest.
pub fn created(object: &impl Resource) -> i64 {
    object.meta().creation_timestamp.as_ref().map_or(i64::MAX, |t| t.0.as_second())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Covers RF-07.
    #[test]
    fn an_object_shows_whether_it_can_be_used_not_whether_its_spec_is_carried_out() {
        let usable = |conditions: Value, seen: Value| {
            let status = json!({"external": {"id": "1"}, "usable": seen, "conditions": conditions});
            summary(&serde_json::from_value(json!({"metadata": {"name": "a"}, "status": status})).unwrap())
                .usable
        };
        let is = |kind: &str, status: &str| json!([{"type": kind, "status": status}]);
        for seen in [true, false] {
            assert_eq!(usable(is("Ready", "False"), json!(seen)), Some(seen));
            assert_eq!(usable(is("Stalled", "True"), json!(seen)), Some(seen));
        }
        assert_eq!(usable(is("Suspended", "True"), json!(false)), Some(true), "it was seen long ago");
        // Written by an older version, or gone.
        assert_eq!(usable(is("Ready", "True"), Value::Null), Some(true));
        assert_eq!(usable(is("Suspended", "True"), Value::Null), Some(true));
        assert_eq!(usable(is("Ready", "False"), Value::Null), None);
    }
}
