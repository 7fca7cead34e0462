//! Network: the VPC in which a workspace launches classic compute. It can only be created and deleted, and serves one workspace.
//!
//! Databricks checks a network only once a workspace uses it. Until then it counts as usable; if the check then fails (`BROKEN`),
//! the object says why, and the workspace that uses it stays managed. To move a workspace to other subnets, apply another
//! Network and let the workspace refer to it: a subnet and a security group can be in one network only.
//!
//! Its VPC endpoints are two sets. Each is given by references, by ids, or by both together.

pub mod spec;

use std::collections::BTreeSet;

use crate::engine::prelude::*;
use crate::kinds::vpc_endpoint::VpcEndpoint;

pub use spec::{GcpNetwork, Network, NetworkFacts, NetworkSpec, VpcEndpoints};

/// What a spec controls. A list without order is a set.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct NetworkState {
    network_name: Option<String>,
    vpc_id: Option<String>,
    subnet_ids: Option<BTreeSet<String>>,
    security_group_ids: Option<BTreeSet<String>>,
    rest_api_ids: Option<BTreeSet<String>>,
    dataplane_relay_ids: Option<BTreeSet<String>>,
    network_project_id: Option<String>,
    gcp_vpc_id: Option<String>,
    subnet_id: Option<String>,
    subnet_region: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    network_id: String,
    network_name: Option<String>,
    vpc_id: Option<String>,
    subnet_ids: Option<BTreeSet<String>>,
    security_group_ids: Option<BTreeSet<String>>,
    vpc_endpoints: Option<RemoteEndpoints>,
    gcp_network_info: Option<RemoteGcp>,
    vpc_status: Option<String>,
    error_messages: Option<Vec<Finding>>,
    warning_messages: Option<Vec<Finding>>,
    workspace_id: Option<Int64>,
    creation_time: Option<Int64>,
}

#[derive(Deserialize, Default)]
struct RemoteEndpoints {
    rest_api: Option<BTreeSet<String>>,
    dataplane_relay: Option<BTreeSet<String>>,
}

#[derive(Deserialize, Default)]
struct RemoteGcp {
    network_project_id: Option<String>,
    vpc_id: Option<String>,
    subnet_id: Option<String>,
    subnet_region: Option<String>,
}

#[derive(Deserialize)]
struct Finding {
    #[serde(alias = "warning_type")]
    error_type: Option<String>,
    #[serde(alias = "warning_message")]
    error_message: Option<String>,
}

/// `subnet: too small`, in an order that does not change.
fn texts(findings: Option<Vec<Finding>>) -> BTreeSet<String> {
    let text =
        |f: Finding| [f.error_type, f.error_message].into_iter().flatten().collect::<Vec<_>>().join(": ");
    findings.into_iter().flatten().map(text).filter(|text| !text.is_empty()).collect()
}

impl From<Remote> for Observed<Network> {
    fn from(remote: Remote) -> Self {
        let endpoints = remote.vpc_endpoints.unwrap_or_default();
        let gcp = remote.gcp_network_info.unwrap_or_default();
        let state = NetworkState {
            network_name: remote.network_name,
            vpc_id: remote.vpc_id,
            subnet_ids: remote.subnet_ids,
            security_group_ids: remote.security_group_ids,
            rest_api_ids: Some(endpoints.rest_api.unwrap_or_default()),
            dataplane_relay_ids: Some(endpoints.dataplane_relay.unwrap_or_default()),
            network_project_id: gcp.network_project_id,
            gcp_vpc_id: gcp.vpc_id,
            subnet_id: gcp.subnet_id,
            subnet_region: gcp.subnet_region,
        };
        let facts = NetworkFacts {
            vpc_status: remote.vpc_status.clone(),
            error_messages: texts(remote.error_messages),
            warning_messages: texts(remote.warning_messages),
            workspace_id: remote.workspace_id.map(|id| id.0),
        };
        let about = About {
            phase: phase(remote.vpc_status.as_deref(), &facts.error_messages),
            state: remote.vpc_status,
            created: remote.creation_time.map(|ms| ms.0 / 1000),
            ..About::default()
        };
        Observed { id: remote.network_id, state, facts, about }
    }
}

/// Only what Databricks checked and found wrong is not usable.
fn phase(status: Option<&str>, errors: &BTreeSet<String>) -> Phase {
    if status != Some("BROKEN") {
        return Phase::Ready;
    }
    let errors = errors.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let errors = if errors.is_empty() { "Databricks gives no reason" } else { &errors };
    Phase::Failed(format!(
        "Databricks checked the network and found it BROKEN ({errors}): correct that in the cloud, or let the workspace use another \
         network"
    ))
}

impl ExternalResource for Network {
    type State = NetworkState;
    type Id = String;
    type Facts = NetworkFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "network_name", spec: &["networkName"] },
        Immutable { state: "vpc_id", spec: &["vpcId"] },
        Immutable { state: "subnet_ids", spec: &["subnetIds"] },
        Immutable { state: "security_group_ids", spec: &["securityGroupIds"] },
        Immutable { state: "network_project_id", spec: &["gcpNetworkInfo.networkProjectId"] },
        Immutable { state: "gcp_vpc_id", spec: &["gcpNetworkInfo.vpcId"] },
        Immutable { state: "subnet_id", spec: &["gcpNetworkInfo.subnetId"] },
        Immutable { state: "subnet_region", spec: &["gcpNetworkInfo.subnetRegion"] },
    ];
    const NAME: &'static [&'static str] = &["networkName"];
    const REFERENCES: &'static [Reference] = &[
        Reference::list::<VpcEndpoint>(
            "rest_api_ids",
            &["vpcEndpoints.restApiIds", "vpcEndpoints.restApiRefs"],
            &["rest_api", "endpoint"],
        )
        .fixed(),
        Reference::list::<VpcEndpoint>(
            "dataplane_relay_ids",
            &["vpcEndpoints.dataplaneRelayIds", "vpcEndpoints.dataplaneRelayRefs"],
            &["dataplane_relay", "endpoint"],
        )
        .fixed(),
    ];

    fn desired(spec: &NetworkSpec, got: &Resolved) -> Result<NetworkState> {
        let gcp = spec.gcp_network_info.as_ref();
        Ok(NetworkState {
            network_name: spec.network_name.clone(),
            vpc_id: spec.vpc_id.clone(),
            subnet_ids: spec.subnet_ids.as_ref().map(|ids| ids.iter().cloned().collect()),
            security_group_ids: spec.security_group_ids.as_ref().map(|ids| ids.iter().cloned().collect()),
            rest_api_ids: got.all("rest_api_ids"),
            dataplane_relay_ids: got.all("dataplane_relay_ids"),
            network_project_id: gcp.map(|gcp| gcp.network_project_id.clone()),
            gcp_vpc_id: gcp.map(|gcp| gcp.vpc_id.clone()),
            subnet_id: gcp.map(|gcp| gcp.subnet_id.clone()),
            subnet_region: gcp.map(|gcp| gcp.subnet_region.clone()),
        })
    }

    fn key(state: &NetworkState) -> Key {
        Key { within: String::new(), name: state.network_name.clone().unwrap_or_default() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["networks", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["networks"]), Pages::Bare).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &NetworkState) -> ApiResult<Created<Self>> {
        let some = |ids: &Option<BTreeSet<String>>| ids.clone().filter(|ids| !ids.is_empty());
        let body = given(json!({
            "network_name": want.network_name,
            "vpc_id": want.vpc_id,
            "subnet_ids": want.subnet_ids,
            "security_group_ids": want.security_group_ids,
            "vpc_endpoints": {
                "rest_api": some(&want.rest_api_ids),
                "dataplane_relay": some(&want.dataplane_relay_ids),
            },
            "gcp_network_info": {
                "network_project_id": want.network_project_id,
                "vpc_id": want.gcp_vpc_id,
                "subnet_id": want.subnet_id,
                "subnet_region": want.subnet_region,
            },
        }));
        let created: Remote = api.post(api.path(&["networks"]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["networks", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a workspace"))?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn observed(more: Value) -> Observed<Network> {
        let mut remote = json!({"network_id": "n", "network_name": "main"});
        remote.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value::<Remote>(remote).unwrap().into()
    }

    #[test]
    fn only_a_network_that_was_checked_and_is_broken_is_not_usable_and_says_why() {
        for status in [json!(null), json!("UNATTACHED"), json!("VALID"), json!("WARNED"), json!("NEW")] {
            let seen = observed(json!({"vpc_status": status}));
            assert_eq!(seen.about.phase, Phase::Ready, "{status}");
        }
        let errors = json!([
            {"error_type": "subnet", "error_message": "too small"},
            {"error_type": "securityGroup", "error_message": "no egress"},
        ]);
        let warnings = json!([{"warning_type": "subnet", "warning_message": "few addresses"}, {}]);
        let seen =
            observed(json!({"vpc_status": "BROKEN", "error_messages": errors, "warning_messages": warnings}));
        let Phase::Failed(why) = &seen.about.phase else { panic!("{:?}", seen.about) };
        assert!(why.contains("securityGroup: no egress, subnet: too small"), "{why}");
        assert_eq!(seen.facts.warning_messages, ["subnet: few addresses".to_owned()].into());
        let unexplained = observed(json!({"vpc_status": "BROKEN", "error_messages": null}));
        assert!(matches!(&unexplained.about.phase, Phase::Failed(why) if why.contains("no reason")));
    }
}
