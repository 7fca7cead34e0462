//! What was seen, as the status shows it. Fields have the names that users write.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::bound::Record;
use super::decide::spec_path;
use super::look::{Found, Look};
use super::work::{Target, Work};
use crate::engine::crd::{Drift, External, ManagementPolicy, camel, shorten};
use crate::engine::error::Result;
use crate::engine::kind::{Change, Immutable, Phase, Seen, Traits, at};

impl Work<'_> {
    /// Records whether objects that refer to this one can use it. Before anything is decided: a spec that cannot be carried
    /// out takes nothing away from them. What was not read stays as it was last seen.
    pub fn note_usable(&mut self, look: &Look) -> Result<()> {
        let record = self.bound().record();
        let usable = match &look.found {
            Found::Ours(seen) => Some(seen.about.phase == Phase::Ready),
            Found::Foreign(seen) if record == Record::Observed => Some(seen.about.phase == Phase::Ready),
            Found::Nothing { settled: true } | Found::Replaced(_) | Found::Foreign(_) => None,
            Found::Nothing { settled: false }
            | Found::Held(_)
            | Found::Several(_)
            | Found::Interrupted(_) => return Ok(()),
        };
        self.subject.usable = Some(usable);
        Ok(())
    }

    /// Puts what was seen into the status.
    pub fn show(
        &mut self,
        target: &Target,
        seen: &Seen,
        changes: &[Change],
        bind: Option<External>,
        ours: bool,
    ) -> Result<()> {
        let traits = self.driver.traits();
        let spec = self.subject.spec();
        let fields = self.engine.fields(&self.subject.who.kind);
        let differences =
            changes.iter().filter(|change| is_written(traits.immutable, fields, change.field()));
        let drift = target.want.as_ref().map(|want| {
            differences.map(|c| drift(traits.immutable, &spec, &c.path, want, &seen.state)).collect()
        });
        let mut observed = fixed(traits.immutable, &seen.state);
        if self.management.policy() == ManagementPolicy::Observe {
            observed.extend(all(fields, &seen.state));
        }
        let name = self.driver.key(&seen.state)?.name;
        let status = self.subject.status_mut()?;
        if let Some(bind) = bind {
            let deletion = self.management.deletion(traits.data_bearing, bind.adopted);
            status.effective.iter_mut().for_each(|effective| effective.deletion_policy = deletion);
            status.external = Some(bind);
        }
        if let Some(external) = status.external.as_mut().filter(|_| ours) {
            external.name = Some(name);
        }
        status.external_id = status.external.as_ref().map(|e| e.id.clone());
        status.state = seen.about.state.clone();
        status.facts = seen.facts.clone();
        status.observed = observed;
        status.drift = drift.unwrap_or_default();
        Ok(())
    }

    /// Shows that nothing exists, and with `create` what would be created.
    pub fn show_plan(&mut self, target: &Target, create: bool) -> Result<()> {
        let traits = self.driver.traits();
        let spec = self.subject.spec();
        let fields = self.engine.fields(&self.subject.who.kind);
        let want = target.want.as_ref().filter(|_| create);
        let wanted = want.and_then(Value::as_object).into_iter().flatten();
        let drift = wanted
            .filter(|(field, value)| !value.is_null() && planned(&traits, fields, field))
            .map(|(field, _)| {
                drift(traits.immutable, &spec, field, want.unwrap_or(&Value::Null), &Value::Null)
            })
            .collect();
        let status = self.subject.status_mut()?;
        status.state = None;
        status.facts = Map::new();
        status.observed = Map::new();
        status.drift = drift;
        Ok(())
    }
}

/// Whether a field of the state is one that a user writes: our own mark is not.
fn is_written(immutable: &[Immutable], fields: &BTreeSet<String>, field: &str) -> bool {
    immutable.iter().any(|i| i.state == field) || fields.contains(&camel(field))
}

/// A value that the account never returns may be a secret, so a plan does not show it either.
fn planned(traits: &Traits, fields: &BTreeSet<String>, field: &str) -> bool {
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

fn drift(immutable: &[Immutable], spec: &Value, path: &str, want: &Value, seen: &Value) -> Drift {
    let text = |v: &Value| shorten(&v.to_string(), 512);
    Drift {
        path: crate::databricks::plain(&spec_path(immutable, spec, path)),
        want: text(at(want, path)),
        seen: text(at(seen, path)),
    }
}
