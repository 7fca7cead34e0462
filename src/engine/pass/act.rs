//! Hop 9: at most one change in the account, and what is recorded before and after it. Here a step is only handed to what carries it
//! out.
//!
//! Each step in [`super::create`], [`super::update`], [`super::delete`] and [`super::bind`] is one order of effects, and that order is what
//! makes a change safe. [`super::report`] shows what was read, and sends nothing. Nothing here retries.

use super::decide::Step;
use super::look::Look;
use super::outcome::Outcome;
use super::view::Decision;
use super::work::{Target, Work};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};

impl Work<'_> {
    /// Carries out a step.
    pub async fn act(&mut self, target: &Target, look: Look, decision: Decision) -> Result<Outcome> {
        // A response to the last create or deletion says nothing about a later one.
        self.remember(|m| {
            m.exists.take_if(|_| !matches!(decision.step, Step::Create | Step::Replace));
            m.in_use_since.take_if(|_| !matches!(decision.step, Step::Delete));
        });
        match &decision.step {
            Step::Release(how) => self.release(how.clone()).await,
            Step::Create => self.create(target, look).await,
            Step::Replace => self.replace(target, look).await,
            Step::Discard(id) => self.discard(target, id).await,
            Step::MakeRoom(id) => self.make_room(target, id).await,
            Step::Adopt => self.adopt(target, &look, &decision.changes).await,
            Step::TakeUp => self.take_up(target, &look, &decision.changes).await,
            Step::Update(fields) => self.update(target, &look, fields, &decision.changes).await,
            Step::Delete => self.delete(target, &look).await,
            Step::Bind(id) => self.bind(target, id),
            Step::Forget => self.forget(target).await,
            Step::WaitOut { after, message } => Err(Error::Transient {
                reason: Reason::Retrying,
                message: message.clone(),
                after: Some(*after),
            }),
            Step::Rest | Step::Wait { .. } | Step::Refuse { .. } | Step::Plan { .. } => {
                self.report(target, &look, decision)
            }
        }
    }
}
