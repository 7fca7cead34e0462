//! What the author of a kind sees: the contract [`ExternalResource`], what it may ask for ([`Need`]), how it reads and
//! writes ([`Reader`], [`Writer`]), and the erased form that the engine drives ([`Driver`]).

mod about;
mod access;
mod body;
mod changes;
mod driver;
mod home;
mod inside;
mod lifecycle;
mod needs;
mod output;
mod part;
mod power;
mod references;
mod refusals;
mod resource;
mod roster;
mod schema;
mod seen;
mod traits;

pub use about::{About, Phase, Shared, seconds_of};
pub use access::{Base, Path, Permit, Reader, Writer};
pub use body::{given, only};
pub use changes::{CANNOT_CHANGE, Change, When, at};
pub use driver::{Driver, of};
pub use home::no_workspace;
pub use inside::{Inside, parent};
pub use lifecycle::{Home, Lifecycle, Ownership};
pub use needs::{Need, PrincipalName, Resolved, Wanted, fact};
pub use output::{Issues, Output, hidden};
pub use part::{Part, Parts};
pub use power::Power;
pub use references::Reference;
pub use refusals::{NEW_IN_AWS, NEW_REFERENCE, in_use, not_now, of_identity_provider, stale, tried_in_aws};
pub use resource::{
    Act, ApiResult, CallError, Created, ExternalResource, Guard, Immutable, Key, Observed, ReadingGuard,
    differences, generic,
};
pub use roster::{Entries, Entry, Removal, Roster, Settled};
pub use schema::grants;
pub use seen::{Acting, AuthFacts, Explained, GuardReads, New, Seen};
pub use traits::Traits;
