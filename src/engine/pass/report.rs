//! What was read, put on the object: its record, what its status shows, and how the reconcile ends. A response to our own change is one
//! more reading. Fields have the names that users write. Nothing is sent here.

mod cut;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bound::BoundAs;
use super::decide::{Step, spec_path};
use super::inputs::Decision;
use super::outcome::Outcome;
use super::reading::{Found, Reading, Usable};
use super::subject::Shown;
use super::work::{Target, Work};
use crate::engine::crd::{CREATED_BY, Drift, EXTERNAL_ID, EventReason, External, Reason, camel, shorten};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Immutable, Phase, Seen, Traits, at};
use crate::engine::meter::Write;

use cut::{Left, cut};

impl Work<'_> {
    /// A response to our own change is one more reading. What else was read `before` the change is not read again for it.
    pub fn respond(&mut self, target: &Target, seen: Seen, before: Option<&Reading>) -> Result<Outcome> {
        let before = before.map(|reading| (reading.output_secret.clone(), reading.beside.clone()));
        let (output_secret, beside) = before.unwrap_or_default();
        let reading = Reading { output_secret, beside, ..Reading::from_response(seen) };
        let reading = reading.explained(self.driver.traits().explained);
        self.subject.put_read(&reading, self.usable(&reading));
        let decision = self.decide_on_response(target, &reading)?;
        self.report(target, &reading, decision)
    }

    /// Shows what was read, without sending anything.
    pub fn report(&mut self, target: &Target, reading: &Reading, decision: Decision) -> Result<Outcome> {
        let Decision { step, changes, .. } = decision;
        // An object that only observes does nothing that could be due.
        let secret = self.issued_secret(reading)?.filter(|_| !self.read_only());
        let due = secret.and_then(|secret| secret.next_due(reading.seen()));
        self.subject.act_in = due.into_iter().chain(target.findings.next).min();
        if let Some(seen) = reading.seen() {
            self.may_touch(target, seen)?;
            self.track_operation(seen, &changes)?;
            let (bound_as, observing) = (self.bound().bound_as(), self.read_only());
            // An observed object is shown whatever its state. That alone does not make it ours.
            let ours = if observing {
                self.recognised(target, seen)?
            } else {
                !matches!(step, Step::Refuse { reason: Reason::AlreadyExists | Reason::ApiRefused, .. })
            };
            let unbound = self.subject.status()?.external.is_none();
            if bound_as == BoundAs::Managed && unbound && (ours || observing) {
                self.bind_annotated(target, seen)?;
            }
            // What is being corrected is no drift.
            let left = if matches!(step, Step::Update(_)) { &[] } else { changes.as_slice() };
            self.subject.put_shown(self.shown(target, seen, left, ours)?)?;
        }
        match (&step, &target.want) {
            (Step::Plan { reason: Reason::WouldBeCreated, .. }, Some(want)) => {
                self.subject.put_shown(self.planned(want))?;
            }
            (Step::Plan { .. }, _) => self.subject.put_shown(Default::default())?,
            _ if reading.seen().is_none() => self.subject.status_mut()?.drift.clear(),
            _ => {}
        }
        self.outcome_of(step, &changes)
    }

    /// How the reconcile ends for a step that sends nothing.
    fn outcome_of(&mut self, step: Step, changes: &[Change]) -> Result<Outcome> {
        Ok(match step {
            Step::Wait { reason, message } => {
                let generation = self.subject.object.metadata.generation;
                let operation = self.subject.status()?.operation.as_ref();
                let sent = operation.is_some_and(|o| Some(o.generation) == generation);
                // What waits for a person alone has nothing left to send.
                let sent = sent || (reason == Reason::AwaitingApproval && changes.is_empty());
                Outcome::Progress { reason, message, sent }
            }
            Step::Refuse { reason, message } if self.subject.deleting() => {
                Outcome::Blocked { reason, message }
            }
            Step::Refuse { reason, message } => {
                // All else is as the spec says.
                if reason == Reason::SecretLost {
                    self.rests()?;
                }
                Outcome::Refused { reason, message }
            }
            Step::Plan { reason, message } => Outcome::Planned { reason, message },
            Step::Rest => {
                self.rests()?;
                Outcome::Rest
            }
            _ => Outcome::Again,
        })
    }

    /// The object in the account matches the spec: nothing that was begun is open.
    fn rests(&mut self) -> Result<()> {
        self.remember(|m| (m.drifted, m.not_found) = (false, false));
        self.subject.status_mut()?.intent = None;
        self.close_operation()
    }

    /// Whether objects that refer to this one can use it. A spec that cannot be carried out takes nothing away from them.
    pub fn usable(&self, reading: &Reading) -> Usable {
        let bound_as = self.bound().bound_as();
        match &reading.found {
            Found::Ours(seen) => Usable::Is(is_usable(seen)),
            Found::Foreign(seen) if bound_as == BoundAs::Observed => Usable::Is(is_usable(seen)),
            Found::Nothing { settled: true } | Found::Replaced(_) | Found::Foreign(_) => Usable::Missing,
            Found::Nothing { settled: false }
            | Found::ManagedBy(_)
            | Found::Renamed(_)
            | Found::Several(_)
            | Found::Interrupted(_) => Usable::Unknown,
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
        let (listing, unlisted) = self.shown_listing(target, seen)?.unzip();
        facts.extend(listing.into_iter().flatten());
        let mut counts = cut(&mut observed, &mut left);
        counts.extend(cut(&mut facts, &mut left));
        Ok(Shown {
            name: ours.then(|| self.driver.key(&seen.state)).transpose()?.map(|key| key.name),
            state: seen.about.state.clone(),
            facts,
            observed,
            counts,
            drift: drift.unwrap_or_default(),
            remark: seen.about.remark.clone().or(unlisted.flatten()),
        })
    }

    /// What is shown if nothing exists: what would be created.
    fn planned(&self, want: &Value) -> Shown {
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

    /// Binds an object that was restored without its status to what its annotation names.
    pub fn bind_annotated(&mut self, target: &Target, seen: &Seen) -> Result<()> {
        let external = self.record_of_annotated(target, seen)?;
        if external.adopted && !self.read_only() {
            let text = self.adopted_by_annotation(&seen.id);
            self.subject.report_once_recorded(Write::Adopt, EventReason::Adopted, text);
        }
        let deletion = self.deletion_policy(external.adopted);
        self.subject.put_bound(external, deletion)
    }

    /// The record of an object that was restored without its status. Its mark, in the account or in an annotation beside
    /// the id, or its intent proves that it created what exists; anything else is adopted, which an event reports.
    fn record_of_annotated(&self, target: &Target, seen: &Seen) -> Result<External> {
        let marked = {
            let (bound, marker) = (self.bound(), self.marker());
            self.recognise(&bound, &marker).marked(seen) || bound.created_here
        };
        let created_at = self.subject.status()?.intent.as_ref().map(|intent| intent.time.clone());
        let adopted = created_at.is_none() && !marked;
        // An object that only observes adopts nothing, and a record proves nothing by itself.
        let observed = self.read_only() && (adopted || !self.recognised(target, seen)?);
        // What it was before went with the status.
        Ok(External { created_at, observed, former: None, ..self.record_of(target, seen, adopted) })
    }

    /// The text of the event.
    fn adopted_by_annotation(&self, id: &str) -> String {
        format!(
            "adopted the object {id}, which the annotation {EXTERNAL_ID} names: the annotation {CREATED_BY} does not say that \
             it was created as {}, so it stays in the account on deletion unless spec.deletionPolicy is Delete",
            self.marker()
        )
    }

    /// The record of an object in the account that is bound as it was read.
    pub fn record_of(&self, target: &Target, seen: &Seen, adopted: bool) -> External {
        let account_id = target.account_id().to_owned();
        let name = self.driver.key(&seen.state).ok().map(|key| key.name);
        let former = self.driver.traits().restored.then(|| seen.state.to_string());
        External { account_id, id: seen.id.clone(), name, adopted, observed: false, created_at: None, former }
    }
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
    let named = immutable.iter().filter_map(|i| {
        let value = state.get(i.state).filter(|v| !v.is_null())?;
        let (_, name) = i.shown()?;
        Some((name.to_owned(), value.clone()))
    });
    named.collect()
}

/// What is seen of all fields that have the same name in the spec.
fn all<'a>(
    fields: &'a BTreeSet<String>,
    state: &'a Value,
) -> impl Iterator<Item = (String, Value)> + use<'a> {
    let present = state.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    present.map(|(field, value)| (camel(field), value.clone())).filter(|(name, _)| fields.contains(name))
}

fn drift(traits: &Traits, spec: &Value, path: &str, want: &Value, seen: &Value) -> Drift {
    let text = |v: &Value| shorten(&v.to_string(), 512);
    Drift {
        path: crate::databricks::plain(&spec_path(traits.immutable, traits.references, spec, path)),
        want: text(at(want, path)),
        seen: text(at(seen, path)),
    }
}
