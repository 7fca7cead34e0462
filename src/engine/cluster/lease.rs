//! Leadership: of several replicas one acts, the one that holds a Lease of the API server.
//!
//! No replica compares clocks. The holder counts from the moment at which it *sent* its last good renewal; a waiting
//! replica counts from the moment at which it *saw* the record change, and both by their own monotonic clock. So for the
//! holder the lease ends before it does for any other replica; the times in the record are for people. A machine that is
//! suspended as a whole stops its monotonic clock, but not the wall clock. So the holder has the right to write only while
//! both clocks say so: a wall clock that is set forwards ends it until the next renewal, and one that is set back changes nothing.
//!
//! A change in the account may be sent only if it would end, by its own time limit, before the lease does: see
//! [`Lease::permit`]. What remains is a process that is stopped between that check and the send; the intent that is written
//! before a create, and that only one of two writers can write, is the fence for it.
//!
//! Losing the lease ends the process. A way back from leading to waiting could not be tested completely; a new process is
//! one.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::coordination::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::clock;
use crate::engine::error::chain;
use crate::engine::kind::Permit;

/// The time between the time limit of the last change and the end of the lease.
const MARGIN: Duration = Duration::from_secs(1);

/// How to hold a lease.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The name of this process; it differs between processes, so that none replaces one of the same name that still runs.
    pub identity: String,
    /// How long it is valid without renewal: whole seconds.
    pub duration: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// The time limit of one change in the account.
    pub write_timeout: Duration,
}

impl Settings {
    /// What is wrong with the times together, in the words of the flags. A renewal may fail once, and the lease must still
    /// be longer than the longest change.
    pub fn check(&self) -> Result<(), String> {
        let needed = self.renew * 2 + self.write_timeout + MARGIN;
        if self.duration.subsec_nanos() != 0 || self.duration.is_zero() {
            return Err("--lease-duration must be whole seconds".into());
        }
        if self.renew.is_zero() || self.write_timeout.is_zero() {
            return Err("--lease-renew-interval and --write-timeout must be greater than zero".into());
        }
        if self.duration < needed {
            return Err(format!(
                "--lease-duration ({:?}) must be at least twice --lease-renew-interval ({:?}) plus --write-timeout ({:?}) \
                 plus {MARGIN:?}: lengthen the former or shorten the latter",
                self.duration, self.renew, self.write_timeout
            ));
        }
        Ok(())
    }

    /// How often waiting replicas read the lease, and how soon a failed renewal is retried.
    fn poll(&self) -> Duration {
        self.renew / 5
    }
}

/// Until when a lease is ours.
#[derive(Clone, Copy, Debug)]
struct Until {
    at: Instant,
    /// The same by the wall clock.
    time: Timestamp,
}

impl Until {
    /// Whether that is so much later than now, by both clocks.
    fn outlasts(self, needed: Duration) -> bool {
        let left = Duration::try_from(self.time.duration_since(clock::now())).unwrap_or_default();
        self.at.saturating_duration_since(Instant::now()).min(left) > needed
    }
}

/// The right to act, as one process sees it.
pub struct Lease {
    leases: Api<api::Lease>,
    settings: Settings,
    /// Until when it is ours; `None` when it is not.
    until: Arc<Mutex<Option<Until>>>,
    /// Another replica's record as last read, and when it was first seen so.
    seen: Option<(api::Lease, Instant)>,
    /// Our record as it was last written.
    ours: Option<api::Lease>,
    /// The last write, by the time in it, and when it was sent: it may have succeeded without a response.
    sent: Option<(MicroTime, Instant)>,
}

impl Lease {
    /// A lease that is not held yet.
    pub fn new(client: Client, settings: Settings) -> Lease {
        let leases = Api::namespaced(client, &settings.namespace);
        Lease { leases, settings, until: Arc::default(), seen: None, ours: None, sent: None }
    }

    /// Holds while a change that begins now would end before the lease does.
    pub fn permit(&self) -> Permit {
        let (until, needed) = (self.until.clone(), self.settings.write_timeout + MARGIN);
        Permit::while_valid(move || {
            let until = *until.lock().expect("no panic while held");
            until.is_some_and(|until| until.outlasts(needed))
        })
    }

    /// Waits for the lease, reports that by `leading`, and renews it until it is lost. Returns why it ended, in one line;
    /// never in good order: that is done by dropping the future and [`Lease::release`].
    pub async fn hold(&mut self, leading: oneshot::Sender<()>) -> String {
        if let Err(reason) = self.acquire().await {
            return reason;
        }
        tracing::info!(identity = self.settings.identity, lease = self.shown(), "became leader");
        // The receiver is gone when the process is ending.
        let _ = leading.send(());
        self.renew().await
    }

    /// Releases the lease if it is ours, so that no replica waits for it to expire. To be called when no work is in
    /// progress any more.
    pub async fn release(self) {
        // From here on nothing is sent, whether or not the release succeeds.
        *self.until() = None;
        match self.try_release().await {
            Ok(true) => tracing::info!(lease = self.shown(), "released the lease"),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(lease = self.shown(), error = %chain(&error), "the lease was not released; it will expire")
            }
        }
    }

    async fn try_release(&self) -> kube::Result<bool> {
        // Read again: a renewal that was cut off may have succeeded.
        let record = self.bounded(self.leases.get_opt(&self.settings.name)).await?;
        let Some(mut record) = record.filter(|record| holder(record) == Some(&self.settings.identity)) else {
            return Ok(false);
        };
        let spec = record.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(clock::now()));
        self.bounded(self.leases.replace(&self.settings.name, &PostParams::default(), &record)).await?;
        Ok(true)
    }

    async fn acquire(&mut self) -> Result<(), String> {
        let mut logged = false;
        loop {
            match self.try_acquire().await {
                Ok(true) => return Ok(()),
                Ok(false) => logged = false,
                // A faster replica, a busy server, or one that cannot look up our user, is transient. Every other refusal
                // is final.
                Err(kube::Error::Api(status))
                    if (400..500).contains(&status.code) && ![401, 408, 409, 429].contains(&status.code) =>
                {
                    return Err(format!(
                        "the lease {} cannot be used: {}; grant get, create and update of leases in an existing namespace, \
                         or set --leader-elect=false if this is the only replica",
                        self.shown(),
                        status.message
                    ));
                }
                Err(error) => {
                    if !std::mem::replace(&mut logged, true) {
                        tracing::warn!(
                            lease = self.shown(),
                            error = %chain(&error),
                            "cannot read the lease; retrying"
                        );
                    }
                }
            }
            sleep(self.settings.poll()).await;
        }
    }

    /// One read, and one attempt if the lease is free; returns whether it is ours now.
    async fn try_acquire(&mut self) -> kube::Result<bool> {
        let Some(record) = self.bounded(self.leases.get_opt(&self.settings.name)).await? else {
            // The holder may not know yet that it was deleted.
            if self.seen.as_ref().is_some_and(|(record, since)| !expired(record, *since, Instant::now())) {
                return Ok(false);
            }
            return self.write(None).await;
        };
        let changed =
            self.seen.as_ref().is_none_or(|(seen, _)| seen.resource_version() != record.resource_version());
        if changed {
            if holder(&record) != self.seen.as_ref().and_then(|(seen, _)| holder(seen)) {
                tracing::info!(lease = self.shown(), holder = holder(&record), "waiting for the lease");
            }
            self.seen = Some((record.clone(), Instant::now()));
        }
        let since = self.seen.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        if !expired(&record, since, Instant::now()) {
            return Ok(false);
        }
        self.write(Some(record)).await
    }

    /// Renews until the lease is lost.
    async fn renew(&mut self) -> String {
        loop {
            sleep(self.settings.renew).await;
            while let Err(error) = self.try_renew().await {
                let until = self.until().map_or_else(Instant::now, |until| until.at);
                if let NotRenewed::Taken(by) = &error {
                    *self.until() = None;
                    return format!("lost the lease {} to {by}", self.shown());
                }
                if Instant::now() >= until {
                    return format!("lost the lease {}: it could not be renewed: {error}", self.shown());
                }
                tracing::warn!(lease = self.shown(), %error, "the lease was not renewed; retrying");
                sleep(self.settings.poll()).await;
            }
        }
    }

    async fn try_renew(&mut self) -> Result<(), NotRenewed> {
        let error = match self.write(self.ours.clone()).await {
            Ok(true) => return Ok(()),
            Ok(false) => NotRenewed::Unclear("another client wrote to it".into()),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Err(NotRenewed::Taken("the client that deleted it".into()));
            }
            Err(error) => NotRenewed::Unclear(chain(&error)),
        };
        match self.bounded(self.leases.get_opt(&self.settings.name)).await {
            Ok(Some(record)) if holder(&record) == Some(&self.settings.identity) => {
                // Our own write may have succeeded without a response: it counts like any other.
                let renewed = record.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
                let sent = self.sent.as_ref().filter(|(time, _)| Some(time) == renewed);
                let until = sent.map(|(time, sent)| self.until_after(time, *sent));
                self.ours = Some(record);
                match until.filter(|until| until.at > Instant::now()) {
                    Some(until) => {
                        *self.until() = Some(until);
                        Ok(())
                    }
                    None => Err(error),
                }
            }
            Ok(Some(record)) => {
                Err(NotRenewed::Taken(holder(&record).unwrap_or("a record without a holder").to_owned()))
            }
            Ok(None) => Err(NotRenewed::Taken("the client that deleted it".into())),
            Err(_) => Err(error),
        }
    }

    /// Writes our name over the record as it was read; returns whether no other replica was faster. The time of the send
    /// counts.
    async fn write(&mut self, record: Option<api::Lease>) -> kube::Result<bool> {
        let fresh = record.is_none();
        // In microseconds, as the API server stores it.
        let now = clock::now();
        let now = MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now));
        let record = self.signed(record, now.clone());
        let sent = Instant::now();
        let until = self.until_after(&now, sent);
        self.sent = Some((now, sent));
        let (params, name) = (PostParams::default(), &self.settings.name);
        let written = if fresh {
            self.bounded(self.leases.create(&params, &record)).await
        } else {
            self.bounded(self.leases.replace(name, &params, &record)).await
        };
        match written {
            Ok(record) => {
                self.ours = Some(record);
                *self.until() = Some(until);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Until when the lease is ours by a write that was sent then.
    fn until_after(&self, time: &MicroTime, sent: Instant) -> Until {
        let duration = self.settings.duration;
        Until { at: sent + duration, time: time.0.checked_add(duration).unwrap_or(Timestamp::MAX) }
    }

    /// The record with our name as the holder.
    fn signed(&self, record: Option<api::Lease>, now: MicroTime) -> api::Lease {
        let name = Some(self.settings.name.clone());
        let mut record = record.unwrap_or_else(|| api::Lease {
            metadata: ObjectMeta { name, ..ObjectMeta::default() },
            spec: None,
        });
        let mine = holder(&record) == Some(&self.settings.identity);
        let spec = record.spec.get_or_insert_default();
        if !mine {
            spec.holder_identity = Some(self.settings.identity.clone());
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.map_or(0, |n| n.saturating_add(1)));
        }
        spec.lease_duration_seconds =
            Some(i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX));
        spec.renew_time = Some(now);
        record
    }

    /// A call to the API server that hangs must not use up the lease.
    async fn bounded<T>(&self, call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
        let late =
            || std::io::Error::new(std::io::ErrorKind::TimedOut, "the API server did not answer in time");
        timeout(self.settings.renew, call)
            .await
            .unwrap_or_else(|_| Err(kube::Error::Service(Box::new(late()))))
    }

    fn until(&self) -> MutexGuard<'_, Option<Until>> {
        self.until.lock().expect("no panic while held")
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.name)
    }
}

/// Why a lease was not renewed.
#[derive(Debug)]
enum NotRenewed {
    /// It belongs to another.
    Taken(String),
    /// It may still be ours.
    Unclear(String),
}

impl std::fmt::Display for NotRenewed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotRenewed::Taken(text) | NotRenewed::Unclear(text) => f.write_str(text),
        }
    }
}

/// The holder of the lease by its record.
fn holder(record: &api::Lease) -> Option<&str> {
    record.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Whether the lease has expired, its record being unchanged since `since`.
fn expired(record: &api::Lease, since: Instant, now: Instant) -> bool {
    let seconds = record.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    holder(record).is_none() || now.saturating_duration_since(since) >= duration
}

#[cfg(test)]
mod tests;
