//! What was read, as the status and events show it. Fields have the names that users write.
//!
//! The API server refuses an object that is too large, and the account may have lists of any length: they are cut. Only what is shown
//! is cut, nothing that is compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::bound::Record;
use super::decide::{Released, spec_path};
use super::look::{Found, Look};
use super::subject::Shown;
use super::work::{Target, Work};
use crate::engine::crd::{Drift, EventReason, Intent, Note, ObjectName, camel, shorten};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Immutable, Phase, Seen, Traits, at};

/// Entries of a list that are shown: as many as the longest list of a spec can have, so that such a list is shown whole.
const MOST_ENTRIES: usize = 1000;

/// Bytes of all lists together that are shown, as JSON. An object may have one and a half million, the spec included.
const MOST_BYTES: usize = 400_000;

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
            | Found::Renamed(_)
            | Found::Several(_)
            | Found::Interrupted(_) => None,
        }
    }

    /// What is shown of what was read. `changes` is what still differs, `ours` whether the object is ours.
    pub fn shown(&self, target: &Target, seen: &Seen, changes: &[Change], ours: bool) -> Result<Shown> {
        let traits = self.driver.traits();
        let spec = self.subject.spec();
        let fields = self.driver.fields();
        let differences =
            changes.iter().filter(|change| is_written(traits.immutable, fields, change.field()));
        let drift = target
            .want
            .as_ref()
            .map(|want| differences.map(|c| drift(&traits, &spec, &c.path, want, &seen.state)).collect());
        let mut observed = fixed(traits.immutable, &seen.state);
        observed.extend(all(fields, &seen.state));
        let (mut facts, mut left) = (seen.facts.clone(), Left::default());
        let mut counts = cut(&mut observed, &mut left);
        counts.extend(cut(&mut facts, &mut left));
        Ok(Shown {
            name: ours.then(|| self.driver.key(&seen.state)).transpose()?.map(|key| key.name),
            state: seen.about.state.clone(),
            facts,
            observed,
            counts,
            drift: drift.unwrap_or_default(),
            remark: seen.about.remark.clone(),
        })
    }

    /// What is shown if nothing exists: what would be created.
    pub fn planned(&self, want: &Value) -> Shown {
        let traits = self.driver.traits();
        let spec = self.subject.spec();
        let fields = self.driver.fields();
        let written = want
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, value)| !value.is_null() && is_planned(&traits, fields, field));
        let drift = written.map(|(field, _)| drift(&traits, &spec, field, want, &Value::Null));
        Shown { drift: drift.collect(), ..Shown::default() }
    }

    /// What the event reports of the object in the account when its Kubernetes object is released. One that is deleted before the
    /// first reconcile after a restore without its status says by its annotation what stays.
    pub fn released(&self, how: &Released) -> Option<Note> {
        let bound = self.bound();
        let recorded = bound.external.as_ref().map(|external| external.id.as_str());
        let note = |warning, reason, text| Some(Note { warning, reason, text });
        // While a create is in doubt, the annotation names what was there before it.
        let copied = bound.annotated.as_deref().filter(|_| bound.copied());
        let (stays, gone) = (recorded.or(copied), recorded);
        match how {
            Released::NeverCreated => None,
            Released::Retained => match stays {
                Some(id) => {
                    let left = self.management.suspended() || self.observing();
                    let reason = if left { EventReason::OrphanedOnDelete } else { EventReason::Retained };
                    let mut text = format!("the object {id} stays in the account");
                    let former = self.subject.status.iter().flat_map(|status| &status.retired);
                    let former: Vec<&str> = former.map(|one| one.id.as_str()).collect();
                    if !former.is_empty() {
                        text += &format!(", and so do its predecessors: {}", former.join(", "));
                    }
                    note(left, reason, text)
                }
                None => note(true, EventReason::OrphanedOnDelete, interrupted(bound.intent.as_ref()?)),
            },
            Released::Held => note(
                false,
                EventReason::Retained,
                format!("the object {} stays in the account, as another object manages it", stays?),
            ),
            Released::InUse => note(true, EventReason::Retained, self.in_use(stays?)),
            Released::Left(word) => note(
                false,
                EventReason::Deleted,
                format!("the object {} is not removed from the account: it stays there as {word}", gone?),
            ),
            Released::Gone => {
                note(false, EventReason::Deleted, format!("the object {} is gone from the account", gone?))
            }
        }
    }

    /// The text for an object that stays because it is used. No object of the cluster deletes it any more.
    fn in_use(&self, id: &str) -> String {
        let keepers = self.engine.memory.wake.keepers(&self.subject.who);
        let names: Vec<String> = keepers.iter().map(ObjectName::to_string).collect();
        let user = if names.is_empty() {
            "something in the account".to_owned()
        } else {
            format!("what {} managed, or something else in the account,", names.join(" and "))
        };
        format!(
            "the object {id} stays in the account: {user} still uses it, and spec.deletionPolicy is not set. With Delete, the \
             operator would wait until it can be deleted"
        )
    }
}

/// The text for what a create may have created.
fn interrupted(intent: &Intent) -> String {
    format!("a create of {} was interrupted; what it may have created stays in the account", intent.name)
}

fn is_usable(seen: &Seen) -> bool {
    matches!(seen.about.phase, Phase::Ready | Phase::Vacant)
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

/// Cuts the lists in these fields. Returns how many entries those had that were cut, by path.
fn cut(fields: &mut Map<String, Value>, left: &mut Left) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for (name, value) in fields {
        cut_value(name, value, left, &mut counts);
    }
    counts
}

/// The bytes that lists may still have.
struct Left(usize);

impl Default for Left {
    fn default() -> Left {
        Left(MOST_BYTES)
    }
}

fn cut_value(path: &str, value: &mut Value, left: &mut Left, counts: &mut BTreeMap<String, i64>) {
    match value {
        Value::Array(entries) => {
            let fits = |entry: &&Value| {
                let size = entry.to_string().len() + 1;
                left.0 = left.0.saturating_sub(size);
                left.0 > 0
            };
            let shown = entries.iter().take(MOST_ENTRIES).take_while(fits).count();
            if shown < entries.len() {
                counts.insert(path.to_owned(), i64::try_from(entries.len()).unwrap_or(i64::MAX));
                entries.truncate(shown);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                cut_value(&format!("{path}.{name}"), value, left, counts);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut_all(value: Value) -> (Value, Value) {
        let Value::Object(mut fields) = value else { panic!("fields") };
        let counts = cut(&mut fields, &mut Left::default());
        (fields.into(), json!(counts))
    }

    #[test]
    fn a_list_that_a_spec_can_have_is_shown_whole() {
        let ids: Vec<Value> = (0..1000).map(|id| json!({"id": 1_000_000_000_000_000_u64 + id})).collect();
        let fields = json!({"members": ids, "name": "crew", "endpoints": {"ids": ["a"]}});
        assert_eq!(cut_all(fields.clone()), (fields, json!({})));
    }

    #[test]
    fn of_a_longer_list_the_first_entries_are_shown_and_their_number() {
        let ids: Vec<i64> = (0..10_000).collect();
        let (shown, counts) = cut_all(json!({"members": ids, "endpoints": {"ids": ids}}));
        assert_eq!(shown, json!({"members": ids[..1000], "endpoints": {"ids": ids[..1000]}}));
        assert_eq!(counts, json!({"members": 10_000, "endpoints.ids": 10_000}));
    }

    #[test]
    fn long_entries_are_fewer() {
        let long = "x".repeat(5_000);
        let (shown, counts) = cut_all(json!({"hosts": vec![long.clone(); 200], "paths": vec![long; 200]}));
        assert!(shown.to_string().len() < 450_000, "{}", shown.to_string().len());
        assert!(shown["hosts"].as_array().is_some_and(|hosts| hosts.len() > 50), "{counts}");
        assert_eq!(counts, json!({"hosts": 200, "paths": 200}));
    }
}
