//! The files that the commands `crds` and `rbac` write.

use std::io::Write;
use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde::Serialize;

use crate::engine::crd::DatabricksAuth;
use crate::engine::kind::{self, Traits};
use crate::kinds::KINDS;
use crate::rbac;

/// All CRDs: DatabricksAuth and the kinds.
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut all: Vec<CustomResourceDefinition> = KINDS.iter().map(|kind| kind.crd()).collect();
    let those = |are: fn(&Traits) -> bool| -> Vec<String> {
        KINDS.iter().filter(|kind| are(&kind.traits())).map(|kind| kind.kind().into_owned()).collect()
    };
    let (by_name, counted) = (those(|traits| traits.granted_by_name), those(Traits::is_counted));
    all.insert(0, kind::grants(DatabricksAuth::crd(), &all, &by_name, &counted));
    all
}

/// The YAML of a CRD, as it is committed.
pub fn crd_yaml(crd: &CustomResourceDefinition) -> Result<String, String> {
    written("crds", crd)
}

/// The YAML of the rules of access control, as the Helm chart reads it.
pub fn rbac_yaml() -> Result<String, String> {
    written("rbac", &rbac::rules())
}

/// What a command of ours writes, with a line that says so.
fn written(command: &str, value: &impl Serialize) -> Result<String, String> {
    let yaml = serde_saphyr::to_string(value)
        .map_err(|e| format!("what `{command}` writes cannot be put into YAML: {e}"))?;
    Ok(format!("# Written by `databricks-operator {command}`. Do not edit.\n{}\n", yaml.trim_end()))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), String> {
    let path = folder.join(name);
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text));
    written.map_err(|e| format!("{} cannot be written: {e}", path.display()))
}

pub(super) fn write_crds(out: &Path) -> Result<(), String> {
    crds().iter().try_for_each(|crd| write(out, &format!("{}.yaml", crd.spec.names.plural), &crd_yaml(crd)?))
}

pub(super) fn write_rbac(out: Option<&Path>) -> Result<(), String> {
    let text = rbac_yaml()?;
    match out {
        Some(folder) => write(folder, "rbac.yaml", &text),
        None => {
            std::io::stdout().write_all(text.as_bytes()).map_err(|e| format!("it cannot be printed: {e}"))
        }
    }
}
