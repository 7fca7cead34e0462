//! What a kubelet does for our Deployments: runs a process for each replica, again if it does not start, and another one when
//! the Deployment changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::time::sleep;
use world::{Cluster, Operator, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");

/// What runs the pods of a cluster.
pub struct Node {
    /// How often all Deployments were looked at and followed.
    rounds: Arc<AtomicU32>,
    stop: oneshot::Sender<()>,
    /// With a runtime of its own, as it goes on while a test waits for a shell.
    thread: JoinHandle<()>,
}

/// The pods of a Deployment, and the Deployment as it was when they were started.
struct Pods {
    deployment: Deployment,
    running: Vec<Operator>,
}

impl Node {
    pub fn start(cluster: Arc<Cluster>) -> Node {
        let (stop, stopped) = oneshot::channel();
        let rounds = Arc::new(AtomicU32::new(0));
        let counted = rounds.clone();
        let thread = thread::spawn(|| {
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(live(cluster, counted, stopped));
        });
        Node { rounds, stop, thread }
    }

    /// Waits until the pods are those of the Deployments as they are now.
    pub async fn settle(&self) {
        let round = || self.rounds.load(Ordering::Relaxed);
        // The one under way may have looked before.
        let enough = round() + 2;
        let settled = eventually("pods are as their Deployments say", Duration::from_secs(300), async || {
            if round() >= enough { Ok(()) } else { Err(format!("round {}", round())) }
        });
        settled.await.unwrap();
    }

    /// Ends all pods in good order. Fails if one did not.
    pub async fn end(self) {
        self.stop.send(()).unwrap();
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
    }
}

async fn live(cluster: Arc<Cluster>, rounds: Arc<AtomicU32>, stopped: oneshot::Receiver<()>) {
    let client = cluster.client().await.unwrap();
    let mut pods = BTreeMap::new();
    tokio::select! {
        () = work(&cluster, client, &mut pods, &rounds) => {}
        _ = stopped => {}
    }
    for (_, pods) in pods {
        end(pods, true).await;
    }
}

async fn work(cluster: &Cluster, client: Client, pods: &mut BTreeMap<String, Pods>, rounds: &AtomicU32) {
    let api: Api<Deployment> = Api::all(client);
    let ours = ListParams::default().labels("app.kubernetes.io/name=databricks-operator");
    loop {
        // The API server may be gone at the end of a test that failed, which says why itself.
        let Ok(wanted) = api.list(&ours).await else { return };
        let wanted: BTreeMap<String, Deployment> = wanted
            .items
            .into_iter()
            .map(|d| (format!("{}/{}", d.namespace().unwrap(), d.name_any()), d))
            .collect();
        let outdated: Vec<String> = pods
            .iter()
            .filter(|(name, pods)| wanted.get(*name).is_none_or(|wanted| wanted.spec != pods.deployment.spec))
            .map(|(name, _)| name.clone())
            .collect();
        for name in outdated {
            // With its Deployment, its Lease and its rights may be gone: it cannot end well then.
            let kept = wanted.contains_key(&name);
            end(pods.remove(&name).unwrap(), kept).await;
        }
        for (name, deployment) in wanted {
            let replicas = deployment.spec.as_ref().unwrap().replicas.unwrap();
            let pods = pods.entry(name).or_insert_with(|| Pods { deployment, running: vec![] });
            while pods.running.len() < usize::try_from(replicas).unwrap() {
                let name = format!("pod-{}", pods.running.len());
                match Operator::start_pod(Path::new(BINARY), cluster, &pods.deployment, &name).await {
                    Ok(operator) => pods.running.push(operator),
                    // As in a pod that is started again: a right or a CRD may be there in a moment.
                    Err(error) => {
                        eprintln!("blocks: a pod ended: {error}");
                        break;
                    }
                }
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(300)).await;
    }
}

async fn end(pods: Pods, well: bool) {
    for operator in pods.running {
        let status = operator.terminate().await.unwrap();
        assert!(status.success() || !well, "a pod ended with {status}");
    }
}
