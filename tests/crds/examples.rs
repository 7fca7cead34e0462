//! The CRDs accept each manifest of `config/examples`, and know all of its fields. An API server in memory shows that in a moment; what
//! overlays change is applied by the stories alone.

use std::path::{Path, PathBuf};

use apiserver::ApiServer;
use databricks_operator::cli;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::resource::resource;

/// The YAML files in a folder, and in the folders in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect()
}

/// Covers IM-07.
#[tokio::test]
async fn each_manifest_of_an_example_is_accepted() {
    let client = ApiServer::new(cli::crds(), Timestamp::now).client("user");
    let mut accepted = 0;
    for path in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples")) {
        let (text, path) = (std::fs::read_to_string(&path).unwrap(), path.display());
        for part in text.split("\n---\n") {
            let mut manifest: Value = serde_saphyr::from_str(part).unwrap_or_else(|e| panic!("{path}: {e}"));
            if manifest["apiVersion"] != "databricks-operator.io/v1alpha1" {
                continue;
            }
            let kind = manifest["kind"].as_str().unwrap().to_owned();
            manifest["metadata"] = json!({"generateName": "example-"});
            let object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
            let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource(&kind));
            let created = api.create(&PostParams::default(), &object).await;
            let created = created.unwrap_or_else(|e| panic!("{path}: {kind}: {e}"));
            assert_eq!(created.data["spec"], manifest["spec"], "{path}: {kind}: what is missing is unknown");
            accepted += 1;
        }
    }
    assert!(accepted > 25, "only {accepted} manifests");
}
