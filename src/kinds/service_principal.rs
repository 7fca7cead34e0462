//! ServicePrincipal: an identity for programs in the account.
//!
//! Its name is not unique, and nothing of it can hold a mark: the external id of SCIM would hand it to the identity provider in an
//! account with automatic identity management. So it is ours by the recorded id, and one of the same name is a foreign object. A
//! deletion deactivates it, as what runs as it would stop for good; the word for erasing it is `purge`.

pub mod spec;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{Optional, Pages, ScimEntry, ScimPatch, scim_schemas};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, Created, ExternalResource, Guard, Immutable, Key, Observed, Power,
    Reader, Resolved, Writer, of_identity_provider,
};
pub use spec::{ServicePrincipal, ServicePrincipalFacts, ServicePrincipalSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct ServicePrincipalState {
    display_name: Option<String>,
    application_id: Option<String>,
    active: bool,
    roles: Option<BTreeSet<String>>,
    purge: Option<bool>,
}

impl ServicePrincipalState {
    fn is_admin(&self) -> bool {
        self.roles.iter().flatten().any(|role| role == "account_admin")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    id: String,
    display_name: Option<String>,
    application_id: Option<String>,
    active: Option<bool>,
    roles: Option<Vec<ScimEntry>>,
    external_id: Option<String>,
}

impl From<Remote> for Observed<ServicePrincipal> {
    fn from(remote: Remote) -> Self {
        let active = remote.active.unwrap_or(true);
        Observed {
            id: remote.id,
            state: ServicePrincipalState {
                display_name: remote.display_name,
                application_id: remote.application_id.clone(),
                active,
                roles: Some(ScimEntry::values(remote.roles)),
                purge: None,
            },
            facts: ServicePrincipalFacts {
                application_id: remote.application_id,
                scim_external_id: remote.external_id.filter(|id| !id.is_empty()),
            },
            about: About {
                state: Some(if active { "ACTIVE" } else { "INACTIVE" }.into()),
                ..About::default()
            },
        }
    }
}

impl ExternalResource for ServicePrincipal {
    type State = ServicePrincipalState;
    type Id = String;
    type Facts = ServicePrincipalFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "application_id", spec: &["applicationId"] }];
    const NAME: &'static [&'static str] = &["displayName"];
    const UNTOLD: &'static [&'static str] = &["purge"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));

    fn desired(spec: &ServicePrincipalSpec, _: &Resolved) -> Result<ServicePrincipalState> {
        Ok(ServicePrincipalState {
            display_name: spec.display_name.clone(),
            application_id: spec.application_id.clone(),
            active: spec.active.unwrap_or(true),
            roles: spec.roles.as_ref().map(|roles| roles.iter().cloned().collect()),
            purge: spec.purge,
        })
    }

    fn key(state: &ServicePrincipalState) -> Key {
        Key { within: String::new(), name: state.display_name.clone().unwrap_or_default() }
    }

    fn power(state: &ServicePrincipalState) -> Power {
        Power { account_admin: state.is_admin(), ..Power::default() }
    }

    /// The account chose the id, and others may change the name.
    fn recognises(_: &ServicePrincipalState, _: &Observed<Self>) -> bool {
        true
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let path = api.path(&["scim", "v2", "ServicePrincipals", id]);
        let found: Option<Remote> = api.get(path).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let shown = "id,applicationId,displayName,active,externalId,roles";
        let path = api.path(&["scim", "v2", "ServicePrincipals"]).with("attributes", shown);
        let all: Vec<Remote> = api.list(path, Pages::Scim).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &ServicePrincipalState) -> ApiResult<Created<Self>> {
        let mut body = json!({
            "schemas": scim_schemas("ServicePrincipal"), "displayName": want.display_name, "active": want.active,
        });
        if let Some(id) = &want.application_id {
            body["applicationId"] = json!(id);
        }
        if let Some(roles) = want.roles.as_ref().filter(|roles| !roles.is_empty()) {
            body["roles"] = ScimEntry::with(roles);
        }
        let made: Remote = api.post(api.path(&["scim", "v2", "ServicePrincipals"]), body).await?;
        Ok(Observed::from(made).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &ServicePrincipalState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let mut patch = ScimPatch::default();
        for field in now {
            match (*field, &seen.state.roles, &want.roles) {
                ("display_name", ..) => patch.replace("displayName", json!(want.display_name)),
                ("active", ..) => patch.replace("active", json!(want.active)),
                ("roles", Some(have), Some(want)) => patch.set("roles", have, want),
                _ => {}
            }
        }
        send(api, seen, &patch).await?;
        let changed = Self::get(api, &seen.id).await?;
        let gone = || Error::retry(format!("service principal {} is gone since its change", seen.id));
        Ok(changed.ok_or_else(gone)?)
    }

    fn left_behind(want: Option<&ServicePrincipalState>, seen: &Observed<Self>) -> Option<&'static str> {
        (!seen.state.active && !purges(want)).then_some("deactivated")
    }

    async fn retire(
        api: &Writer,
        seen: &Observed<Self>,
        want: Option<&ServicePrincipalState>,
    ) -> ApiResult<()> {
        if purges(want) {
            return Self::delete(api, seen).await;
        }
        let mut patch = ScimPatch::default();
        patch.replace("active", json!(false));
        send(api, seen, &patch).await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["scim", "v2", "ServicePrincipals", &seen.id])).await;
        Ok(deleted.map_err(|error| of_identity_provider(error, seen.facts.scim_external_id.is_some()))?)
    }
}

fn purges(want: Option<&ServicePrincipalState>) -> bool {
    want.is_some_and(|want| want.purge == Some(true))
}

async fn send(api: &Writer, seen: &Observed<ServicePrincipal>, patch: &ScimPatch) -> ApiResult<()> {
    let sent = api.patch_scim(&api.path(&["scim", "v2", "ServicePrincipals", &seen.id]), patch).await;
    Ok(sent.map_err(|error| of_identity_provider(error, seen.facts.scim_external_id.is_some()))?)
}

/// Refuses to take the operator's own sign-in, or its own role of an account administrator, away.
fn keep_the_operator_in(act: &Act<'_, ServicePrincipal>, auth: &AuthFacts) -> Result<()> {
    let Some(seen) = act.seen else { return Ok(()) };
    let named = |id: &String| id.eq_ignore_ascii_case(&auth.client_id);
    let own =
        auth.principal_id.as_ref() == Some(&seen.id) || seen.state.application_id.as_ref().is_some_and(named);
    let demotes = |want: &ServicePrincipalState| {
        !want.active || (want.roles.is_some() && seen.state.is_admin() && !want.is_admin())
    };
    if !own || !act.want.is_none_or(demotes) {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "this is the operator's own service principal ({}), which would no longer be able to manage the account: keep it \
             active and keep its roles, or to delete this object, set spec.deletionPolicy to Retain",
            auth.client_id
        ),
    ))
}
