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
mod references;
mod refusals;
mod resource;
mod schema;
mod seen;
mod traits;

pub use about::{About, Phase, Shared, seconds_of};
pub use access::{Base, Path, Permit, Reader, Writer};
pub use body::given;
pub use changes::{CANNOT_CHANGE, Change, When, at};
pub use driver::{Driver, of};
pub use home::no_workspace;
pub use inside::Inside;
pub use lifecycle::{Home, Lifecycle, Ownership};
pub use needs::{Need, PrincipalName, Resolved, Wanted, fact};
pub use output::Output;
pub use references::Reference;
pub use refusals::{NEW_REFERENCE, in_use, of_identity_provider, stale, tried_in_aws};
pub use resource::{
    Act, ApiResult, CallError, Created, ExternalResource, Guard, Immutable, Key, Observed, Power,
    ReadingGuard, differences,
};
pub use schema::grants;
pub use seen::{Acting, AuthFacts, New, Seen};
pub use traits::Traits;
