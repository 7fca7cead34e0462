//! PublishedAppIntegration: an app of Databricks' catalogue, such as dbt or Tableau, with which the users of the account may sign in. An
//! account has at most one integration of an app, so it is found by the id of the app.
//!
//! Many apps are enabled in a new account, so to adopt one is the normal case. To delete an integration ends the sign-in of all users with
//! that app. The response to a create has only the id, so the engine reads the integration.

use crate::apis::{TOKEN_POLICY, TokenAccessPolicy, TokenPolicy, same_name};
use crate::engine::kind::seconds_of;
use crate::engine::prelude::*;

/// An app of Databricks' catalogue with which users may sign in. Deleting it ends the sign-in of all users with the app.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "PublishedAppIntegration",
    shortname = "dbpapp",
    category = "databricks",
    namespaced,
    status = "Status<PublishedAppIntegrationFacts>",
    printcolumn = r#"{"name": "App", "type": "string", "jsonPath": ".status.observed.appId", "description": "The id of the app in the catalogue."}"#,
    doc = "An app of Databricks' catalogue with which users may sign in. Deleting it ends the sign-in of all users with the app. Only a grant that names this kind allows it."
)]
#[serde(rename_all = "camelCase")]
pub struct PublishedAppIntegrationSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The id of the app in Databricks' catalogue, in upper or lower case: a name such as `databricks-dbt-adapter`, or a UUID. Cannot be changed once the integration exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[!-~]+$"))]
    pub app_id: Option<String>,
    /// How long the tokens of the app are valid. Fields that are left out stay as they are in the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_access_policy: Option<TokenAccessPolicy>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublishedAppIntegrationFacts {
    /// The name of the app.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PublishedAppIntegrationState {
    app_id: Option<String>,
    token_access_policy: Option<TokenPolicy>,
}

#[derive(Deserialize)]
struct Remote {
    integration_id: String,
    app_id: Option<String>,
    name: Option<String>,
    token_access_policy: Option<TokenPolicy>,
    create_time: Option<String>,
}

/// The response to a create.
#[derive(Deserialize)]
struct New {
    integration_id: String,
}

impl From<Remote> for Observed<PublishedAppIntegration> {
    fn from(remote: Remote) -> Self {
        let state = PublishedAppIntegrationState {
            app_id: remote.app_id,
            token_access_policy: Some(TokenPolicy::observed(remote.token_access_policy)),
        };
        let created = remote.create_time.as_deref().and_then(seconds_of);
        let facts = PublishedAppIntegrationFacts { app_name: remote.name };
        Observed { id: remote.integration_id, state, facts, about: About { created, ..About::default() } }
    }
}

impl ExternalResource for PublishedAppIntegration {
    type State = PublishedAppIntegrationState;
    type Id = String;
    type Facts = PublishedAppIntegrationFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "app_id", spec: &["appId"] }];
    const NAME: &'static [&'static str] = &["appId"];
    const GRANTED_BY_NAME: bool = true;

    fn desired(spec: &PublishedAppIntegrationSpec, _: &Resolved) -> Result<PublishedAppIntegrationState> {
        Ok(PublishedAppIntegrationState {
            app_id: spec.app_id.clone(),
            token_access_policy: spec.token_access_policy.as_ref().map(TokenPolicy::from),
        })
    }

    fn key(state: &PublishedAppIntegrationState) -> Key {
        Key { within: String::new(), name: state.app_id.as_deref().unwrap_or_default().to_lowercase() }
    }

    fn changes(want: &PublishedAppIntegrationState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let same =
            |path: &str| path == "app_id" && same_name(want.app_id.as_ref(), seen.state.app_id.as_ref());
        let mut changes = generic::<Self>(want, seen)?;
        changes.retain(|change| {
            TokenPolicy::manages(want.token_access_policy.as_ref(), &change.path) && !same(&change.path)
        });
        Ok(changes)
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(path(api, &[id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(path(api, &[]), Pages::Token("apps")).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &PublishedAppIntegrationState) -> ApiResult<Created<Self>> {
        let body = given(json!({
            "app_id": want.app_id,
            "token_access_policy": want.token_access_policy.as_ref().map(TokenPolicy::body),
        }));
        let created: New = api.post(path(api, &[]), body).await?;
        Ok(Created::of(created.integration_id))
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &PublishedAppIntegrationState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let after = want.token_access_policy.as_ref();
        let after = after.map(|policy| policy.after(seen.state.token_access_policy.as_ref()).body());
        api.patch::<IgnoredAny>(path(api, &[&seen.id]), json!({TOKEN_POLICY: after})).await?;
        // The response says nothing, so it is read.
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the integration was gone right after it was changed"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, &[&seen.id])).await?)
    }
}

fn path(api: &Reader, of: &[&str]) -> Path {
    api.path(&[&["oauth2", "published-app-integrations"], of].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d";

    fn want(spec: Value) -> PublishedAppIntegrationState {
        let mut whole = json!({"authRef": {"name": "a"}, "appId": ID});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        PublishedAppIntegration::desired(&serde_json::from_value(whole).unwrap(), &Resolved::default())
            .unwrap()
    }

    fn seen(app_id: &str, policy: Value) -> Observed<PublishedAppIntegration> {
        let remote = json!({"integration_id": "1", "app_id": app_id, "token_access_policy": policy});
        serde_json::from_value::<Remote>(remote).unwrap().into()
    }

    #[test]
    fn another_case_of_the_id_and_a_default_are_no_difference() {
        let off = want(json!({"tokenAccessPolicy": {"enableSingleUseRefreshTokens": false}}));
        for policy in [json!(null), json!({}), json!({"enable_single_use_refresh_tokens": false})] {
            let seen = seen(&ID.to_uppercase(), policy);
            for want in [want(json!({})), want(json!({"tokenAccessPolicy": {}})), off.clone()] {
                assert_eq!(PublishedAppIntegration::changes(&want, &seen).unwrap(), []);
                assert!(PublishedAppIntegration::recognises(&want, &seen));
            }
        }
        let on = seen(ID, json!({"enable_single_use_refresh_tokens": true}));
        assert_eq!(PublishedAppIntegration::changes(&off, &on).unwrap().len(), 1);
        assert!(!PublishedAppIntegration::recognises(&off, &seen("power-bi", json!(null))));
    }
}
