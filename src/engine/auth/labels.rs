//! The labels of namespaces, for grants by them. While a DatabricksAuth grants by labels, all namespaces are watched, their
//! metadata alone: a label that comes or goes wakes those whom it lets in or shuts out. Where they cannot be watched, the
//! labels are read at each use, and now and then.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, WatchParams};
use kube::core::WatchEvent;
use kube::{Client, ResourceExt};
use tokio::task::JoinHandle;

use crate::engine::cluster::timed;
use crate::engine::error::{Asked, Error, Result, chain};
use crate::engine::wake::{Wake, Who};

/// Labels with their values.
pub type Labels = BTreeMap<String, String>;

/// Between two attempts of the watch. A label has to count within a minute.
const PAUSE: Duration = Duration::from_secs(15);

/// What is known of the labels of namespaces.
pub struct Namespaces {
    kube: Client,
    /// Only chosen namespaces are watched: the operator has no right to look at namespaces themselves.
    chosen: bool,
    shared: Arc<Shared>,
    watch: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    wake: Arc<Wake>,
    /// The DatabricksAuths that grant by labels.
    auths: Mutex<HashSet<Who>>,
    known: Mutex<HashMap<String, Known>>,
}

/// The labels of a namespace.
struct Known {
    /// `None` where they could not be read.
    labels: Option<Labels>,
    /// The watch keeps them up to date.
    watched: bool,
}

impl Namespaces {
    /// Nothing is known yet.
    pub fn new(kube: Client, wake: Arc<Wake>, chosen: bool) -> Namespaces {
        let shared = Shared { wake, auths: Mutex::default(), known: Mutex::default() };
        Namespaces { kube, chosen, shared: Arc::new(shared), watch: Mutex::default() }
    }

    /// The labels of a namespace; `None` where the operator may not read them.
    pub async fn labels(&self, namespace: &str) -> Result<Option<Labels>> {
        if self.chosen {
            return Ok(None);
        }
        if let Some(labels) = self.shared.watched(namespace) {
            return Ok(labels);
        }
        let labels = read(&self.kube, namespace).await?;
        Ok(self.shared.read(namespace, labels))
    }

    /// Why labels cannot be read, and what to write.
    pub fn not_readable(&self) -> &'static str {
        if self.chosen {
            "the DatabricksAuth grants by namespace labels, which the operator may not read because it watches chosen \
             namespaces only: use from: Names"
        } else {
            "the DatabricksAuth grants by namespace labels, which the operator may not read: let it get and watch \
             namespaces, as `databricks-operator rbac` writes, or use from: Names"
        }
    }

    /// Says whether a DatabricksAuth grants by labels.
    pub fn follow(&self, auth: &Who, by_label: bool) {
        let mut auths = self.shared.auths.lock().expect("no panic while held");
        match by_label && !self.chosen {
            true => drop(auths.insert(auth.clone())),
            false => drop(auths.remove(auth)),
        }
        let mut watch = self.watch.lock().expect("no panic while held");
        match (auths.is_empty(), watch.is_some()) {
            (false, false) => *watch = Some(tokio::spawn(follow(self.kube.clone(), self.shared.clone()))),
            (true, true) => {
                watch.take().iter().for_each(JoinHandle::abort);
                self.shared.known.lock().expect("no panic while held").clear();
            }
            _ => {}
        }
    }
}

impl Shared {
    fn watched(&self, namespace: &str) -> Option<Option<Labels>> {
        let known = self.known.lock().expect("no panic while held");
        known.get(namespace).filter(|known| known.watched).map(|known| known.labels.clone())
    }

    /// Keeps what was read, unless the watch has brought something meanwhile, which it also corrects.
    fn read(&self, namespace: &str, labels: Option<Labels>) -> Option<Labels> {
        let mut known = self.known.lock().expect("no panic while held");
        match known.get(namespace).filter(|known| known.watched) {
            Some(newer) => newer.labels.clone(),
            None => {
                known.insert(namespace.to_owned(), Known { labels: labels.clone(), watched: false });
                labels
            }
        }
    }

    /// Wakes those whose admission rested on other labels.
    fn shown(&self, namespace: &str, labels: Option<Labels>, watched: bool) {
        let before = {
            let mut known = self.known.lock().expect("no panic while held");
            known.insert(namespace.to_owned(), Known { labels: labels.clone(), watched })
        };
        if before.is_none_or(|before| before.labels == labels) {
            return;
        }
        for auth in self.auths.lock().expect("no panic while held").iter() {
            let dependents = self.wake.dependents(auth).into_iter();
            dependents.filter(|who| who.namespace == namespace).for_each(|who| self.wake.wake(&who));
        }
    }

    /// The watch is cut: from here on labels are read again.
    fn cut(&self) {
        let mut known = self.known.lock().expect("no panic while held");
        known.values_mut().for_each(|known| known.watched = false);
    }

    /// The namespaces that somebody in them was admitted by, or not.
    fn used(&self) -> BTreeSet<String> {
        let auths = self.auths.lock().expect("no panic while held");
        let dependents = auths.iter().flat_map(|auth| self.wake.dependents(auth));
        dependents.map(|who| who.namespace).collect()
    }
}

/// The labels of a namespace; `None` where the operator may not read them.
async fn read(kube: &Client, namespace: &str) -> Result<Option<Labels>> {
    let api: Api<Namespace> = Api::all(kube.clone());
    let what = format!("the labels of namespace {namespace}");
    match timed(Asked::Read(&what), api.get_metadata_opt(namespace)).await {
        Ok(found) => Ok(Some(found.and_then(|n| n.metadata.labels).unwrap_or_default())),
        Err(Error::Rejected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Watches all namespaces, without an end. A watch from version 0 begins with them as they are, so no list is needed.
async fn follow(kube: Client, shared: Arc<Shared>) {
    let api: Api<Namespace> = Api::all(kube.clone());
    let params = WatchParams::default().timeout(240);
    let mut complained = false;
    loop {
        let ended = async {
            let mut events = std::pin::pin!(api.watch_metadata(&params, "0").await?);
            while let Some(event) = events.try_next().await? {
                match event {
                    WatchEvent::Added(n) | WatchEvent::Modified(n) => {
                        shared.shown(&n.name_any(), Some(n.labels().clone()), true);
                    }
                    WatchEvent::Deleted(n) => {
                        shared.known.lock().expect("no panic while held").remove(&n.name_any());
                    }
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
                }
            }
            Ok(())
        };
        let ended = ended.await;
        shared.cut();
        let failed = ended.is_err();
        match ended {
            Ok(()) => complained = false,
            Err(error) if !std::mem::replace(&mut complained, true) => tracing::warn!(
                error = chain(&error),
                "the labels of namespaces cannot be watched, and are read now and then: let the operator watch namespaces"
            ),
            Err(error) => {
                tracing::debug!(error = chain(&error), "the labels of namespaces cannot be watched")
            }
        }
        tokio::time::sleep(PAUSE).await;
        for namespace in shared.used().into_iter().filter(|_| failed) {
            if let Ok(labels) = read(&kube, &namespace).await {
                shared.shown(&namespace, labels, false);
            }
        }
    }
}
