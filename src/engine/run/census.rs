//! Gauges computed from the caches at scrape time: the conditions of the objects, what waits for a reconcile, which watches
//! fail, when tokens end. Nothing here can run out of step with what it reports.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::SystemTime;

use k8s_openapi::jiff::Timestamp;
use kube::Resource;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;
use serde::Deserialize;

use super::longest::{self, Longest};
use crate::clock;
use crate::engine::cluster::Cached;
use crate::engine::crd::{AUTH_KIND, ConditionType, Conditions, External, Unmanaged};
use crate::engine::meter::{Meter, gauge};
use crate::engine::pass::Engine;

/// How often each condition of a kind has each status.
#[derive(Default)]
struct Statuses([[u64; 3]; ConditionType::ALL.len()]);

const STATUSES: [&str; 3] = ["True", "False", "Unknown"];

impl Statuses {
    /// A missing condition counts too, so that the three sum up to the number of objects: as False if it exists only while
    /// it is true, as Unknown if the object was not reconciled yet.
    fn add(&mut self, conditions: &Conditions) {
        for (at, kind) in ConditionType::ALL.into_iter().enumerate() {
            let missing = if kind.always_there() { "Unknown" } else { "False" };
            let status = conditions.get(kind).map_or(missing, |found| &*found.status);
            let which = STATUSES.iter().position(|known| *known == status).unwrap_or(2);
            self.0[at][which] += 1;
        }
    }
}

/// Gauges computed from the caches at scrape time. One for the process; also before there is an engine.
#[derive(Debug)]
pub struct Census {
    meter: Arc<Meter>,
    engine: OnceLock<Weak<Engine>>,
}

impl Census {
    /// Adds the gauges to a registry.
    pub fn register(registry: &mut Registry, meter: Arc<Meter>) -> Arc<Census> {
        let census = Arc::new(Census { meter, engine: OnceLock::new() });
        registry.register_collector(Box::new(census.clone()));
        census
    }

    /// From now on a scrape reads the caches of this engine.
    pub fn attach(&self, engine: &Arc<Engine>) {
        // There is one engine in a process; a second would be ignored.
        let _ = self.engine.set(Arc::downgrade(engine));
    }
}

/// One walk over the objects of a kind.
fn count(engine: &Engine, kind: &str, now: Timestamp) -> Counts {
    let mut counts = Counts::default();
    for object in engine.cluster.stores.all(kind) {
        let conditions = object.read().unwrap_or_default();
        counts.statuses.add(&conditions);
        counts.longest.add(object.meta().creation_timestamp.as_ref(), &conditions, now);
    }
    counts
}

/// How the objects of a kind are.
#[derive(Default)]
struct Counts {
    statuses: Statuses,
    longest: Longest,
}

impl Collector for Census {
    fn encode(&self, mut to: DescriptorEncoder) -> fmt::Result {
        let engine = self.engine.get().and_then(Weak::upgrade);
        let engine = engine.as_deref();
        let now = clock::now();
        let count = |kind| engine.map(|engine| count(engine, kind, now)).unwrap_or_default();
        let kinds: Vec<_> = self.meter.kinds().map(|(kind, _)| (kind, count(kind))).collect();
        resources(&kinds, &mut to)?;
        let all: Vec<_> = kinds.iter().map(|(kind, counts)| (*kind, &counts.longest)).collect();
        longest::encode(&all, &mut to)?;
        queues(&self.meter, engine, &mut to)?;
        let auths = engine.into_iter().flat_map(|engine| engine.cluster.stores.all(AUTH_KIND));
        let unmanaged = unmanaged(auths);
        let help = "Objects in the accounts that no Kubernetes object manages or observes, by kind, from status.unmanaged of each \
                    Ready DatabricksAuth with reportUnmanaged; if several report one account, the highest number counts. \
                    Missing for a kind that is not counted";
        let mut counts = gauge(&mut to, "unmanaged_objects", help)?;
        for (kind, _) in self.meter.kinds() {
            if let Some(count) = unmanaged.get(kind) {
                counts.encode_family(&[("kind", kind)])?.encode_gauge(count)?;
            }
        }
        let help = "When the first of the tokens in use expires; missing if the operator has none";
        let mut expiry = gauge(&mut to, "auth_token_expiry_timestamp_seconds", help)?;
        let ends = engine.and_then(|engine| engine.auths.token_expiry());
        if let Some(since_epoch) = ends.and_then(|ends| ends.duration_since(SystemTime::UNIX_EPOCH).ok()) {
            expiry.encode_gauge(&since_epoch.as_secs_f64().round())?;
        }
        let help = "Accounts in which the operator deletes nothing more, because they reached the limit of deletions per hour";
        let stopped = engine.map_or(0, |engine| engine.memory.breaker.tripped());
        gauge(&mut to, "mass_deletion_stopped", help)?.encode_gauge(&stopped)?;
        let leads = engine.is_some_and(|engine| engine.permit().holds());
        let help = "1 while this process holds the lease and acts, else 0";
        gauge(&mut to, "leader", help)?.encode_gauge(&u64::from(leads))
    }
}

/// What is read of a DatabricksAuth: its account, and what no object of the cluster manages there.
#[derive(Deserialize)]
struct Auth {
    status: Shown,
}

#[derive(Deserialize)]
struct Shown {
    external: External,
    #[serde(default)]
    unmanaged: Vec<Unmanaged>,
}

/// How many objects of each kind no object names, in all accounts, as DatabricksAuths that are Ready show them.
fn unmanaged(auths: impl Iterator<Item = Arc<Cached>>) -> BTreeMap<String, i64> {
    let is_ready = |auth: &Arc<Cached>| {
        auth.read::<Conditions>().is_some_and(|conditions| conditions.is_true(ConditionType::Ready))
    };
    let mut by_account = BTreeMap::<(String, String), i64>::new();
    for Auth { status } in auths.filter(is_ready).filter_map(|auth| auth.read::<Auth>()) {
        for entry in status.unmanaged {
            let Some(count) = entry.count else { continue };
            let highest = by_account.entry((entry.kind, status.external.account_id.clone())).or_default();
            *highest = count.max(*highest);
        }
    }
    let mut all = BTreeMap::new();
    for ((kind, _), count) in by_account {
        *all.entry(kind).or_default() += count;
    }
    all
}

fn resources(kinds: &[(&str, Counts)], to: &mut DescriptorEncoder) -> fmt::Result {
    let help = "Objects in the cluster, by kind and by the status of each condition. A condition that an object does not have \
                counts as False if it is only present while True, otherwise as Unknown";
    let mut to = gauge(to, "resources", help)?;
    for (kind, of_kind) in kinds {
        for (condition, counts) in ConditionType::ALL.into_iter().zip(of_kind.statuses.0) {
            for (status, count) in STATUSES.into_iter().zip(counts) {
                let labels = [("kind", *kind), ("condition", condition.name()), ("status", status)];
                to.encode_family(&labels)?.encode_gauge(&count)?;
            }
        }
    }
    Ok(())
}

fn queues(meter: &Meter, engine: Option<&Engine>, to: &mut DescriptorEncoder) -> fmt::Result {
    let began = engine.and_then(|engine| engine.memory.barrier.began());
    let all: Vec<_> = meter.kinds().map(|(kind, of)| ([("kind", kind)], of.queue.depth(began))).collect();
    let help = "Objects that were changed or triggered and wait for their reconcile";
    let mut depth = gauge(to, "workqueue_depth", help)?;
    for (kind, (waiting, _)) in &all {
        depth.encode_family(kind)?.encode_gauge(waiting)?;
    }
    let mut oldest = gauge(
        to,
        "workqueue_oldest_seconds",
        "For how long the object at the head of the queue has been waiting",
    )?;
    for (kind, (_, longest)) in &all {
        oldest.encode_family(kind)?.encode_gauge(&longest.as_secs_f64())?;
    }
    let help = "For how long, at least, the watch on the API server has been failing; 0 when it works";
    let mut failing = gauge(to, "watch_failing_seconds", help)?;
    for (kind, of) in meter.kinds() {
        failing.encode_family(&[("kind", kind)])?.encode_gauge(&of.queue.failing_for().as_secs_f64())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_statuses_of_a_condition_sum_up_to_the_objects() {
        let mut all = Statuses::default();
        let mut add = |conditions: serde_json::Value| {
            let text = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}}).to_string();
            all.add(&serde_json::from_str(&text).unwrap());
        };
        add(json!([]));
        add(json!([{"type": "Ready", "status": "True"}, {"type": "Other", "status": "True"}]));
        add(json!([{"type": "Ready", "status": "odd"}, {"type": "Stalled", "status": "True"}]));
        let of = |kind: ConditionType| all.0[ConditionType::ALL.iter().position(|k| *k == kind).unwrap()];
        assert_eq!(of(ConditionType::Ready), [1, 0, 2]);
        assert_eq!(of(ConditionType::Synced), [0, 0, 3]);
        assert_eq!(of(ConditionType::Stalled), [1, 2, 0]);
        assert!(all.0.iter().all(|counts| counts.iter().sum::<u64>() == 3));
    }

    /// Covers OB-06.
    #[test]
    fn what_several_databricks_auths_show_of_one_account_is_counted_once() {
        let auth = |account: &str, ready: &str, counts: &[(&str, Option<i64>)]| {
            let entries: Vec<_> =
                counts.iter().map(|(kind, count)| json!({"kind": kind, "count": count})).collect();
            let status = json!({
                "external": {"accountId": account, "id": account}, "unmanaged": entries,
                "conditions": [{"type": "Ready", "status": ready}],
            });
            let object = json!({"metadata": {"name": "a"}, "status": status});
            Arc::new(serde_json::from_value::<Cached>(object).unwrap())
        };
        let auths = [
            auth("a", "True", &[("Group", Some(2)), ("User", Some(0))]),
            auth("a", "True", &[("Group", Some(3)), ("Workspace", None)]),
            auth("b", "True", &[("Group", Some(4))]),
            auth("c", "False", &[("Group", Some(100)), ("Budget", Some(1))]),
        ];
        let expected = [("Group".to_owned(), 7), ("User".to_owned(), 0)];
        assert_eq!(unmanaged(auths.into_iter()), BTreeMap::from(expected));
        assert_eq!(unmanaged(std::iter::empty()), BTreeMap::new(), "no number where nothing is counted");
    }
}
