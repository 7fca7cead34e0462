//! An Application of Argo CD, and everything that it ever said about its objects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use world::eventually;

/// How long a step may take. Argo CD looks every few seconds, waits between waves, and heals ever more slowly.
pub const SOON: Duration = Duration::from_secs(240);

/// What Argo CD says at a time, and what for.
#[derive(Clone, PartialEq, Debug)]
pub struct View {
    /// Of the whole Application: `Synced` and the like, then `Healthy` and the like.
    pub sync: String,
    pub health: String,
    /// Sync, health and message of each object, by kind and name such as `Workspace/analytics`.
    pub objects: BTreeMap<String, (String, String, String)>,
    /// The revision that was compared.
    pub revision: String,
    /// How the last sync went: `Succeeded` and the like, and its message.
    pub operation: (String, String),
    /// What is wrong with the Application itself.
    pub errors: Vec<String>,
}

/// An Application that is watched for as long as this value lives.
pub struct Application {
    pub name: String,
    api: Api<DynamicObject>,
    seen: Arc<Mutex<Vec<View>>>,
    watch: JoinHandle<()>,
}

impl Application {
    /// Creates it.
    pub async fn create(client: &Client, manifest: &Value) -> Application {
        let object = serde_json::from_value(manifest.clone()).unwrap();
        let made = api(client).create(&PostParams::default(), &object).await.unwrap();
        Self::watched(client, made)
    }

    /// One that is there already.
    pub async fn find(client: &Client, name: &str) -> Application {
        Self::watched(client, api(client).get(name).await.unwrap())
    }

    fn watched(client: &Client, now: DynamicObject) -> Application {
        let (api, name) = (api(client), now.metadata.name.clone().unwrap());
        let from = now.metadata.resource_version.clone().unwrap();
        let seen = Arc::new(Mutex::new(vec![view(&json!(now))]));
        let watch = tokio::spawn(follow(api.clone(), name.clone(), from, seen.clone()));
        Application { name, api, seen, watch }
    }

    /// Asks Argo CD to look at Git now, as a webhook of a git server does.
    pub async fn refresh(&self) {
        let patch = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Asks Argo CD to look now, and waits until it has.
    pub async fn looked(&self) {
        self.refresh().await;
        let done = eventually(format!("{} was refreshed", self.name), SOON, async || {
            let annotations = self.api.get(&self.name).await.map_err(|e| e.to_string())?.metadata.annotations;
            match annotations.unwrap_or_default().get("argocd.argoproj.io/refresh") {
                None => Ok(()),
                Some(asked) => Err(asked.clone()),
            }
        });
        done.await.unwrap();
    }

    /// How much was said so far, for [`Application::since`].
    pub fn now(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// All that was said since, with the last before it.
    pub fn since(&self, mark: usize) -> Vec<View> {
        self.seen.lock().unwrap()[mark.saturating_sub(1)..].to_vec()
    }

    /// Waits until what Argo CD says is as `look` wants it.
    pub async fn wait(&self, what: &str, look: impl Fn(&View) -> bool) -> View {
        let found = eventually(format!("{}: {what}", self.name), SOON, async || {
            let last = self.seen.lock().unwrap().last().cloned().expect("it begins with one");
            if look(&last) { Ok(last) } else { Err(format!("{last:#?}")) }
        });
        found.await.unwrap()
    }

    /// Waits until a revision is in the cluster, and everything is Healthy.
    pub async fn wait_synced(&self, revision: &str) -> View {
        self.wait(&format!("Synced to {revision} and Healthy"), |view| {
            view.revision == revision
                && view.sync == "Synced"
                && view.health == "Healthy"
                && view.operation.0 == "Succeeded"
        })
        .await
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn api(client: &Client) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application");
    Api::namespaced_with(client.clone(), "argocd", &ApiResource::from_gvk(&gvk))
}

async fn follow(api: Api<DynamicObject>, name: String, mut from: String, seen: Arc<Mutex<Vec<View>>>) {
    let only = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(290);
    loop {
        let mut events = api.watch(&only, &from).await.unwrap().boxed();
        while let Some(event) = events.next().await {
            let object = match event.unwrap() {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => object,
                WatchEvent::Deleted(_) => return,
                WatchEvent::Bookmark(_) => continue,
                WatchEvent::Error(error) => panic!("the watch of {name} was cut: {error:?}"),
            };
            from = object.metadata.resource_version.clone().unwrap();
            let view = view(&json!(object));
            let mut seen = seen.lock().unwrap();
            if seen.last() != Some(&view) {
                seen.push(view);
            }
        }
    }
}

fn view(application: &Value) -> View {
    let status = &application["status"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = |object: &Value| {
        let name = format!("{}/{}", text(&object["kind"]), text(&object["name"]));
        let health = &object["health"];
        (name, (text(&object["status"]), text(&health["status"]), text(&health["message"])))
    };
    View {
        sync: text(&status["sync"]["status"]),
        health: text(&status["health"]["status"]),
        objects: status["resources"].as_array().into_iter().flatten().map(object).collect(),
        revision: text(&status["sync"]["revision"]),
        errors: status["conditions"].as_array().into_iter().flatten().map(|c| text(&c["message"])).collect(),
        operation: (text(&status["operationState"]["phase"]), text(&status["operationState"]["message"])),
    }
}
