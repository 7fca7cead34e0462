//! The kinds of objects in a Databricks account: the one table, a line a kind.

pub mod account_network_policy;
pub mod account_setting;
pub mod budget;
pub mod budget_policy;
pub mod credential;
pub mod csp_enablement_setting;
pub mod custom_app_integration;
pub mod customer_managed_key;
pub mod disable_legacy_features_setting;
pub mod esm_enablement_setting;
pub mod federation_policy;
pub mod group;
pub mod group_membership;
pub mod ip_access_list;
pub mod ip_access_list_enforcement;
pub mod llm_proxy_enforcement_setting;
pub mod llm_proxy_setting;
pub mod log_delivery;
pub mod metastore;
pub mod metastore_assignment;
pub mod network;
pub mod network_connectivity_binding;
pub mod network_connectivity_config;
pub mod network_endpoint;
pub mod permission_assignment;
pub mod personal_compute_setting;
pub mod private_access_settings;
pub mod private_endpoint_rule;
pub mod published_app_integration;
pub mod role_grant;
pub mod service_principal;
pub mod service_principal_secret;
pub mod storage_configuration;
pub mod storage_credential;
pub mod usage_dashboard;
pub mod user;
pub mod vpc_endpoint;
pub mod workspace;
pub mod workspace_access;
pub mod workspace_ip_access_list;
pub mod workspace_network_option;

use crate::engine::kind::{Driver, of};

/// All managed kinds.
pub const KINDS: &[&dyn Driver] = &[
    of::<workspace::Workspace>(),
    of::<credential::Credential>(),
    of::<ip_access_list::IpAccessList>(),
    of::<permission_assignment::PermissionAssignment>(),
    of::<workspace_access::WorkspaceAccess>(),
    of::<storage_configuration::StorageConfiguration>(),
    of::<customer_managed_key::CustomerManagedKey>(),
    of::<vpc_endpoint::VpcEndpoint>(),
    of::<network::Network>(),
    of::<private_access_settings::PrivateAccessSettings>(),
    of::<disable_legacy_features_setting::DisableLegacyFeaturesSetting>(),
    of::<csp_enablement_setting::CspEnablementSetting>(),
    of::<esm_enablement_setting::EsmEnablementSetting>(),
    of::<personal_compute_setting::PersonalComputeSetting>(),
    of::<llm_proxy_setting::LlmProxySetting>(),
    of::<llm_proxy_enforcement_setting::LlmProxyEnforcementSetting>(),
    of::<account_setting::AccountSetting>(),
    of::<workspace_network_option::WorkspaceNetworkOption>(),
    of::<network_connectivity_config::NetworkConnectivityConfig>(),
    of::<network_connectivity_binding::NetworkConnectivityBinding>(),
    of::<private_endpoint_rule::PrivateEndpointRule>(),
    of::<account_network_policy::AccountNetworkPolicy>(),
    of::<network_endpoint::NetworkEndpoint>(),
    of::<group::Group>(),
    of::<user::User>(),
    of::<service_principal::ServicePrincipal>(),
    of::<federation_policy::AccountFederationPolicy>(),
    of::<federation_policy::ServicePrincipalFederationPolicy>(),
    of::<service_principal_secret::ServicePrincipalSecret>(),
    of::<group_membership::GroupMembership>(),
    of::<role_grant::RoleGrant>(),
    of::<custom_app_integration::CustomAppIntegration>(),
    of::<published_app_integration::PublishedAppIntegration>(),
    of::<budget::Budget>(),
    of::<budget_policy::BudgetPolicy>(),
    of::<usage_dashboard::UsageDashboard>(),
    of::<workspace_ip_access_list::WorkspaceIpAccessList>(),
    of::<log_delivery::LogDelivery>(),
    of::<ip_access_list_enforcement::IpAccessListEnforcement>(),
    of::<metastore::Metastore>(),
    of::<storage_credential::StorageCredential>(),
    of::<metastore_assignment::MetastoreAssignment>(),
];
