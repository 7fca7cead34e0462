//! APIs of the account that several kinds speak: how each is called, and what its responses mean.
//!
//! A layer of its own, below the kinds and above the engine: kinds do not import each other, the client in [`crate::databricks`]
//! knows neither an etag nor the right to write, and the engine knows no API. Nothing here knows a kind or its fields.

mod ip_lists;
mod principals;
mod setting;

pub use ip_lists::{
    ENFORCEMENT, Enforcement, IpList, LISTS, ListType, ShownIpList, before_and_after, keep_the_operator_in,
    not_all_blocked,
};
pub use principals::{
    Changed, Principal, Principals, entries, is_admin, left_behind, not_the_operators_own, power,
};
pub use setting::{Setting, Version};
