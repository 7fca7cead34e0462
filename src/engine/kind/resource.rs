//! The contract for the author of a kind: one trait, and its types. Longer than other files, as it is what such an author reads.
//!
//! `needs` and `desired` see the spec and may not do I/O; the async functions see Databricks only. A desired and an observed object
//! have one type, [`ExternalResource::State`], so that the engine compares them, by one tested diff, and no kind can forget a field.
//! None of the async functions sees the Kubernetes object, so a deletion works even if the spec or a reference is broken.

use std::fmt::{Debug, Display};
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::core::NamespaceResourceScope;
use kube::core::object::HasSpec;
use kube::{CustomResourceExt, Resource};
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::about::{About, Shared};
use super::access::{Reader, Writer};
use super::changes::{CANNOT_CHANGE, Change, When, at, diff};
use super::lifecycle::{Home, Lifecycle, Ownership};
use super::needs::{Need, Resolved};
use super::output::{Issues, Output};
use super::part::Parts;
use super::power::Power;
use super::references::Reference;
use super::roster::Roster;
use super::seen::{AuthFacts, Explained, GuardReads};
use crate::databricks;
use crate::engine::crd::{Reason, camel};
use crate::engine::error::{Error, Result};

/// The default of [`ExternalResource::changes`]: every difference may be corrected now, except in `IMMUTABLE` fields
/// and fixed references.
pub fn generic<R: ExternalResource>(want: &R::State, seen: &Observed<R>) -> Result<Vec<Change>> {
    let never = |field: &str| {
        let refers = || R::REFERENCES.iter().any(|r| r.fixed && r.state == field);
        R::IMMUTABLE.iter().any(|i| i.state == field) || refers()
    };
    Ok(differences::<R>(want, seen)?
        .into_iter()
        .map(|path| {
            let field = path.split('.').next().unwrap_or(&path);
            let when = if never(field) { When::Never(CANNOT_CHANGE.into()) } else { When::Now };
            Change { path, when }
        })
        .collect())
}

/// Paths in which a typed pair differs.
pub fn differences<R: ExternalResource>(want: &R::State, seen: &Observed<R>) -> Result<Vec<String>> {
    let json = |state: &R::State| {
        serde_json::to_value(state).map_err(|_| {
            Error::terminal(Reason::InternalError, "the state of the object cannot be written as JSON")
        })
    };
    let mut paths = vec![];
    diff("", &json(want)?, &json(&seen.state)?, &mut paths);
    paths.retain(|p| !R::UNTOLD.contains(&p.as_str()));
    Ok(paths)
}

/// One kind of Databricks object and how to make it match a Kubernetes object.
pub trait ExternalResource:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + CustomResourceExt
    + HasSpec<Spec: DeserializeOwned + Send + Sync>
    + Send
    + Sync
    + Sized
    + 'static
{
    /// What the spec controls, in Databricks' field names. `null` in the desired one means: not managed. A key that is
    /// missing means a map entry that does not exist, so `skip_serializing_if` must not be used.
    type State: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Databricks' name for the object: enough to get and delete it.
    type Id: Display + FromStr<Err: Display> + Clone + Send + Sync + 'static;
    /// Read-only facts worth showing in `status`, in camelCase.
    type Facts: Serialize + DeserializeOwned + Default + Send + Sync + 'static;

    /// Fields of `State` that cannot change after creation, each with the fields of the spec that it comes from; a reference says
    /// so itself, in [`Self::REFERENCES`]. The source of the schema's immutability rules and of [`When::Never`].
    const IMMUTABLE: &'static [Immutable] = &[];
    /// Fields of the spec, in camelCase, that name the object: they are needed unless `externalId` does.
    const NAME: &'static [&'static str] = &[];
    /// Other fields of the spec, in camelCase, that a create needs. Where nothing is created, they may be left out.
    const REQUIRED: &'static [&'static str] = &[];
    /// Fields that the API never returns: the only ones whose absence in a response is no difference.
    const UNTOLD: &'static [&'static str] = &[];
    /// Fields that only a read by id has, `null` in the rows of a LIST. With one of them in its spec, an object is read by itself.
    const UNLISTED: &'static [&'static str] = &[];
    /// The other objects of the account that this one refers to, by id or by a reference to a Kubernetes object.
    const REFERENCES: &'static [Reference] = &[];
    /// Where the objects are. In workspaces, `within` of an id and of a key is the id of the workspace, all readers and writers are
    /// those of its host, and each use needs a grant for it.
    const HOME: Home = Home::Account;
    /// Each is under a parent, so that a LIST shows those of one parent. Upserts and what is in workspaces are so anyway.
    const PARENTED: bool = false;
    /// What proves that an object in the account is ours.
    const OWNERSHIP: Ownership = Ownership::RecordedId;
    /// How it is created.
    const LIFECYCLE: Lifecycle = Lifecycle::Object;
    /// It holds users' data: it is [`Self::RETAINED`] and, if lost, not created again without a person's decision.
    const DATA_BEARING: bool = false;
    /// How a person restores one that is lost, and within which time, if Databricks can do that. For [`Self::DATA_BEARING`] alone.
    const UNDELETE: Option<&'static str> = None;
    /// It stays in the account by default when its Kubernetes object is deleted, as users lose data or access to data with it.
    const RETAINED: bool = Self::DATA_BEARING || Self::RESTORED;
    /// A DatabricksAuth allows it only by a grant that names the kind: not without grants, and not by a grant for all kinds. For
    /// kinds with which a user gets the rights of other principals of the account, decides on those of all, or reaches what no list here names.
    const GRANTED_BY_NAME: bool = false;
    /// Whether its create returns a secret that no read shows later. It goes to a Kubernetes Secret, see [`Self::output`].
    const ISSUES: Issues = Issues::Nothing;
    /// How long reads of the account may lag behind writes. Within that time after its creation an object does not count as gone,
    /// even if reads do not show it, and a change that reads do not show is not sent again. The setting `--read-lag` caps it. If
    /// zero, a change is sent again after a while, and a created object does not count as gone within `--quarantine`.
    const READ_LAG: Duration = Duration::ZERO;
    /// Whether the API can take it away or make it vacant. If not, it stays, and the schema refuses Delete, but for `RESTORED`.
    const REMOVABLE: bool = true;
    /// It is not [`Self::REMOVABLE`], but `deletionPolicy: Delete` sets back, by [`Self::update`], what it was before. Else retained.
    const RESTORED: bool = false;
    /// Creates under one parent are sent one at a time, as the API is slow with several at once or refuses them.
    const CREATES_IN_TURN: bool = false;
    /// All writes under one parent are sent one at a time, as each replaces what the others wrote as well.
    const WRITES_IN_TURN: bool = false;
    /// A last check before create, update and delete.
    const GUARD: Option<Guard<Self>> = None;
    /// Another kind whose objects a [`Guard::Reading`] reads. A change waits while reads may not show what was just done to one of them.
    const GUARD_READS: Option<GuardReads> = None;
    /// Whether a create with a key could have created an object, if an equal key is not all that counts. Then a search compares each row.
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> = None;
    /// What a desired state manages that objects of other kinds can manage too.
    const PARTS: Option<Parts<Self::State, Self::Id>> = None;
    /// Another kind whose rows say more about a Ready or Failed object of this one, such as what is wrong with the network of a workspace.
    const EXPLAINED: Option<Explained> = None;
    /// A list in the account that a desired state determines as a whole, so that what else is on it is reported or removed. Its
    /// [`Self::Facts`] are a [`crate::engine::crd::Listing`].
    const ROSTER: Option<Roster<Self::State>> = None;

    /// What must be known first besides [`Self::REFERENCES`]: names that only the account can resolve.
    fn needs(spec: &Self::Spec) -> Vec<Need> {
        let _ = spec;
        vec![]
    }
    /// Where the secret goes that a create returns, and when it is replaced; for a kind with [`Self::ISSUES`]. Pure.
    fn output(spec: &Self::Spec) -> Option<Output> {
        let _ = spec;
        None
    }
    /// The spec, with needs replaced by ids. Pure.
    fn desired(spec: &Self::Spec, got: &Resolved) -> Result<Self::State>;
    /// What a create can be found by later; stored in the intent.
    fn key(state: &Self::State) -> Key;
    /// The parent of the object with this id: where a LIST shows it, whatever its spec says by now. Empty is the account.
    fn within(id: &Self::Id) -> String {
        let _ = id;
        String::new()
    }
    /// The desired state under a temporary key, which [`Self::recognises`] still knows. Two objects that exchange their keys need
    /// it, if the account allows each key only once but allows it to be changed.
    fn aside(want: Self::State, id: &Self::Id) -> Option<Self::State> {
        let _ = (want, id);
        None
    }
    /// What a grant may limit: the workspace that is touched and the permission that is given.
    fn power(state: &Self::State) -> Power {
        let _ = state;
        Power::default()
    }
    /// Whether an object that a record names is the intended one: a natural key still matches. Records are input that users
    /// can edit, so they alone are no proof. A spec without the name asks for the object by its id.
    fn recognises(want: &Self::State, seen: &Observed<Self>) -> bool {
        let key = Self::key(want);
        key.name.is_empty() || key == Self::key(&seen.state)
    }
    /// What differs, and whether it may be changed now.
    fn changes(want: &Self::State, seen: &Observed<Self>) -> Result<Vec<Change>> {
        generic::<Self>(want, seen)
    }

    /// The object called `id`, or `None` once it is proven gone: by default the one of the list, where the API reads no single one.
    fn get(api: &Reader, id: &Self::Id) -> impl Future<Output = ApiResult<Option<Observed<Self>>>> + Send {
        async move {
            let (all, id) = (Self::list(api, &Self::within(id)).await?, id.to_string());
            Ok(all.into_iter().find(|seen| seen.id.to_string() == id))
        }
    }
    /// Everything of this kind under one parent (empty: the account).
    fn list(api: &Reader, within: &str) -> impl Future<Output = ApiResult<Vec<Observed<Self>>>> + Send;
    /// What all objects under one parent share and no response about a single one has: read once with each LIST, for all its rows. What
    /// cannot be known is left out; after an error, the values of the last read stay.
    fn shared(api: &Reader, within: &str) -> impl Future<Output = ApiResult<Shared>> + Send {
        let _ = (api, within);
        std::future::ready(Ok(Shared::default()))
    }
    /// Creates the object with exactly one call, and returns what the API reported, which may be the id alone. One call, because
    /// an error after the object was created would look as if it had not been. Reads may precede it: if one of them fails, the engine
    /// knows that nothing was sent. Never called for [`Lifecycle::Standing`].
    fn create(api: &Writer, want: &Self::State) -> impl Future<Output = ApiResult<Created<Self>>> + Send {
        let _ = (api, want);
        std::future::ready(Err(
            Error::terminal(Reason::InternalError, "this operator cannot create this").into()
        ))
    }
    /// Makes `seen` match `want` in the fields `now`, and returns the object as the API now reports it. Never called if all
    /// fields are `IMMUTABLE`. If an object can be [`super::Phase::Vacant`], only the first call may change something.
    fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &Self::State,
        now: &[&str],
    ) -> impl Future<Output = ApiResult<Observed<Self>>> + Send {
        let _ = (api, seen, want);
        let text = format!("this operator cannot change {}", now.join(", "));
        std::future::ready(Err(Error::terminal(Reason::InternalError, text).into()))
    }
    /// The fields to send once more, with their desired values, when a user requests a retry of what failed
    /// ([`super::Phase::Failed`]); none if that is of no use.
    fn again(want: &Self::State, seen: &Observed<Self>) -> Vec<&'static str> {
        let _ = (want, seen);
        vec![]
    }
    /// What a deletion leaves behind, in a word such as `deactivated`, if that is what was read. It counts as gone once its
    /// Kubernetes object is deleted. `want` is the desired state, if the spec can still be read.
    fn left_behind(want: Option<&Self::State>, seen: &Observed<Self>) -> Option<&'static str> {
        let _ = (want, seen);
        None
    }
    /// Does what `deletionPolicy: Delete` means: deletes, unless the kind keeps what a user may need again, see
    /// [`Self::left_behind`]. What was created a moment ago, and could not be recorded, is deleted in any case.
    fn remove(
        api: &Writer,
        seen: &Observed<Self>,
        want: Option<&Self::State>,
    ) -> impl Future<Output = ApiResult<()>> + Send {
        let _ = want;
        Self::delete(api, seen)
    }
    /// Requests the deletion of an object as it was read; puts one that can be [`super::Phase::Vacant`] back to that state. Success
    /// means that it was accepted, not that the object is gone. Never called unless it is [`Self::REMOVABLE`].
    fn delete(api: &Writer, seen: &Observed<Self>) -> impl Future<Output = ApiResult<()>> + Send {
        let _ = (api, seen);
        std::future::ready(Err(
            Error::terminal(Reason::InternalError, "this operator cannot delete this").into()
        ))
    }
}

/// Result of a call: the client's error, or the kind's more precise one.
pub type ApiResult<T> = std::result::Result<T, CallError>;

/// An error of a call.
#[derive(Debug)]
pub enum CallError {
    /// As the client reports it; the engine classes it.
    Api(databricks::Error),
    /// Classified by the kind, if it knows better than the general table.
    Classified(Error),
}

impl From<databricks::Error> for CallError {
    fn from(error: databricks::Error) -> Self {
        CallError::Api(error)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        CallError::Classified(error)
    }
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Api(error) => error.into(),
            CallError::Classified(error) => error,
        }
    }
}

/// A field that cannot change after creation.
#[derive(Clone, Copy, Debug)]
pub struct Immutable {
    /// Field of `State`.
    pub state: &'static str,
    /// The fields of the spec it comes from, in camelCase; a field of an object as a path, `principal.id`. The
    /// first holds the value itself. Others give it by a reference or a name, and each may replace another as long as it
    /// means the same: a field beside it, `workspaceRef`, or the object that holds it, `principal`.
    pub spec: &'static [&'static str],
}

impl Immutable {
    /// The field of the spec that has the same name as the one of `State`, and that name: `status.observed` shows the
    /// account's value, and a spec may be corrected to it. None for a reference, whose target is compared.
    pub fn shown(&self) -> Option<(&'static str, &'static str)> {
        let name = |path: &&'static str| path.rsplit('.').next().map(|name| (*path, name));
        self.spec.iter().filter_map(name).find(|(_, name)| *name == camel(self.state))
    }

    /// The field of the spec that a message names: of several, the one that is written.
    pub fn written(&self, spec: &Value) -> &'static str {
        let written = self.spec.iter().find(|path| !at(spec, path).is_null());
        written.or(self.spec.first()).copied().unwrap_or_default()
    }
}

/// A check that may refuse a write. `Err` refuses it.
pub enum Guard<R: ExternalResource> {
    /// Checks the act alone, by what it changes.
    Act(fn(&Act<'_, R>) -> Result<()>),
    /// The same, and knows the operator's own principal.
    Alone(fn(&Act<'_, R>, &AuthFacts) -> Result<()>),
    /// The same, and reads what else in the account it depends on.
    Reading(ReadingGuard<R>),
    /// Checks against all objects of the kind under the same parent, freshly listed; such acts are done one at a time per parent.
    Among(AmongSiblings<R>),
}

/// Checks an act against all its siblings and what is known of the DatabricksAuth.
pub type AmongSiblings<R> = fn(&Act<'_, R>, &[Observed<R>], &AuthFacts) -> Result<()>;

/// Checks an act and what it reads itself.
pub type ReadingGuard<R> = for<'a> fn(&'a Act<'a, R>, &'a AuthFacts, &'a Reader) -> BoxFuture<'a, Result<()>>;

/// A create (`want`), update (both) or delete (`seen`) that is about to be sent.
pub struct Act<'a, R: ExternalResource> {
    /// The desired state.
    pub want: Option<&'a R::State>,
    /// The present state.
    pub seen: Option<&'a Observed<R>>,
}

impl<R: ExternalResource> Act<'_, R> {
    /// Whether the guard of the kind allows it.
    pub async fn check(&self, api: &Reader, siblings: &[Observed<R>], auth: &AuthFacts) -> Result<()> {
        match R::GUARD {
            None => Ok(()),
            Some(Guard::Act(check)) => check(self),
            Some(Guard::Alone(check)) => check(self, auth),
            Some(Guard::Among(check)) => check(self, siblings, auth),
            Some(Guard::Reading(check)) => check(self, auth, api).await,
        }
    }
}

/// One reading of a Databricks object.
pub struct Observed<R: ExternalResource> {
    /// Its id.
    pub id: R::Id,
    /// What a spec can control.
    pub state: R::State,
    /// What is shown.
    pub facts: R::Facts,
    /// What the engine reads of it.
    pub about: About,
}

/// What a create returned.
pub struct Created<R: ExternalResource> {
    /// The id of the new object.
    pub id: R::Id,
    /// The object, if the response shows it. Otherwise the engine records the id, and reads.
    pub seen: Option<Observed<R>>,
    /// A secret that no later read shows, for a kind with [`ExternalResource::ISSUES`].
    pub secret: Option<SecretString>,
    /// What its users need beside it, with its key in the Kubernetes Secret.
    pub beside: Option<(&'static str, String)>,
}

impl<R: ExternalResource> From<Observed<R>> for Created<R> {
    fn from(seen: Observed<R>) -> Self {
        Created { id: seen.id.clone(), seen: Some(seen), secret: None, beside: None }
    }
}

impl<R: ExternalResource> Created<R> {
    /// An object of which the response shows only the id.
    pub fn of(id: R::Id) -> Self {
        Created { id, seen: None, secret: None, beside: None }
    }
}

impl<R: ExternalResource> Observed<R> {
    /// The same as the response to an update that was refused in part.
    pub fn refused(mut self, refused: Option<Error>) -> Self {
        self.about.refused = refused;
        self
    }
}

/// What a created object can be found by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Id of the parent; empty for the account.
    pub within: String,
    /// The natural name.
    pub name: String,
}
