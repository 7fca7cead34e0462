//! What the account has and no Kubernetes object names, counted by kind for a DatabricksAuth whose `spec.reportUnmanaged` asks for it: so
//! that drift beside the manifests is seen. Counts alone: the names of what a person created are not shown to those who read the status.
//!
//! * An object of the cluster names one of the account by the id that it is bound to, whether it manages or observes it, is suspended or is
//!   being deleted; by the id in its annotation or `spec.externalId` until it is bound; or by a create that has begun. All of that is in the
//!   caches. Objects that use another DatabricksAuth for the same account count as well.
//! * The rows are those of the LISTs that the objects share: a kind is listed for its count only if no reading of the last resync interval
//!   exists, and that reading then serves the objects. A kind in the account has one LIST. Of a kind whose objects are under a parent, the
//!   parents are those that bound objects of this DatabricksAuth, which its grants allow there, are under: these are listed anyway, and
//!   another parent would cost a call.
//! * The status is written when a number changes, or why it is not known. A failure keeps the last number. The metric is read from the
//!   status when it is scraped, see `run/census.rs`.
//! * What the operator does not watch, it cannot distinguish from what no object names: then each number says so.
//!
//! Nothing here changes anything in the account, and nothing else depends on a count.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::engine::{Engine, Settings};
use super::subject::Subject;
use crate::clock;
use crate::databricks::Urgency;
use crate::engine::account::{Applicant, Rows, Session, check_power};
use crate::engine::crd::{
    AuthRef, DatabricksAuthSpec, Intent, ObjectName, Reason, Retired, Unmanaged, resync, seconds, shorten,
};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Key, Phase, Power, Reader, Seen};
use crate::engine::memory::{Report, Totals};

/// The longest message of a count.
const LONGEST_MESSAGE: usize = 512;

/// So many rows are judged before others have their turn.
const AT_ONCE: usize = 256;

/// What a DatabricksAuth shows of its counts. Begins a new one if that is due.
pub fn report(
    engine: &Arc<Engine>,
    subject: &mut Subject,
    spec: &DatabricksAuthSpec,
    session: &Arc<Session>,
) -> Result<Vec<Unmanaged>> {
    let kinds: BTreeSet<String> = spec.report_unmanaged.iter().flatten().cloned().collect();
    let (who, counts) = (subject.who.clone(), &engine.memory.unmanaged);
    if kinds.is_empty() {
        counts.forget(&who);
        return Ok(vec![]);
    }
    let report = Report { account_id: spec.account_id.clone(), kinds };
    if !subject.deleting() {
        let interval = resync(None, spec.resync_interval.as_ref(), engine.settings.resync);
        let requested = subject.requested_at(engine);
        let now = Instant::now();
        let recent = interval.and_then(|interval| now.checked_sub(interval)).unwrap_or(now);
        let begin = |begun| {
            let round = Round { who: who.clone(), session: session.clone(), report: report.clone(), begun };
            tokio::spawn(round.run(engine.clone(), requested.unwrap_or(recent))).abort_handle()
        };
        counts.begin_if_due(&who, &report, interval, requested, begin);
        subject.act_in = counts.next_due(&who, interval);
    }
    let status = subject.status()?;
    let same_account = status.external_id.as_ref() == Some(&spec.account_id);
    let before = status.facts.get("unmanaged").filter(|_| same_account);
    let before = before.and_then(|before| Vec::<Unmanaged>::deserialize(before).ok()).unwrap_or_default();
    let totals = counts.totals(&who);
    Ok(shown(&report.kinds, &before, totals.as_ref(), limits(&engine.settings), clock::now()))
}

/// What a number includes besides, if the operator does not watch all objects.
fn limits(settings: &Settings) -> Option<&'static str> {
    let all = settings.namespaces.is_empty() && settings.selector.is_empty();
    (!all).then_some(
        "includes what is managed by objects that this operator does not watch: it was started with --namespaces or --selector",
    )
}

/// The entries of the status, from those `before` and the totals of the last count that ended. The time stays while the number does.
fn shown(
    kinds: &BTreeSet<String>,
    before: &[Unmanaged],
    totals: Option<&Totals>,
    limits: Option<&str>,
    now: Timestamp,
) -> Vec<Unmanaged> {
    let entry = |kind: &String| {
        let known = before.iter().find(|entry| entry.kind == *kind);
        let Some(total) = totals.and_then(|totals| totals.get(kind)) else { return known.cloned() };
        let mut entry = known.cloned().unwrap_or_default();
        entry.kind.clone_from(kind);
        entry.message = match total {
            Ok(count) => {
                if entry.count != Some(*count) {
                    (entry.count, entry.since) = (Some(*count), Some(seconds(now)));
                }
                limits.map(str::to_owned)
            }
            Err(why) => Some(shorten(&format!("not counted: {why}"), LONGEST_MESSAGE)),
        };
        Some(entry)
    };
    kinds.iter().filter_map(entry).collect()
}

/// One count of all kinds of a report.
struct Round {
    /// The DatabricksAuth.
    who: ObjectName,
    session: Arc<Session>,
    report: Report,
    begun: Instant,
}

impl Round {
    /// Counts, by readings that began at `not_before` or later, and triggers a reconcile of the DatabricksAuth if the totals are news.
    async fn run(self, engine: Arc<Engine>, not_before: Instant) {
        let mut totals = Totals::new();
        for kind in &self.report.kinds {
            let total = self.count(&engine, kind, not_before).await;
            totals.insert(kind.clone(), total.map_err(|error| error.to_string()));
        }
        // What was read now may serve objects that wait for their turn.
        self.session.snapshots.take_served().iter().for_each(|who| engine.memory.triggers.trigger(who));
        if engine.memory.unmanaged.end(&self.who, self.begun, totals) {
            engine.memory.triggers.trigger(&self.who);
        }
    }

    /// Counts the objects of one kind.
    async fn count(&self, engine: &Engine, kind: &str, not_before: Instant) -> Result<i64> {
        let driver = engine.driver(kind).filter(|driver| driver.traits().is_counted()).ok_or_else(|| {
            let text = format!("{kind} is no kind that can be counted: remove it from spec.reportUnmanaged");
            Error::terminal(Reason::InvalidSpec, text)
        })?;
        let reader = Reader::new(self.session.client.clone(), Urgency::Routine);
        let (named, mut left) = (self.named(engine, kind), vec![]);
        for within in self.parents(engine, driver, kind).await? {
            // Reconciles wait for these rows meanwhile, so all that takes longer comes later.
            let unnamed = |rows: &Rows<'_>| named.without_its_ids(rows.all());
            left.extend(self.session.snapshots.read(driver, &reader, &within, not_before, unnamed).await?);
        }
        if left.is_empty() {
            return Ok(0);
        }
        // Objects may have named some of them while the account was read.
        let (named, mut count) = (self.named(engine, kind), 0);
        for some in left.chunks(AT_ONCE) {
            for seen in some {
                count += i64::from(named.leaves(driver, seen)?);
            }
            tokio::task::yield_now().await;
        }
        Ok(count)
    }

    /// What the objects of a kind name.
    fn named(&self, engine: &Engine, kind: &str) -> Named {
        let mut named = Named::default();
        for cached in engine.cluster.stores.all(kind) {
            cached.read().into_iter().for_each(|object| named.add(object, &self.report.account_id));
        }
        named
    }

    /// The parents whose objects are counted; an empty one is the account. They come from records of the operator, of objects that the
    /// grants allow there now: no other object may have anything read with these credentials.
    async fn parents(&self, engine: &Engine, driver: &dyn Driver, kind: &str) -> Result<BTreeSet<String>> {
        let traits = driver.traits();
        if !traits.parented {
            return Ok(BTreeSet::from([String::new()]));
        }
        let mut parents = BTreeSet::new();
        for (namespace, (auth, within)) in self.bound(engine, driver, kind) {
            let applicant = Applicant { namespace: &namespace, kind, by_name: traits.granted_by_name };
            let admission = match engine.auths.admit(&auth, applicant, false, true).await {
                Ok(admission) => admission,
                Err(error) if error.reason() == Some(Reason::ReferenceNotPermitted) => continue,
                Err(error) => return Err(error),
            };
            // A grant for some workspaces allows no other parent, whatever it is.
            let allowed =
                |parent: &String| check_power(&admission, &Power::in_workspace(parent), &namespace).is_ok();
            parents.extend(within.into_iter().filter(allowed));
        }
        Ok(parents)
    }

    /// By namespace, the parents that objects of the DatabricksAuth are bound in, and how they refer to it.
    fn bound(
        &self,
        engine: &Engine,
        driver: &dyn Driver,
        kind: &str,
    ) -> BTreeMap<String, (AuthRef, BTreeSet<String>)> {
        let mut bound = BTreeMap::new();
        for cached in engine.cluster.stores.all(kind) {
            let namespace = cached.meta().namespace.clone().unwrap_or_default();
            let Some(Object { spec, status, .. }) = cached.read() else { continue };
            let Some(auth) = spec.auth_ref.filter(|auth| auth.who(&namespace) == self.who) else { continue };
            let id = status.and_then(|status| status.bound_to(&self.report.account_id));
            if let Some(Ok(within)) = id.map(|id| driver.within(&id)) {
                bound.entry(namespace).or_insert_with(|| (auth, BTreeSet::new())).1.insert(within);
            }
        }
        bound
    }
}

/// What is read of the text of an object: decoded as a whole, thousands of them would take long.
#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Asked,
    status: Option<Recorded>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    /// See [`crate::engine::crd::EXTERNAL_ID`].
    #[serde(rename = "databricks-operator.io/external-id")]
    external_id: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Asked {
    auth_ref: Option<AuthRef>,
    external_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct Recorded {
    external: Option<Bound>,
    retired: Option<Value>,
    intent: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bound {
    account_id: Option<String>,
    id: Option<String>,
}

impl Recorded {
    /// The id that an object is bound to in this account.
    fn bound_to(self, account_id: &str) -> Option<String> {
        let external = self.external.filter(|external| external.account_id.as_deref() == Some(account_id));
        external.and_then(|external| external.id)
    }
}

/// What the objects of a kind name in an account.
#[derive(Default)]
struct Named {
    ids: HashSet<String>,
    /// Creates that have begun.
    begun: Vec<Intent>,
}

impl Named {
    /// Adds what an object names.
    fn add(&mut self, object: Object, account_id: &str) {
        let Object { metadata, spec, status } = object;
        let mut status = status.unwrap_or_default();
        if status.external.as_ref().is_none_or(|external| external.id.is_none()) {
            self.ids.extend(metadata.annotations.and_then(|annotations| annotations.external_id));
            self.ids.extend(spec.external_id);
        }
        let intent = status.intent.take().and_then(|intent| Intent::deserialize(intent).ok());
        self.begun.extend(intent.filter(|intent| intent.account_id == account_id));
        let retired = status.retired.take().and_then(|retired| Vec::<Retired>::deserialize(retired).ok());
        if let Some(id) = status.bound_to(account_id) {
            self.ids.insert(id);
            self.ids.extend(retired.into_iter().flatten().map(|retired| retired.id));
        }
    }

    /// The rows whose ids are not named.
    fn without_its_ids<'a>(&self, rows: impl Iterator<Item = &'a Seen>) -> Vec<Seen> {
        rows.filter(|seen| !self.ids.contains(&seen.id)).cloned().collect()
    }

    /// Whether a row is left: it is not named. What is being deleted, or is what a deletion leaves, is as good as gone.
    fn leaves(&self, driver: &dyn Driver, seen: &Seen) -> Result<bool> {
        let gone = matches!(seen.about.phase, Phase::Leaving(_) | Phase::Vacant);
        if gone || self.ids.contains(&seen.id) || driver.left_behind(None, seen)?.is_some() {
            return Ok(false);
        }
        for intent in self.begun.iter().filter(|intent| !intent.before.contains(&seen.id)) {
            let key = Key { within: intent.within.clone(), name: intent.name.clone() };
            if driver.matches(&key, seen)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
