//! What was seen, as the status shows it.

use serde_json::Value;

use super::driver::Seen;
use super::error::Result;
use super::reconcile::{Known, Work};
use super::resource::Change;
use super::status::{Drift, External};

impl Work<'_> {
    /// Puts what was seen into the status.
    pub fn show(
        &mut self,
        known: &Known,
        seen: &Seen,
        changes: &[Change],
        bind: Option<External>,
        ours: bool,
    ) -> Result<()> {
        let traits = self.driver.traits();
        let drift = known.want.as_ref().map(|want| drift(want, seen, changes)).unwrap_or_default();
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
        status.observed = observed(traits.immutable, &seen.state);
        status.drift = drift;
        Ok(())
    }
}

/// What is seen of the fields that cannot change, under the names they have in the spec.
fn observed(immutable: &[super::resource::Immutable], state: &Value) -> serde_json::Map<String, Value> {
    let told = immutable.iter().filter_map(|i| {
        let value = state.get(i.state).filter(|v| !v.is_null())?;
        let (_, name) = i.shown()?;
        Some((name.to_owned(), value.clone()))
    });
    told.collect()
}

fn drift(want: &Value, seen: &Seen, changes: &[Change]) -> Vec<Drift> {
    let text = |v: &Value| super::status::shorten(&v.to_string(), 512);
    changes
        .iter()
        .map(|change| Drift {
            path: crate::databricks::plain(&super::decide::camel(&change.path)),
            want: text(super::changes::at(want, &change.path)),
            seen: text(super::changes::at(&seen.state, &change.path)),
        })
        .collect()
}
