//! AccountFederationPolicy: tokens of which issuer Databricks accepts for any user or service principal of the account.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Oidc, OidcPolicy, RemoteOidc, about, keep_the_operator_in};
use crate::databricks::{Optional, Pages};
use crate::engine::crd::{Management, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    Act, ApiResult, AuthFacts, Created, ExternalResource, Guard, Immutable, Key, Observed, Reader, Resolved,
    Writer,
};

/// Tokens of another issuer that Databricks accepts for any user or service principal of the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "AccountFederationPolicy",
    shortname = "dbafp",
    category = "databricks",
    namespaced,
    status = "Status<AccountFederationPolicyFacts>",
    doc = "Tokens of another issuer that Databricks accepts for any user or service principal of the account. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "!has(self.oidcPolicy.jwksJson) || !has(self.oidcPolicy.jwksUri)",
     "message": "keys come from one place: keep one of oidcPolicy.jwksJson and oidcPolicy.jwksUri"},
]))]
pub struct AccountFederationPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The id of the policy, unique in the account, of 0-9, a-z and hyphens. Cannot be changed once the policy exists. Known on all clouds.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[0-9a-z-]+$"))]
    pub policy_id: String,
    /// What the policy is for. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Which tokens are accepted. A user who controls the issuer can sign in as any user or service principal of the account. May be changed. Known on all clouds.
    pub oidc_policy: OidcPolicy,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct AccountFederationPolicyState {
    policy_id: String,
    description: Option<String>,
    oidc_policy: Oidc,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountFederationPolicyFacts {
    /// The id that Databricks gave the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    policy_id: String,
    description: Option<String>,
    #[serde(default)]
    oidc_policy: RemoteOidc,
    uid: Option<String>,
    create_time: Option<String>,
}

impl From<Remote> for Observed<AccountFederationPolicy> {
    fn from(remote: Remote) -> Self {
        let about = about(remote.create_time.as_deref());
        let state = AccountFederationPolicyState {
            policy_id: remote.policy_id.clone(),
            description: Some(remote.description.unwrap_or_default()),
            oidc_policy: remote.oidc_policy.into(),
        };
        let facts = AccountFederationPolicyFacts { uid: remote.uid };
        Observed { id: remote.policy_id, state, facts, about }
    }
}

impl ExternalResource for AccountFederationPolicy {
    type State = AccountFederationPolicyState;
    type Id = String;
    type Facts = AccountFederationPolicyFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "policy_id", spec: &["policyId"] }];
    const GRANTED_BY_NAME: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(guard));

    fn desired(spec: &AccountFederationPolicySpec, _: &Resolved) -> Result<AccountFederationPolicyState> {
        Ok(AccountFederationPolicyState {
            policy_id: spec.policy_id.clone(),
            description: spec.description.clone(),
            oidc_policy: Oidc::desired(&spec.oidc_policy, None),
        })
    }

    fn key(state: &AccountFederationPolicyState) -> Key {
        Key { within: String::new(), name: state.policy_id.clone() }
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
        let path = api.path(&["federationPolicies"]).with("policy_id", &want.policy_id);
        let mut body = json!({"oidc_policy": want.oidc_policy.body()});
        if let Some(description) = &want.description {
            body["description"] = json!(description);
        }
        let created: Remote = api.post(path, body).await?;
        Ok(Observed::from(created).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &AccountFederationPolicyState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let mut body = json!({});
        for field in now {
            body[*field] = match *field {
                "oidc_policy" => want.oidc_policy.after(&seen.state.oidc_policy).body(),
                _ => json!(want)[*field].clone(),
            };
        }
        let path = api.path(&["federationPolicies", &seen.id]);
        api.patch::<IgnoredAny>(path.with("update_mask", now.join(",")), body).await?;
        let now = Self::get(api, &seen.id).await?;
        Ok(now.ok_or_else(|| Error::retry("the policy that was changed is not shown; reading again"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(api.path(&["federationPolicies", &seen.id])).await?)
    }
}

/// Of a policy for all principals, the claim names the principal: ours is the operator's own, if that is known.
fn guard(act: &Act<'_, AccountFederationPolicy>, auth: &AuthFacts) -> Result<()> {
    let own = (!auth.client_id.is_empty()).then(|| auth.client_id.clone());
    let (seen, want) = (act.seen.map(|seen| &seen.state.oidc_policy), act.want.map(|want| &want.oidc_policy));
    keep_the_operator_in(seen, want, |_| own.clone(), auth)
}
