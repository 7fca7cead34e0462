//! AccountFederationPolicy: tokens of which issuer Databricks accepts for any user or service principal of the account.

use super::{FederationPolicyFacts, Oidc, OidcPolicy, Remote, change, created_with};
use crate::engine::prelude::*;

/// Tokens of another issuer that Databricks accepts for any user or service principal of the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "AccountFederationPolicy",
    shortname = "dbafp",
    category = "databricks",
    namespaced,
    status = "Status<FederationPolicyFacts>",
    printcolumn = r#"{"name": "Issuer", "type": "string", "jsonPath": ".status.observed.oidcPolicy.issuer", "description": "The issuer of the tokens."}"#,
    doc = "Tokens of another issuer that Databricks accepts for any user or service principal of the account. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
pub struct AccountFederationPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The id of the policy, unique in the account, of 0-9, a-z and hyphens. Cannot be changed once the policy exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[0-9a-z-]+$"))]
    pub policy_id: Option<String>,
    /// What the policy is for. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Which tokens are accepted. A user who controls the issuer can sign in as any user or service principal of the account. Needed to create a policy. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oidc_policy: Option<OidcPolicy>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct AccountFederationPolicyState {
    policy_id: Option<String>,
    description: Option<String>,
    oidc_policy: Option<Oidc>,
}

impl From<Remote> for Observed<AccountFederationPolicy> {
    fn from(remote: Remote) -> Self {
        let (facts, about) = remote.shown();
        let state = AccountFederationPolicyState {
            policy_id: Some(remote.policy_id.clone()),
            description: Some(remote.description.unwrap_or_default()),
            oidc_policy: Some(remote.oidc_policy.into()),
        };
        Observed { id: remote.policy_id, state, facts, about }
    }
}

impl ExternalResource for AccountFederationPolicy {
    type State = AccountFederationPolicyState;
    type Id = String;
    type Facts = FederationPolicyFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "policy_id", spec: &["policyId"] }];
    const NAME: &'static [&'static str] = &["policyId"];
    const REQUIRED: &'static [&'static str] = &["oidcPolicy"];
    const GRANTED_BY_NAME: bool = true;

    fn desired(spec: &AccountFederationPolicySpec, _: &Resolved) -> Result<AccountFederationPolicyState> {
        Ok(AccountFederationPolicyState {
            policy_id: spec.policy_id.clone(),
            description: spec.description.clone(),
            oidc_policy: spec.oidc_policy.as_ref().map(|oidc| Oidc::desired(oidc, None)).transpose()?,
        })
    }

    fn key(state: &AccountFederationPolicyState) -> Key {
        Key { within: String::new(), name: state.policy_id.clone().unwrap_or_default() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["federationPolicies", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["federationPolicies"]), Pages::Token("policies")).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &AccountFederationPolicyState) -> ApiResult<Created<Self>> {
        let path = api.path(&["federationPolicies"]).with("policy_id", Self::key(want).name);
        let body = created_with(want.description.as_deref(), want.oidc_policy.as_ref());
        let created: Remote = api.post(path, body).await?;
        Ok(Observed::from(created).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &AccountFederationPolicyState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = api.path(&["federationPolicies", &seen.id]);
        let oidc = (want.oidc_policy.as_ref(), seen.state.oidc_policy.as_ref());
        Ok(change(api, path, want.description.as_deref(), oidc, now).await?.into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(api.path(&["federationPolicies", &seen.id])).await?)
    }
}
