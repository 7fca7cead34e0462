//! What all reconciles share, and the settings. The parts have their own modules; here is what needs several of them, and no
//! object under work.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::DynamicObject;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::outcome::Pace;
use crate::engine::account::{Auths, NamedWatches};
use crate::engine::cluster::Cluster;
use crate::engine::crd::{ObjectName, Summary, summary};
use crate::engine::kind::{Driver, Permit, fact};
use crate::engine::memory::Memory;
use crate::engine::meter::Meter;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often objects are compared with the account if neither they nor their DatabricksAuth say; `None` is never.
    pub resync: Option<Duration>,
    /// How fast to retry.
    pub pace: Pace,
    /// How often Databricks must refuse the same before that is final.
    pub refusal_tries: u32,
    /// For how long Databricks must refuse the same before that is final.
    pub refusal_period: Duration,
    /// After a create with an unknown result: how long until the account certainly shows the created object.
    pub quarantine: Duration,
    /// How long an object must be missing in the account before it counts as deleted.
    pub absence: Duration,
    /// The longest time for which a kind may say that reads lag behind writes.
    pub read_lag: Duration,
    /// How long Databricks may take to create or change something before the object is stalled.
    pub operation: Duration,
    /// Part of the mark on objects in the account; the same after a re-install or a restore.
    pub installation: String,
    /// Watch only these namespaces; empty is all.
    pub namespaces: Vec<String>,
    /// The namespaces whose DatabricksAuths may sign in as the operator's own Google service account; empty is none.
    pub google_identity_namespaces: Vec<String>,
    /// Watch only objects with these labels; empty is all. In the form of `kubectl --selector`.
    pub selector: String,
    /// Reconciles at the same time, for each kind.
    pub concurrency: u16,
    /// Objects of one account that may be deleted within an hour; 0 is any number.
    pub max_deletions_per_hour: u32,
}

/// What all reconciles share. One for the process.
pub struct Engine {
    /// Settings.
    pub settings: Settings,
    /// The API server.
    pub cluster: Cluster,
    /// The Databricks accounts and the credentials for them.
    pub auths: Auths,
    /// What is remembered between reconciles.
    pub memory: Memory,
    /// Where the work is counted.
    pub meter: Arc<Meter>,
    /// Deletions of what was just created for an object that vanished; the end of the process waits for them.
    pub undoing: Undoing,
    permit: Permit,
    secrets: NamedWatches,
    config_maps: NamedWatches,
    kinds: Vec<&'static dyn Driver>,
    /// The facts by which objects refer to others.
    facts: BTreeSet<&'static str>,
}

/// Work that outlives the reconcile that began it.
#[derive(Default)]
pub struct Undoing {
    /// What is under way.
    pub tasks: TaskTracker,
    /// The process is ending.
    pub stop: CancellationToken,
}

impl Engine {
    /// Puts the parts together. `permit` is the right to write, `kinds` are the kinds, `stop` ends the process.
    pub fn new(
        settings: Settings,
        (cluster, auths, memory, meter): (Cluster, Auths, Memory, Arc<Meter>),
        permit: Permit,
        kinds: &[&'static dyn Driver],
        stop: CancellationToken,
    ) -> Engine {
        let facts =
            kinds.iter().flat_map(|driver| driver.traits().references).filter_map(|it| it.fact).collect();
        let undoing = Undoing { tasks: TaskTracker::new(), stop };
        let (kube, triggers) = (cluster.objects.client(), &memory.triggers);
        let secrets = NamedWatches::of::<Secret>(kube.clone(), triggers.clone());
        let config_maps = NamedWatches::of::<ConfigMap>(kube.clone(), triggers.clone());
        let kinds = kinds.to_vec();
        Engine {
            settings,
            cluster,
            auths,
            secrets,
            config_maps,
            memory,
            meter,
            undoing,
            permit,
            kinds,
            facts,
        }
    }

    /// The driver of a kind, if there is such a kind.
    pub fn driver(&self, kind: &str) -> Option<&'static dyn Driver> {
        self.kinds.iter().copied().find(|driver| driver.kind() == kind)
    }

    /// The right to write to an account.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// The Secrets that objects write what the account issues to.
    pub fn secrets(&self) -> &NamedWatches {
        &self.secrets
    }

    /// The ConfigMaps that objects write what other tools need to.
    pub fn config_maps(&self) -> &NamedWatches {
        &self.config_maps
    }

    /// An object is gone: nothing is remembered of it.
    pub fn forget(&self, uid: &str) {
        self.memory.objects.forget(uid);
        self.cluster.objects.forget(uid);
    }

    /// No object has this name any more: none claims anything by it or waits for anything, and nothing that it named is watched.
    pub fn release_name(&self, who: &ObjectName) {
        let memory = &self.memory;
        memory.taken_names.remove(who);
        memory.claims.release(who).iter().for_each(|other| memory.triggers.trigger(other));
        memory.line.leave(who);
        self.secrets.unwatch(who);
        self.config_maps.unwatch(who);
    }

    /// Forgets an object that disappeared during its reconcile. The watch has done so, but not what the reconcile has put into memory or
    /// claimed after that: such a claim would keep others out for as long as the process runs.
    pub fn forget_if_gone(&self, who: &ObjectName, uid: &str) {
        let shown = self.cluster.stores.uid(who);
        if shown.as_deref() != Some(uid) {
            self.forget(uid);
        }
        if shown.is_none() {
            self.release_name(who);
        }
    }

    /// What an object shows to those that refer to it: any change of it triggers a reconcile of them.
    pub fn shown_to_dependents(&self, object: &DynamicObject) -> (Summary, Vec<String>) {
        let facts = self.facts.iter().filter_map(|name| fact(name, &object.data["status"]));
        (summary(object), facts.map(str::to_owned).collect())
    }

    /// Whether objects of a kind determine a whole list of what others manage one by one.
    pub fn has_roster(&self, kind: &str) -> bool {
        self.driver(kind).is_some_and(|driver| driver.traits().roster.is_some())
    }

    /// The mark of a Kubernetes object.
    pub fn mark(&self, who: &ObjectName) -> String {
        format!("{}/{}/{}", self.settings.installation, who.namespace, who.name)
    }

    /// Whether an object still asks for what a reconcile decided: it exists, and neither `suspend` nor `Observe` stops writes. With
    /// `generation`, no later one is known either.
    pub fn still_asks(&self, who: &ObjectName, uid: &str, generation: Option<i64>) -> bool {
        self.cluster.stores.object(who).is_some_and(|object| {
            let (metadata, spec) = (&object.metadata, &object.data["spec"]);
            let later = generation.is_some() && metadata.generation > generation;
            let stopped = spec["suspend"] == true || spec["managementPolicy"] == "Observe";
            metadata.uid.as_deref() == Some(uid) && !later && !stopped
        })
    }

    /// Whether a create or an adoption must wait, as the process has just started.
    pub fn others_unseen(&self, who: &ObjectName, uid: &str) -> bool {
        let uid_of = |who: &ObjectName| self.cluster.stores.uid(who);
        self.memory.barrier.must_wait(who, uid, uid_of)
    }

    /// An object was reconciled since the start, or what it wants is known: after the last one, those that waited for it continue.
    pub fn reconciled(&self, uid: &str) {
        self.memory.barrier.reconciled(uid).iter().for_each(|who| self.memory.triggers.trigger(who));
    }
}
