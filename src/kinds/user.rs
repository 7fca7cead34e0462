//! User: a person in the account, by e-mail address.
//!
//! To delete a user would take the home folder, tokens and ownership along for good, so a deletion deactivates it; the word for
//! erasing it is `purge`. A deactivated user keeps its name, which no second user can have, so it is adopted and activated.

pub mod spec;

use std::collections::BTreeSet;

use crate::apis::{Principal, Principals, demotes, entries, left_behind, power};
use crate::databricks::ScimPatch;
use crate::engine::kind::Power;
use crate::engine::prelude::*;
pub use spec::{User, UserFacts, UserFullName, UserSpec};

const USERS: Principals =
    Principals { collection: "Users", listed: "id,userName,displayName,name,active,externalId,roles" };

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
    #[serde(flatten)]
    principal: Principal,
    user_name: Option<String>,
    name: Option<UserFullName>,
}

impl From<Remote> for Observed<User> {
    fn from(Remote { principal, user_name, name }: Remote) -> Self {
        Observed {
            about: principal.about(),
            id: principal.id,
            state: UserState {
                user_name: user_name.map(|name| name.to_lowercase()),
                display_name: principal.display_name,
                name: Some(name.unwrap_or_default()),
                active: principal.active,
                roles: Some(principal.roles),
                purge: None,
            },
            facts: UserFacts { scim_external_id: principal.scim_external_id },
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
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));

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
        power(state.roles.as_ref())
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        Ok(USERS.get::<Remote>(api, id).await?.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        Ok(USERS.list::<Remote>(api).await?.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &UserState) -> ApiResult<Created<Self>> {
        let body = json!({
            "userName": want.user_name, "displayName": want.display_name, "name": want.name, "active": want.active,
            "roles": entries(want.roles.as_ref()),
        });
        Ok(Observed::from(USERS.create::<Remote>(api, body).await?).into())
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
        let changed =
            USERS.change::<Remote>(api, &seen.id, seen.facts.scim_external_id.is_some(), patch).await?;
        Ok(Observed::from(changed.now).refused(changed.refused))
    }

    fn left_behind(want: Option<&UserState>, seen: &Observed<Self>) -> Option<&'static str> {
        left_behind(seen.state.active, want.and_then(|want| want.purge))
    }

    async fn remove(api: &Writer, seen: &Observed<Self>, want: Option<&UserState>) -> ApiResult<()> {
        USERS
            .remove(api, &seen.id, seen.facts.scim_external_id.is_some(), want.and_then(|want| want.purge))
            .await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        USERS.delete(api, &seen.id, seen.facts.scim_external_id.is_some()).await
    }
}

/// Refuses to take the operator's own sign-in, or its own role of an account administrator, away: a Google service account is a user.
fn keep_the_operator_in(act: &Act<'_, User>, auth: &AuthFacts) -> Result<()> {
    let Some(seen) = act.seen else { return Ok(()) };
    let named = |name: &String| name.eq_ignore_ascii_case(&auth.client_id);
    let own =
        auth.principal_id.as_ref() == Some(&seen.id) || seen.state.user_name.as_ref().is_some_and(named);
    let demotes = |want: &UserState| demotes(seen.state.roles.as_ref(), want.active, want.roles.as_ref());
    if !own || !act.want.is_none_or(demotes) {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "the operator signs in as this user ({}), which would no longer be able to manage the account: keep it active and keep \
             its roles, or to delete this object, set spec.deletionPolicy to Retain",
            auth.client_id
        ),
    ))
}

/// The parts of a name that are wanted, in the API's names.
fn parts(name: &UserFullName) -> impl Iterator<Item = (&'static str, &String)> {
    let parts = [("givenName", &name.given_name), ("familyName", &name.family_name)];
    parts.into_iter().filter_map(|(part, value)| Some((part, value.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers SE-07. A Google service account that the operator signs in as is a user.
    #[test]
    fn the_operators_own_user_stays_active_and_an_administrator() {
        let row = json!({
            "id": "1", "userName": "sa@example.com", "active": true, "roles": [{"value": "account_admin"}],
        });
        let seen = Observed::<User>::from(serde_json::from_value::<Remote>(row).unwrap());
        let refused = |client_id: &str, spec: Option<Value>| {
            let want = spec.map(|fields| {
                let mut spec = json!({"authRef": {"name": "account"}, "userName": "sa@example.com"});
                spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
                User::desired(&serde_json::from_value(spec).unwrap(), &Resolved::default()).unwrap()
            });
            let auth = AuthFacts { client_id: client_id.into(), ..AuthFacts::default() };
            keep_the_operator_in(&Act { want: want.as_ref(), seen: Some(&seen) }, &auth).is_err()
        };
        for (spec, own) in [
            (Some(json!({"displayName": "other"})), false),
            (Some(json!({"roles": ["account_admin"]})), false),
            (Some(json!({"roles": []})), true),
            (Some(json!({"active": false})), true),
            (None, true),
        ] {
            assert_eq!(refused("SA@example.com", spec.clone()), own, "{spec:?}");
            assert!(!refused("other@example.com", spec.clone()), "{spec:?}");
        }
    }
}
