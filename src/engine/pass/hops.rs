//! One pass over a managed object, in ten hops that the function `hops` reads in order:
//!
//! watch → parse → admit → hold → resolve → desire → observe → decide → act → conclude.
//!
//! A pass is told nothing of why it was woken. It makes at most one change in the account, and whatever happens it ends in
//! one conclusion. What is believed of the account, and how fresh that has to be, is in [`super::observe`]; what is sent,
//! and what is written down before, in [`super::act`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use serde::Deserialize;
use tracing::Instrument;

use super::decide::{Step, deleting_without_account};
use super::engine::Engine;
use super::look::{Freshness, Look};
use super::outcome::Outcome;
use super::record::Ended;
use super::subject::Subject;
use super::undo::undo;
use super::work::Work;
use crate::engine::crd::{EXTERNAL_ID, FINALIZER, Management, ManagementPolicy, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::Driver;

/// How many failed passes in a row, some half a minute at the usual back-off, count as a look.
const FAILED_LOOKS: u32 = 5;

/// One pass. A panic in it is caught, shown on the object, and harms no other.
pub async fn reconcile(
    object: Arc<DynamicObject>,
    engine: Arc<Engine>,
    driver: &'static dyn Driver,
) -> Action {
    let kind = driver.kind();
    let mut subject = Subject::new(&engine, &object, &kind);
    let uid = subject.uid();
    let (mut made, mut auth) = (None, None);
    let outcome = match parse(&subject) {
        Ok(management) => {
            let mut work = Work { engine: &engine, driver, subject, management, made: None, admitted: None };
            let result = AssertUnwindSafe(hops(&mut work)).catch_unwind().await;
            subject = work.subject;
            made = work.made;
            auth = work.admitted;
            result.unwrap_or_else(|_| {
                engine.meter.panicked();
                Err(Error::terminal(
                    Reason::InternalError,
                    "the operator failed on this object; its log has the details",
                ))
            })
        }
        Err(_) if subject.deleting() && nothing_outside(&subject) => subject.release(&engine, None).await,
        Err(error) => Err(error),
    };
    // A pass on a stale view, or into an outage, was no look. One that fails again and again must not hold up everybody else.
    let looked = !matches!(outcome, Err(Error::Conflict(_) | Error::Transient { .. }));
    if looked || engine.memory.objects.attempts(&uid) >= FAILED_LOOKS {
        engine.memory.barrier.reconciled(&uid);
    }
    let who = subject.who.clone();
    match (outcome.as_ref().err().and_then(Error::reason), auth) {
        (Some(Reason::RateLimited), Some(auth)) => engine.auths.trouble(&auth),
        (Some(Reason::CredentialsInvalid | Reason::AddressBlocked), Some(auth)) => engine.auths.doubt(&auth),
        _ => {}
    }
    let ended = subject.conclude(&engine, outcome, Reason::Available).await;
    if let (Ended::Gone, Some((writer, id))) = (&ended, made) {
        let undone = undo(engine.clone(), driver, writer, id, who);
        engine.undoing.tasks.spawn(undone.in_current_span());
    }
    ended.action()
}

/// Hop 2: the shared block. An unreadable status is an error of its own: it may hold an id.
fn parse(subject: &Subject) -> Result<Management> {
    subject.status.as_ref().map_err(Clone::clone)?;
    Management::deserialize(&subject.spec())
        .map_err(|e| Error::terminal(Reason::InvalidSpec, format!("spec cannot be read: {e}")))
}

fn nothing_outside(subject: &Subject) -> bool {
    let status_empty = subject.status.as_ref().is_ok_and(|s| s.external.is_none() && s.intent.is_none());
    status_empty && !subject.object.annotations().contains_key(EXTERNAL_ID)
}

async fn hops(work: &mut Work<'_>) -> Result<Outcome> {
    work.engine.memory.claims.name_in_doubt(&work.subject.who);
    if work.subject.deleting() && !work.subject.object.finalizers().iter().any(|f| f == FINALIZER) {
        // We are done with it, or never began; it stays for somebody else's sake.
        work.subject.released = true;
        return Ok(Outcome::Rest);
    }
    work.show_effective(None)?;
    if work.management.suspended() && !work.subject.deleting() {
        return Ok(Outcome::Suspended);
    }
    if work.subject.deleting() {
        let step = deleting_without_account(&work.view_of(&Look::unknown(), &[], None)?);
        if let Some(step) = step {
            return work.leave(step).await;
        }
    }
    let known = work.know().await?;
    if work.subject.deleting()
        && let Some(blocked) = work.hold()
    {
        return Ok(blocked);
    }
    if work.management.policy() == ManagementPolicy::Managed && !work.subject.deleting() {
        let engine = work.engine;
        work.subject.write_metadata(engine, true).await?;
    }
    let look = work.observe(&known, Freshness::Routine).await?;
    let step = work.step(&known, &look)?;
    let (look, step) =
        if look.may_be_stale && matches!(step, Step::Update(_) | Step::Delete | Step::Create | Step::Adopt) {
            let look = work.observe(&known, Freshness::BeforeWrite).await?;
            let step = work.step(&known, &look)?;
            (look, step)
        } else {
            (look, step)
        };
    work.act(&known, look, step).await
}
