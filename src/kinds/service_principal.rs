//! ServicePrincipal: an identity for programs in the account.
//!
//! Its name is not unique, and nothing of it can hold a mark: the external id of SCIM would hand it to the identity provider in an
//! account with automatic identity management. So it is ours by the recorded id, and one of the same name is a foreign object. A
//! deletion deactivates it, as what runs as it would stop for good; the word for erasing it is `purge`.

pub mod spec;
mod state;

use crate::apis::{entries, is_admin, left_behind, power};
use crate::databricks::ScimPatch;
use crate::engine::kind::Power;
use crate::engine::prelude::*;
pub use spec::{ServicePrincipal, ServicePrincipalFacts, ServicePrincipalSpec};
pub use state::ServicePrincipalState;
use state::{PRINCIPALS, Remote};

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
        power(state.roles.as_ref())
    }

    /// The account chose the id, and others may change the name.
    fn recognises(_: &ServicePrincipalState, _: &Observed<Self>) -> bool {
        true
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        Ok(PRINCIPALS.get::<Remote>(api, id).await?.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        Ok(PRINCIPALS.list::<Remote>(api).await?.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &ServicePrincipalState) -> ApiResult<Created<Self>> {
        let body = json!({
            "displayName": want.display_name, "applicationId": want.application_id, "active": want.active,
            "roles": entries(want.roles.as_ref()),
        });
        Ok(Observed::from(PRINCIPALS.create::<Remote>(api, body).await?).into())
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
        let changed =
            PRINCIPALS.change::<Remote>(api, &seen.id, seen.facts.scim_external_id.is_some(), patch).await?;
        Ok(Observed::from(changed.now).refused(changed.refused))
    }

    fn left_behind(want: Option<&ServicePrincipalState>, seen: &Observed<Self>) -> Option<&'static str> {
        left_behind(seen.state.active, want.and_then(|want| want.purge))
    }

    async fn retire(
        api: &Writer,
        seen: &Observed<Self>,
        want: Option<&ServicePrincipalState>,
    ) -> ApiResult<()> {
        PRINCIPALS
            .retire(api, &seen.id, seen.facts.scim_external_id.is_some(), want.and_then(|want| want.purge))
            .await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        PRINCIPALS.delete(api, &seen.id, seen.facts.scim_external_id.is_some()).await
    }
}

/// Refuses to take the operator's own sign-in, or its own role of an account administrator, away.
fn keep_the_operator_in(act: &Act<'_, ServicePrincipal>, auth: &AuthFacts) -> Result<()> {
    let Some(seen) = act.seen else { return Ok(()) };
    let named = |id: &String| id.eq_ignore_ascii_case(&auth.client_id);
    let own =
        auth.principal_id.as_ref() == Some(&seen.id) || seen.state.application_id.as_ref().is_some_and(named);
    let admin = |state: &ServicePrincipalState| is_admin(state.roles.as_ref());
    let demotes = |want: &ServicePrincipalState| {
        !want.active || (want.roles.is_some() && admin(&seen.state) && !admin(want))
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
