//! How long objects have been in a state that needs attention. Counts cannot show that: while objects are created all the
//! time, there is always one that is not Ready yet. Read from the conditions, so that a restart of the operator does not
//! reset the time.

use std::fmt;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use prometheus_client::encoding::DescriptorEncoder;

use crate::engine::crd::{CachedCondition, ConditionType, Conditions, Reason, age};
use crate::engine::meter::gauge;

/// The longest times of a kind.
#[derive(Default)]
pub struct Longest {
    not_ready: Duration,
    drift: Duration,
}

impl Longest {
    /// Takes one more object into account.
    pub fn add(&mut self, created: Option<&Time>, conditions: &Conditions, now: Timestamp) {
        let age = |since: Option<Timestamp>| since.map(|since| age(since, now)).unwrap_or_default();
        self.not_ready = self.not_ready.max(age(not_ready_since(created, conditions)));
        self.drift = self.drift.max(age(drifted_since(conditions)));
    }
}

fn changed(condition: &CachedCondition) -> Option<Timestamp> {
    condition.last_transition_time.parse().ok()
}

/// `Reconciling` exists while an object is in transition to Ready, and not while it is suspended, stalled or held in its
/// deletion; the time of `Ready` would count those too once they continue. An object without conditions was never
/// reconciled. One that waits for a person outside may do so for days, and nothing is wrong with it.
fn not_ready_since(created: Option<&Time>, conditions: &Conditions) -> Option<Timestamp> {
    let ready = conditions.get(ConditionType::Ready);
    if ready.is_some_and(|ready| ready.reason == Reason::AwaitingApproval.name()) {
        return None;
    }
    match conditions.get(ConditionType::Reconciling) {
        Some(condition) => changed(condition),
        None if ready.is_none() => created.map(|time| time.0),
        None => None,
    }
}

/// A difference remains only if the object is observed, or may not be changed now.
fn drifted_since(conditions: &Conditions) -> Option<Timestamp> {
    let synced = conditions.get(ConditionType::Synced)?;
    let drifted = synced.status == "False" && synced.reason == Reason::DriftDetected.name();
    if drifted && conditions.is_true(ConditionType::Ready) { changed(synced) } else { None }
}

/// Writes the gauges.
pub fn encode(kinds: &[(&str, &Longest)], to: &mut DescriptorEncoder) -> fmt::Result {
    let help = "For how long the object that waits longest has not been Ready; without objects that are suspended, stalled, held in \
                their deletion or waiting for an approval";
    let mut not_ready = gauge(to, "not_ready_oldest_seconds", help)?;
    for (kind, longest) in kinds {
        not_ready.encode_family(&[("kind", *kind)])?.encode_gauge(&longest.not_ready.as_secs_f64())?;
    }
    let help =
        "Age of the oldest difference between an object and its spec that the operator does not correct";
    let mut drift = gauge(to, "drift_oldest_seconds", help)?;
    for (kind, longest) in kinds {
        drift.encode_family(&[("kind", *kind)])?.encode_gauge(&longest.drift.as_secs_f64())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What `read` says of an object with these conditions.
    fn of<T>(conditions: &Value, read: impl FnOnce(&Conditions) -> T) -> T {
        let text = json!({"status": {"conditions": conditions}}).to_string();
        read(&serde_json::from_str(&text).unwrap())
    }

    fn not_ready(conditions: &Value) -> Option<Timestamp> {
        let created = Time("2026-01-01T00:00:00Z".parse().unwrap());
        of(conditions, |conditions| not_ready_since(Some(&created), conditions))
    }

    fn entry(kind: &str, status: &str, reason: &str, minute: u32) -> Value {
        let time = format!("2026-01-01T01:{minute:02}:00Z");
        json!({"type": kind, "status": status, "reason": reason, "lastTransitionTime": time})
    }

    fn at(minute: u32) -> Option<Timestamp> {
        format!("2026-01-01T01:{minute:02}:00Z").parse().ok()
    }

    #[test]
    fn a_transition_lasts_from_its_own_beginning() {
        assert_eq!(not_ready(&json!([])), "2026-01-01T00:00:00Z".parse().ok());
        // It was suspended at first.
        let resumed =
            json!([entry("Ready", "False", "Retrying", 1), entry("Reconciling", "True", "Retrying", 9)]);
        assert_eq!(not_ready(&resumed), at(9));
        for held in ["Suspended", "Stalled", "DeletionBlocked"] {
            let held = json!([entry("Ready", "False", "Any", 1), entry(held, "True", "Any", 1)]);
            assert_eq!(not_ready(&held), None);
        }
        assert_eq!(not_ready(&json!([entry("Ready", "True", "Available", 1)])), None);
        let awaiting = [("Ready", "False", "AwaitingApproval", 1), ("Reconciling", "True", "Progressing", 1)];
        let awaiting = awaiting.map(|(kind, status, reason, minute)| entry(kind, status, reason, minute));
        assert_eq!(not_ready(&json!(awaiting)), None, "it may take days");
    }

    #[test]
    fn only_a_difference_that_is_not_corrected_counts() {
        let drifted = |ready: &str, reason: &str| {
            let conditions = json!([entry("Ready", ready, "Any", 1), entry("Synced", "False", reason, 5)]);
            of(&conditions, drifted_since)
        };
        assert_eq!(drifted("True", "DriftDetected"), at(5));
        assert_eq!(drifted("True", "RateLimited"), None);
        assert_eq!(drifted("False", "DriftDetected"), None);
    }

    #[test]
    fn a_clock_that_is_ahead_makes_no_age() {
        let now = crate::clock::now();
        let longest = |conditions: Value| {
            let mut longest = Longest::default();
            of(&conditions, |conditions| longest.add(None, conditions, now));
            (longest.not_ready, longest.drift)
        };
        let not_ready =
            |at: Timestamp| json!([{"type": "Reconciling", "lastTransitionTime": at.to_string()}]);
        let (none, minute) = (Duration::ZERO, Duration::from_secs(60));
        assert_eq!(longest(json!([entry("Ready", "True", "Available", 1)])), (none, none));
        assert_eq!(longest(not_ready(now + minute)), (none, none));
        assert_eq!(longest(not_ready(now - minute)), (minute, none));
    }
}
