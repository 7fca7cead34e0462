//! Leadership: of several replicas one acts, the one that holds a Lease of the API server.
//!
//! Nobody compares clocks. Whoever holds the lease counts from the moment at which its last good renewal was *sent*;
//! whoever waits counts from the moment at which it *saw* the record change, and both by their own monotonic clock. So the
//! holder thinks it ends before anybody else thinks so; the times in the record are for people. (A machine that is suspended
//! as a whole stops its clocks: what such a process sends when it wakes up is late, as with one that was frozen.)
//!
//! A change in the account may be sent only while it would be over, by its own time limit, before the lease is: see
//! [`Lease::permit`]. What remains is a process that is stopped between that question and the send; the intent that is
//! written before a create, and that only one of two writers can write, is the fence for it.
//!
//! Losing the lease ends the process. There is no way back from leading to waiting that could be tested to the end; a new
//! process is one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::coordination::v1 as api;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::access::Permit;

/// What is left between the end of the last change's time limit and the end of the lease.
const MARGIN: Duration = Duration::from_secs(1);

/// How to hold a lease.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who we are; differs between processes, so that no process takes over from one of the same name that still runs.
    pub identity: String,
    /// How long it is held without renewal: whole seconds.
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

    /// How often those who wait look, and how soon a failed renewal is tried again.
    fn poll(&self) -> Duration {
        self.renew / 5
    }
}

/// The right to act, as one process sees it.
pub struct Lease {
    leases: Api<api::Lease>,
    settings: Settings,
    /// Until when it is ours; `None` when it is not.
    until: Arc<Mutex<Option<Instant>>>,
    /// What somebody else's record looked like, and when it was first seen so.
    seen: Option<(api::Lease, Instant)>,
    /// Our record as it was last written.
    ours: Option<api::Lease>,
}

impl Lease {
    /// A lease that is not held yet.
    pub fn new(client: Client, settings: Settings) -> Lease {
        let leases = Api::namespaced(client, &settings.namespace);
        Lease { leases, settings, until: Arc::default(), seen: None, ours: None }
    }

    /// Holds while a change that begins now is over before the lease is.
    pub fn permit(&self) -> Permit {
        let (until, needed) = (self.until.clone(), self.settings.write_timeout + MARGIN);
        Permit::while_valid(move || {
            let until = *until.lock().expect("no panic while held");
            until.is_some_and(|until| until.saturating_duration_since(Instant::now()) > needed)
        })
    }

    /// Waits for the lease, says so by `leading`, and renews it until it is lost. Returns why it ended, in one line; never
    /// in good order: that is what dropping the future and [`Lease::release`] are for.
    pub async fn hold(&mut self, leading: oneshot::Sender<()>) -> String {
        if let Err(reason) = self.acquire().await {
            return reason;
        }
        tracing::info!(identity = self.settings.identity, lease = self.shown(), "leads");
        // Nobody listens any more when the process is ending.
        let _ = leading.send(());
        self.renew().await
    }

    /// Gives it back if it is ours, so that nobody has to wait for its end. To be called when nothing is under way any more.
    pub async fn release(self) {
        // From here on nothing is sent, whatever becomes of the release.
        *self.until.lock().expect("no panic while held") = None;
        match self.try_release().await {
            Ok(true) => tracing::info!(lease = self.shown(), "released"),
            Ok(false) => {}
            Err(error) => tracing::warn!(lease = self.shown(), %error, "not released; it will run out"),
        }
    }

    async fn try_release(&self) -> kube::Result<bool> {
        // Read again: a renewal that was cut off may have been made.
        let record = self.bounded(self.leases.get_opt(&self.settings.name)).await?;
        let Some(mut record) = record.filter(|record| holder(record) == Some(&self.settings.identity)) else {
            return Ok(false);
        };
        let spec = record.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        self.bounded(self.leases.replace(&self.settings.name, &PostParams::default(), &record)).await?;
        Ok(true)
    }

    async fn acquire(&mut self) -> Result<(), String> {
        let mut complained = false;
        loop {
            match self.try_acquire().await {
                Ok(true) => return Ok(()),
                Ok(false) => complained = false,
                Err(kube::Error::Api(status)) if status.is_forbidden() || status.is_not_found() => {
                    return Err(format!(
                        "the lease {} cannot be used: {}; grant get, create and update of leases in an existing namespace, \
                         or say --leader-elect=false if this is the only replica",
                        self.shown(),
                        status.message
                    ));
                }
                Err(error) => {
                    if !std::mem::replace(&mut complained, true) {
                        tracing::warn!(lease = self.shown(), %error, "the lease cannot be looked at; trying on");
                    }
                }
            }
            sleep(self.settings.poll()).await;
        }
    }

    /// One look, and one attempt if it is free; whether it is ours now.
    async fn try_acquire(&mut self) -> kube::Result<bool> {
        let Some(record) = self.bounded(self.leases.get_opt(&self.settings.name)).await? else {
            // Whoever held it may not know yet that it was deleted.
            if self.seen.as_ref().is_some_and(|(record, since)| !over(record, *since, Instant::now())) {
                return Ok(false);
            }
            return self.write(None).await;
        };
        let changed =
            self.seen.as_ref().is_none_or(|(seen, _)| seen.resource_version() != record.resource_version());
        if changed {
            if holder(&record) != self.seen.as_ref().and_then(|(seen, _)| holder(seen)) {
                tracing::info!(lease = self.shown(), holder = holder(&record), "waits for the lease");
            }
            self.seen = Some((record.clone(), Instant::now()));
        }
        let since = self.seen.as_ref().map_or_else(Instant::now, |(_, since)| *since);
        if !over(&record, since, Instant::now()) {
            return Ok(false);
        }
        self.write(Some(record)).await
    }

    /// Renews until the lease is lost.
    async fn renew(&mut self) -> String {
        loop {
            sleep(self.settings.renew).await;
            while let Err(error) = self.try_renew().await {
                let until = self.until.lock().expect("no panic while held").unwrap_or_else(Instant::now);
                if let Lost::Taken(by) = &error {
                    *self.until.lock().expect("no panic while held") = None;
                    return format!("lost the lease {} to {by}", self.shown());
                }
                if Instant::now() >= until {
                    return format!("lost the lease {}: it could not be renewed: {error}", self.shown());
                }
                tracing::warn!(lease = self.shown(), %error, "the lease was not renewed; trying again");
                sleep(self.settings.poll()).await;
            }
        }
    }

    async fn try_renew(&mut self) -> Result<(), Lost> {
        let error = match self.write(self.ours.clone()).await {
            Ok(true) => return Ok(()),
            Ok(false) => Lost::Unclear("somebody else wrote to it".into()),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Err(Lost::Taken("whoever deleted it".into()));
            }
            Err(error) => Lost::Unclear(error.to_string()),
        };
        // Our own write may have been made although we were not told.
        match self.bounded(self.leases.get_opt(&self.settings.name)).await {
            Ok(Some(record)) if holder(&record) == Some(&self.settings.identity) => {
                self.ours = Some(record);
                Err(error)
            }
            Ok(Some(record)) => Err(Lost::Taken(holder(&record).unwrap_or("nobody").to_owned())),
            Ok(None) => Err(Lost::Taken("whoever deleted it".into())),
            Err(_) => Err(error),
        }
    }

    /// Writes our name over the record it was read as; whether nobody else was faster. What counts is when this was sent.
    async fn write(&mut self, record: Option<api::Lease>) -> kube::Result<bool> {
        let fresh = record.is_none();
        let record = self.signed(record);
        let sent = Instant::now();
        let (params, name) = (PostParams::default(), &self.settings.name);
        let written = if fresh {
            self.bounded(self.leases.create(&params, &record)).await
        } else {
            self.bounded(self.leases.replace(name, &params, &record)).await
        };
        match written {
            Ok(record) => {
                self.ours = Some(record);
                *self.until.lock().expect("no panic while held") = Some(sent + self.settings.duration);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The record as it says that we hold the lease.
    fn signed(&self, record: Option<api::Lease>) -> api::Lease {
        let name = Some(self.settings.name.clone());
        let mut record = record.unwrap_or_else(|| api::Lease {
            metadata: ObjectMeta { name, ..ObjectMeta::default() },
            spec: None,
        });
        let now = MicroTime(Timestamp::now());
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

    fn shown(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.name)
    }
}

/// Why a lease was not renewed.
#[derive(Debug)]
enum Lost {
    /// It belongs to another.
    Taken(String),
    /// It may still be ours.
    Unclear(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lost::Taken(text) | Lost::Unclear(text) => f.write_str(text),
        }
    }
}

/// Who holds the lease by its record.
fn holder(record: &api::Lease) -> Option<&str> {
    record.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// Whether nobody can think that he holds the lease whose record has looked like this `since` then.
fn over(record: &api::Lease, since: Instant, now: Instant) -> bool {
    let seconds = record.spec.as_ref().and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    holder(record).is_none() || now.saturating_duration_since(since) >= duration
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(duration: u64, renew: u64, write: u64) -> Settings {
        Settings {
            namespace: "ns".into(),
            name: "lease".into(),
            identity: "me".into(),
            duration: Duration::from_secs(duration),
            renew: Duration::from_secs(renew),
            write_timeout: Duration::from_secs(write),
        }
    }

    #[test]
    fn times_that_contradict_each_other_are_refused_by_their_names() {
        assert_eq!(settings(30, 5, 10).check(), Ok(()));
        assert_eq!(settings(21, 5, 10).check(), Ok(()));
        for (bad, says) in [
            (settings(20, 5, 10), "at least twice --lease-renew-interval"),
            (settings(30, 0, 10), "--lease-renew-interval"),
            (settings(30, 5, 0), "--write-timeout"),
            (Settings { duration: Duration::from_millis(30_500), ..settings(0, 5, 10) }, "whole seconds"),
            (settings(0, 5, 10), "whole seconds"),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_record_is_over_when_it_was_seen_unchanged_for_its_own_duration() {
        let record = |holder: Option<&str>, seconds| api::Lease {
            metadata: ObjectMeta::default(),
            spec: Some(api::LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                lease_duration_seconds: seconds,
                // Whatever the holder's clock says.
                renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
                ..api::LeaseSpec::default()
            }),
        };
        let since = Instant::now();
        let after = |seconds| since + Duration::from_secs(seconds);
        assert!(!over(&record(Some("a"), Some(30)), since, after(29)));
        assert!(over(&record(Some("a"), Some(30)), since, after(30)));
        // Ours may be shorter: theirs counts.
        assert!(!over(&record(Some("a"), Some(300)), since, after(299)));
        assert!(over(&record(Some(""), Some(30)), since, after(0)));
        assert!(over(&record(None, Some(30)), since, after(0)));
        assert!(over(&api::Lease::default(), since, after(0)));
    }
}
