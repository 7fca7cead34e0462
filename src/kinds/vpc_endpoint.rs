//! VpcEndpoint: the registration of an endpoint in your VPC, for PrivateLink. It can only be created and deleted; the endpoint in
//! the cloud stays. It is found by the id of that endpoint, which the account registers once.
//!
//! On AWS, Databricks accepts the connection by itself after a while; what becomes of the endpoint in AWS later shows here as well.
//! On GCP it can only be observed, as a create needs Google tokens.
//!
//! Longer than a plain kind: a third is the text of its fields and facts, which two clouds have.

use crate::engine::prelude::*;

/// An endpoint of your VPC, for PrivateLink. Those on AWS can be managed, those on GCP observed.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "VpcEndpoint",
    shortname = "dbvpce",
    category = "databricks",
    namespaced,
    status = "Status<VpcEndpointFacts>",
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "The state of the endpoint in AWS."}"#,
    printcolumn = r#"{"name": "Endpoint", "type": "string", "jsonPath": ".status.observed.awsVpcEndpointId", "description": "The id of the endpoint in AWS."}"#,
    printcolumn = r#"{"name": "Use", "type": "string", "jsonPath": ".status.useCase", "description": "What the endpoint is for."}"#,
    doc = "An endpoint of your VPC, for PrivateLink. Those on AWS can be managed, those on GCP observed."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = aws_or_gcp("VPC endpoint", &["awsVpcEndpointId", "region"], "gcpVpcEndpointInfo")))]
pub struct VpcEndpointSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the registration, 4 to 256 characters. Cannot be changed once it exists. Known on AWS and GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 256))]
    pub vpc_endpoint_name: Option<String>,
    /// The id of the endpoint in AWS, which must exist there. Needed to create a registration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^vpce-[0-9a-f]+$"))]
    pub aws_vpc_endpoint_id: Option<String>,
    /// The AWS region of the endpoint, such as eu-west-1. Needed to create a registration. Cannot be changed, added or removed once it exists. Known on AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[-a-z0-9]+$"))]
    pub region: Option<String>,
    /// The endpoint in GCP, of a registration that is only observed. Cannot be changed, added or removed once it exists. Known on GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gcp_vpc_endpoint_info: Option<GcpEndpoint>,
}

/// An endpoint of Private Service Connect.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GcpEndpoint {
    /// The Google Cloud project of the endpoint. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub project_id: String,
    /// The name of the endpoint. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub psc_endpoint_name: String,
    /// The region of the endpoint, such as us-east4. Cannot be changed once the registration exists. Known on GCP.
    #[schemars(length(min = 1, max = 64))]
    pub endpoint_region: String,
}

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

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VpcEndpointFacts {
    /// What the endpoint is for: WORKSPACE_ACCESS, DATAPLANE_RELAY_ACCESS or GENERAL_ACCESS. It follows from the service that the endpoint leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub use_case: Option<String>,
    /// The AWS account of the endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_account_id: Option<String>,
    /// The service of Databricks that the endpoint leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_endpoint_service_id: Option<String>,
    /// The id of the connection in GCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub psc_connection_id: Option<String>,
    /// The service of Databricks that the endpoint in GCP leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_attachment_id: Option<String>,
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

    fn matches(key: &Key, seen: &Observed<Self>) -> bool {
        let named = key.name.strip_prefix(NAMED);
        Self::key(&seen.state) == *key
            || (named.is_some() && named == seen.state.vpc_endpoint_name.as_deref())
    }

    fn recognises(want: &VpcEndpointState, seen: &Observed<Self>) -> bool {
        let key = Self::key(want);
        key.name.is_empty() || Self::matches(&key, seen)
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
