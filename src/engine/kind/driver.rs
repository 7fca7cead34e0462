//! [`ExternalResource`] with its types erased, so that the engine is compiled once for all kinds.
//!
//! The types are erased to JSON values, not to `dyn Any`: no downcasts, and snapshots and plans are plain data. The price
//! is that states and facts must survive a round trip, which a law checks for every kind.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::ApiResource;
use serde_json::Value;

use super::about::Shared;
use super::access::{Reader, Writer};
use super::changes::Change;
use super::lifecycle::Home;
use super::needs::{Need, Resolved};
use super::output::Output;
use super::part::Part;
use super::power::Power;
use super::references::Reference;
use super::refusals::{nothing_sent, refers_to_nothing, unless_unknown};
use super::resource::{Act, CallError, ExternalResource, Guard, Immutable, Key, Observed};
use super::roster::{Entries, Settled};
use super::schema::{self, Rules};
use super::seen::{Acting, New, Seen};
use super::traits::Traits;
use crate::engine::crd::{Reason, camel};
use crate::engine::error::{Error, Result};

/// A kind, erased. See [`ExternalResource`] for what each function promises.
#[allow(missing_docs)]
pub trait Driver: Send + Sync + 'static {
    fn kind(&self) -> Cow<'static, str>;
    fn api_resource(&self) -> ApiResource;
    fn crd(&self) -> CustomResourceDefinition;
    fn fields(&self) -> &'static BTreeSet<String>;
    fn traits(&self) -> Traits;
    fn needs(&self, spec: &Value) -> Result<Vec<Need>>;
    fn output(&self, spec: &Value) -> Result<Option<Output>>;
    fn desired(&self, spec: &Value, got: &Resolved) -> Result<Value>;
    fn key(&self, want: &Value) -> Result<Key>;
    fn within(&self, id: &str) -> Result<String>;
    fn aside(&self, want: &Value, id: &str) -> Result<Option<Value>>;
    fn power(&self, want: &Value) -> Result<Power>;
    fn parts(&self, want: &Value, id: Option<&str>) -> Result<Vec<Part>>;
    fn entries(&self, want: &Value, seen: &Seen) -> Result<Entries>;
    fn settle(&self, want: &Value, settled: &Settled) -> Result<Value>;
    fn recognises(&self, want: &Value, seen: &Seen) -> Result<bool>;
    fn changes(&self, want: &Value, seen: &Seen) -> Result<Vec<Change>>;
    fn again(&self, want: &Value, seen: &Seen) -> Result<Vec<&'static str>>;
    fn matches(&self, key: &Key, seen: &Seen) -> Result<bool>;
    fn guard<'a>(&'a self, act: Acting<'a>, api: &'a Reader) -> BoxFuture<'a, Result<()>>;
    fn shared<'a>(&'a self, api: &'a Reader, within: &'a str) -> BoxFuture<'a, Result<Shared>>;
    fn get<'a>(&'a self, api: &'a Reader, id: &'a str) -> BoxFuture<'a, Result<Option<Seen>>>;
    fn list<'a>(&'a self, api: &'a Reader, within: &'a str) -> BoxFuture<'a, Result<Vec<Seen>>>;
    fn create<'a>(&'a self, api: &'a Writer, want: &'a Value) -> BoxFuture<'a, Result<New>>;
    fn update<'a>(
        &'a self,
        api: &'a Writer,
        seen: &'a Seen,
        want: &'a Value,
        now: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Seen>>;
    fn left_behind(&self, want: Option<&Value>, seen: &Seen) -> Result<Option<&'static str>>;
    fn remove<'a>(
        &'a self,
        api: &'a Writer,
        seen: &'a Seen,
        want: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<()>>;
    fn delete<'a>(&'a self, api: &'a Writer, seen: &'a Seen) -> BoxFuture<'a, Result<()>>;
}

/// The registration of a kind.
pub const fn of<R: ExternalResource>() -> &'static dyn Driver {
    &Adapter::<R>(PhantomData)
}

struct Adapter<R>(PhantomData<fn() -> R>);

fn typed<T: serde::de::DeserializeOwned>(value: &Value, what: &str) -> Result<T> {
    T::deserialize(value)
        .map_err(|e| Error::terminal(Reason::InvalidSpec, format!("{what} cannot be read: {e}")))
}

fn erased<T: serde::Serialize>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|e| {
        Error::terminal(Reason::InternalError, format!("a state cannot be written as JSON: {e}"))
    })
}

fn parse_id<R: ExternalResource>(id: &str) -> Result<R::Id> {
    R::Id::from_str(id).map_err(|e| {
        Error::terminal(Reason::InvalidSpec, format!("{id:?} is not an id of a {}: {e}", R::kind(&())))
    })
}

fn erase<R: ExternalResource>(seen: Observed<R>) -> Result<Seen> {
    let Value::Object(facts) = erased(&seen.facts)? else {
        return Err(Error::terminal(Reason::InternalError, "facts are not an object"));
    };
    Ok(Seen { id: seen.id.to_string(), state: erased(&seen.state)?, facts, about: seen.about })
}

fn restore<R: ExternalResource>(seen: &Seen) -> Result<Observed<R>> {
    Ok(Observed {
        id: parse_id::<R>(&seen.id)?,
        state: typed(&seen.state, "the observed state")?,
        facts: typed(&Value::Object(seen.facts.clone()), "the observed facts")?,
        about: seen.about.clone(),
    })
}

/// What a change of an object needs: a writer for where the object is, the object, and its parent.
async fn at_home<R: ExternalResource>(api: &Writer, seen: &Seen) -> Result<(Writer, Observed<R>, String)> {
    let seen = restore::<R>(seen)?;
    let within = R::within(&seen.id);
    Ok((R::HOME.writer(api, &within).await?, seen, within))
}

/// More fields of a kind than this cannot be fixed: a constant has a size.
const MOST_FIXED: usize = 32;

impl<R: ExternalResource> Adapter<R> {
    /// What never changes: the kind's own fields, and references.
    const FIXED: &'static [Immutable] = Self::ALL_FIXED.0.split_at(Self::ALL_FIXED.1).0;

    const ALL_FIXED: &'static ([Immutable; MOST_FIXED], usize) = &{
        let mut all = [Immutable { state: "", spec: &[] }; MOST_FIXED];
        let (mut count, mut at) = (0, 0);
        while count < R::IMMUTABLE.len() {
            all[count] = R::IMMUTABLE[count];
            count += 1;
        }
        while at < R::REFERENCES.len() {
            let Reference { state, spec, fixed, .. } = R::REFERENCES[at];
            if fixed {
                all[count] = Immutable { state, spec };
                count += 1;
            }
            at += 1;
        }
        (all, count)
    };
}

impl<R: ExternalResource> Driver for Adapter<R> {
    fn kind(&self) -> Cow<'static, str> {
        R::kind(&())
    }

    fn api_resource(&self) -> ApiResource {
        ApiResource::erase::<R>(&())
    }

    fn crd(&self) -> CustomResourceDefinition {
        let rules = Rules { traits: self.traits(), name: R::NAME, required: R::REQUIRED };
        schema::finish(R::crd(), &rules)
    }

    fn fields(&self) -> &'static BTreeSet<String> {
        // To build the schema of a kind takes milliseconds, and an operator that starts needs the fields of few kinds.
        static KNOWN: Mutex<BTreeMap<String, &'static BTreeSet<String>>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .entry(R::kind(&()).into_owned())
            .or_insert_with(|| Box::leak(Box::new(schema::fields(&R::crd()))))
    }

    fn traits(&self) -> Traits {
        Traits {
            immutable: Self::FIXED,
            references: R::REFERENCES,
            untold: R::UNTOLD,
            unlisted: R::UNLISTED,
            home: R::HOME,
            parented: R::PARENTED || R::LIFECYCLE.is_repeatable() || R::HOME == Home::InWorkspace,
            ownership: R::OWNERSHIP,
            lifecycle: R::LIFECYCLE,
            data_bearing: R::DATA_BEARING,
            undelete: R::UNDELETE,
            retained: R::RETAINED,
            removable: R::REMOVABLE,
            restored: R::RESTORED,
            issues: R::ISSUES,
            granted_by_name: R::GRANTED_BY_NAME,
            read_lag: R::READ_LAG,
            guarded_alone: matches!(R::GUARD, Some(Guard::Alone(_) | Guard::Reading(_))),
            guarded_among_siblings: matches!(R::GUARD, Some(Guard::Among(_))),
            creates_in_turn: R::CREATES_IN_TURN,
            writes_in_turn: R::WRITES_IN_TURN,
            found_by_key: R::MATCHES.is_none(),
            has_parts: R::PARTS.is_some(),
            guard_reads: R::GUARD_READS,
            explained: R::EXPLAINED,
            roster: R::ROSTER.map(|roster| roster.by),
        }
    }

    fn needs(&self, spec: &Value) -> Result<Vec<Need>> {
        let own = R::needs(&typed(spec, "spec")?);
        Ok(R::REFERENCES.iter().flat_map(|reference| reference.needs(spec)).chain(own).collect())
    }

    fn output(&self, spec: &Value) -> Result<Option<Output>> {
        Ok(R::output(&typed(spec, "spec")?))
    }

    fn desired(&self, spec: &Value, got: &Resolved) -> Result<Value> {
        let targets = R::REFERENCES.iter().filter_map(|r| Some((r.state, r.ids(spec, &got.ids)?))).collect();
        erased(&R::desired(&typed(spec, "spec")?, &Resolved { targets, ..got.clone() })?)
    }

    fn key(&self, want: &Value) -> Result<Key> {
        Ok(R::key(&typed(want, "the desired state")?))
    }

    fn within(&self, id: &str) -> Result<String> {
        Ok(R::within(&parse_id::<R>(id)?))
    }

    fn aside(&self, want: &Value, id: &str) -> Result<Option<Value>> {
        R::aside(typed(want, "the desired state")?, &parse_id::<R>(id)?)
            .map(|state| erased(&state))
            .transpose()
    }

    fn power(&self, want: &Value) -> Result<Power> {
        let want = typed(want, "the desired state")?;
        let (own, workspace) = (R::power(&want), R::HOME.workspace(R::key(&want).within));
        Ok(Power { workspace_id: workspace.or(own.workspace_id), ..own })
    }

    fn parts(&self, want: &Value, id: Option<&str>) -> Result<Vec<Part>> {
        let Some(parts) = R::PARTS else { return Ok(vec![]) };
        let id = id.map(parse_id::<R>).transpose()?;
        Ok(parts(&typed(want, "the desired state")?, id.as_ref()))
    }

    fn entries(&self, want: &Value, seen: &Seen) -> Result<Entries> {
        let Some(roster) = R::ROSTER else { return Ok(Entries::default()) };
        let want: R::State = typed(want, "the desired state")?;
        Ok((roster.entries)(&want, &restore::<R>(seen)?.state))
    }

    fn settle(&self, want: &Value, settled: &Settled) -> Result<Value> {
        let Some(roster) = R::ROSTER else { return Ok(want.clone()) };
        erased(&(roster.settle)(typed(want, "the desired state")?, settled))
    }

    fn recognises(&self, want: &Value, seen: &Seen) -> Result<bool> {
        Ok(R::recognises(&typed(want, "the desired state")?, &restore(seen)?))
    }

    fn changes(&self, want: &Value, seen: &Seen) -> Result<Vec<Change>> {
        R::changes(&typed(want, "the desired state")?, &restore(seen)?)
    }

    fn again(&self, want: &Value, seen: &Seen) -> Result<Vec<&'static str>> {
        Ok(R::again(&typed(want, "the desired state")?, &restore(seen)?))
    }

    fn matches(&self, key: &Key, seen: &Seen) -> Result<bool> {
        let seen = restore::<R>(seen)?;
        Ok(R::MATCHES.map_or_else(|| R::key(&seen.state) == *key, |matches| matches(key, &seen)))
    }

    fn guard<'a>(&'a self, act: Acting<'a>, api: &'a Reader) -> BoxFuture<'a, Result<()>> {
        async move {
            let want: Option<R::State> = act.want.map(|w| typed(w, "the desired state")).transpose()?;
            let seen = act.seen.map(restore::<R>).transpose()?;
            let siblings = act.siblings.iter().map(restore::<R>).collect::<Result<Vec<_>>>()?;
            Act { want: want.as_ref(), seen: seen.as_ref() }.check(api, &siblings, act.auth).await
        }
        .boxed()
    }

    fn shared<'a>(&'a self, api: &'a Reader, within: &'a str) -> BoxFuture<'a, Result<Shared>> {
        async move { Ok(R::shared(api, within).await?) }.boxed()
    }

    fn get<'a>(&'a self, api: &'a Reader, id: &'a str) -> BoxFuture<'a, Result<Option<Seen>>> {
        async move {
            let id = parse_id::<R>(id)?;
            let within = R::within(&id);
            let Some(home) = R::HOME.reader(api, &within).await? else { return Ok(None) };
            let found = R::HOME.settle(api, &within, R::get(&home, &id).await).await?;
            found.flatten().map(erase::<R>).transpose()
        }
        .boxed()
    }

    fn list<'a>(&'a self, api: &'a Reader, within: &'a str) -> BoxFuture<'a, Result<Vec<Seen>>> {
        async move {
            let Some(home) = R::HOME.reader(api, within).await? else { return Ok(vec![]) };
            let listed = R::HOME.settle(api, within, R::list(&home, within).await).await?;
            listed.unwrap_or_default().into_iter().map(erase::<R>).collect()
        }
        .boxed()
    }

    fn create<'a>(&'a self, api: &'a Writer, want: &'a Value) -> BoxFuture<'a, Result<New>> {
        async move {
            let state = want;
            let want = typed(want, "the desired state")?;
            let within = R::key(&want).within;
            let writer = R::HOME.writer(&api.to("create", fields(state)), &within).await?;
            let created = R::create(&writer, &want).await;
            let created =
                created.map_err(|error| if writer.has_sent() { error } else { nothing_sent(error) });
            let created = created.map_err(|error| match error {
                CallError::Api(error) => {
                    let nothing = R::HOME.of_workspace(&error, &within);
                    let nothing = nothing.or_else(|| refers_to_nothing(&error, R::REFERENCES, state));
                    nothing.unwrap_or_else(|| unless_unknown(error))
                }
                // The kind knows that it was refused.
                CallError::Classified(
                    error @ (Error::Terminal { .. }
                    | Error::Rejected { .. }
                    | Error::Waiting { .. }
                    | Error::Conflict(_)),
                ) => error,
                // A response that could not be read says nothing about what happened.
                CallError::Classified(error) => Error::Unknown { message: error.to_string() },
            })?;
            let seen = created.seen.map(erase::<R>).transpose();
            let seen = seen.map_err(|error| Error::Unknown { message: error.to_string() })?;
            Ok(New { id: created.id.to_string(), seen, secret: created.secret, beside: created.beside })
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        api: &'a Writer,
        seen: &'a Seen,
        want: &'a Value,
        now: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Seen>> {
        async move {
            let want = typed(want, "the desired state")?;
            let writer = api.to("update", now.iter().map(|field| camel(field)).collect());
            let (writer, seen, within) = at_home::<R>(&writer, seen).await?;
            let updated = R::update(&writer, &seen, &want, now).await;
            erase(updated.map_err(|error| R::HOME.error(error, &within))?)
        }
        .boxed()
    }

    fn left_behind(&self, want: Option<&Value>, seen: &Seen) -> Result<Option<&'static str>> {
        let want: Option<R::State> = want.map(|w| typed(w, "the desired state")).transpose()?;
        Ok(R::left_behind(want.as_ref(), &restore(seen)?))
    }

    fn remove<'a>(
        &'a self,
        api: &'a Writer,
        seen: &'a Seen,
        want: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<()>> {
        async move {
            let want: Option<R::State> = want.map(|w| typed(w, "the desired state")).transpose()?;
            let (writer, seen, within) = at_home::<R>(&api.to("delete", vec![]), seen).await?;
            R::remove(&writer, &seen, want.as_ref()).await.map_err(|error| R::HOME.error(error, &within))
        }
        .boxed()
    }

    fn delete<'a>(&'a self, api: &'a Writer, seen: &'a Seen) -> BoxFuture<'a, Result<()>> {
        async move {
            let (writer, seen, within) = at_home::<R>(&api.to("delete", vec![]), seen).await?;
            R::delete(&writer, &seen).await.map_err(|error| R::HOME.error(error, &within))
        }
        .boxed()
    }
}

/// The fields of a state that have a value.
fn fields(state: &Value) -> Vec<String> {
    let fields = state.as_object().into_iter().flatten();
    fields.filter(|(_, value)| !value.is_null()).map(|(field, _)| camel(field)).collect()
}
