//! Whether an object in the account is the one that a Kubernetes object manages. Pure.

use serde_json::Value;

use super::bound::Bound;
use crate::engine::crd::{AdoptionPolicy, ObjectName};
use crate::engine::error::Result;
use crate::engine::kind::{Driver, Ownership, Seen};

/// What the decision depends on.
#[derive(Clone, Copy)]
pub struct Recognise<'a> {
    /// The kind.
    pub driver: &'static dyn Driver,
    /// What the object is bound to.
    pub bound: &'a Bound,
    /// Our mark.
    pub marker: &'a str,
    /// `adoptionPolicy`, effective.
    pub adoption: AdoptionPolicy,
}

impl Recognise<'_> {
    /// Whether an object carries our mark.
    pub fn marked(&self, seen: &Seen) -> bool {
        seen.about.owner.as_deref() == Some(self.marker)
    }

    /// Whether we manage the object that a record names. A record is input that users can edit, so it is no proof by
    /// itself: the mark must be ours, or the natural name must be the desired one, or the one that we last saw. The mark of
    /// another excludes it, unless a user allowed its adoption and our mark is still to be set.
    pub fn is_ours(&self, want: Option<&Value>, seen: &Seen) -> Result<bool> {
        let marks = self.driver.traits().ownership == Ownership::Marker;
        if marks && self.marked(seen) {
            return Ok(true);
        }
        // A record that was copied with its annotations is adopted because a user allowed it as well.
        let said = matches!(self.adoption, AdoptionPolicy::IfExists | AdoptionPolicy::Required);
        let adopted = self.bound.external.as_ref().map_or(said, |external| external.adopted);
        if marks && seen.about.owner.is_some() && !adopted {
            return Ok(false);
        }
        let Some(external) = &self.bound.external else {
            // Only the annotation names it: it must match the spec exactly.
            return want.map_or(Ok(false), |want| self.driver.matches(&self.driver.key(want)?, seen));
        };
        let remembered = external.name.as_ref() == Some(&self.driver.key(&seen.state)?.name);
        match want {
            Some(want) => Ok(remembered || self.driver.recognises(want, seen)?),
            None => Ok(remembered || external.name.is_none()),
        }
    }
}

/// What to write if the mark in the account has our namespace and name, and the name of another installation: that of
/// another cluster, or ours under an earlier name.
pub fn marked_elsewhere(own: &str, who: &ObjectName, seen: &Seen) -> Option<String> {
    let other = seen.about.owner.as_ref()?.strip_suffix(&format!("/{}/{}", who.namespace, who.name))?;
    (other != own).then(|| {
        format!(
            "its mark is that of the installation {other:?}, and this operator is the installation {own:?}: another \
             cluster manages it; if that one is gone, or was this one under an earlier name, start the operator with \
             --installation={other} (value `installation` of the chart)"
        )
    })
}
