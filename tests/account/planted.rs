//! A kind with forms that the generic code must handle or refuse, whether or not a kind of ours has them today: fields that
//! cannot change inside optional objects, a field of its own with a name that the shared block has, and a name whose plural is
//! not the name and an s.
//!
//! It belongs to a workspace, in which there are none of it, and does nothing about a workspace that is gone. No API creates it.

use std::collections::BTreeSet;

use databricks_operator::databricks::Pages;
use databricks_operator::engine::crd::{Management, Reason, Status};
use databricks_operator::engine::error::{Error, Result};
use databricks_operator::engine::kind::{
    ApiResult, Created, ExternalResource, Immutable, Key, Observed, Reader, Resolved, Writer,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// A kind for tests.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "planted.example.org",
    version = "v1alpha1",
    kind = "PlantedPolicy",
    namespaced,
    status = "Status<PlantedPolicyFacts>"
)]
#[serde(rename_all = "camelCase")]
pub struct PlantedPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// Has the name of a field of the shared block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// An optional object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<Endpoints>,
}

/// An optional object with fields that cannot change, one that can, and another optional object.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoints {
    /// Cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub rest_api: Option<String>,
    /// May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub comment: Option<String>,
    /// A list without order, which cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 64)), extend("x-kubernetes-list-type" = "set"))]
    pub groups: Option<Vec<String>>,
    /// An optional object in an optional one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay: Option<Relay>,
}

/// An object with a required field.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Relay {
    /// Cannot be changed.
    #[schemars(length(max = 64))]
    pub port_name: String,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PlantedPolicyState {
    external_id: Option<String>,
    rest_api: Option<String>,
    groups: Option<BTreeSet<String>>,
    port_name: Option<String>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
pub struct PlantedPolicyFacts {}

fn unserved<T>() -> ApiResult<T> {
    Err(Error::terminal(Reason::InternalError, "no API serves this kind").into())
}

impl ExternalResource for PlantedPolicy {
    type State = PlantedPolicyState;
    type Id = String;
    type Facts = PlantedPolicyFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "rest_api", spec: &["endpoints.restApi"] },
        Immutable { state: "groups", spec: &["endpoints.groups"] },
        Immutable { state: "port_name", spec: &["endpoints.relay.portName"] },
    ];

    fn desired(spec: &PlantedPolicySpec, _: &Resolved) -> Result<PlantedPolicyState> {
        let endpoints = spec.endpoints.as_ref();
        Ok(PlantedPolicyState {
            external_id: spec.external_id.clone(),
            rest_api: endpoints.and_then(|e| e.rest_api.clone()),
            groups: endpoints.and_then(|e| Some(e.groups.clone()?.into_iter().collect())),
            port_name: endpoints.and_then(|e| Some(e.relay.as_ref()?.port_name.clone())),
        })
    }

    fn key(_: &PlantedPolicyState) -> Key {
        Key { within: "42".into(), name: "planted".into() }
    }

    fn within(id: &String) -> String {
        id.split('/').next().unwrap_or_default().to_owned()
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        Ok(Self::list(api, &Self::within(id)).await?.pop())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let path = api.path(&["workspaces", within, "permissionassignments"]);
        api.list::<IgnoredAny>(path, Pages::Whole("permission_assignments")).await?;
        Ok(vec![])
    }

    async fn create(_: &Writer, _: &PlantedPolicyState) -> ApiResult<Created<Self>> {
        unserved()
    }

    async fn delete(_: &Writer, _: &Observed<Self>) -> ApiResult<()> {
        unserved()
    }
}
