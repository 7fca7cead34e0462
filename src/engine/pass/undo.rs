//! Deletes what was just created and cannot be kept: its Kubernetes object disappeared, or its secret could not be written.

use std::sync::Arc;

use tokio::time::Instant;

use super::engine::Engine;
use super::lag::Lag;
use crate::engine::crd::{ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, New, Writer};
use crate::engine::meter::Write;

/// The Kubernetes object disappeared (finalizer forced off) during its create: deletes the orphan, which no object would
/// ever delete, unless a new object of that name exists, which may own it. While the account creates the object it may
/// refuse the deletion, so this is retried for as long.
pub async fn undo(
    engine: Arc<Engine>,
    driver: &'static dyn Driver,
    writer: Writer,
    new: New,
    (who, uid): (ObjectName, String),
) {
    let (since, mut wait) = (Instant::now(), engine.settings.pace.poll_min);
    // Until then, a missing object may only mean that the account does not know it everywhere yet.
    let lag = Lag::new(driver.traits().read_lag, &engine.settings).read;
    loop {
        // A new object of that name may have found it by its mark, or adopted it.
        let now = engine.cluster.stores.uid(&who);
        if now.is_some_and(|now| now != uid) {
            return orphaned(&new);
        }
        let gone =
            |error: &Error| error.is_rejected(Reason::ExternalResourceMissing) && since.elapsed() >= lag;
        let error = match take_back(driver, &writer, &new).await {
            Ok(()) => {
                engine.meter.of(&who.kind).wrote(Write::Delete);
                tracing::warn!(external_id = new.id, "deleted what was just created: the object is gone");
                return;
            }
            Err(error) if gone(&error) => {
                tracing::warn!(external_id = new.id, "what was just created is gone, as its object is");
                return;
            }
            Err(error) => error,
        };
        tracing::warn!(external_id = new.id, %error, "what was just created cannot be deleted yet");
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = engine.undoing.stop.cancelled() => {}
        }
        wait = (wait * 2).min(engine.settings.pace.poll_max);
        if since.elapsed() > engine.settings.operation || engine.undoing.stop.is_cancelled() {
            return orphaned(&new);
        }
    }
}

/// Deletes what was just created.
pub async fn take_back(driver: &'static dyn Driver, writer: &Writer, new: &New) -> Result<()> {
    let read = match &new.seen {
        Some(_) => None,
        None => driver.get(writer, &new.id).await?,
    };
    let Some(seen) = new.seen.as_ref().or(read.as_ref()) else {
        return Err(Error::rejected(Reason::ExternalResourceMissing, "the account does not show it"));
    };
    driver.delete(writer, seen).await
}

/// Reports what is left to a person.
fn orphaned(new: &New) {
    tracing::error!(external_id = new.id, "ORPHAN: delete this object in the account by hand");
}
