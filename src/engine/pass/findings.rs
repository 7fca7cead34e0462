//! What was read, as the status and events show it. Fields have the names that users write.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bound::Record;
use super::decide::{Released, spec_path};
use super::look::{Found, Look};
use super::subject::Shown;
use super::work::{Target, Work};
use crate::engine::crd::{Drift, EventReason, Note, ObjectName, camel, shorten};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Immutable, Phase, Seen, Traits, at};

impl Work<'_> {
    /// Whether objects that refer to this one can use it: the inner `None` if it does not exist, the outer one if this was
    /// not read, so that it stays as it was last seen. A spec that cannot be carried out takes nothing away from them.
    pub fn usable(&self, look: &Look) -> Option<Option<bool>> {
        let record = self.bound().record();
        match &look.found {
            Found::Ours(seen) => Some(Some(is_usable(seen))),
            Found::Foreign(seen) if record == Record::Observed => Some(Some(is_usable(seen))),
            Found::Nothing { settled: true } | Found::Replaced(_) | Found::Foreign(_) => Some(None),
            Found::Nothing { settled: false }
            | Found::Held(_)
            | Found::Several(_)
            | Found::Interrupted(_) => None,
        }
    }

    /// What is shown of what was read. `changes` is what still differs, `ours` whether the object is ours.
    pub fn shown(&self, target: &Target, seen: &Seen, changes: &[Change], ours: bool) -> Result<Shown> {
        let traits = self.driver.traits();
        let spec = self.subject.spec();
        let fields = self.engine.fields(&self.subject.who.kind);
        let differences =
            changes.iter().filter(|change| is_written(traits.immutable, fields, change.field()));
        let drift = target
            .want
            .as_ref()
            .map(|want| differences.map(|c| drift(&traits, &spec, &c.path, want, &seen.state)).collect());
        let mut observed = fixed(traits.immutable, &seen.state);
        observed.extend(all(fields, &seen.state));
        Ok(Shown {
            name: ours.then(|| self.driver.key(&seen.state)).transpose()?.map(|key| key.name),
            state: seen.about.state.clone(),
            facts: seen.facts.clone(),
            observed,
            drift: drift.unwrap_or_default(),
        })
    }

    /// What is shown if nothing exists: what would be created.
    pub fn planned(&self, want: &Value) -> Shown {
        let traits = self.driver.traits();
        let spec = self.subject.spec();
        let fields = self.engine.fields(&self.subject.who.kind);
        let written = want
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, value)| !value.is_null() && is_planned(&traits, fields, field));
        let drift = written.map(|(field, _)| drift(&traits, &spec, field, want, &Value::Null));
        Shown { drift: drift.collect(), ..Shown::default() }
    }

    /// What the event reports of the object in the account when its Kubernetes object is released.
    pub fn released(&self, how: Released, seen: Option<&Seen>) -> Option<Note> {
        let id = self.subject.status.as_ref().ok().and_then(|s| s.external.as_ref()).map(|e| e.id.clone());
        let keepers = self.engine.memory.wake.keepers(&self.subject.who);
        match (how, id) {
            (Released::NeverCreated, _) | (Released::InUse, None) => None,
            (Released::InUse, Some(id)) => Some(kept(&id, "something in the account")),
            (Released::Retained, Some(id))
                if self.management.deletion_policy.is_none() && !keepers.is_empty() =>
            {
                let names: Vec<String> = keepers.iter().map(ObjectName::to_string).collect();
                Some(kept(&id, &format!("what {} managed", names.join(" and "))))
            }
            (Released::Retained, None) => {
                let intent = self.subject.status.as_ref().ok().and_then(|s| s.intent.as_ref());
                intent.map(|intent| Note {
                    warning: true,
                    reason: EventReason::OrphanedOnDelete,
                    text: format!(
                        "a create of {} was interrupted; what it may have created stays in the account",
                        intent.name
                    ),
                })
            }
            (Released::Retained, Some(id)) => {
                let left = self.management.suspended() || self.observing();
                let reason = if left { EventReason::OrphanedOnDelete } else { EventReason::Retained };
                let mut text = format!("the object {id} stays in the account");
                let former = self.subject.status().map_or_else(|_| vec![], |status| status.retired.clone());
                let former: Vec<&str> = former.iter().map(|one| one.id.as_str()).collect();
                if !former.is_empty() {
                    text += &format!(", and so do its predecessors: {}", former.join(", "));
                }
                Some(Note { warning: left, reason, text })
            }
            (Released::Vacant, id) => id.map(|id| {
                let state = seen.and_then(|seen| seen.about.state.as_deref()).unwrap_or("its default");
                let text =
                    format!("the object {id} cannot be removed from the account: it stays there as {state}");
                Note { warning: false, reason: EventReason::Deleted, text }
            }),
            (Released::Gone | Released::Left(_), None) => None,
            (Released::Left(word), Some(id)) => Some(Note {
                warning: false,
                reason: EventReason::Deleted,
                text: format!("the object {id} is {word} in the account"),
            }),
            (Released::Gone, Some(id)) => Some(Note {
                warning: false,
                reason: EventReason::Deleted,
                text: format!("the object {} is gone from the account", id),
            }),
        }
    }
}

fn is_usable(seen: &Seen) -> bool {
    matches!(seen.about.phase, Phase::Ready | Phase::Vacant)
}

/// The note for an object that stays because it is used. A warning: no object of the cluster deletes it any more.
fn kept(id: &str, user: &str) -> Note {
    let text = format!(
        "the object {id} stays in the account: {user} still uses it, and spec.deletionPolicy is not set. With Delete, the operator \
         would wait until it can be deleted"
    );
    Note { warning: true, reason: EventReason::Retained, text }
}

/// Whether a field of the state is one that a user writes: our own mark is not.
fn is_written(immutable: &[Immutable], fields: &BTreeSet<String>, field: &str) -> bool {
    immutable.iter().any(|i| i.state == field) || fields.contains(&camel(field))
}

/// A value that the account never returns may be a secret, so a plan does not show it either.
fn is_planned(traits: &Traits, fields: &BTreeSet<String>, field: &str) -> bool {
    is_written(traits.immutable, fields, field) && !traits.untold.contains(&field)
}

/// What is seen of the fields that cannot change.
fn fixed(immutable: &[Immutable], state: &Value) -> Map<String, Value> {
    let told = immutable.iter().filter_map(|i| {
        let value = state.get(i.state).filter(|v| !v.is_null())?;
        let (_, name) = i.shown()?;
        Some((name.to_owned(), value.clone()))
    });
    told.collect()
}

/// What is seen of all fields that have the same name in the spec.
fn all<'a>(
    fields: &'a BTreeSet<String>,
    state: &'a Value,
) -> impl Iterator<Item = (String, Value)> + use<'a> {
    let told = state.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    told.map(|(field, value)| (camel(field), value.clone())).filter(|(name, _)| fields.contains(name))
}

fn drift(traits: &Traits, spec: &Value, path: &str, want: &Value, seen: &Value) -> Drift {
    let text = |v: &Value| shorten(&v.to_string(), 512);
    Drift {
        path: crate::databricks::plain(&spec_path(traits.immutable, traits.references, spec, path)),
        want: text(at(want, path)),
        seen: text(at(seen, path)),
    }
}
