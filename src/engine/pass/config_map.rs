//! The ids and facts of a status, written to the ConfigMap that `spec.outputs` names: the last step of a reconcile before it
//! concludes, as the status has by then what was found. It shows what the status shows, and does not wait for `Ready`: what makes an
//! object Ready may need it, such as a role whose trust policy names an external id.
//!
//! The ConfigMap is recorded in the status before it is created, so that it is found when the spec names another one. It holds up
//! nothing in the account, and an object whose spec does not ask for it causes no call.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use kube::ResourceExt;
use serde_json::Value;
use tokio::time::Instant;

use super::outcome::Outcome;
use super::work::Work;
use crate::engine::cluster::OutputMap;
use crate::engine::crd::{AnyStatus, Outputs, Reason};
use crate::engine::error::{Error, Result};

impl Work<'_> {
    /// Brings the ConfigMap in step with the status in memory. Returns how the reconcile ends, given how it would end without it.
    pub async fn write_config_map(&mut self, outcome: Result<Outcome>) -> Result<Outcome> {
        let recorded = self.subject.status.as_ref().is_ok_and(|status| status.outputs.is_some());
        if self.management.outputs.is_none() && !recorded {
            // It may have been waiting for the place of a foreign one.
            self.engine.config_maps().unwatch(&self.subject.who);
            return outcome;
        }
        let rests = self.subject.deleting() || self.subject.released || self.management.suspended();
        let stale = matches!(outcome, Err(Error::Conflict(_) | Error::Fenced | Error::Later(_)));
        if rests || stale || !self.engine.permit().holds() {
            return outcome;
        }
        match self.create_change_or_delete().await {
            Ok(()) => outcome,
            Err(Error::Terminal { reason, message } | Error::Rejected { reason, message, .. }) => {
                outcome.map(|outcome| self.with_refusal(outcome, reason, message))
            }
            Err(error) => {
                tracing::debug!(%error, "the ConfigMap of spec.outputs was not written; trying again");
                self.act_within(self.engine.settings.pace.poll_min);
                outcome
            }
        }
    }

    async fn create_change_or_delete(&mut self) -> Result<()> {
        let wanted = self.management.outputs.clone();
        let recorded = self.subject.status()?.outputs.clone();
        if let Some(former) = recorded.as_ref().filter(|former| wanted.as_ref() != Some(*former)) {
            self.remove_outputs(former).await?;
        }
        let Some(wanted) = wanted else { return Ok(()) };
        let Some(data) = outputs(self.subject.status()?) else { return Ok(()) };
        // A new id is recorded first.
        if self.subject.must_record {
            self.act_within(Duration::ZERO);
            return Ok(());
        }
        let (engine, name) = (self.engine, &wanted.config_map_name);
        let hash = hash(name, &data);
        let changed = engine.config_maps().changed(&self.subject.who, name);
        let is_recorded = recorded.as_ref() == Some(&wanted);
        if is_recorded && !changed && self.remember(|m| m.config_map_hash) == Some(hash) {
            return Ok(());
        }
        self.remember(|m| m.config_map_hash = None);
        if let Some(wait) = self.contested_for() {
            self.act_within(wait);
            return Ok(());
        }
        let held = self.output_map(name).read().await;
        if matches!(held, Ok(_) | Err(Error::Terminal { .. })) {
            // Also a foreign one: this object may have its place once it is gone.
            engine.config_maps().watch(&self.subject.who, Some(name));
        }
        if held.is_err() {
            // It may be gone before the watch begins.
            engine.config_maps().waits(&self.subject.who, name);
        }
        let held = held?;
        if !is_recorded {
            self.subject.status_mut()?.outputs = Some(wanted.clone());
            self.subject.write_status(engine).await?;
        }
        let before = held.as_ref().and_then(ResourceExt::resource_version);
        let version = self.output_map(name).write(held, &data).await?;
        if changed && version != before {
            self.remember(|m| m.config_map_contested = Some(Instant::now()));
        }
        engine.config_maps().knows(&self.subject.who, name, version);
        self.remember(|m| m.config_map_hash = Some(hash));
        Ok(())
    }

    /// How long nothing is written, as a change of another client was overwritten a moment ago: two programs that each write what they
    /// want at once would keep the API server busy.
    fn contested_for(&self) -> Option<Duration> {
        let since = self.remember(|m| m.config_map_contested)?.elapsed();
        self.engine.settings.pace.poll_max.checked_sub(since).filter(|left| !left.is_zero())
    }

    /// Deletes the ConfigMap that the spec does not name any more. Without the right to do so it stays until the object is gone.
    async fn remove_outputs(&mut self, former: &Outputs) -> Result<()> {
        self.engine.config_maps().unwatch(&self.subject.who);
        self.remember(|m| (m.config_map_hash, m.config_map_contested) = (None, None));
        match self.output_map(&former.config_map_name).delete().await {
            Err(error) if error.is_rejected(Reason::ConfigMapNotWritable) => {
                tracing::warn!(%error, "the former ConfigMap of spec.outputs stays until this object is gone");
            }
            deleted => deleted?,
        }
        self.subject.status_mut()?.outputs = None;
        Ok(())
    }

    fn output_map<'a>(&'a self, name: &'a str) -> OutputMap<'a> {
        OutputMap {
            client: self.engine.cluster.objects.client(),
            resource: &self.subject.resource,
            owner: &self.subject.object,
            name,
        }
    }

    /// Reconciles again after this time at the latest, as nothing triggers it.
    fn act_within(&mut self, wait: Duration) {
        let due = self.subject.act_in.map_or(wait, |due| due.min(wait));
        self.subject.act_in = Some(due);
    }

    /// The ConfigMap cannot be written, which a person has to change: shown beside what else is to be said, and not in its place.
    fn with_refusal(&self, outcome: Outcome, reason: Reason, message: String) -> Outcome {
        let drift = self.subject.status.as_ref().map_or(&[][..], |status| status.drift.as_slice());
        match outcome {
            Outcome::Rest if drift.is_empty() => Outcome::Partly { reason, message },
            Outcome::Rest => {
                let fields: Vec<&str> = drift.iter().map(|one| one.path.as_str()).collect();
                let message = format!("differs in {}; {message}", fields.join(", "));
                Outcome::Partly { reason: Reason::DriftDetected, message }
            }
            Outcome::Progress { reason, message: first, sent } => {
                Outcome::Progress { reason, message: format!("{first}; {message}"), sent }
            }
            other => other,
        }
    }
}

/// What other tools need of an object, by the names of its status: its ids and its facts, as text. `None` while nothing in the account
/// is known. A list of which the status shows only a part is left out.
fn outputs(status: &AnyStatus) -> Option<BTreeMap<String, String>> {
    let external = status.external.as_ref()?;
    let ids = [("accountId", &external.account_id), ("externalId", &external.id)];
    let ids = ids.map(|(name, id)| (name.to_owned(), id.clone()));
    let is_whole = |name: &str| {
        let mut cut = status.observed_counts.keys();
        !cut.any(|path| path.split('.').next() == Some(name))
    };
    let facts = status.facts.iter().filter(|(name, _)| is_whole(name));
    let facts = facts.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
    Some(facts.chain(ids).collect())
}

/// A value as text. A list of texts has commas between them, as annotations and flags that take addresses have.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(all) => {
            let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            Some(texts.map_or_else(|| value.to_string(), |texts| texts.join(",")))
        }
        _ => Some(value.to_string()),
    }
}

fn hash(name: &str, data: &BTreeMap<String, String>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (name, data).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status(more: Value) -> AnyStatus {
        let mut status = json!({"observedGeneration": 1});
        status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(status).unwrap()
    }

    /// Covers LC-31.
    #[test]
    fn the_outputs_are_the_ids_and_facts_of_the_status_as_text() {
        let external = json!({"accountId": "a", "id": "42", "name": "it"});
        let shown = status(json!({
            "external": external, "externalId": "42", "state": "RUNNING", "observed": {"region": "eu-west-1"},
            "observedCounts": {"long": 2000, "deep.list": 2000},
            "workspaceUrl": "https://x", "enforced": true, "addressCount": 3,
            "egressCidrBlocks": ["203.0.113.0/28", "198.51.100.0/28"], "none": [], "numbers": [1, 2],
            "last": {"status": "OK"}, "long": ["a"], "deep": {"list": ["a"]},
        }));
        let expected = [
            ("accountId", "a"),
            ("addressCount", "3"),
            ("egressCidrBlocks", "203.0.113.0/28,198.51.100.0/28"),
            ("enforced", "true"),
            ("externalId", "42"),
            ("last", r#"{"status":"OK"}"#),
            ("none", ""),
            ("numbers", "[1,2]"),
            ("workspaceUrl", "https://x"),
        ];
        let found = outputs(&shown).unwrap();
        let found: Vec<(&str, &str)> = found.iter().map(|(name, text)| (&**name, &**text)).collect();
        assert_eq!(found, expected);
        assert_eq!(outputs(&status(json!({"workspaceUrl": "https://x"}))), None, "nothing is bound");
    }

    #[test]
    fn the_hash_is_that_of_name_and_data() {
        let data = |value: &str| BTreeMap::from([("key".to_owned(), value.to_owned())]);
        let first = hash("a", &data("1"));
        assert_eq!(hash("a", &data("1")), first);
        assert!(hash("b", &data("1")) != first && hash("a", &data("2")) != first);
    }
}
