//! What the author of a kind sees: the contract [`ExternalResource`], what it may ask for ([`Need`]), how it reads and
//! writes ([`Reader`], [`Writer`]), and the erased form that the engine drives ([`Driver`]).

mod access;
mod body;
mod changes;
mod driver;
mod inside;
mod needs;
mod output;
mod references;
mod refusals;
mod resource;
mod schema;

pub use access::{AuthFacts, Base, FederatedToken, Path, Permit, Reader, Writer};
pub use body::given;
pub use changes::{CANNOT_CHANGE, Change, When, at};
pub use driver::{Driver, New, Seen, Traits, of};
pub use inside::Inside;
pub use needs::{Need, PrincipalName, Resolved, Wanted};
pub use output::Output;
pub use references::Reference;
pub use refusals::{NEW_REFERENCE, in_use, of_identity_provider, tried_in_aws};
pub use resource::{
    About, Act, ApiResult, CallError, Created, ExternalResource, Guard, Immutable, Key, Lifecycle, Observed,
    Ownership, Phase, Power, differences, seconds_of, stale,
};
pub use schema::grants;
