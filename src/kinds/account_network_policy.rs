//! AccountNetworkPolicy: which destinations the serverless compute of workspaces may reach. The name has the account in it because
//! Kubernetes has network policies of its own.
//!
//! The API replaces a policy as a whole. The operator manages its egress: it reads the policy before each change, and keeps what
//! no spec of ours names, such as ingress. But FULL_ACCESS ends the lists of allowed destinations: they have no meaning then, and
//! would be in force again, unnoticed, with the next RESTRICTED_ACCESS.
//!
//! `default-policy` is that of every workspace without another one. A change after which it restricts compute is refused unless
//! `allowDefaultPolicyRestriction` is true: all serverless workloads would lose what they reach today. DRY_RUN needs no such
//! permission, nor does the loss of single destinations. Like those of PrivateAccessSettings it may stay, and without it the
//! operator does not undo what a person opened in an emergency.

pub mod spec;
mod state;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::databricks::{self, Optional, Pages};
use crate::engine::crd::{NoFacts, Reason, camel};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, CallError, Created, ExternalResource, Guard, Immutable, Key, Observed, Reader,
    Resolved, Writer,
};

use state::{Egress, Enforcement, enforced};

pub use spec::{AccountNetworkPolicy, AccountNetworkPolicySpec};
pub use state::AccountNetworkPolicyState;

#[derive(Deserialize)]
struct Remote {
    network_policy_id: String,
    egress: Option<Value>,
}

impl Remote {
    fn observed(self) -> Result<Observed<AccountNetworkPolicy>> {
        let egress = self.egress.map(|egress| typed(renamed(egress, &camel))).transpose();
        let mut egress: Option<Egress> = egress.map_err(|e| {
            Error::retry(format!("the egress of {} cannot be read: {e}", self.network_policy_id))
        })?;
        // Databricks leaves out empty lists, and the default of the enforcement.
        if let Some(Egress { network_access: access }) = &mut egress {
            access.allowed_internet_destinations.get_or_insert_default();
            access.blocked_internet_destinations.get_or_insert_default();
            access.allowed_storage_destinations.get_or_insert_default();
            let default = || Enforcement { enforcement_mode: enforced(), dry_run_mode_product_filter: None };
            let enforcement = access.policy_enforcement.get_or_insert_with(default);
            enforcement.dry_run_mode_product_filter.get_or_insert_default();
        }
        let id = self.network_policy_id;
        let state = AccountNetworkPolicyState {
            network_policy_id: id.clone(),
            egress,
            allow_default_policy_restriction: None,
        };
        Ok(Observed { id, state, facts: NoFacts {}, about: About::default() })
    }
}

/// The egress of a spec or of the account. `null` is the same as nothing.
fn typed(egress: Value) -> serde_json::Result<Egress> {
    serde_json::from_value(egress)
}

impl ExternalResource for AccountNetworkPolicy {
    type State = AccountNetworkPolicyState;
    type Id = String;
    type Facts = NoFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "network_policy_id", spec: &["networkPolicyId"] }];
    const UNTOLD: &'static [&'static str] = &[PERMISSION];
    const GUARD: Option<Guard<Self>> = Some(Guard::Act(keep_default_policy_open));

    fn desired(spec: &AccountNetworkPolicySpec, _: &Resolved) -> Result<AccountNetworkPolicyState> {
        let egress = spec.egress.as_ref().map(|egress| typed(json!(egress))).transpose();
        let egress = egress
            .map_err(|e| Error::terminal(Reason::InvalidSpec, format!("spec.egress cannot be read: {e}")))?;
        Ok(AccountNetworkPolicyState {
            network_policy_id: spec.network_policy_id.clone(),
            egress,
            allow_default_policy_restriction: spec.allow_default_policy_restriction,
        })
    }

    fn key(state: &AccountNetworkPolicyState) -> Key {
        Key { within: String::new(), name: state.network_policy_id.clone() }
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&[POLICIES, id])).await.optional()?;
        Ok(found.map(Remote::observed).transpose()?)
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&[POLICIES]), Pages::Token("items")).await?;
        Ok(all.into_iter().map(Remote::observed).collect::<Result<_>>()?)
    }

    async fn create(api: &Writer, want: &AccountNetworkPolicyState) -> ApiResult<Created<Self>> {
        let created: Remote = api.post(api.path(&[POLICIES]), merged(Value::Null, &wire(want))).await?;
        Ok(created.observed()?.into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &AccountNetworkPolicyState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = api.path(&[POLICIES, &seen.id]);
        let mut whole: Map<String, Value> = api.get(path.clone()).await?;
        // The guard has judged the change of what was read before.
        let now = Remote::deserialize(Value::Object(whole.clone()))
            .map_err(|e| Error::retry(format!("the policy {} cannot be read: {e}", seen.id)))?;
        keep_default_policy_open(&Act { want: Some(want), seen: Some(&now.observed()?) })?;
        whole.retain(|field, _| PARTS.contains(&field.as_str()));
        if want.egress.as_ref().is_some_and(Egress::allows_all) {
            forget_allowed(&mut whole);
        }
        let changed: Remote = api.put(path, merged(whole.into(), &wire(want))).await?;
        Ok(changed.observed()?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        if seen.id == DEFAULT {
            let text = "default-policy cannot be deleted: set spec.deletionPolicy to Retain";
            return Err(Error::terminal(Reason::ApiRefused, text).into());
        }
        api.delete(api.path(&[POLICIES, &seen.id])).await.map_err(in_use)
    }
}

const POLICIES: &str = "network-policies";
/// What a policy consists of. The API refuses other fields in a request, such as those that only its responses have.
const PARTS: [&str; 4] = ["network_policy_id", "egress", "ingress", "ingress_dry_run"];
/// The policy of every workspace without another one.
const DEFAULT: &str = "default-policy";

/// The field of the state that is in no response, and not sent.
const PERMISSION: &str = "allow_default_policy_restriction";
/// The lists of a spec that have a meaning only with RESTRICTED_ACCESS.
const ALLOWED: [&str; 2] = ["allowed_internet_destinations", "allowed_storage_destinations"];

/// Removes the lists of allowed destinations from a policy.
fn forget_allowed(policy: &mut Map<String, Value>) {
    let access = policy.get_mut("egress").and_then(|egress| egress.get_mut("network_access"));
    if let Some(access) = access.and_then(Value::as_object_mut) {
        access.retain(|field, _| !ALLOWED.contains(&field.as_str()));
    }
}

/// Refuses to restrict the compute of all workspaces without a policy of their own, unless the spec allows it.
fn keep_default_policy_open(act: &Act<'_, AccountNetworkPolicy>) -> Result<()> {
    let (Some(want), Some(seen)) = (act.want, act.seen) else { return Ok(()) };
    let (before, after) = (seen.state.egress.as_ref(), want.egress.as_ref());
    let was_exempt = before.and_then(|before| before.exempt(None));
    let restricts_more = match (after.and_then(|after| after.exempt(before)), was_exempt) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(exempt), Some(was_exempt)) => !was_exempt.is_subset(&exempt),
    };
    if seen.id != DEFAULT || !restricts_more || want.allow_default_policy_restriction == Some(true) {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        "this change of default-policy would cut off serverless compute that it does not restrict now from what is not allowed, in all \
         workspaces without another policy: set spec.allowDefaultPolicyRestriction to true to allow that, or set \
         spec.egress.networkAccess.policyEnforcement to enforcementMode DRY_RUN with dryRunModeProductFilter [], which only logs it",
    ))
}

/// A state as the API has it.
fn wire(state: &AccountNetworkPolicyState) -> Value {
    let mut wire = renamed(json!(state), &|name| {
        let part =
            |c: char| if c.is_ascii_uppercase() { format!("_{}", c.to_ascii_lowercase()) } else { c.into() };
        name.chars().map(part).collect()
    });
    wire.as_object_mut().into_iter().for_each(|fields| drop(fields.remove(PERMISSION)));
    wire
}

/// The same with other names of fields.
fn renamed(value: Value, name: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| (name(&key), renamed(value, name)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(list) => list.into_iter().map(|item| renamed(item, name)).collect(),
        other => other,
    }
}

/// What the account has, with what is wanted in it; what is wanted and `null` is not managed. An item of a list that has all that
/// is wanted of it stays as it is.
fn merged(has: Value, want: &Value) -> Value {
    match (has, want) {
        (has, Value::Null) => has,
        (Value::Object(mut has), Value::Object(want)) => {
            for (key, value) in want.iter().filter(|(_, value)| !value.is_null()) {
                let before = has.remove(key).unwrap_or_default();
                has.insert(key.clone(), merged(before, value));
            }
            has.into()
        }
        (Value::Array(has), Value::Array(want)) => {
            let item = |want: &Value| {
                let same = has.iter().find(|has| merged((*has).clone(), want) == **has);
                same.cloned().unwrap_or_else(|| merged(Value::Null, want))
            };
            want.iter().map(item).collect()
        }
        (_, Value::Object(_)) => merged(json!({}), want),
        (_, Value::Array(_)) => merged(json!([]), want),
        (_, want) => want.clone(),
    }
}

/// The API refuses the deletion of a policy that workspaces have.
fn in_use(error: databricks::Error) -> CallError {
    let databricks::Error::Api { status: 400 | 409, .. } = &error else { return error.into() };
    let text = format!(
        "{error}; give the workspaces that have this policy another one, such as default-policy; the deletion is retried. To leave \
         the policy in the account, set spec.deletionPolicy to Retain"
    );
    Error::waiting(Reason::DependencyStillInUse, text).into()
}

#[cfg(test)]
mod tests;
