//! ServicePrincipal: an identity for programs in the account.
//!
//! Its name is not unique, and nothing of it can hold a mark: the external id of SCIM would hand it to the identity provider in an
//! account with automatic identity management. So it is ours by the recorded id, and one of the same name is a foreign object. If
//! the spec has an `applicationId`, which is unique, only the service principal with that id is meant, whatever its name. A deletion
//! deactivates it, as what runs as it would stop for good; the word for erasing it is `purge`.

pub mod spec;
mod state;

use crate::apis::{demotes, entries, left_behind, power};
use crate::databricks::ScimPatch;
use crate::engine::kind::Power;
use crate::engine::prelude::*;
pub use spec::{ServicePrincipal, ServicePrincipalFacts, ServicePrincipalSpec};
pub use state::ServicePrincipalState;
use state::{PRINCIPALS, Remote};

/// Begins a key that has an application id.
const BY_APPLICATION_ID: &str = "applicationId ";

impl ExternalResource for ServicePrincipal {
    type State = ServicePrincipalState;
    type Id = String;
    type Facts = ServicePrincipalFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "application_id", spec: &["applicationId"] }];
    const NAME: &'static [&'static str] = &["displayName"];
    const UNTOLD: &'static [&'static str] = &["purge"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> = Some(is_called);

    fn desired(spec: &ServicePrincipalSpec, _: &Resolved) -> Result<ServicePrincipalState> {
        Ok(ServicePrincipalState {
            display_name: spec.display_name.clone(),
            application_id: spec.application_id.clone(),
            active: spec.active.unwrap_or(true),
            roles: spec.roles.as_ref().map(|roles| roles.iter().cloned().collect()),
            purge: Some(spec.purge.unwrap_or_default()),
        })
    }

    /// The application id that the spec gives, else the display name. The key of an observed one is its display name: it always has
    /// an application id, and most often Databricks chose that. So two specs with one application id, or with one display name and no
    /// application id, claim the same key. A spec with the id and one with the name of the same service principal do not: there the
    /// claim of its id decides, as soon as it exists.
    fn key(state: &ServicePrincipalState) -> Key {
        let asked = state.application_id.as_ref().filter(|_| state.is_desired());
        let name = match asked {
            Some(id) => format!("{BY_APPLICATION_ID}{id}"),
            None => state.display_name.clone().unwrap_or_default(),
        };
        Key { within: String::new(), name }
    }

    fn power(state: &ServicePrincipalState) -> Power {
        power(state.roles.as_ref())
    }

    /// Without an application id in the spec: the account chose the id, and others may change the name.
    fn recognises(want: &ServicePrincipalState, seen: &Observed<Self>) -> bool {
        want.application_id.is_none() || want.application_id == seen.state.application_id
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

    async fn remove(
        api: &Writer,
        seen: &Observed<Self>,
        want: Option<&ServicePrincipalState>,
    ) -> ApiResult<()> {
        PRINCIPALS
            .remove(api, &seen.id, seen.facts.scim_external_id.is_some(), want.and_then(|want| want.purge))
            .await
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        PRINCIPALS.delete(api, &seen.id, seen.facts.scim_external_id.is_some()).await
    }
}

/// Whether a key means this one. Its name does not count if it has the wanted application id: it may be changed.
fn is_called(key: &Key, seen: &Observed<ServicePrincipal>) -> bool {
    match key.name.strip_prefix(BY_APPLICATION_ID).filter(|id| uuid::Uuid::try_parse(id).is_ok()) {
        Some(id) => seen.state.application_id.as_deref() == Some(id),
        None => ServicePrincipal::key(&seen.state) == *key,
    }
}

/// Refuses to take the operator's own sign-in, or its own role of an account administrator, away.
fn keep_the_operator_in(act: &Act<'_, ServicePrincipal>, auth: &AuthFacts) -> Result<()> {
    let Some(seen) = act.seen else { return Ok(()) };
    let named = |id: &String| id.eq_ignore_ascii_case(&auth.client_id);
    let own =
        auth.principal_id.as_ref() == Some(&seen.id) || seen.state.application_id.as_ref().is_some_and(named);
    let have = seen.state.roles.as_ref();
    let demotes = |want: &ServicePrincipalState| demotes(have, want.active, want.roles.as_ref());
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

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d";
    const OTHER: &str = "0f9e8d7c-6b5a-4c3d-8e2f-1a0b9c8d7e6f";

    fn desired(fields: Value) -> ServicePrincipalState {
        let mut spec = json!({"authRef": {"name": "account"}});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        ServicePrincipal::desired(&serde_json::from_value(spec).unwrap(), &Resolved::default()).unwrap()
    }

    fn row(display_name: &str, application_id: &str) -> Observed<ServicePrincipal> {
        let row = json!({"id": "1", "displayName": display_name, "applicationId": application_id});
        serde_json::from_value::<Remote>(row).unwrap().into()
    }

    /// Whether a search for the desired one finds that one, and whether a record of that one is accepted.
    fn is(want: &ServicePrincipalState, seen: &Observed<ServicePrincipal>) -> (bool, bool) {
        let found = is_called(&ServicePrincipal::key(want), seen);
        (found, ServicePrincipal::recognises(want, seen))
    }

    #[test]
    fn an_application_id_in_the_spec_is_all_that_counts() {
        let want = desired(json!({"displayName": "etl", "applicationId": ID}));
        assert_eq!(is(&want, &row("etl", ID)), (true, true));
        assert_eq!(is(&want, &row("another name", ID)), (true, true));
        let upper = row("etl", &ID.to_uppercase());
        assert_eq!(
            (is(&want, &upper), ServicePrincipal::changes(&want, &upper).unwrap()),
            ((true, true), vec![])
        );
        assert_eq!(is(&want, &row("etl", OTHER)), (false, false));
        // A name that reads like an id is no id.
        assert_eq!(is(&want, &row(ID, OTHER)), (false, false));
        assert_eq!(is(&want, &row(&ServicePrincipal::key(&want).name, OTHER)), (false, false));
    }

    #[test]
    fn without_an_application_id_the_name_counts_and_others_may_change_it() {
        let want = desired(json!({"displayName": "etl"}));
        let created = row("etl", OTHER);
        assert_eq!(is(&want, &created), (true, true));
        assert_eq!(ServicePrincipal::key(&want), ServicePrincipal::key(&created.state));
        assert_eq!(is(&want, &row("renamed", OTHER)), (false, true));
    }

    /// Two objects for one service principal conflict before there is one.
    #[test]
    fn two_specs_for_one_application_id_have_one_key() {
        let key = |fields| ServicePrincipal::key(&desired(fields));
        let one = key(json!({"displayName": "etl", "applicationId": ID}));
        assert_eq!(one, key(json!({"displayName": "other", "applicationId": ID, "purge": true})));
        assert_ne!(one, key(json!({"displayName": "etl", "applicationId": OTHER})));
        assert_ne!(one, key(json!({"displayName": "etl"})));
    }
}
