//! ServicePrincipalFederationPolicy: tokens of which issuer and subject Databricks accepts for one service principal: a workload
//! signs in without a secret. It belongs to its service principal, and goes with it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Oidc, OidcPolicy, RemoteOidc, about, keep_the_operator_in};
use crate::databricks::{Int64, Optional, Pages};
use crate::engine::crd::{Management, Reason, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    Act, ApiResult, AuthFacts, Created, ExternalResource, Guard, Immutable, Inside, Key, Need, Observed,
    Path, PrincipalName, Reader, Reference, Resolved, Writer,
};

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
    doc = "Tokens of another issuer that Databricks accepts for one service principal. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.servicePrincipalId) != has(self.servicePrincipalName)",
     "message": "exactly one of servicePrincipalId and servicePrincipalName is needed: keep one and remove the other"},
    {"rule": "!has(self.oidcPolicy.jwksJson) || !has(self.oidcPolicy.jwksUri)",
     "message": "keys come from one place: keep one of oidcPolicy.jwksJson and oidcPolicy.jwksUri"},
]))]
pub struct ServicePrincipalFederationPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The numeric id of the service principal in the account. Give this or servicePrincipalName. Once the policy exists, it can be changed only to what means the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub service_principal_id: Option<i64>,
    /// The application id of the service principal. Give this or servicePrincipalId. Once the policy exists, it can be changed only to what means the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub service_principal_name: Option<String>,
    /// The id of the policy, unique for the service principal, of 0-9, a-z and hyphens. Cannot be changed once the policy exists. Known on all clouds.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[0-9a-z-]+$"))]
    pub policy_id: String,
    /// What the policy is for. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Which tokens are accepted. May be changed. Known on all clouds.
    pub oidc_policy: SubjectPolicy,
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
    policy_id: String,
    description: Option<String>,
    oidc_policy: Oidc,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalFederationPolicyFacts {
    /// The id that Databricks gave the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    policy_id: String,
    service_principal_id: Option<Int64>,
    description: Option<String>,
    #[serde(default)]
    oidc_policy: RemoteOidc,
    uid: Option<String>,
    create_time: Option<String>,
}

impl Remote {
    /// The service principal is that of the call, if the response names none.
    fn of(self, principal: i64) -> Observed<ServicePrincipalFederationPolicy> {
        let about = about(self.create_time.as_deref());
        let state = ServicePrincipalFederationPolicyState {
            service_principal_id: self.service_principal_id.map_or(principal, |id| id.0),
            policy_id: self.policy_id,
            description: Some(self.description.unwrap_or_default()),
            oidc_policy: self.oidc_policy.into(),
        };
        let id = Inside { within: state.service_principal_id, own: state.policy_id.clone() };
        Observed { id, state, facts: ServicePrincipalFederationPolicyFacts { uid: self.uid }, about }
    }
}

fn path(api: &Reader, principal: i64, policy: &[&str]) -> Path {
    let principal = principal.to_string();
    api.path(&[&["servicePrincipals", &principal, "federationPolicies"], policy].concat())
}

impl ExternalResource for ServicePrincipalFederationPolicy {
    type State = ServicePrincipalFederationPolicyState;
    type Id = Inside<i64, String>;
    type Facts = ServicePrincipalFederationPolicyFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "service_principal_id", spec: &["servicePrincipalId", "servicePrincipalName"] },
        Immutable { state: "policy_id", spec: &["policyId"] },
    ];
    const REFERENCES: &'static [Reference] = &[Reference {
        state: "service_principal_id",
        spec: &["servicePrincipalId", "servicePrincipalName"],
        words: &["principal"],
    }];
    const GRANTED_BY_NAME: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(guard));

    fn needs(spec: &ServicePrincipalFederationPolicySpec) -> Vec<Need> {
        let name = spec.service_principal_name.clone().map(PrincipalName::ServicePrincipal);
        name.map(|name| Need::principal("servicePrincipalName", name)).into_iter().collect()
    }

    fn desired(
        spec: &ServicePrincipalFederationPolicySpec,
        got: &Resolved,
    ) -> Result<ServicePrincipalFederationPolicyState> {
        let oidc = &spec.oidc_policy;
        Ok(ServicePrincipalFederationPolicyState {
            service_principal_id: match spec.service_principal_id {
                Some(id) => id,
                None => got.number("servicePrincipalName")?,
            },
            policy_id: spec.policy_id.clone(),
            description: spec.description.clone(),
            oidc_policy: Oidc::desired(&oidc.policy, Some(&oidc.subject)),
        })
    }

    fn within(id: &Self::Id) -> String {
        id.within.to_string()
    }

    fn key(state: &ServicePrincipalFederationPolicyState) -> Key {
        Key { within: state.service_principal_id.to_string(), name: state.policy_id.clone() }
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
        let path = path(api, want.service_principal_id, &[]).with("policy_id", &want.policy_id);
        let mut body = json!({"oidc_policy": want.oidc_policy.body()});
        if let Some(description) = &want.description {
            body["description"] = json!(description);
        }
        let created: Remote = api.post(path, body).await?;
        Ok(created.of(want.service_principal_id).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &ServicePrincipalFederationPolicyState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let mut body = json!({});
        for field in now {
            body[*field] = match *field {
                "oidc_policy" => want.oidc_policy.after(&seen.state.oidc_policy).body(),
                _ => json!(want)[*field].clone(),
            };
        }
        let path = path(api, seen.id.within, &[&seen.id.own]);
        api.patch::<IgnoredAny>(path.with("update_mask", now.join(",")), body).await?;
        let now = Self::get(api, &seen.id).await?;
        Ok(now.ok_or_else(|| Error::retry("the policy that was changed is not shown; reading again"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, seen.id.within, &[&seen.id.own])).await?)
    }
}

/// A policy of another service principal is not the one that the operator signs in by.
fn guard(act: &Act<'_, ServicePrincipalFederationPolicy>, auth: &AuthFacts) -> Result<()> {
    let principal = act.seen.map(|seen| seen.state.service_principal_id.to_string());
    if auth.principal_id.is_some() && auth.principal_id != principal {
        return Ok(());
    }
    let (seen, want) = (act.seen.map(|seen| &seen.state.oidc_policy), act.want.map(|want| &want.oidc_policy));
    keep_the_operator_in(seen, want, |policy| policy.subject.clone(), auth)
}
