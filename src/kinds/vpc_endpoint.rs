//! VpcEndpoint: the registration of an endpoint in your VPC, for PrivateLink. It can only be created and deleted; the endpoint in
//! the cloud stays. It is found by the id of that endpoint, which the account registers once.
//!
//! On AWS, Databricks accepts the connection by itself after a while; what becomes of the endpoint in AWS later shows here as well.
//! On GCP an endpoint has no state, and is usable at once.

pub mod spec;

use crate::engine::prelude::*;

pub use spec::{GcpEndpoint, VpcEndpoint, VpcEndpointFacts, VpcEndpointSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct VpcEndpointState {
    vpc_endpoint_name: Option<String>,
    aws_vpc_endpoint_id: Option<String>,
    region: Option<String>,
    project_id: Option<String>,
    psc_endpoint_name: Option<String>,
    endpoint_region: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    vpc_endpoint_id: String,
    vpc_endpoint_name: Option<String>,
    aws_vpc_endpoint_id: Option<String>,
    region: Option<String>,
    state: Option<String>,
    use_case: Option<String>,
    aws_account_id: Option<String>,
    aws_endpoint_service_id: Option<String>,
    gcp_vpc_endpoint_info: Option<RemoteGcp>,
}

#[derive(Deserialize, Default)]
struct RemoteGcp {
    project_id: Option<String>,
    psc_endpoint_name: Option<String>,
    endpoint_region: Option<String>,
    psc_connection_id: Option<String>,
    service_attachment_id: Option<String>,
}

impl From<Remote> for Observed<VpcEndpoint> {
    fn from(remote: Remote) -> Self {
        let gcp = remote.gcp_vpc_endpoint_info.unwrap_or_default();
        let state = VpcEndpointState {
            vpc_endpoint_name: remote.vpc_endpoint_name,
            aws_vpc_endpoint_id: remote.aws_vpc_endpoint_id,
            region: remote.region,
            project_id: gcp.project_id,
            psc_endpoint_name: gcp.psc_endpoint_name,
            endpoint_region: gcp.endpoint_region,
        };
        let facts = VpcEndpointFacts {
            use_case: remote.use_case,
            aws_account_id: remote.aws_account_id,
            aws_endpoint_service_id: remote.aws_endpoint_service_id,
            psc_connection_id: gcp.psc_connection_id,
            service_attachment_id: gcp.service_attachment_id,
        };
        let phase = remote.state.as_deref().map_or(Phase::Ready, phase);
        let about = About { phase, state: remote.state, ..About::default() };
        Observed { id: remote.vpc_endpoint_id, state, facts, about }
    }
}

/// The states are those of AWS, in its spelling. An endpoint in GCP has none, and is usable at once.
fn phase(state: &str) -> Phase {
    match state.to_ascii_lowercase().as_str() {
        "available" => Phase::Ready,
        "pendingacceptance" | "pending" => {
            Phase::Pending("Databricks has not accepted the connection of the endpoint yet".into())
        }
        "rejected" | "deleting" | "deleted" | "failed" | "expired" => Phase::Failed(format!(
            "the endpoint in AWS cannot be used, its state there is {state}: correct it in AWS, or create another endpoint there \
             and register that one"
        )),
        _ => Phase::Pending(format!("the endpoint in AWS is in a state unknown to this operator, {state}")),
    }
}

/// The name of the endpoint in its cloud. None for what is only observed, by the name or id of its registration.
fn in_cloud(state: &VpcEndpointState) -> Option<String> {
    let gcp = || {
        let (project, region) = (state.project_id.as_ref()?, state.endpoint_region.as_ref()?);
        Some(format!("{project}/{region}/{}", state.psc_endpoint_name.as_ref()?))
    };
    state.aws_vpc_endpoint_id.clone().or_else(gcp)
}

/// Begins a key that has the name of the registration.
const NAMED: &str = "named ";

/// Whether a key, which may have the name of the registration, means this one.
fn is_called(key: &Key, seen: &Observed<VpcEndpoint>) -> bool {
    let named = key.name.strip_prefix(NAMED);
    VpcEndpoint::key(&seen.state) == *key
        || (named.is_some() && named == seen.state.vpc_endpoint_name.as_deref())
}

impl ExternalResource for VpcEndpoint {
    type State = VpcEndpointState;
    type Id = String;
    type Facts = VpcEndpointFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "vpc_endpoint_name", spec: &["vpcEndpointName"] },
        Immutable { state: "aws_vpc_endpoint_id", spec: &["awsVpcEndpointId"] },
        Immutable { state: "region", spec: &["region"] },
        Immutable { state: "project_id", spec: &["gcpVpcEndpointInfo.projectId"] },
        Immutable { state: "psc_endpoint_name", spec: &["gcpVpcEndpointInfo.pscEndpointName"] },
        Immutable { state: "endpoint_region", spec: &["gcpVpcEndpointInfo.endpointRegion"] },
    ];
    const NAME: &'static [&'static str] = &["vpcEndpointName"];
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> = Some(is_called);

    fn desired(spec: &VpcEndpointSpec, _: &Resolved) -> Result<VpcEndpointState> {
        let gcp = spec.gcp_vpc_endpoint_info.as_ref();
        Ok(VpcEndpointState {
            vpc_endpoint_name: spec.vpc_endpoint_name.clone(),
            aws_vpc_endpoint_id: spec.aws_vpc_endpoint_id.clone(),
            region: spec.region.clone(),
            project_id: gcp.map(|gcp| gcp.project_id.clone()),
            psc_endpoint_name: gcp.map(|gcp| gcp.psc_endpoint_name.clone()),
            endpoint_region: gcp.map(|gcp| gcp.endpoint_region.clone()),
        })
    }

    fn key(state: &VpcEndpointState) -> Key {
        let named = || Some(format!("{NAMED}{}", state.vpc_endpoint_name.as_ref()?));
        Key { within: String::new(), name: in_cloud(state).or_else(named).unwrap_or_default() }
    }

    fn recognises(want: &VpcEndpointState, seen: &Observed<Self>) -> bool {
        let key = Self::key(want);
        key.name.is_empty() || is_called(&key, seen)
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["vpc-endpoints", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["vpc-endpoints"]), Pages::Bare).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &VpcEndpointState) -> ApiResult<Created<Self>> {
        let body = given(json!({
            "vpc_endpoint_name": want.vpc_endpoint_name,
            "aws_vpc_endpoint_id": want.aws_vpc_endpoint_id,
            "region": want.region,
            "gcp_vpc_endpoint_info": {
                "project_id": want.project_id,
                "psc_endpoint_name": want.psc_endpoint_name,
                "endpoint_region": want.endpoint_region,
            },
        }));
        let created: Remote = api.post(api.path(&["vpc-endpoints"]), body).await?;
        Ok(Observed::from(created).into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["vpc-endpoints", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a network or private access settings"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_of_aws_are_known_in_any_case_and_others_are_waited_for() {
        for (state, ready, failed) in [
            ("available", true, false),
            ("Available", true, false),
            ("pendingAcceptance", false, false),
            ("pending", false, false),
            ("rejected", false, true),
            ("deleted", false, true),
            ("failed", false, true),
            ("expired", false, true),
            ("partial", false, false),
        ] {
            let phase = phase(state);
            assert_eq!(phase == Phase::Ready, ready, "{state}: {phase:?}");
            assert_eq!(matches!(&phase, Phase::Failed(why) if why.contains(state)), failed, "{phase:?}");
        }
    }
}
