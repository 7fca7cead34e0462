//! Hop 5: the ids that references and names in the spec mean. What an object was created for is pinned: if a name later
//! means something else, the object stops.

use serde_json::Value;

use super::work::{Place, Work};
use crate::engine::crd::{ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Need, Resolved, Wanted};

impl Work<'_> {
    /// Resolves the ids. While deleting, only pinned ids are used: references may be gone, and nothing new may be resolved.
    /// An object that was restored without its status has pinned nothing: its record is checked by what its spec means now,
    /// which may be nothing.
    pub async fn resolve(&self, place: &Place) -> Result<Option<Resolved>> {
        let status = self.subject.status()?;
        let recorded = status.external.is_some() || status.intent.is_some();
        let pinned = status.resolved_refs.clone();
        if self.subject.deleting() && recorded {
            return Ok(Some(Resolved { ids: pinned, marker: self.marker() }));
        }
        match self.references(place).await {
            Err(Error::Waiting { .. } | Error::Terminal { .. }) if self.subject.deleting() => Ok(None),
            found => found.map(Some),
        }
    }

    /// The ids of all references in the spec; the error names all that are missing at once.
    async fn references(&self, place: &Place) -> Result<Resolved> {
        let spec = self.subject.spec();
        let mut got = Resolved { marker: self.marker(), ..Resolved::default() };
        let mut missing: Option<(Reason, Vec<String>)> = None;
        for need in self.driver.needs(&spec)? {
            match self.reference(&need, place).await {
                Ok(id) => {
                    self.same_parent(&need, &id)?;
                    got.ids.insert(need.field.into(), id);
                }
                Err(Error::Waiting { reason, message }) => {
                    missing.get_or_insert((reason, vec![])).1.push(message);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((reason, messages)) = missing {
            return Err(Error::waiting(reason, messages.join("; ")));
        }
        Ok(got)
    }

    /// A reference that an object cannot exist without must keep its meaning: otherwise an object that was deleted and
    /// created again under its name would take this one along and leave its old row behind.
    fn same_parent(&self, need: &Need, id: &str) -> Result<()> {
        let status = self.subject.status()?;
        let traits = self.driver.traits();
        let fixed = traits.immutable.iter().find(|i| i.spec.contains(&need.field));
        let (Some(fixed), Some(external)) = (fixed, &status.external) else { return Ok(()) };
        let name = fixed.shown().map(|(_, name)| name);
        let observed = name.and_then(|name| status.observed.get(name)).map(text);
        let pinned = match status.resolved_refs.get(need.field).cloned().or(observed) {
            Some(pinned) => pinned,
            // The id of an upsert consists of what it was created for.
            None if traits.lifecycle.is_repeatable() && !external.id.split('/').any(|part| part == id) => {
                external.id.clone()
            }
            None => return Ok(()),
        };
        if pinned == id {
            return Ok(());
        }
        Err(Error::terminal(
            Reason::ImmutableFieldChanged,
            format!(
                "spec.{} now means {id}, but this object was created for {pinned}: write what means that again, or delete this \
                 object and apply it again if the other one is intended",
                need.field
            ),
        ))
    }

    async fn reference(&self, need: &Need, place: &Place) -> Result<String> {
        match &need.what {
            Wanted::Object { kind, name } => {
                let who = ObjectName {
                    kind: kind.clone(),
                    namespace: self.subject.who.namespace.clone(),
                    name: name.clone(),
                };
                // A bound object keeps what it was created for while that exists, so that access stays correct.
                let status = self.subject.status()?;
                let pinned = status.resolved_refs.get(need.field).filter(|_| status.external.is_some());
                self.engine.resolve_object(&who, need.field, pinned.map(String::as_str))
            }
            Wanted::Principal(name) => {
                // A bound object keeps the principal that it was created for; whether the name still means it is checked
                // when it must be written again.
                let status = self.subject.status()?;
                if status.external.is_some()
                    && let Some(pinned) = status.resolved_refs.get(need.field)
                {
                    return Ok(pinned.clone());
                }
                let found = place.admission.session.principal(name, place.urgency, false).await?;
                found.ok_or_else(|| {
                    let text =
                        format!("the account has no {name}: create it there, or correct spec.{}", need.field);
                    Error::waiting(Reason::ReferenceNotFound, text)
                })
            }
        }
    }
}

/// An id as text, whether it is a number or text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
