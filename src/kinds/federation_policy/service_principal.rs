//! ServicePrincipalFederationPolicy: tokens of which issuer and subject Databricks accepts for one service principal: a workload
//! signs in without a secret. It belongs to its service principal, and goes with it.

use super::{FederationPolicyFacts, Oidc, OidcPolicy, Remote, change, created_with};
use crate::apis::not_the_operators_own;
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
    status = "Status<FederationPolicyFacts>",
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".status.observed.oidcPolicy.issuer", "description": "The issuer of the tokens."}"#,
    printcolumn = r#"{"name": "Subject", "type": "string", "jsonPath": ".status.observed.oidcPolicy.subject", "description": "Whose tokens are accepted."}"#,
    doc = "Tokens of another issuer that Databricks accepts for one service principal. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalFederationPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The numeric id of the service principal in the account. Give this or servicePrincipalRef. Once the policy exists, it must continue to mean the same service principal. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub service_principal_id: Option<i64>,
    /// The ServicePrincipal of this namespace. Give this or servicePrincipalId. Once the policy exists, it must continue to mean the same service principal. Known on all clouds.
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

fn observed(principal: i64, remote: Remote) -> Observed<ServicePrincipalFederationPolicy> {
    let (facts, about) = remote.shown();
    let id = Inside { within: principal, own: remote.policy_id.clone() };
    let state = ServicePrincipalFederationPolicyState {
        service_principal_id: principal,
        policy_id: Some(remote.policy_id),
        description: Some(remote.description.unwrap_or_default()),
        oidc_policy: Some(remote.oidc_policy.into()),
    };
    Observed { id, state, facts, about }
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
    type Facts = FederationPolicyFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "policy_id", spec: &["policyId"] }];
    const REFERENCES: &'static [Reference] = &[Reference::to::<ServicePrincipal>(
        PARENT,
        &["servicePrincipalId", "servicePrincipalRef"],
        &["principal"],
    )
    .required()
    .fixed()];
    const PARENTED: bool = true;
    const NAME: &'static [&'static str] = &["policyId"];
    const REQUIRED: &'static [&'static str] = &["oidcPolicy"];
    const GRANTED_BY_NAME: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(admit_no_one_as_the_operator));

    fn desired(
        spec: &ServicePrincipalFederationPolicySpec,
        got: &Resolved,
    ) -> Result<ServicePrincipalFederationPolicyState> {
        let oidc = spec.oidc_policy.as_ref();
        let oidc = oidc.map(|oidc| Oidc::desired(&oidc.policy, Some(&oidc.subject)));
        Ok(ServicePrincipalFederationPolicyState {
            service_principal_id: got.number(PARENT)?,
            policy_id: spec.policy_id.clone(),
            description: spec.description.clone(),
            oidc_policy: oidc.transpose()?,
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
        Ok(found.map(|remote| observed(id.within, remote)))
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let principal = parent(within, "a service principal")?;
        let all: Vec<Remote> = api.list(path(api, principal, &[]), Pages::Token("policies")).await?;
        Ok(all.into_iter().map(|remote| observed(principal, remote)).collect())
    }

    async fn create(api: &Writer, want: &ServicePrincipalFederationPolicyState) -> ApiResult<Created<Self>> {
        let path = path(api, want.service_principal_id, &[]).with("policy_id", Self::key(want).name);
        let body = created_with(want.description.as_deref(), want.oidc_policy.as_ref());
        let created: Remote = api.post(path, body).await?;
        Ok(observed(want.service_principal_id, created).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &ServicePrincipalFederationPolicyState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = path(api, seen.id.within, &[&seen.id.own]);
        let oidc = (want.oidc_policy.as_ref(), seen.state.oidc_policy.as_ref());
        let changed = change(api, path, want.description.as_deref(), oidc, now).await?;
        Ok(observed(seen.id.within, changed))
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, seen.id.within, &[&seen.id.own])).await?)
    }
}

/// A policy of the operator's own service principal would give the holder of a token the rights of the operator. So nothing is
/// created or changed either while the operator cannot find out which one is its own. The deletion of a policy is no danger.
fn admit_no_one_as_the_operator(
    act: &Act<'_, ServicePrincipalFederationPolicy>,
    auth: &AuthFacts,
) -> Result<()> {
    let Some(want) = act.want else { return Ok(()) };
    let why = "the holder of a token that this policy accepts would sign in with all rights of the operator; write another service \
               principal in spec.servicePrincipalId or spec.servicePrincipalRef, or remove this object";
    not_the_operators_own(want.service_principal_id, auth, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(principal: i64) -> ServicePrincipalFederationPolicyState {
        ServicePrincipalFederationPolicyState {
            service_principal_id: principal,
            policy_id: Some("k8s".into()),
            description: None,
            oidc_policy: None,
        }
    }

    fn row(principal: i64) -> Observed<ServicePrincipalFederationPolicy> {
        let id = Inside { within: principal, own: "k8s".into() };
        let (facts, about) = (FederationPolicyFacts::default(), About::default());
        Observed { id, state: state(principal), facts, about }
    }

    #[test]
    fn the_operators_own_service_principal_gets_no_policy() {
        let (want, seen) = (state(7), row(7));
        let refused = |want, seen, own: Option<&str>| {
            let auth = AuthFacts { principal_id: own.map(str::to_owned), ..AuthFacts::default() };
            let act = Act { want, seen };
            let check = ServicePrincipalFederationPolicy::GUARD;
            let Some(Guard::Alone(check)) = check else { panic!("no guard that knows the operator's own") };
            let reason = check(&act, &auth).err().and_then(|error| error.reason());
            assert!(matches!(reason, None | Some(Reason::WouldLockOut)), "{reason:?}");
            reason.is_some()
        };
        assert!(refused(Some(&want), None, Some("7")), "a create");
        assert!(refused(Some(&want), Some(&seen), Some("7")), "a change");
        assert!(!refused(None, Some(&seen), Some("7")), "a deletion is no danger");
        assert!(!refused(Some(&want), None, Some("8")) && !refused(Some(&want), Some(&seen), Some("8")));
        assert!(refused(Some(&want), None, None), "it may be the operator's own");
        assert!(!refused(None, Some(&seen), None));
    }
}
