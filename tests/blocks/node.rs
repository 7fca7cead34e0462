//! What a kubelet does for our Deployments: runs a process for each replica, with the arguments, the environment and the
//! ServiceAccount that the Deployment says, again if it does not start, and another one when the Deployment changes.
//!
//! Two flags are other ones: the address of health, as a pod has a network of its own, and leave to talk http to the
//! simulated account on this machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use world::{Cluster, Operator, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_databricks-operator");

/// What runs the pods of a cluster.
pub struct Node {
    /// How often all Deployments were looked at and followed.
    rounds: Arc<AtomicU32>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// The pods of a Deployment, and the Deployment as it was when they were started.
struct Pods {
    deployment: Deployment,
    running: Vec<Operator>,
}

impl Node {
    pub fn start(cluster: Arc<Cluster>, client: Client) -> Node {
        let (stop, stopped) = oneshot::channel();
        let rounds = Arc::new(AtomicU32::new(0));
        let counted = rounds.clone();
        let task = tokio::spawn(async move {
            let mut pods = BTreeMap::new();
            tokio::select! {
                () = work(&cluster, client, &mut pods, &counted) => {}
                _ = stopped => {}
            }
            for (_, pods) in pods {
                end(pods, true).await;
            }
        });
        Node { rounds, stop, task }
    }

    /// Waits until the pods are those of the Deployments as they are now.
    pub async fn settle(&self) {
        let round = || self.rounds.load(Ordering::Relaxed);
        // The one under way may have looked before.
        let enough = round() + 2;
        let settled = eventually("pods are as their Deployments say", Duration::from_secs(60), async || {
            if round() >= enough { Ok(()) } else { Err(format!("round {}", round())) }
        });
        settled.await.unwrap();
    }

    /// Ends all pods in good order. Fails if one did not.
    pub async fn end(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
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
                match pod(cluster, &pods.deployment, pods.running.len()).await {
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

async fn pod(cluster: &Cluster, deployment: &Deployment, number: usize) -> world::Result<Operator> {
    let namespace = deployment.namespace().unwrap();
    let pod = deployment.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    let container = &pod.containers[0];
    let args = container.args.as_ref().unwrap();
    assert_eq!(args[0], "run");
    let mut flags: Vec<String> =
        args[1..].iter().filter(|arg| !arg.starts_with("--health-address=")).cloned().collect();
    flags.push("--allow-insecure-loopback".into());
    let env = container.env.iter().flatten().map(|env| {
        let from = env.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        let value = match from.map(|field| field.field_path.as_str()) {
            Some("metadata.name") => format!("pod-{number}"),
            Some("metadata.namespace") => namespace.clone(),
            _ => env.value.clone().unwrap(),
        };
        (env.name.clone(), value)
    });
    let env: Vec<_> = env.collect();
    let account = pod.service_account_name.as_ref().unwrap();
    let kubeconfig = cluster.control_plane.kubeconfig_for(&namespace, account).map_err(world::Error::new)?;
    Operator::start_with(Path::new(BINARY), &kubeconfig, &cluster.dir, &flags, &env).await
}
