//! NetworkEndpoint: the registration of a private endpoint of your network as a way into Databricks, which the ingress of network
//! policies can name. It can only be created and deleted; the endpoint in the cloud stays. It is found by that endpoint.
//!
//! It is not a VpcEndpoint, which networks and private access settings on AWS use. Databricks approves a new endpoint by itself within
//! minutes; one that is disconnected or failed does not come back.
//!
//! Longer than a plain kind, as each of three clouds describes the endpoint by fields of its own.

pub mod spec;

use crate::engine::kind::{Base, seconds_of};
use crate::engine::prelude::*;

pub use spec::{NetworkEndpoint, NetworkEndpointFacts, NetworkEndpointSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct NetworkEndpointState {
    display_name: Option<String>,
    region: Option<String>,
    aws_vpc_endpoint_id: Option<String>,
    private_endpoint_name: Option<String>,
    private_endpoint_resource_guid: Option<String>,
    project_id: Option<String>,
    psc_endpoint: Option<String>,
    endpoint_region: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    endpoint_id: String,
    display_name: Option<String>,
    region: Option<String>,
    aws_vpc_endpoint_info: Option<RemoteAws>,
    azure_private_endpoint_info: Option<RemoteAzure>,
    gcp_psc_endpoint_info: Option<RemoteGcp>,
    state: Option<String>,
    use_case: Option<String>,
    create_time: Option<String>,
}

#[derive(Deserialize, Default)]
struct RemoteAws {
    aws_vpc_endpoint_id: Option<String>,
    aws_account_id: Option<String>,
    aws_endpoint_service_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct RemoteAzure {
    private_endpoint_name: Option<String>,
    private_endpoint_resource_guid: Option<String>,
    private_endpoint_resource_id: Option<String>,
    private_link_service_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct RemoteGcp {
    project_id: Option<String>,
    psc_endpoint: Option<String>,
    endpoint_region: Option<String>,
    psc_connection_id: Option<String>,
    service_attachment_id: Option<String>,
}

impl From<Remote> for Observed<NetworkEndpoint> {
    fn from(remote: Remote) -> Self {
        let aws = remote.aws_vpc_endpoint_info.unwrap_or_default();
        let azure = remote.azure_private_endpoint_info.unwrap_or_default();
        let gcp = remote.gcp_psc_endpoint_info.unwrap_or_default();
        let state = NetworkEndpointState {
            display_name: remote.display_name,
            region: remote.region,
            aws_vpc_endpoint_id: aws.aws_vpc_endpoint_id,
            private_endpoint_name: azure.private_endpoint_name,
            // The spec has it in lower case.
            private_endpoint_resource_guid: azure
                .private_endpoint_resource_guid
                .map(|guid| guid.to_ascii_lowercase()),
            project_id: gcp.project_id,
            psc_endpoint: gcp.psc_endpoint,
            endpoint_region: gcp.endpoint_region,
        };
        let facts = NetworkEndpointFacts {
            use_case: remote.use_case,
            aws_account_id: aws.aws_account_id,
            aws_endpoint_service_id: aws.aws_endpoint_service_id,
            private_endpoint_resource_id: azure.private_endpoint_resource_id,
            private_link_service_id: azure.private_link_service_id,
            psc_connection_id: gcp.psc_connection_id,
            service_attachment_id: gcp.service_attachment_id,
        };
        let unknown = || Phase::Pending("the account does not show the state of the endpoint".into());
        let phase = remote.state.as_deref().map_or_else(unknown, phase);
        let created = remote.create_time.as_deref().and_then(seconds_of);
        let about = About { phase, state: remote.state, created, ..About::default() };
        Observed { id: remote.endpoint_id, state, facts, about }
    }
}

fn phase(state: &str) -> Phase {
    match state {
        "APPROVED" => Phase::Ready,
        "PENDING" => Phase::Pending("Databricks has not approved the endpoint yet".into()),
        "DISCONNECTED" | "FAILED" => Phase::Failed(format!(
            "the endpoint cannot be used, its state at Databricks is {state}: check the endpoint in your cloud"
        )),
        _ => Phase::Pending(format!("the endpoint is in a state unknown to this operator, {state}")),
    }
}

/// What distinguishes the endpoint in its cloud. None for what is only observed, by the name or id of its registration.
fn in_cloud(state: &NetworkEndpointState) -> Option<String> {
    let gcp = || {
        let (project, region) = (state.project_id.as_ref()?, state.endpoint_region.as_ref()?);
        Some(format!("{project}/{region}/{}", state.psc_endpoint.as_ref()?))
    };
    let in_azure = state.private_endpoint_resource_guid.clone();
    state.aws_vpc_endpoint_id.clone().or(in_azure).or_else(gcp)
}

/// Begins a key that has the name of the registration.
const NAMED: &str = "named ";

/// Whether a key, which may have the name of the registration, means this one.
fn is_called(key: &Key, seen: &Observed<NetworkEndpoint>) -> bool {
    let named = key.name.strip_prefix(NAMED);
    NetworkEndpoint::key(&seen.state) == *key
        || (named.is_some() && named == seen.state.display_name.as_deref())
}

impl ExternalResource for NetworkEndpoint {
    type State = NetworkEndpointState;
    type Id = String;
    type Facts = NetworkEndpointFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "display_name", spec: &["displayName"] },
        Immutable { state: "region", spec: &["region"] },
        Immutable { state: "aws_vpc_endpoint_id", spec: &["awsVpcEndpointInfo.awsVpcEndpointId"] },
        Immutable { state: "private_endpoint_name", spec: &["azurePrivateEndpointInfo.privateEndpointName"] },
        Immutable {
            state: "private_endpoint_resource_guid",
            spec: &["azurePrivateEndpointInfo.privateEndpointResourceGuid"],
        },
        Immutable { state: "project_id", spec: &["gcpPscEndpointInfo.projectId"] },
        Immutable { state: "psc_endpoint", spec: &["gcpPscEndpointInfo.pscEndpoint"] },
        Immutable { state: "endpoint_region", spec: &["gcpPscEndpointInfo.endpointRegion"] },
    ];
    const NAME: &'static [&'static str] = &["displayName"];
    const REQUIRED: &'static [&'static str] = &["region"];
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> = Some(is_called);

    fn desired(spec: &NetworkEndpointSpec, _: &Resolved) -> Result<NetworkEndpointState> {
        let azure = spec.azure_private_endpoint_info.as_ref();
        let gcp = spec.gcp_psc_endpoint_info.as_ref();
        Ok(NetworkEndpointState {
            display_name: spec.display_name.clone(),
            region: spec.region.clone(),
            aws_vpc_endpoint_id: spec
                .aws_vpc_endpoint_info
                .as_ref()
                .map(|aws| aws.aws_vpc_endpoint_id.clone()),
            private_endpoint_name: azure.map(|azure| azure.private_endpoint_name.clone()),
            private_endpoint_resource_guid: azure.map(|azure| azure.private_endpoint_resource_guid.clone()),
            project_id: gcp.map(|gcp| gcp.project_id.clone()),
            psc_endpoint: gcp.map(|gcp| gcp.psc_endpoint.clone()),
            endpoint_region: gcp.map(|gcp| gcp.endpoint_region.clone()),
        })
    }

    fn key(state: &NetworkEndpointState) -> Key {
        let named = || Some(format!("{NAMED}{}", state.display_name.as_ref()?));
        Key { within: String::new(), name: in_cloud(state).or_else(named).unwrap_or_default() }
    }

    fn recognises(want: &NetworkEndpointState, seen: &Observed<Self>) -> bool {
        let key = Self::key(want);
        key.name.is_empty() || is_called(&key, seen)
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(path(api, &[id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(path(api, &[]), Pages::Token("items")).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &NetworkEndpointState) -> ApiResult<Created<Self>> {
        let body = given(json!({
            "display_name": want.display_name,
            "region": want.region,
            "aws_vpc_endpoint_info": {"aws_vpc_endpoint_id": want.aws_vpc_endpoint_id},
            "azure_private_endpoint_info": {
                "private_endpoint_name": want.private_endpoint_name,
                "private_endpoint_resource_guid": want.private_endpoint_resource_guid,
            },
            "gcp_psc_endpoint_info": {
                "project_id": want.project_id,
                "psc_endpoint": want.psc_endpoint,
                "endpoint_region": want.endpoint_region,
            },
        }));
        let created: Remote = api.post(path(api, &[]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(path(api, &[&seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a network policy"))?)
    }
}

fn path(api: &Reader, of: &[&str]) -> Path {
    api.path_at(Base::Networking, &[&["endpoints"], of].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_approved_endpoint_is_ready_and_a_disconnected_one_has_failed() {
        for (state, ready, failed) in [
            ("APPROVED", true, false),
            ("PENDING", false, false),
            ("DISCONNECTED", false, true),
            ("FAILED", false, true),
            ("PAUSED", false, false),
        ] {
            let phase = phase(state);
            assert_eq!(phase == Phase::Ready, ready, "{state}: {phase:?}");
            assert_eq!(matches!(&phase, Phase::Failed(why) if why.contains(state)), failed, "{phase:?}");
        }
    }

    #[test]
    fn an_endpoint_is_known_by_what_it_is_in_its_cloud() {
        let remote = |cloud: &str, info: Value| {
            let text = json!({"endpoint_id": "e", "display_name": "office", "region": "r", cloud: info});
            let remote: Remote = serde_json::from_value(text).unwrap();
            NetworkEndpoint::key(&Observed::from(remote).state).name
        };
        assert_eq!(remote("aws_vpc_endpoint_info", json!({"aws_vpc_endpoint_id": "vpce-1"})), "vpce-1");
        let azure = json!({"private_endpoint_name": "pe", "private_endpoint_resource_guid": "0A1B"});
        assert_eq!(remote("azure_private_endpoint_info", azure), "0a1b");
        let gcp = json!({"project_id": "p", "psc_endpoint": "e", "endpoint_region": "r"});
        assert_eq!(remote("gcp_psc_endpoint_info", gcp), "p/r/e");
        assert_eq!(remote("other_cloud", json!({})), "named office");
    }
}
