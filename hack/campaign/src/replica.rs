//! Two replicas of the operator with one lease, each put together as the command `run` does. The lease is that of the process, on the
//! virtual clock.
//!
//! Calls about the lease do not pass the gate: no fault of a plan strikes them, they are in no trace and do not count as writes. A story
//! cuts a replica off instead.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use databricks_operator::engine::cluster::{Lease, LeaseSettings};
use databricks_operator::engine::run;
use http::{Method, Request};
use kube::client::Body;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Service};

use crate::gate::Gate;
use crate::world::World;
use crate::{account, seed};

/// How long the lease is valid: more than by default, as a run pays for each call about it.
const DURATION: Duration = Duration::from_secs(100);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(40);
/// Where it is.
const NAMESPACE: &str = "default";

/// One of the replicas: a process, and after its end the next one.
#[derive(Default)]
pub struct Replica {
    /// Its calls about the lease fail.
    cut: Arc<AtomicBool>,
    /// The name of the present process in the lease, and its way out.
    process: Mutex<Option<(String, Arc<Gate>)>>,
}

/// The lease as the API server has it.
#[derive(Default)]
pub struct Leased {
    /// The process that wrote it last, and when it sent that.
    by: Mutex<Option<(String, Instant)>>,
    /// What was sent to the account without it.
    wrong: Mutex<Vec<String>>,
}

impl Leased {
    /// The name of the process that has the lease, or had it last.
    pub fn holder(&self) -> Option<String> {
        lock(&self.by).as_ref().map(|(name, _)| name.clone())
    }

    /// What was sent to the account by a process without the lease.
    pub fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.wrong))
    }

    /// Compares a request to the account that a process sends now with the lease, which must not end before a change does. `most`: the
    /// time limit of a change.
    fn judge(&self, name: &str, most: Duration, request: &Request<Vec<u8>>) {
        let path = request.uri().path();
        if request.method() == Method::GET || path.ends_with("/v1/token") {
            return;
        }
        let by = lock(&self.by).clone();
        if !by.is_some_and(|(by, sent)| by == name && sent.elapsed() + most < DURATION) {
            lock(&self.wrong).push(format!("sent without the lease: {} {path}", request.method()));
        }
    }
}

impl Replica {
    /// A process's way to the lease.
    fn client(&self, world: &World, name: &str) -> kube::Client {
        let (server, cut) = (world.server.service("operator"), self.cut.clone());
        let (leased, name) = (world.leased.clone(), name.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (mut server, leased, name) = (server.clone(), leased.clone(), name.clone());
            let (cut, sent, writes) =
                (cut.load(Ordering::Relaxed), Instant::now(), request.method() != Method::GET);
            async move {
                if cut {
                    return Err(BoxError::from("connection refused"));
                }
                let response = server.call(request).await.map_err(BoxError::from)?;
                if writes && response.status().is_success() {
                    *lock(&leased.by) = Some((name, sent));
                }
                Ok(response)
            }
        });
        kube::Client::new(service, NAMESPACE)
    }
}

impl World {
    /// Runs two replicas of the operator until they are stopped, and starts each again after its end. Fails if one ends by itself and
    /// has not lost the lease, or does not end.
    pub async fn replicate(self: Arc<World>) -> Result<(), String> {
        let [one, other] = &self.replicas;
        tokio::try_join!(self.start_again(one), self.start_again(other)).map(drop)
    }

    /// Cuts off the replica that has the lease: from it, or from both APIs.
    pub fn cut_off(&self, from_all: bool) {
        let holder = self.leased.holder();
        for replica in &self.replicas {
            let process = lock(&replica.process).clone();
            let Some((_, gate)) = process.filter(|(name, _)| Some(name) == holder.as_ref()) else { continue };
            self.trace
                .note(format!("a replica is cut off from {}", if from_all { "all" } else { "the lease" }));
            replica.cut.store(true, Ordering::Relaxed);
            if from_all {
                gate.close();
            }
        }
    }

    /// All replicas can reach the lease again, and so can the next process of one that was cut off from all.
    pub fn reconnect(&self) {
        self.replicas.iter().for_each(|replica| replica.cut.store(false, Ordering::Relaxed));
    }

    async fn start_again(&self, replica: &Replica) -> Result<(), String> {
        loop {
            let gate = self.gate();
            let Some(why) = self.process(replica, &gate).await? else { return Ok(()) };
            // Whatever is left of it waits for ever.
            gate.close();
            self.trace.note(format!("a replica has ended: {why}"));
            sleep(Duration::from_secs(1 + seed::below(20))).await;
            if self.stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Runs one process; returns why it must be started again, or nothing if it was stopped.
    async fn process(&self, replica: &Replica, gate: &Arc<Gate>) -> Result<Option<String>, String> {
        let settings =
            LeaseSettings { duration: DURATION, renew: RENEW, ..self.operator.lease(NAMESPACE.to_owned()) };
        let name = settings.identity.clone();
        self.trace.note(format!("a replica starts: {name}"));
        *lock(&replica.process) = Some((name.clone(), gate.clone()));
        let mut lease = Lease::new(replica.client(self, &name), settings);
        let mut parts = self.parts(gate);
        parts.permit = lease.permit();
        let (leased, most) = (self.leased.clone(), self.operator.write_timeout);
        let judge = move |request: &Request<Vec<u8>>| leased.judge(&name, most, request);
        parts.databricks.exchange = Some(account::judged(&self.account, gate, judge));
        let (fill, filled) = oneshot::channel();
        let ready = move || {
            let _ = fill.send(());
        };
        let (leads, leading) = oneshot::channel();
        let held = async {
            match filled.await {
                Ok(()) => lease.hold(leads).await,
                Err(_) => std::future::pending().await,
            }
        };
        let leading = async {
            if leading.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let running = run::run(parts, self.stop.clone(), ready, leading);
        let overtime = async {
            self.stop.cancelled().await;
            sleep(run::SHUTDOWN).await;
        };
        tokio::select! {
            biased;
            () = gate.crashed() => Ok(Some("it has crashed".to_owned())),
            why = held => Ok(Some(why)),
            ended = running => match self.stop.is_cancelled() {
                true => ended.map(|()| None),
                false => Err(format!("the operator ended: {ended:?}")),
            },
            () = overtime => Err("the operator does not end".to_owned()),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
