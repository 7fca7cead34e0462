//! APIs of the account that several kinds speak: how each is called, and what its responses mean.
//!
//! A layer of its own, below the kinds and above the engine: kinds do not import each other, the client in [`crate::databricks`]
//! knows neither an etag nor the right to write, and the engine knows no API. Nothing here knows a kind or its fields.

mod administrators;
mod assignments;
mod billing;
mod ip_lists;
mod oauth_apps;
mod parts;
mod principals;
mod setting;
mod unity_catalog;

pub use administrators::{GroupChange, RoleChange, is_in_group, may_be_in_group};
pub use assignments::{Assignee, Assignment, Assignments, Permission, gives_admin, normal_permissions};
pub use billing::advised;
pub use ip_lists::{
    ENFORCEMENT, Enforcement, IpList, LISTS, ListType, ShownIpList, before_and_after, keep_the_operator_in,
    not_all_blocked,
};
pub use oauth_apps::{TOKEN_POLICY, TokenAccessPolicy, TokenPolicy};
pub use parts::{members_of, network_connectivity_of};
pub use principals::{
    Changed, Principal, Principals, ShownGroup, demotes, entries, is_admin, left_behind,
    not_the_operators_own, power,
};
pub use setting::{Setting, SettingKind, Version, observed, off};
pub use unity_catalog::{OwnerRef, no_such_owner, not_created, same_name, with_common_code};
