//! User: a person in the account, by e-mail address.
//!
//! To delete a user would take the home folder, tokens and ownership along for good, so a deletion deactivates it; the word for
//! erasing it is `purge`. A deactivated user keeps its name, which no second user can have, so it is adopted and activated.

pub mod spec;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{Optional, Pages, ScimEntry, ScimPatch, scim_schemas};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, ApiResult, Created, ExternalResource, Immutable, Key, Observed, Power, Reader, Resolved, Writer,
    of_identity_provider,
};
pub use spec::{User, UserFacts, UserFullName, UserSpec};

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

    async fn create(api: &Writer, want: &UserState) -> ApiResult<Created<Self>> {
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
        Ok(Observed::from(made).into())
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
    let sent = api.patch_scim(&api.path(&["scim", "v2", "Users", &seen.id]), patch).await;
    Ok(sent.map_err(|error| of_identity_provider(error, seen.facts.scim_external_id.is_some()))?)
}
