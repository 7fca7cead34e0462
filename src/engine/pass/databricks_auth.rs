//! One reconcile of a DatabricksAuth, then one conclusion, the same as for the kinds. `Auths::renew` in `account/renew.rs` has the
//! order from the Secret to the session that the users get.

use std::sync::Arc;

use kube::core::DynamicObject;
use kube::runtime::controller::Action;
use serde::Deserialize;
use serde_json::{Value, json};

use super::end::Ended;
use super::engine::Engine;
use super::outcome::Outcome;
use super::subject::Subject;
use super::unmanaged;
use crate::engine::account::Renewed;
use crate::engine::crd::{
    AUTH_KIND, AnyStatus, AuthStatus, DatabricksAuthSpec, Dependents, External, ObjectName, Reason,
    has_finalizer, still,
};
use crate::engine::error::{Error, Result};

/// One reconcile.
pub async fn reconcile(object: &DynamicObject, engine: Arc<Engine>) -> Action {
    let mut subject = Subject::new(&engine, object, AUTH_KIND);
    let readable = subject.status.as_ref().map(|_| ()).map_err(Clone::clone);
    let outcome = match readable {
        Ok(()) => hops(&engine, &mut subject).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &outcome {
        engine.auths.store_first_error(&subject.who, &subject.spec(), error);
    }
    // The watch makes the operator forget one that disappears, but not what a reconcile stores after that.
    if engine.cluster.stores.uid(&subject.who) != Some(subject.uid()) {
        engine.auths.forget(&subject.who);
        engine.memory.unmanaged.forget(&subject.who);
    }
    let (well, who) = (matches!(outcome, Ok(Outcome::Rest | Outcome::Suspended)), subject.who.clone());
    let ended = subject.conclude(&engine, outcome, Reason::Authenticated).await;
    match ended {
        // Many objects depend on it: a fault in it is checked again soon.
        Ended::Requeue(Some(after)) if !well => {
            let pace = &engine.settings.pace;
            // While the account rejects the operator: the end of that is noticed after half as long again.
            let doubted = engine.auths.doubted_for(&who).map(|long| (long / 2).max(pace.backoff_min));
            Action::requeue(after.min(doubted.unwrap_or(after)).min(pace.poll_max))
        }
        ended => ended.action(),
    }
}

async fn hops(engine: &Arc<Engine>, subject: &mut Subject) -> Result<Outcome> {
    let who = subject.who.clone();
    let dependents = if subject.deleting() { dependents(engine, &who) } else { vec![] };
    if subject.deleting() && dependents.is_empty() {
        return subject.release(engine, None).await;
    }
    let outcome = match read_spec(&subject.spec()) {
        Ok(spec) => {
            if !subject.deleting() {
                subject.set_finalizer(engine).await?;
            }
            let renewed = engine.auths.renew(&who, &subject.object, &spec).await;
            renewed.and_then(|renewed| show(engine, subject, &spec, renewed))
        }
        Err(error) => {
            engine.auths.store_unreadable(&who, &error);
            Err(error)
        }
    };
    if subject.deleting() {
        let message = still_used(&dependents);
        let first = dependents.iter().take(5).map(ObjectName::to_string).collect();
        let facts = Dependents { count: i64::try_from(dependents.len()).unwrap_or(i64::MAX), first };
        subject.status_mut()?.facts.insert("dependents".into(), json!(facts));
        return Ok(Outcome::Blocked { reason: Reason::DependencyStillInUse, message });
    }
    outcome
}

/// The CRD may be of another version of the operator. serde quotes a value that it cannot read, so its text is not passed on.
fn read_spec(spec: &Value) -> Result<DatabricksAuthSpec> {
    DatabricksAuthSpec::deserialize(spec).map_err(|_| {
        let text = "spec cannot be read: compare it with the CRD, and the CRD with that of this version of the operator";
        Error::terminal(Reason::InvalidSpec, text)
    })
}

/// The objects that hold a DatabricksAuth whose deletion is requested: those of its own namespace, and of other namespaces
/// those that have, or are about to have, an object in the account, which only the operator records. A reference alone must
/// not be enough, nor a finalizer, or any tenant could hold another's DatabricksAuth.
fn dependents(engine: &Engine, who: &ObjectName) -> Vec<ObjectName> {
    let mut all = engine.memory.triggers.dependents(who);
    all.retain(|other| {
        other.namespace == who.namespace
            || engine.cluster.stores.object(other).is_some_and(|object| {
                let object = engine.cluster.objects.freshest(&object, || engine.cluster.stores.object(other));
                let status = &object.data["status"];
                let bound = status["external"].is_object() || status["intent"].is_object();
                bound && has_finalizer(&object)
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

/// Shows what a renewal resulted in.
fn show(
    engine: &Arc<Engine>,
    subject: &mut Subject,
    spec: &DatabricksAuthSpec,
    renewed: Renewed,
) -> Result<Outcome> {
    let Renewed::Works { session, throttled, unreadable } = renewed else { return Ok(Outcome::Suspended) };
    let facts = AuthStatus {
        host: Some(session.client.host().as_str().into()),
        installation: Some(engine.settings.installation.clone()),
        dependents: None,
        unmanaged: unmanaged::report(engine, subject, spec, &session)?,
    };
    let (status, account_id) = (subject.status_mut()?, &spec.account_id);
    set_facts(status, &facts);
    status.external_id = Some(account_id.clone());
    status.external = Some(External {
        account_id: account_id.clone(),
        id: account_id.clone(),
        name: None,
        adopted: false,
        observed: false,
        created_at: None,
        former: None,
    });
    let reason = Reason::OperatorNotPermitted;
    Ok(match (throttled, unreadable) {
        (Some(after), _) => Outcome::Limited(after),
        (None, Some(message)) => Outcome::Partly { reason, message: message.into() },
        (None, None) => Outcome::Rest,
    })
}

fn set_facts(status: &mut AnyStatus, facts: &AuthStatus) {
    if let Ok(Value::Object(facts)) = serde_json::to_value(facts) {
        status.facts = facts;
    }
}
