//! Hop 5: references and names in the spec become ids. Reads other Kubernetes objects and, for names, the account; writes nothing.
//!
//! What an object was created for is pinned: if a name later means something else, the object stops. What an object can be without, such
//! as the members of a group, follows what the account has now: what is not known is left out, and the rest of the spec is carried out.
//! A name that the account does not have is no reason to wait: nothing that the spec leaves out stays because of it. An object of
//! Kubernetes that has no id yet may be any entry of the list that it belongs to, so entries are added to that list meanwhile, and none
//! is removed. What was known before stays what it was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::unresolved::Unresolved;
use super::work::{Place, Work};
use crate::engine::crd::{ObjectName, Reason, summary};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Need, PrincipalName, Resolved, Wanted};

impl Work<'_> {
    /// Forgets what fields meant that the spec does not have now, also if the rest of it cannot be resolved: written again, such a field
    /// may hold another name, which must not mean what the former one did. A deletion needs what is pinned, whatever the spec says.
    pub fn forget_references(&mut self) -> Result<()> {
        if self.subject.deleting() || self.subject.status()?.resolved_refs.is_empty() {
            return Ok(());
        }
        let Ok(needs) = self.driver.needs(&self.subject.spec()) else { return Ok(()) };
        let fields: BTreeSet<&str> = needs.iter().map(|need| need.field.as_str()).collect();
        self.subject.status_mut()?.resolved_refs.retain(|field, _| fields.contains(field.as_str()));
        Ok(())
    }

    /// Hop 5: resolves the ids. While deleting, only pinned ids are used: references may be gone, and nothing new may be resolved.
    /// An object that was restored without its status has pinned nothing: its record is checked by what its spec means now,
    /// which may be nothing.
    pub async fn resolve(&self, place: &Place) -> Result<Option<(Resolved, Unresolved)>> {
        let status = self.subject.status()?;
        let recorded = status.external.is_some() || status.intent.is_some();
        let pinned = status.resolved_refs.clone();
        if self.subject.deleting() && recorded {
            let got = Resolved { ids: pinned, marker: self.marker(), ..Resolved::default() };
            return Ok(Some((got, Unresolved::default())));
        }
        match self.references(place).await {
            Err(Error::Waiting { .. } | Error::Terminal { .. }) if self.subject.deleting() => Ok(None),
            found => found.map(Some),
        }
    }

    /// The ids of all references in the spec; the error names all at once that are missing and that the object cannot be without.
    async fn references(&self, place: &Place) -> Result<(Resolved, Unresolved)> {
        let spec = self.subject.spec();
        let mut got = Resolved { marker: self.marker(), ..Resolved::default() };
        let mut missing: Option<(Reason, Vec<String>)> = None;
        let needs = self.driver.needs(&spec)?;
        for need in needs.iter().filter(|need| !need.soft) {
            match self.reference(need, place).await {
                Ok(id) => {
                    self.same_parent(need, &id)?;
                    got.ids.insert(need.field.clone(), id);
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
        let unresolved = self.resolve_soft(&needs, place, &mut got.ids).await?;
        Ok((got, unresolved))
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
                let pinned = self.known_before(need)?;
                self.resolve_object(&who, need, pinned.as_deref())
            }
            Wanted::Principal(name) => {
                // A bound object keeps the principal that it was created for; whether the name still means it is checked
                // when it must be written again.
                if let Some(pinned) = self.known_before(need)? {
                    return Ok(pinned);
                }
                let found = place.session().directory.principal(name, place.urgency, false).await?;
                found.ok_or_else(|| {
                    let text = format!(
                        "the account has no {name}: create it there, or correct spec.{}",
                        need.place()
                    );
                    Error::waiting(Reason::ReferenceNotFound, text)
                })
            }
        }
    }

    /// A reference that an object cannot exist without must keep its meaning: otherwise an object that was deleted and
    /// created again under its name would take this one along and leave its old row behind.
    fn same_parent(&self, need: &Need, id: &str) -> Result<()> {
        let status = self.subject.status()?;
        let traits = self.driver.traits();
        let fixed = traits.immutable.iter().find(|i| i.spec.iter().any(|field| *field == need.field));
        let (Some(fixed), Some(external)) = (fixed, &status.external) else { return Ok(()) };
        let name = fixed.shown().map(|(_, name)| name);
        let observed = name.and_then(|name| status.observed.get(name)).map(text);
        let pinned = match status.resolved_refs.get(&need.field).cloned().or(observed) {
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

    /// Resolves what the object can be without; what is found goes into `ids`.
    async fn resolve_soft(
        &self,
        needs: &[Need],
        place: &Place,
        ids: &mut BTreeMap<String, String>,
    ) -> Result<Unresolved> {
        let (mut unresolved, mut names) = (Unresolved::default(), vec![]);
        for need in needs.iter().filter(|need| need.soft) {
            match &need.what {
                Wanted::Principal(name) => names.push((need, name)),
                Wanted::Object { kind, name } => {
                    let id = self.soft_object(need, kind, name, &mut unresolved)?;
                    ids.extend(id.map(|id| (need.field.clone(), id)));
                }
            }
        }
        let searched: Vec<&PrincipalName> = names.iter().map(|(_, name)| *name).collect();
        let found = place.session().directory.principals(&searched, place.urgency).await?;
        for ((need, name), found) in names.into_iter().zip(found) {
            let id = self.soft_name(need, name, found, place, &mut unresolved).await?;
            ids.extend(id.map(|id| (need.field.clone(), id)));
        }
        Ok(unresolved)
    }

    fn soft_object(
        &self,
        need: &Need,
        kind: &str,
        name: &str,
        unresolved: &mut Unresolved,
    ) -> Result<Option<String>> {
        let namespace = self.subject.who.namespace.clone();
        let who = ObjectName { kind: kind.to_owned(), namespace, name: name.to_owned() };
        let known = self.known_before(need)?;
        match self.resolve_object(&who, need, known.as_deref()) {
            Ok(id) => Ok(Some(id)),
            Err(Error::Waiting { reason, message }) => {
                unresolved.add(reason, message);
                if known.is_none() {
                    unresolved.keep_all_of(need.root());
                }
                Ok(known)
            }
            Err(error) => Err(error),
        }
    }

    async fn soft_name(
        &self,
        need: &Need,
        name: &PrincipalName,
        found: Result<Option<String>>,
        place: &Place,
        unresolved: &mut Unresolved,
    ) -> Result<Option<String>> {
        match found {
            Ok(Some(id)) => return Ok(Some(id)),
            // A search may lag behind, and that must not remove what is there.
            Ok(None) => {
                if let Some(id) = self.known_before(need)?
                    && place.session().directory.is_still(name, &id, place.urgency).await?
                {
                    return Ok(Some(id));
                }
                let text =
                    format!("the account has no {name}: create it there, or correct spec.{}", need.place());
                unresolved.add(Reason::ReferenceNotFound, text);
            }
            Err(Error::Terminal { reason, message }) => {
                unresolved.add(reason, message);
                unresolved.keep_all_of(need.root());
            }
            Err(error) => return Err(error),
        }
        Ok(None)
    }

    /// The id that a need had when it was known last.
    fn known_before(&self, need: &Need) -> Result<Option<String>> {
        let status = self.subject.status()?;
        Ok(status.resolved_refs.get(&need.field).filter(|_| status.external.is_some()).cloned())
    }

    /// The id of another object of ours that a spec needs, if its object is usable in the account, whether or
    /// not its spec is carried out. For a dependent that was created for that id, `pinned`, it is enough that it exists.
    fn resolve_object(&self, who: &ObjectName, need: &Need, pinned: Option<&str>) -> Result<String> {
        let Some(object) = self.engine.cluster.stores.object(who) else {
            return Err(Error::waiting(
                Reason::ReferenceNotFound,
                format!("{who} does not exist: create it, or correct spec.{}", named_in(need)),
            ));
        };
        let not_ready =
            |why: &str| Error::waiting(Reason::ReferenceNotReady, format!("{who} is not ready: {why}"));
        let summary = summary(&object);
        let value = summary.id.and_then(|id| need.value(&id, &object.data["status"]));
        match (value, summary.usable) {
            (Some(value), Some(_)) if pinned == Some(&value) => Ok(value),
            _ if summary.leaving => Err(not_ready("it is being deleted")),
            (Some(value), Some(true)) => Ok(value),
            _ => Err(not_ready("see its conditions")),
        }
    }
}

/// The field in which a spec names an object: in a list it is one of several.
fn named_in(need: &Need) -> String {
    let place = need.place();
    if place == need.field { format!("{place}.name") } else { place.to_owned() }
}

/// An id as text, whether it is a number or text.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
