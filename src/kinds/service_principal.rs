//! ServicePrincipal: an identity for programs in the account.
//!
//! Its name is not unique, and nothing of it can hold a mark: the external id of SCIM would hand it to the identity provider in an
//! account with automatic identity management. So it is ours by the recorded id, and one of the same name is a foreign object. A
//! deletion deactivates it, as what runs as it would stop for good; the word for erasing it is `purge`.

use std::collections::BTreeSet;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{Optional, Pages, ScimEntry, ScimPatch, scim_schemas};
use crate::engine::crd::{Management, Reason, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, ExternalResource, Guard, Immutable, Key, Observed, Power, Reader,
    Resolved, Writer, of_identity_provider,
};

/// An identity for programs in the account.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "ServicePrincipal",
    shortname = "dbsp",
    category = "databricks",
    namespaced,
    status = "Status<ServicePrincipalFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.displayName", "description": "The name that people see."}"#,
    printcolumn = r#"{"name": "Application-ID", "type": "string", "jsonPath": ".status.applicationId", "description": "The client id with which it signs in."}"#,
    printcolumn = r#"{"name": "State", "type": "string", "jsonPath": ".status.state", "description": "ACTIVE, or INACTIVE if it cannot sign in."}"#,
    doc = "An identity for programs in the account."
)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name that people see; several may have the same in the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub display_name: Option<String>,
    /// The application id, a UUID, of one that Microsoft Entra ID manages. Default: Databricks chooses one. Cannot be changed, added or removed once the service principal exists. Known on Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(max = 36),
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    )]
    pub application_id: Option<String>,
    /// Whether it can sign in; true by default. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// `account_admin` makes it an administrator of the account. Needs a grant with maxPermission ACCOUNT_ADMIN in the DatabricksAuth. With this field, roles that it does not list are removed. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), extend(
        "items" = {"type": "string", "enum": ["account_admin"]},
        "x-kubernetes-list-type" = "set",
    ))]
    pub roles: Option<Vec<String>>,
    /// `true` erases the service principal when this object is deleted with deletionPolicy Delete: its secrets and access go with it, and what runs as it stops, for good. By default it is deactivated. May be changed at any time, also while the object is being deleted. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purge: Option<bool>,
}

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

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServicePrincipalFacts {
    /// The application id: the client id with which it signs in, and its name in workspaces. Its other id is externalId.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// The id that an identity provider knows it by. With automatic identity management only that can change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scim_external_id: Option<String>,
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

    async fn create(api: &Writer, want: &ServicePrincipalState) -> ApiResult<Observed<Self>> {
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
        Ok(made.into())
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
    for body in patch.bodies() {
        let path = api.path(&["scim", "v2", "ServicePrincipals", &seen.id]);
        let sent = api.patch::<IgnoredAny>(path, body).await;
        sent.map_err(|error| of_identity_provider(error, seen.facts.scim_external_id.is_some()))?;
    }
    Ok(())
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
