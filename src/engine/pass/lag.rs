//! Reads of the account that lag behind writes. For how long, is a constant of each kind. Within that time an object that
//! the operator created is not gone, whatever reads say, and a change that reads do not show yet is not sent again.
//!
//! How old a reading may be that served others is not decided here; see [`super::observe`].

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;

use super::engine::Settings;
use super::work::{Known, Work};
use crate::engine::crd::{External, ManagementPolicy, Reason, Who, age, camel};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Seen, When};
use crate::engine::memory::named;

/// How long reads of a kind may lag behind writes, within what the settings allow.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// What the kind says.
    pub read: Duration,
    /// Within this time after its creation an object may be missing from reads: as long as the kind says, and at least as long
    /// as a create with an unknown result is waited for.
    pub shown_within: Duration,
    /// How often to read again at least and at most, while something is waited for.
    pub poll: (Duration, Duration),
}

impl Lag {
    /// For a kind whose reads may lag behind by so much.
    pub fn new(kind: Duration, settings: &Settings) -> Lag {
        let read = kind.min(settings.read_lag);
        Lag {
            read,
            shown_within: read.max(settings.quarantine.min(settings.read_lag)),
            poll: (settings.pace.poll_min, settings.pace.poll_max),
        }
    }

    /// The error to wait with while an object that was created at `created` may be missing from reads; `None` once it counts as
    /// gone. `called` names it, `missing_for` is how long it has been missing: the wait grows with it.
    pub fn may_be_unseen(
        &self,
        called: &str,
        created: Timestamp,
        now: Timestamp,
        missing_for: Duration,
        deleting: bool,
    ) -> Option<Error> {
        let until = created.checked_add(self.shown_within).ok()?;
        let left = Duration::try_from(until.duration_since(now)).ok().filter(|left| !left.is_zero())?;
        let next = if deleting {
            "it is deleted as soon as a read shows it, and counts as gone after that time"
        } else {
            "it counts as gone only after that time"
        };
        let (least, most) = self.poll;
        Some(Error::Transient {
            reason: Reason::Retrying,
            message: format!(
                "the account does not show {called}, which was created at {created}: reads may lag behind until {until}; {next}"
            ),
            after: Some(missing_for.clamp(least, most).min(left)),
        })
    }
}

impl Work<'_> {
    /// How long reads may lag behind writes.
    pub fn lag(&self) -> Lag {
        Lag::new(self.driver.traits().read_lag, &self.engine.settings)
    }

    /// What was sent for an earlier generation and no read has shown since. A read that agrees with the present spec may be
    /// from before that change, so the present values are sent.
    pub fn unconfirmed(&self, want: &Value, changes: &[Change]) -> Result<Vec<Change>> {
        let status = self.subject.status.as_ref().map_err(Clone::clone)?;
        let Some(sent) = status.operation.as_ref().filter(|_| !self.observes()) else { return Ok(vec![]) };
        let earlier = Some(sent.generation) != self.subject.object.metadata.generation;
        if !earlier || age(sent.since.0, Timestamp::now()) >= self.lag().read {
            return Ok(vec![]);
        }
        let fields = want.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let unseen = fields.map(|(field, _)| field).filter(|field| {
            sent.paths.contains(&camel(field)) && !changes.iter().any(|change| change.field() == *field)
        });
        Ok(unseen.map(|field| Change { path: field.clone(), when: When::Now }).collect())
    }

    fn observes(&self) -> bool {
        self.management.policy() == ManagementPolicy::Observe
    }

    /// A guard that looks at all objects of the kind must not miss one that was created a moment ago.
    pub fn all_are_shown(&self, known: &Known, shown: &[Seen]) -> Result<()> {
        let account = known.admission.session.client.account_id();
        let (kind, own) = (&self.subject.who.kind, self.subject.uid());
        let objects = self.engine.cluster.stores.objects(kind);
        for object in objects.filter(|object| object.uid().as_ref() != Some(&own)) {
            let Ok(external) = External::deserialize(&object.data["status"]["external"]) else { continue };
            let young = external.created_at.is_some_and(|at| age(at.0, Timestamp::now()) < self.lag().read);
            if young && external.account_id == account && !shown.iter().any(|seen| seen.id == external.id) {
                let name = named(&self.subject.who, &Who::of(kind, &object));
                return Err(Error::retry(format!(
                    "the account does not show yet what was just created for {name}: without that it cannot be judged whether \
                     this change is safe; waiting until a read shows it"
                )));
            }
        }
        Ok(())
    }
}
