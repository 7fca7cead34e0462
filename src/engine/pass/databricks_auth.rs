//! One reconcile of a DatabricksAuth: host → Secret → token, then one conclusion. The same conclusions as for the kinds.

use std::sync::Arc;

use kube::ResourceExt;
use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use serde_json::{Value, json};

use super::engine::Engine;
use super::outcome::Outcome;
use super::record::Ended;
use super::subject::Subject;
use crate::engine::account::{Auths, Session, asks_for_labels, auth_error};
use crate::engine::crd::{
    AUTH_KIND, AnyStatus, AuthStatus, ConditionType, DatabricksAuthSpec, Dependents, External, FINALIZER,
    ObjectName, Reason, still,
};
use crate::engine::error::{Error, Result};

/// One reconcile.
pub async fn reconcile(object: Arc<DynamicObject>, engine: Arc<Engine>) -> Action {
    let mut subject = Subject::new(&engine, &object, AUTH_KIND);
    let readable = subject.status.as_ref().map(|_| ()).map_err(Clone::clone);
    let outcome = match readable {
        Ok(()) => hops(&engine, &mut subject).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        engine.auths.give_up(&subject.who, &subject.spec(), error);
    }
    let (well, who) = (matches!(outcome, Ok(Outcome::Rest | Outcome::Suspended)), subject.who.clone());
    let ended = subject.conclude(&engine, outcome, Reason::Authenticated).await;
    match ended {
        // Many objects depend on it: a fault in it is checked again soon.
        Ended::Again(Some(after)) if !well => {
            let pace = &engine.settings.pace;
            // While the account rejects the operator: the end of that is noticed after half as long again.
            let doubted = engine.auths.doubted_for(&who).map(|long| (long / 2).max(pace.backoff_min));
            Action::requeue(after.min(doubted.unwrap_or(after)).min(pace.poll_max))
        }
        ended => ended.action(),
    }
}

async fn hops(engine: &Engine, subject: &mut Subject) -> Result<Outcome> {
    let who = subject.who.clone();
    let dependents = dependents(engine, &who);
    if subject.deleting() && dependents.is_empty() {
        return subject.release(engine, None).await;
    }
    // serde quotes a value that it cannot read, so its text is not passed on.
    let spec: DatabricksAuthSpec = serde_json::from_value(subject.spec())
        .map_err(|_| Error::terminal(Reason::InvalidSpec, "spec cannot be read: compare it with the CRD"))?;
    if !subject.deleting() {
        subject.write_metadata(engine, true).await?;
    }
    let outcome = connect(engine, subject, &spec, &who).await;
    if subject.deleting() {
        let message = still_used(&dependents);
        let first = dependents.iter().take(5).map(ObjectName::to_string).collect();
        let facts = Dependents { count: i64::try_from(dependents.len()).unwrap_or(i64::MAX), first };
        subject.status_mut()?.facts.insert("dependents".into(), json!(facts));
        return Ok(Outcome::Blocked { reason: Reason::DependencyStillInUse, message });
    }
    outcome
}

/// The objects that hold a DatabricksAuth whose deletion is requested: those of its own namespace, and of other namespaces
/// those that have, or are about to have, an object in the account, which only the operator records. A reference alone must
/// not be enough, nor a finalizer, or any tenant could hold another's DatabricksAuth.
fn dependents(engine: &Engine, who: &ObjectName) -> Vec<ObjectName> {
    let mut all = engine.memory.wake.dependents(who);
    all.retain(|other| {
        other.namespace == who.namespace
            || engine.cluster.stores.object(other).is_some_and(|object| {
                let object = engine.cluster.objects.freshest(&object);
                let status = &object.data["status"];
                let bound = status["external"].is_object() || status["intent"].is_object();
                bound && object.finalizers().iter().any(|f| f == FINALIZER)
            })
    });
    all
}

fn still_used(dependents: &[ObjectName]) -> String {
    let (them, their) = if dependents.len() == 1 { ("it", "its") } else { ("them", "their") };
    format!(
        "{}: delete {them}, or point {their} spec.authRef to another one",
        still(dependents, "use", &format!("this {AUTH_KIND}"))
    )
}

async fn connect(
    engine: &Engine,
    subject: &mut Subject,
    spec: &DatabricksAuthSpec,
    who: &ObjectName,
) -> Result<Outcome> {
    let auths: &Auths = &engine.auths;
    let secret = spec.client_secret_ref.as_ref().map(|r| r.name.as_str());
    auths.watch_secret(who, secret);
    let targets = secret.map(|name| ObjectName {
        kind: "Secret".into(),
        namespace: who.namespace.clone(),
        name: name.into(),
    });
    engine.memory.wake.refer(who, targets.into_iter().collect());
    let by_label = asks_for_labels(spec);
    auths.namespaces.follow(who, by_label);
    auths.announce(who, spec);
    if spec.suspend == Some(true) {
        let error = Error::waiting(Reason::CredentialsUnavailable, "spec.suspend is true");
        auths.store(who, spec, Err(error));
        return Ok(Outcome::Suspended);
    }
    let connected = auths.connect(&subject.object, spec, who).await;
    let outcome = match &connected {
        Ok(session) => match prove(engine, subject, session).await {
            Ok(()) => show(engine, subject, spec, session, by_label).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error.clone()),
    };
    // A working session survives an endpoint that is unreachable, or a Secret that is unreadable, for a moment.
    let read = matches!(&connected, Err(Error::Rejected { reason: Reason::SecretNotReadable, .. }));
    let passing = read || matches!(&connected, Err(Error::Transient { .. } | Error::Conflict(_)));
    let usable = auths.has_usable(who, &subject.object, spec);
    if !(passing && usable) {
        auths.store(who, spec, connected);
    }
    match outcome {
        // Whatever the status says, there is no session to work with.
        Err(Error::Rejected { reason, message, patience, .. }) if read && !usable => {
            Err(Error::Rejected { reason, message, patience, read: false })
        }
        outcome => outcome,
    }
}

/// Shows what is known of a session that works.
async fn show(
    engine: &Engine,
    subject: &mut Subject,
    spec: &DatabricksAuthSpec,
    session: &Session,
    by_label: bool,
) -> Result<Outcome> {
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
        observed: false,
        created_at: None,
    });
    let (namespaces, who) = (&engine.auths.namespaces, &subject.who);
    // A transient failure to read them is no news.
    let readable = !by_label || !matches!(namespaces.labels(&who.namespace).await, Ok(None));
    let reason = Reason::OperatorNotPermitted;
    match engine.auths.throttled(who) {
        Some(after) => Ok(Outcome::Limited(after)),
        None if readable => Ok(Outcome::Rest),
        None => Ok(Outcome::Partly { reason, message: namespaces.not_readable().into() }),
    }
}

/// After a rejected call, or while the status says that all are rejected, a token alone proves nothing: the operator asks
/// the account whether it accepts calls. If the result differs from before, the users of the DatabricksAuth are reconciled.
async fn prove(engine: &Engine, subject: &Subject, session: &Session) -> Result<()> {
    let turned_away = [Reason::CredentialsInvalid, Reason::AddressBlocked].map(Reason::name);
    let ready = subject.status()?.condition(ConditionType::Ready);
    let told = ready.is_some_and(|ready| turned_away.contains(&ready.reason.as_str()));
    if session.doubted_for().is_none() && !told {
        return Ok(());
    }
    // The status stays valid until there is a response.
    session.doubt();
    let before = session.refusal();
    let proven = session.prove().await;
    if session.refusal() != before {
        engine.memory.wake.wake_dependents(&subject.who);
    }
    proven.map_err(auth_error)
}

fn set_facts(status: &mut AnyStatus, facts: &AuthStatus) {
    if let Ok(Value::Object(facts)) = serde_json::to_value(facts) {
        status.facts = facts;
    }
}
