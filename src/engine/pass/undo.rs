//! Deletes what was just created for a Kubernetes object that disappeared during the create.

use std::sync::Arc;

use tokio::time::Instant;

use super::engine::Engine;
use super::lag::Lag;
use crate::engine::crd::{ObjectName, Reason};
use crate::engine::error::Error;
use crate::engine::kind::{Driver, Seen, Writer};
use crate::engine::meter::Write;

/// The Kubernetes object disappeared (finalizer forced off) during its create: deletes the orphan, which no object would
/// ever delete, unless a new object of that name exists, which may own it. While the account creates the object it may
/// refuse the deletion, so this is retried for as long.
pub async fn undo(
    engine: Arc<Engine>,
    driver: &'static dyn Driver,
    writer: Writer,
    seen: Seen,
    who: ObjectName,
) {
    let (since, mut wait) = (Instant::now(), engine.settings.pace.poll_min);
    // Until then, a missing object may only mean that the account does not know it everywhere yet.
    let lag = Lag::new(driver.traits().read_lag, &engine.settings).read;
    loop {
        let gone =
            |error: &Error| error.is_rejected(Reason::ExternalResourceMissing) && since.elapsed() >= lag;
        let error = match driver.delete(&writer, &seen).await {
            Ok(()) => {
                engine.meter.of(&who.kind).wrote(Write::Delete);
                tracing::warn!(external_id = seen.id, "deleted what was just created: the object is gone");
                return;
            }
            Err(error) if gone(&error) => {
                tracing::warn!(external_id = seen.id, "what was just created is gone, as its object is");
                return;
            }
            Err(error) => error,
        };
        tracing::warn!(external_id = seen.id, %error, "what was just created cannot be deleted yet");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = engine.undoing.stop.cancelled() => {}
        }
        wait = (wait * 2).min(engine.settings.pace.poll_max);
        let over = since.elapsed() > engine.settings.operation || engine.undoing.stop.is_cancelled();
        if over || engine.cluster.stores.object(&who).is_some() {
            tracing::error!(external_id = seen.id, "ORPHAN: delete this object in the account by hand");
            return;
        }
    }
}
