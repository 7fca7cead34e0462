//! A service principal in the account: what of it a spec controls, and what a response shows.

use std::collections::BTreeSet;

use super::spec::{ServicePrincipal, ServicePrincipalFacts};
use crate::apis::{Principal, Principals};
use crate::engine::prelude::*;

/// The service principals of the account.
pub(super) const PRINCIPALS: Principals = Principals {
    collection: "ServicePrincipals",
    listed: "id,applicationId,displayName,active,externalId,roles",
};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct ServicePrincipalState {
    pub(super) display_name: Option<String>,
    pub(super) application_id: Option<String>,
    pub(super) active: bool,
    pub(super) roles: Option<BTreeSet<String>>,
    /// Whether a deletion erases it. A desired state always says it, and an observed one never: the account does not know it.
    pub(super) purge: Option<bool>,
}

impl ServicePrincipalState {
    /// Whether this is what a spec asks for, and not what the account has.
    pub(super) fn is_desired(&self) -> bool {
        self.purge.is_some()
    }
}

/// A response.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Remote {
    #[serde(flatten)]
    principal: Principal,
    application_id: Option<String>,
}

impl From<Remote> for Observed<ServicePrincipal> {
    fn from(Remote { principal, application_id }: Remote) -> Self {
        Observed {
            about: principal.about(),
            id: principal.id,
            state: ServicePrincipalState {
                display_name: principal.display_name,
                // The spec has it in lower case.
                application_id: application_id.as_ref().map(|id| id.to_lowercase()),
                active: principal.active,
                roles: Some(principal.roles),
                purge: None,
            },
            facts: ServicePrincipalFacts { application_id, scim_external_id: principal.scim_external_id },
        }
    }
}
