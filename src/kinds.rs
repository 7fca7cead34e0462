//! The kinds of objects in a Databricks account: the one table, a line a kind.

pub mod account_network_policy;
pub mod credential;
pub mod federation_policy;
pub mod ip_access_list;
pub mod network_connectivity_config;
pub mod permission_assignment;
pub mod private_endpoint_rule;
pub mod workspace;

use crate::engine::kind::{Driver, of};

/// All managed kinds.
pub const KINDS: &[&dyn Driver] = &[
    of::<workspace::Workspace>(),
    of::<credential::Credential>(),
    of::<ip_access_list::IpAccessList>(),
    of::<permission_assignment::PermissionAssignment>(),
    of::<network_connectivity_config::NetworkConnectivityConfig>(),
    of::<private_endpoint_rule::PrivateEndpointRule>(),
    of::<account_network_policy::AccountNetworkPolicy>(),
    of::<federation_policy::AccountFederationPolicy>(),
    of::<federation_policy::ServicePrincipalFederationPolicy>(),
];
