//! Hop 5 for what an object can be without, such as the members of a group: what is not known is left out, and the rest of the
//! spec is carried out. Reads names from the account; writes nothing.
//!
//! A name follows what the account has now. One that the account does not have is no reason to wait: nothing that the spec leaves
//! out stays because of it. An object of Kubernetes that has no id yet may be any entry of the list that it belongs to, so
//! entries are added to that list meanwhile, and none is removed. What was known before stays what it was.

use std::collections::BTreeMap;

use super::unresolved::Unresolved;
use super::work::{Place, Work};
use crate::engine::crd::{ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Need, PrincipalName, Wanted};

impl Work<'_> {
    /// Resolves what the object can be without; what is found goes into `ids`.
    pub async fn resolve_soft(
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
        let found = place.admission.session.directory.principals(&searched, place.urgency).await?;
        for ((need, name), found) in names.into_iter().zip(found) {
            let id = self.soft_name(need, name, found, place, &mut unresolved).await?;
            ids.extend(id.map(|id| (need.field.clone(), id)));
        }
        Ok(unresolved)
    }

    /// The id that a need had when it was known last.
    fn known_before(&self, need: &Need) -> Result<Option<String>> {
        let status = self.subject.status()?;
        Ok(status.resolved_refs.get(&need.field).filter(|_| status.external.is_some()).cloned())
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
        match self.engine.resolve_object(&who, need, known.as_deref()) {
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
                    && place.admission.session.directory.is_still(name, &id, place.urgency).await?
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
}
