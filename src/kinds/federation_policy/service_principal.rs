//! ServicePrincipalFederationPolicy: tokens of which issuer and subject Databricks accepts for one service principal: a workload
//! signs in without a secret. It belongs to its service principal, and goes with it.

use super::{Oidc, OidcPolicy, RemoteOidc, about, changed_to, created_with, keep_the_operator_in};
use crate::engine::prelude::*;
use crate::kinds::service_principal::ServicePrincipal;

/// Tokens of another issuer that Databricks accepts for one service principal.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "ServicePrincipalFederationPolicy",
    shortname = "dbsfp",
    category = "databricks",
    namespaced,
    status = "Status<ServicePrincipalFederationPolicyFacts>",
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".status.observed.oidcPolicy.issuer", "description": "The issuer of the tokens."}"#,
    printcolumn = r#"{"name": "Subject", "type": "string", "jsonPath": ".status.observed.oidcPolicy.subject", "description": "Whose tokens are accepted."}"#,
    doc = "Tokens of another issuer that Databricks accepts for one service principal. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalFederationPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The numeric id of the service principal in the account. Give this or servicePrincipalRef. Once the policy exists, it can be changed only to what means the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub service_principal_id: Option<i64>,
    /// The ServicePrincipal of this namespace. Give this or servicePrincipalId. Once the policy exists, it can be changed only to what means the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_principal_ref: Option<NameRef>,
    /// The id of the policy, unique for the service principal, of 0-9, a-z and hyphens. Cannot be changed once the policy exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[0-9a-z-]+$"))]
    pub policy_id: Option<String>,
    /// What the policy is for. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Which tokens are accepted. Needed to create a policy. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_policy: Option<SubjectPolicy>,
}

/// Which tokens are accepted for a service principal.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SubjectPolicy {
    /// Whose tokens are accepted, exactly as the claim says: for a pod `system:serviceaccount:<namespace>:<name>`. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 1024))]
    pub subject: String,
    /// The issuer and its keys.
    #[serde(flatten)]
    pub policy: OidcPolicy,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct ServicePrincipalFederationPolicyState {
    service_principal_id: i64,
    policy_id: Option<String>,
    description: Option<String>,
    oidc_policy: Option<Oidc>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalFederationPolicyFacts {
    /// The id that Databricks gave the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// Whose policy it is, is in the path: the id in the response, if any, is that of the call.
#[derive(Deserialize)]
struct Remote {
    policy_id: String,
    description: Option<String>,
    #[serde(default)]
    oidc_policy: RemoteOidc,
    uid: Option<String>,
    create_time: Option<String>,
}

impl Remote {
    fn of(self, principal: i64) -> Observed<ServicePrincipalFederationPolicy> {
        let about = about(self.create_time.as_deref());
        let id = Inside { within: principal, own: self.policy_id.clone() };
        let state = ServicePrincipalFederationPolicyState {
            service_principal_id: principal,
            policy_id: Some(self.policy_id),
            description: Some(self.description.unwrap_or_default()),
            oidc_policy: Some(self.oidc_policy.into()),
        };
        Observed { id, state, facts: ServicePrincipalFederationPolicyFacts { uid: self.uid }, about }
    }
}

const PARENT: &str = "service_principal_id";

fn path(api: &Reader, principal: i64, policy: &[&str]) -> Path {
    let principal = principal.to_string();
    api.path(&[&["servicePrincipals", &principal, "federationPolicies"], policy].concat())
}

impl ExternalResource for ServicePrincipalFederationPolicy {
    type State = ServicePrincipalFederationPolicyState;
    /// The service principal and the policy.
    type Id = Inside<i64, String>;
    type Facts = ServicePrincipalFederationPolicyFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "policy_id", spec: &["policyId"] }];
    const REFERENCES: &'static [Reference] = &[Reference::to::<ServicePrincipal>(
        PARENT,
        &["servicePrincipalId", "servicePrincipalRef"],
        &["principal"],
    )
    .required()
    .fixed()];
    const NAME: &'static [&'static str] = &["policyId"];
    const REQUIRED: &'static [&'static str] = &["oidcPolicy"];
    const GRANTED_BY_NAME: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(guard));

    fn desired(
        spec: &ServicePrincipalFederationPolicySpec,
        got: &Resolved,
    ) -> Result<ServicePrincipalFederationPolicyState> {
        let oidc = spec.oidc_policy.as_ref();
        Ok(ServicePrincipalFederationPolicyState {
            service_principal_id: got.number(PARENT)?,
            policy_id: spec.policy_id.clone(),
            description: spec.description.clone(),
            oidc_policy: oidc.map(|oidc| Oidc::desired(&oidc.policy, Some(&oidc.subject))),
        })
    }

    fn within(id: &Self::Id) -> String {
        id.within.to_string()
    }

    fn key(state: &ServicePrincipalFederationPolicyState) -> Key {
        let name = state.policy_id.clone().unwrap_or_default();
        Key { within: state.service_principal_id.to_string(), name }
    }

    /// A policy of another service principal is another policy, whatever its id.
    fn recognises(want: &ServicePrincipalFederationPolicyState, seen: &Observed<Self>) -> bool {
        want.service_principal_id == seen.id.within
            && want.policy_id.as_ref().is_none_or(|id| *id == seen.id.own)
    }

    async fn get(api: &Reader, id: &Self::Id) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(path(api, id.within, &[&id.own])).await.optional()?;
        Ok(found.map(|remote| remote.of(id.within)))
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let principal = within.parse().map_err(|_| {
            Error::terminal(Reason::InvalidSpec, format!("{within:?} is no id of a service principal"))
        })?;
        let all: Vec<Remote> = api.list(path(api, principal, &[]), Pages::Token("policies")).await?;
        Ok(all.into_iter().map(|remote| remote.of(principal)).collect())
    }

    async fn create(api: &Writer, want: &ServicePrincipalFederationPolicyState) -> ApiResult<Created<Self>> {
        let path = path(api, want.service_principal_id, &[]).with("policy_id", Self::key(want).name);
        let body = created_with(want.description.as_deref(), want.oidc_policy.as_ref());
        let created: Remote = api.post(path, body).await?;
        Ok(created.of(want.service_principal_id).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &ServicePrincipalFederationPolicyState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = path(api, seen.id.within, &[&seen.id.own]).with("update_mask", now.join(","));
        let (oidc, before) = (want.oidc_policy.as_ref(), seen.state.oidc_policy.as_ref());
        api.patch::<IgnoredAny>(path, changed_to(want.description.as_deref(), oidc, before, now)).await?;
        let now = Self::get(api, &seen.id).await?;
        Ok(now.ok_or_else(|| Error::retry("the policy that was changed is not shown; reading again"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, seen.id.within, &[&seen.id.own])).await?)
    }
}

/// A policy of another service principal is not the one that the operator signs in by.
fn guard(act: &Act<'_, ServicePrincipalFederationPolicy>, auth: &AuthFacts) -> Result<()> {
    let principal = act.seen.map(|seen| seen.id.within.to_string());
    if auth.principal_id.is_some() && auth.principal_id != principal {
        return Ok(());
    }
    let seen = act.seen.and_then(|seen| seen.state.oidc_policy.as_ref());
    let want = act.want.map(|want| want.oidc_policy.as_ref());
    keep_the_operator_in(seen, want, |policy| policy.subject.clone(), auth)
}
