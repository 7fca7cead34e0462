//! User: a person in the account, by e-mail address.
//!
//! To delete a user would take the home folder, tokens and ownership along for good, so a deletion deactivates it; the word for
//! erasing it is `purge`. A deactivated user keeps its name, which no second user can have, so it is adopted and activated.

use std::collections::BTreeSet;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{Optional, Pages, ScimEntry, ScimPatch, scim_schemas};
use crate::engine::crd::{Management, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, ApiResult, ExternalResource, Immutable, Key, Observed, Power, Reader, Resolved, Writer,
    of_identity_provider,
};

/// A person in the account, by e-mail address.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "User",
    shortname = "dbuser",
    category = "databricks",
    namespaced,
    status = "Status<UserFacts>",
    printcolumn = r#"{"name": "User", "type": "string", "jsonPath": ".status.observed.userName", "description": "The e-mail address."}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "ACTIVE, or INACTIVE if the user cannot sign in."}"#,
    doc = "A person in the account, by e-mail address."
)]
#[serde(rename_all = "camelCase")]
pub struct UserSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The e-mail address, in any case: Databricks keeps it in lower case. Cannot be changed once the user exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 256))]
    pub user_name: Option<String>,
    /// The name that people see. Default: Databricks derives it from the address. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub display_name: Option<String>,
    /// The parts of the person's name. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<UserFullName>,
    /// Whether the user can sign in; true by default. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// `account_admin` makes the user an administrator of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. With this field, roles that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend(
        "items" = {"type": "string", "enum": ["account_admin"]},
        "x-kubernetes-list-type" = "set",
    ))]
    pub roles: Option<Vec<String>>,
    /// `true` erases the user when this object is deleted with deletionPolicy Delete: home folder, tokens and ownership go with it, for good. By default the user is deactivated. May be changed at any time, also while the object is being deleted. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge: Option<bool>,
}

/// The parts of a person's name, in a spec and in a response.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserFullName {
    /// The given name. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 256))]
    pub given_name: Option<String>,
    /// The family name. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 256))]
    pub family_name: Option<String>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct UserState {
    user_name: Option<String>,
    display_name: Option<String>,
    name: Option<UserFullName>,
    active: bool,
    roles: Option<BTreeSet<String>>,
    purge: Option<bool>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserFacts {
    /// The id that an identity provider knows the user by. With automatic identity management only that can change the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim_external_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    id: String,
    user_name: Option<String>,
    display_name: Option<String>,
    name: Option<UserFullName>,
    active: Option<bool>,
    roles: Option<Vec<ScimEntry>>,
    external_id: Option<String>,
}

impl From<Remote> for Observed<User> {
    fn from(remote: Remote) -> Self {
        let active = remote.active.unwrap_or(true);
        Observed {
            id: remote.id,
            state: UserState {
                user_name: remote.user_name.map(|name| name.to_lowercase()),
                display_name: remote.display_name,
                name: Some(remote.name.unwrap_or_default()),
                active,
                roles: Some(ScimEntry::values(remote.roles)),
                purge: None,
            },
            facts: UserFacts { scim_external_id: remote.external_id.filter(|id| !id.is_empty()) },
            about: About {
                state: Some(if active { "ACTIVE" } else { "INACTIVE" }.into()),
                ..About::default()
            },
        }
    }
}

impl ExternalResource for User {
    type State = UserState;
    type Id = String;
    type Facts = UserFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "user_name", spec: &["userName"] }];
    const NAME: &'static [&'static str] = &["userName"];
    const UNTOLD: &'static [&'static str] = &["purge"];

    fn desired(spec: &UserSpec, _: &Resolved) -> Result<UserState> {
        Ok(UserState {
            user_name: spec.user_name.as_ref().map(|name| name.to_lowercase()),
            display_name: spec.display_name.clone(),
            name: spec.name.clone(),
            active: spec.active.unwrap_or(true),
            roles: spec.roles.as_ref().map(|roles| roles.iter().cloned().collect()),
            purge: spec.purge,
        })
    }

    fn key(state: &UserState) -> Key {
        Key { within: String::new(), name: state.user_name.clone().unwrap_or_default() }
    }

    fn power(state: &UserState) -> Power {
        let account_admin = state.roles.iter().flatten().any(|role| role == "account_admin");
        Power { account_admin, ..Power::default() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["scim", "v2", "Users", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let shown = "id,userName,displayName,name,active,externalId,roles";
        let path = api.path(&["scim", "v2", "Users"]).with("attributes", shown);
        let all: Vec<Remote> = api.list(path, Pages::Scim).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &UserState) -> ApiResult<Observed<Self>> {
        let mut body =
            json!({"schemas": scim_schemas("User"), "userName": want.user_name, "active": want.active});
        if let Some(name) = &want.display_name {
            body["displayName"] = json!(name);
        }
        for (part, value) in want.name.iter().flat_map(parts) {
            body["name"][part] = json!(value);
        }
        if let Some(roles) = want.roles.as_ref().filter(|roles| !roles.is_empty()) {
            body["roles"] = ScimEntry::with(roles);
        }
        let made: Remote = api.post(api.path(&["scim", "v2", "Users"]), body).await?;
        Ok(made.into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &UserState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let mut patch = ScimPatch::default();
        for field in now {
            match (*field, &seen.state.roles, &want.roles) {
                ("display_name", ..) => patch.replace("displayName", json!(want.display_name)),
                ("name", ..) => want
                    .name
                    .iter()
                    .flat_map(parts)
                    .for_each(|(part, value)| patch.replace(&format!("name.{part}"), json!(value))),
                ("active", ..) => patch.replace("active", json!(want.active)),
                ("roles", Some(have), Some(want)) => patch.set("roles", have, want),
                _ => {}
            }
        }
        send(api, seen, &patch).await?;
        let changed = Self::get(api, &seen.id).await?;
        Ok(changed.ok_or_else(|| Error::retry(format!("user {} is gone since its change", seen.id)))?)
    }

    fn left_behind(want: Option<&UserState>, seen: &Observed<Self>) -> Option<&'static str> {
        (!seen.state.active && !purges(want)).then_some("deactivated")
    }

    async fn retire(api: &Writer, seen: &Observed<Self>, want: Option<&UserState>) -> ApiResult<()> {
        if purges(want) {
            return Self::delete(api, seen).await;
        }
        let mut patch = ScimPatch::default();
        patch.replace("active", json!(false));
        send(api, seen, &patch).await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["scim", "v2", "Users", &seen.id])).await;
        Ok(deleted.map_err(|error| of_identity_provider(error, seen.facts.scim_external_id.is_some()))?)
    }
}

fn purges(want: Option<&UserState>) -> bool {
    want.is_some_and(|want| want.purge == Some(true))
}

/// The parts of a name that are wanted, in the API's names.
fn parts(name: &UserFullName) -> impl Iterator<Item = (&'static str, &String)> {
    let parts = [("givenName", &name.given_name), ("familyName", &name.family_name)];
    parts.into_iter().filter_map(|(part, value)| Some((part, value.as_ref()?)))
}

async fn send(api: &Writer, seen: &Observed<User>, patch: &ScimPatch) -> ApiResult<()> {
    for body in patch.bodies() {
        let sent = api.patch::<IgnoredAny>(api.path(&["scim", "v2", "Users", &seen.id]), body).await;
        sent.map_err(|error| of_identity_provider(error, seen.facts.scim_external_id.is_some()))?;
    }
    Ok(())
}
