//! Deletes what was just created for a Kubernetes object that disappeared during the create.

use std::sync::Arc;

use tokio::time::Instant;

use super::engine::Engine;
use crate::engine::crd::{ObjectName, Reason};
use crate::engine::error::Error;
use crate::engine::kind::{Driver, Writer};
use crate::engine::meter::Write;

/// The Kubernetes object vanished, finalizer and all, while its object was being made: nobody will ever delete that one,
/// so it is deleted now. What is being made may refuse that for as long as making it takes, unless somebody applies an
/// object of that name again: what was made may be his by now.
pub async fn undo(
    engine: Arc<Engine>,
    driver: &'static dyn Driver,
    writer: Writer,
    id: String,
    who: ObjectName,
) {
    let (since, mut wait) = (Instant::now(), engine.settings.pace.poll_min);
    // Until then, that it is not there may only mean that the account does not know it everywhere yet.
    let lag = driver.traits().read_lag.min(engine.settings.read_lag);
    loop {
        let gone =
            |error: &Error| error.is_rejected(Reason::ExternalResourceMissing) && since.elapsed() >= lag;
        let error = match driver.delete(&writer, &id).await {
            Ok(()) => {
                engine.meter.of(&who.kind).wrote(Write::Delete);
                tracing::warn!(external_id = id, "deleted what was just made: the object is gone");
                return;
            }
            Err(error) if gone(&error) => {
                tracing::warn!(external_id = id, "what was just made is gone, as its object is");
                return;
            }
            Err(error) => error,
        };
        tracing::warn!(external_id = id, %error, "what was just made cannot be deleted yet");
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = engine.undoing.stop.cancelled() => {}
        }
        wait = (wait * 2).min(engine.settings.pace.poll_max);
        let over = since.elapsed() > engine.settings.operation || engine.undoing.stop.is_cancelled();
        if over || engine.cluster.stores.object(&who).is_some() {
            tracing::error!(external_id = id, "ORPHAN: delete this object in the account by hand");
            return;
        }
    }
}
