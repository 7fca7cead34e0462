//! One pass over a DatabricksAuth: host → Secret → token, then one conclusion. The same conclusions as for the kinds.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::spec::{AuthStatus, DatabricksAuthSpec, Dependents};
use super::{Auths, KIND};
use crate::engine::cluster::FINALIZER;
use crate::engine::conclude::{AnyStatus, Outcome};
use crate::engine::error::{Error, Result};
use crate::engine::pass::{Ended, Engine, Subject};
use crate::engine::status::{External, Reason};
use crate::engine::wake::Who;

/// One pass.
pub async fn reconcile(object: Arc<DynamicObject>, engine: Arc<Engine>) -> Action {
    let mut subject = Subject::new(&engine, &object, KIND);
    let readable = subject.status.as_ref().map(|_| ()).map_err(Clone::clone);
    let outcome = match readable {
        Ok(()) => hops(&engine, &mut subject).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        engine.auths.give_up(&subject.who, &subject.spec(), error);
    }
    let well = matches!(outcome, Ok(Outcome::Rest | Outcome::Suspended));
    let ended = subject.conclude(&engine, outcome, Reason::Authenticated).await;
    match ended {
        // Many depend on it: what is wrong with it is looked at again soon.
        Ended::Again(Some(after)) if !well => Action::requeue(after.min(engine.settings.pace.poll_max)),
        ended => ended.action(),
    }
}

async fn hops(engine: &Engine, subject: &mut Subject) -> Result<Outcome> {
    let who = subject.who.clone();
    let dependents = dependents(engine, &who);
    if subject.deleting() && dependents.is_empty() {
        return subject.release(engine, None).await;
    }
    // What serde says of a value it cannot read quotes it, so it is not passed on.
    let spec: DatabricksAuthSpec = serde_json::from_value(subject.spec())
        .map_err(|_| Error::terminal(Reason::InvalidSpec, "spec cannot be read: compare it with the CRD"))?;
    if !subject.deleting() {
        subject.write_metadata(engine, true, None).await?;
    }
    let outcome = connect(engine, subject, &spec, &who).await;
    if subject.deleting() {
        let message = still_used(&dependents);
        let first = dependents.iter().take(5).map(Who::to_string).collect();
        let facts = Dependents { count: i64::try_from(dependents.len()).unwrap_or(i64::MAX), first };
        subject.status_mut()?.facts.insert("dependents".into(), json!(facts));
        return Ok(Outcome::Blocked { reason: Reason::DependencyStillInUse, message });
    }
    outcome
}

/// Who holds a DatabricksAuth that is to go: those of its own namespace, and of others those that have, or are about to
/// have, something in the account, which only the operator writes down. A reference alone must not be enough, nor a
/// finalizer, or any tenant could hold any other's.
fn dependents(engine: &Engine, who: &Who) -> Vec<Who> {
    let mut all = engine.wake.dependents(who);
    all.retain(|other| {
        other.namespace == who.namespace
            || engine.object(other).is_some_and(|object| {
                let object = engine.cluster.freshest(&object);
                let status = &object.data["status"];
                let bound = status["external"].is_object() || status["intent"].is_object();
                bound && object.finalizers().iter().any(|f| f == FINALIZER)
            })
    });
    all
}

fn still_used(dependents: &[Who]) -> String {
    let names: Vec<String> = dependents.iter().take(5).map(Who::to_string).collect();
    let more = if dependents.len() > names.len() { ", …" } else { "" };
    format!(
        "{} objects still use this {KIND} ({}{more}): delete them, or point their spec.authRef to another one",
        dependents.len(),
        names.join(", ")
    )
}

async fn connect(
    engine: &Engine,
    subject: &mut Subject,
    spec: &DatabricksAuthSpec,
    who: &Who,
) -> Result<Outcome> {
    let auths: &Auths = &engine.auths;
    let secret = spec.client_secret_ref.as_ref().map(|r| r.name.as_str());
    auths.watch_secret(who, secret);
    let targets =
        secret.map(|name| Who { kind: "Secret".into(), namespace: who.namespace.clone(), name: name.into() });
    engine.wake.refer(who, targets.into_iter().collect());
    auths.announce(who, spec);
    if spec.suspend == Some(true) {
        let error = Error::waiting(Reason::CredentialsUnavailable, "spec.suspend is true");
        auths.store(who, spec, Err(error));
        return Ok(Outcome::Suspended);
    }
    let connected = auths.connect(&subject.object, spec, who).await;
    let outcome = match &connected {
        Ok(session) => {
            let facts = AuthStatus {
                host: Some(session.client.host().as_str().into()),
                installation: Some(engine.settings.installation.clone()),
                dependents: None,
            };
            let status = subject.status_mut()?;
            set_facts(status, &facts);
            status.external_id = Some(spec.account_id.clone());
            status.external = Some(External {
                account_id: spec.account_id.clone(),
                id: spec.account_id.clone(),
                name: None,
                adopted: false,
            });
            Ok(auths.throttled(who).map_or(Outcome::Rest, Outcome::Limited))
        }
        Err(error) => Err(error.clone()),
    };
    // An endpoint that cannot be reached for a moment does not take a working session away.
    let passing = matches!(&connected, Err(Error::Transient { .. } | Error::Conflict(_)));
    if !(passing && auths.has_usable(who, &subject.object, spec)) {
        auths.store(who, spec, connected);
    }
    outcome
}

fn set_facts(status: &mut AnyStatus, facts: &AuthStatus) {
    if let Ok(Value::Object(facts)) = serde_json::to_value(facts) {
        status.facts = facts;
    }
}

impl Auths {
    /// A pass failed before it came to a session: if there never was one, those who wait are told why.
    fn give_up(&self, who: &Who, spec: &Value, error: &Error) {
        let Ok(spec) = serde_json::from_value::<DatabricksAuthSpec>(spec.clone()) else { return };
        let known = {
            let entries = self.entries.lock().expect("no panic while held");
            entries.contains_key(&(who.namespace.clone(), who.name.clone()))
        };
        if !known && !matches!(error, Error::Conflict(_)) {
            self.store(who, &spec, Err(error.clone()));
        }
    }

    /// Whether there is a working session for the DatabricksAuth as it is written now.
    fn has_usable(&self, who: &Who, object: &DynamicObject, spec: &DatabricksAuthSpec) -> bool {
        let entries = self.entries.lock().expect("no panic while held");
        entries.get(&(who.namespace.clone(), who.name.clone())).is_some_and(|e| {
            e.spec == *spec && e.usable.as_ref().is_ok_and(|s| Some(&s.key.auth) == object.uid().as_ref())
        })
    }
}
