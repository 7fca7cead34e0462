//! The kinds of objects in a Databricks account: the one table, a line a kind.

pub mod credential;
pub mod federation_policy;
pub mod ip_access_list;
pub mod permission_assignment;
pub mod service_principal_secret;
pub mod workspace;

use crate::engine::kind::{Driver, of};

/// All managed kinds.
pub const KINDS: &[&dyn Driver] = &[
    of::<workspace::Workspace>(),
    of::<credential::Credential>(),
    of::<ip_access_list::IpAccessList>(),
    of::<permission_assignment::PermissionAssignment>(),
    of::<federation_policy::AccountFederationPolicy>(),
    of::<federation_policy::ServicePrincipalFederationPolicy>(),
    of::<service_principal_secret::ServicePrincipalSecret>(),
];
