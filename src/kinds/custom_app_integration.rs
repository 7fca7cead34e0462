//! CustomAppIntegration: a program of your own with which users may sign in. It is found by its name, which other apps may have too.
//!
//! The account creates a client secret with a confidential app and shows it once, in the response to the create: the engine writes it to the
//! Kubernetes Secret that the spec names. No call replaces it, and a new app has another client id, which its program must learn. So a lost
//! secret is reported, and a person decides. An app that exists is managed without its secret, which stays with the person who created it.
//!
//! The rest of that response is ids, so the engine reads the app.

pub mod spec;

use std::collections::BTreeSet;

use secrecy::SecretString;

use crate::apis::{TOKEN_POLICY, TokenPolicy};
use crate::engine::kind::{Issues, Output, hidden, seconds_of};
use crate::engine::prelude::*;

pub use spec::{CustomAppIntegration, CustomAppIntegrationFacts, CustomAppIntegrationSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct CustomAppIntegrationState {
    name: Option<String>,
    redirect_urls: Option<BTreeSet<String>>,
    scopes: Option<BTreeSet<String>>,
    user_authorized_scopes: Option<BTreeSet<String>>,
    confidential: Option<bool>,
    token_access_policy: Option<TokenPolicy>,
    /// The account does not know it.
    secret_name: Option<String>,
}

#[derive(Deserialize)]
struct Remote {
    integration_id: String,
    #[serde(flatten)]
    state: CustomAppIntegrationState,
    client_id: Option<String>,
    create_time: Option<String>,
}

/// The response to a create. It has no Debug, as it may hold the secret.
#[derive(Deserialize)]
struct New {
    integration_id: String,
    client_id: Option<String>,
    #[serde(default, deserialize_with = "hidden")]
    client_secret: Option<SecretString>,
}

impl From<Remote> for Observed<CustomAppIntegration> {
    fn from(remote: Remote) -> Self {
        let mut state = remote.state;
        // The API may leave out what is empty.
        state.redirect_urls.get_or_insert_default();
        state.scopes.get_or_insert_default();
        state.user_authorized_scopes.get_or_insert_default();
        state.confidential.get_or_insert_default();
        state.token_access_policy = Some(TokenPolicy::observed(state.token_access_policy));
        let created = remote.create_time.as_deref().and_then(seconds_of);
        let facts = CustomAppIntegrationFacts { client_id: remote.client_id };
        Observed { id: remote.integration_id, state, facts, about: About { created, ..About::default() } }
    }
}

impl ExternalResource for CustomAppIntegration {
    type State = CustomAppIntegrationState;
    type Id = String;
    type Facts = CustomAppIntegrationFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "name", spec: &["name"] },
        Immutable { state: "confidential", spec: &["confidential"] },
    ];
    const NAME: &'static [&'static str] = &["name"];
    const REQUIRED: &'static [&'static str] = &["redirectUrls", "scopes"];
    const UNTOLD: &'static [&'static str] = &["secret_name"];
    const GRANTED_BY_NAME: bool = true;
    const ISSUES: Issues = Issues::WithSecret;

    fn output(spec: &CustomAppIntegrationSpec) -> Option<Output> {
        let secret_name = spec.secret_name.clone().filter(|_| spec.confidential == Some(true))?;
        Some(Output { secret_name, key: "client-secret", ..Output::default() })
    }

    fn desired(spec: &CustomAppIntegrationSpec, _: &Resolved) -> Result<CustomAppIntegrationState> {
        let set = |list: Option<&Vec<String>>| list.map(|list| list.iter().cloned().collect());
        Ok(CustomAppIntegrationState {
            name: spec.name.clone(),
            redirect_urls: set(spec.redirect_urls.as_ref()),
            scopes: set(spec.scopes.as_ref()),
            user_authorized_scopes: set(spec.user_authorized_scopes.as_ref()),
            confidential: spec.confidential,
            token_access_policy: spec.token_access_policy.as_ref().map(TokenPolicy::from),
            secret_name: spec.secret_name.clone(),
        })
    }

    fn key(state: &CustomAppIntegrationState) -> Key {
        Key { within: String::new(), name: state.name.clone().unwrap_or_default() }
    }

    fn changes(want: &CustomAppIntegrationState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let mut changes = generic::<Self>(want, seen)?;
        changes.retain(|change| TokenPolicy::manages(want.token_access_policy.as_ref(), &change.path));
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

    async fn create(api: &Writer, want: &CustomAppIntegrationState) -> ApiResult<Created<Self>> {
        let confidential = want.confidential.unwrap_or_default();
        // The API server refuses such a spec too, unless it says that nothing is created.
        if confidential && want.secret_name.is_none() {
            let text = "spec.secretName is needed to create a confidential app, as Databricks shows its client secret only once: set it";
            return Err(Error::terminal(Reason::InvalidSpec, text).into());
        }
        let body = given(json!({
            "name": want.name,
            "redirect_urls": want.redirect_urls,
            "scopes": want.scopes,
            "user_authorized_scopes": want.user_authorized_scopes,
            // Never left to the account: an app that is confidential by default would have a secret.
            "confidential": confidential,
            "token_access_policy": want.token_access_policy.as_ref().map(TokenPolicy::body),
        }));
        let created: New = api.post(path(api, &[]), body).await?;
        let beside = created.client_id.map(|id| ("client-id", id));
        Ok(Created { secret: created.client_secret, beside, ..Created::of(created.integration_id) })
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &CustomAppIntegrationState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let policy = want.token_access_policy.as_ref();
        let policy = policy.map(|policy| policy.after(seen.state.token_access_policy.as_ref()).body());
        let all = json!({
            "redirect_urls": want.redirect_urls,
            "scopes": want.scopes,
            "user_authorized_scopes": want.user_authorized_scopes,
            TOKEN_POLICY: policy,
        });
        api.patch::<IgnoredAny>(path(api, &[&seen.id]), only(now, &all)).await?;
        // The response says nothing, so it is read.
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the app was gone right after it was changed"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, &[&seen.id])).await?)
    }
}

fn path(api: &Reader, of: &[&str]) -> Path {
    api.path(&[&["oauth2", "custom-app-integrations"], of].concat())
}
