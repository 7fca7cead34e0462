//! The labels of namespaces, for grants by them. They are read at each use. While a DatabricksAuth grants by labels, those
//! that an admission rested on are also read periodically, and objects whose admission changes are reconciled. A watch
//! would be faster, but it needs the right to see all namespaces of the cluster; this needs no right beyond that of the
//! admission.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, GetParams};
use tokio::task::JoinHandle;

use crate::engine::cluster::timed;
use crate::engine::crd::ObjectName;
use crate::engine::error::{Asked, Error, Result};
use crate::engine::memory::Triggers;

/// Labels with their values.
type Labels = BTreeMap<String, String>;

/// How often the labels are read. A change of a label takes effect within a minute, even if one reading fails.
const READ_INTERVAL: Duration = Duration::from_secs(15);

/// What is known of the labels of namespaces.
pub struct NamespaceLabels {
    /// Only chosen namespaces are watched: the operator has no right to read namespaces themselves.
    chosen: bool,
    shared: Arc<Shared>,
    reading: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    kube: Client,
    triggers: Arc<Triggers>,
    /// The DatabricksAuths that grant by labels.
    auths: Mutex<HashSet<ObjectName>>,
    /// What admissions rested on; `None` if the labels could not be read.
    used: Mutex<HashMap<String, Option<Labels>>>,
}

impl NamespaceLabels {
    /// Nothing is known yet.
    pub fn new(kube: Client, triggers: Arc<Triggers>, chosen: bool) -> NamespaceLabels {
        let shared = Shared { kube, triggers, auths: Mutex::default(), used: Mutex::default() };
        NamespaceLabels { chosen, shared: Arc::new(shared), reading: Mutex::default() }
    }

    /// The labels of a namespace; `None` if the operator may not read them.
    pub async fn labels(&self, namespace: &str) -> Result<Option<Labels>> {
        if self.chosen {
            return Ok(None);
        }
        let labels = self.shared.read(namespace, &GetParams::default()).await?;
        self.shared.used.lock().expect("no panic while held").insert(namespace.to_owned(), labels.clone());
        Ok(labels)
    }

    /// Why labels cannot be read, and what to write.
    pub fn not_readable(&self) -> &'static str {
        if self.chosen {
            "the DatabricksAuth grants by namespace labels, which the operator may not read because it watches chosen \
             namespaces only: use from: Names"
        } else {
            "the DatabricksAuth grants by namespace labels, which the operator may not read: let it get namespaces, as \
             `databricks-operator rbac` writes, or use from: Names"
        }
    }

    /// A DatabricksAuth is gone.
    pub fn unfollow(&self, auth: &ObjectName) {
        self.follow(auth, false);
    }

    /// Records whether a DatabricksAuth grants by labels.
    pub fn follow(&self, auth: &ObjectName, by_label: bool) {
        let mut auths = self.shared.auths.lock().expect("no panic while held");
        match by_label && !self.chosen {
            true => drop(auths.insert(auth.clone())),
            false => drop(auths.remove(auth)),
        }
        let mut reading = self.reading.lock().expect("no panic while held");
        match (auths.is_empty(), reading.is_some()) {
            (false, false) => *reading = Some(tokio::spawn(follow(self.shared.clone()))),
            (true, true) => reading.take().iter().for_each(JoinHandle::abort),
            _ => {}
        }
    }
}

impl Shared {
    async fn read(&self, namespace: &str, how: &GetParams) -> Result<Option<Labels>> {
        let api: Api<Namespace> = Api::all(self.kube.clone());
        let what = format!("the labels of namespace {namespace}");
        match timed(Asked::Read(&what), api.get_metadata_with(namespace, how)).await {
            Ok(found) => Ok(Some(found.metadata.labels.unwrap_or_default())),
            Err(Error::Rejected { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The users of credentials that are granted by labels.
    fn dependents(&self) -> Vec<ObjectName> {
        let auths = self.auths.lock().expect("no panic while held");
        auths.iter().flat_map(|auth| self.triggers.dependents(auth)).collect()
    }
}

/// Reads the labels of these namespaces periodically, and reconciles the objects whose admission rested on others.
async fn follow(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(READ_INTERVAL).await;
        let dependents = shared.dependents();
        let namespaces: BTreeSet<&str> = dependents.iter().map(|who| who.namespace.as_str()).collect();
        shared.used.lock().expect("no panic while held").retain(|one, _| namespaces.contains(one.as_str()));
        for namespace in namespaces {
            // From the API server's memory, which costs it next to nothing.
            let Ok(now) = shared.read(namespace, &GetParams::any()).await else { continue };
            let rested = shared.used.lock().expect("no panic while held").get(namespace).cloned();
            if rested.is_some_and(|labels| labels != now) {
                let there = dependents.iter().filter(|who| who.namespace == namespace);
                there.for_each(|who| shared.triggers.trigger(who));
            }
        }
    }
}
