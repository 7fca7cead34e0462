//! An example of `config/examples` as a user applies it: the manifests that its kustomization names, each as it is on disk but for the
//! account of its DatabricksAuth. What happens to them is in `story`.
//!
//! Only a kustomization that does nothing but name files can be read here. The stories of `tests/stories/examples.rs` render all of them
//! with kubectl.

use std::path::Path;
use std::sync::OnceLock;

use apiserver::ApiServer;
use databricks_operator::engine::crd::{AUTH_KIND, DatabricksAuth};
use kube::core::ApiResource;
use serde_json::{Value, json};
use simulator::Simulator;

use crate::parts::{self, Part};
use crate::referents::driver_of;
use crate::{account, world};

/// The kind among whose stories it is: all of the example is about one object of it.
pub const KIND: &str = "Workspace";
/// The largest one.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/examples/aws-privatelink");

/// The fields of a kustomization that names files.
const NAMES_FILES: [&str; 3] = ["apiVersion", "kind", "resources"];

/// The manifests, with this account in its DatabricksAuth.
pub fn manifests(account: &Simulator) -> Vec<Value> {
    let mut all = on_disk().to_vec();
    for manifest in &mut all {
        manifest["metadata"]["namespace"] = json!("default");
        if manifest["kind"] == AUTH_KIND {
            manifest["spec"]["accountId"] = json!(account::ACCOUNT);
            manifest["spec"]["clientId"] = json!(account::CLIENT);
            manifest["spec"]["host"] = json!(account.url());
        }
    }
    all
}

/// The type of a manifest's object, and its name.
pub fn called(manifest: &Value) -> (ApiResource, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text(&manifest["kind"]), text(&manifest["metadata"]["name"]));
    let resource = match &*kind {
        AUTH_KIND => ApiResource::erase::<DatabricksAuth>(&()),
        kind => driver_of(kind).api_resource(),
    };
    (resource, name)
}

/// The objects that are in the account, too. What an object refers to comes before it.
///
/// # Errors
/// Some of them refer to each other, or to what the example does not have.
pub(crate) fn parts() -> Result<Vec<Part>, String> {
    let managed = on_disk().iter().filter(|manifest| manifest["kind"] != AUTH_KIND);
    let part = |manifest: &Value| {
        let (resource, name) = called(manifest);
        Part { driver: driver_of(&resource.kind), name, spec: manifest["spec"].clone(), changed: None }
    };
    parts::ordered(managed.map(part).collect())
}

/// A user creates the Secret, as the README of the example says.
pub(crate) async fn create_secret(server: &ApiServer) {
    let (resource, mut secret) = world::credentials(account::SECRET);
    secret["stringData"] = json!({"client-secret": account::SECRET});
    world::create(server, &resource, secret).await;
}

/// The manifests as they are on disk, read once.
fn on_disk() -> &'static [Value] {
    static ALL: OnceLock<Vec<Value>> = OnceLock::new();
    ALL.get_or_init(|| {
        let kustomization = documents("kustomization.yaml").remove(0);
        let fields = kustomization.as_object().into_iter().flatten();
        let more: Vec<&String> =
            fields.map(|(name, _)| name).filter(|name| !NAMES_FILES.contains(&name.as_str())).collect();
        assert!(more.is_empty(), "the kustomization in {FOLDER} does more than name files: {more:?}");
        let files = kustomization["resources"].as_array().into_iter().flatten().filter_map(Value::as_str);
        files.flat_map(documents).collect()
    })
}

/// The documents of a file of the example.
fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(FOLDER).join(file).display().to_string();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let document = |text: &str| -> Value {
        serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{path} is no YAML: {error}"))
    };
    text.split("\n---\n").map(document).collect()
}
