//! The command `run`: the operator, from the checks at its start to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::connect;
use crate::config::Run;
use crate::databricks;
use crate::engine::cluster::Lease;
use crate::engine::kind::Permit;
use crate::engine::run;
use crate::kinds::KINDS;
use crate::metrics::{self, Authorizer, Metrics};
use crate::port::{Port, Tls};
use crate::telemetry::{self, Readiness};

/// Runs the operator until a signal ends it. Fails with one line.
pub(super) fn operate(run: &Run) -> Result<(), String> {
    run.check()?;
    // Fails only if another provider was installed before, which nothing here does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("the runtime cannot start: {e}"))?;
    let result = runtime.block_on(serve(run));
    telemetry::shut_down();
    match result {
        Ok(()) => runtime.shutdown_timeout(Duration::from_secs(1)),
        // The process ends at once. Work that is cut off would only panic about it on the way.
        Err(_) => std::mem::forget(runtime),
    }
    result
}

async fn serve(run: &Run) -> Result<(), String> {
    let egress = run.egress()?;
    let ready = Readiness::default();
    let health = Port::bind(run.health_address, None).map_err(|e| {
        format!("health cannot be served at {}: {e}; choose another --health-address", run.health_address)
    })?;
    health.serve(telemetry::health(ready.clone()));
    let port = metrics_port(run).await?;
    let client = connect::connect(&egress).await?;
    let metrics = Arc::new(Metrics::new(KINDS));
    connect::check_cluster(&client, run).await?;
    let installation = connect::installation(&client, run).await?;
    // Not before: an error at the start is printed once, by us, and not by libraries too.
    telemetry::init(run.log_format, &run.log, run.collector(&egress)?)?;
    // Not before: without logs, a message of the port would be lost.
    if let Some(port) = port {
        let authorizer = run.metrics_auth.then(|| Authorizer::new(client.clone()));
        port.serve(metrics::router(metrics.clone(), authorizer));
    }
    let stop = CancellationToken::new();
    tokio::spawn(on_signal(stop.clone()));
    let mut lease = run.leader_elect.then(|| {
        let settings = run.lease(client.default_namespace().to_owned());
        Lease::new(client.clone(), settings)
    });
    tracing::info!(namespaces = run.namespaces.join(","), installation, "the operator starts");
    let parts = run::Parts {
        client,
        kinds: KINDS,
        settings: run.engine(installation),
        hosts: run.hosts(),
        databricks: databricks::Settings { egress, meter: metrics.calls.clone(), ..run.client() },
        permit: lease.as_ref().map_or_else(Permit::sole, Lease::permit),
        meter: metrics.engine.clone(),
        census: metrics.census.clone(),
    };
    let (fill, filled) = oneshot::channel();
    let ready = move || {
        ready.set();
        tracing::info!("caches are filled; the operator is ready");
        let _ = fill.send(());
    };
    let (leads, leading) = oneshot::channel();
    let held = async {
        // A replica that cannot read the cluster must not keep one that can from leading.
        let ready = filled.await.is_ok();
        match &mut lease {
            Some(lease) if ready => lease.hold(leads).await,
            _ => {
                let _ = leads.send(());
                std::future::pending().await
            }
        }
    };
    let leading = async {
        if leading.await.is_err() {
            // The lease cannot be had, which ends the process.
            std::future::pending::<()>().await;
        }
    };
    let running = run::run(parts, stop.clone(), ready, leading);
    let overtime = async {
        stop.cancelled().await;
        tokio::time::sleep(run::SHUTDOWN).await;
    };
    let ended = tokio::select! {
        ended = running => ended,
        reason = held => Err(reason),
        () = overtime => Err("calls were still under way when the time limit for the end of the process expired".into()),
    };
    // If calls may still be in flight, the lease must expire instead.
    if let (Ok(()), Some(lease)) = (&ended, lease) {
        lease.release().await;
    }
    ended
}

/// Binds the port of the metrics, if there is one: an error in it is reported before anything else happens.
async fn metrics_port(run: &Run) -> Result<Option<Port>, String> {
    let Some(address) = run.metrics_address.0 else { return Ok(None) };
    let tls = match (&run.metrics_tls_cert, &run.metrics_tls_key) {
        (Some(cert), Some(key)) => Some(Tls::open(cert, key).await?),
        _ => None,
    };
    let bound = Port::bind(address, tls);
    bound.map(Some).map_err(|e| {
        format!("metrics cannot be served at {address}: {e}; choose another --metrics-address, or Off")
    })
}

async fn on_signal(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be caught; the process can only be killed");
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("ending; calls under way are finished first");
    stop.cancel();
}
