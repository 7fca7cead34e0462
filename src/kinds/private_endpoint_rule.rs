//! PrivateEndpointRule: a private endpoint from serverless compute to one service of yours, in a network connectivity config.
//!
//! The owner of the service approves the endpoint outside of Kubernetes and of Databricks. A rule that was deleted stays listed for
//! days as deactivated; it is gone for all purposes but one: its config cannot be deleted before.
//!
//! The API creates rules to S3 disabled, and can enable them once they are established.

pub mod spec;
mod state;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::databricks::{self, Int64, Optional, Pages};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, ApiResult, CANNOT_CHANGE, CallError, Change, Created, ExternalResource, Immutable, Inside, Key,
    Observed, Path, Reader, Reference, Resolved, When, Writer, differences, only,
};
use crate::kinds::network_connectivity_config::NetworkConnectivityConfig;

use state::{ESTABLISHED, lower, phase, target};

pub use spec::{PrivateEndpointRule, PrivateEndpointRuleFacts, PrivateEndpointRuleSpec};
pub use state::PrivateEndpointRuleState;

#[derive(Deserialize)]
struct Remote {
    rule_id: String,
    #[serde(flatten)]
    state: PrivateEndpointRuleState,
    connection_state: Option<String>,
    endpoint_name: Option<String>,
    vpc_endpoint_id: Option<String>,
    error_message: Option<String>,
    deactivated: Option<bool>,
    creation_time: Option<Int64>,
}

impl Remote {
    /// As a rule of a config; `None` once it is deactivated.
    fn observed(self, within: &str) -> Option<Observed<PrivateEndpointRule>> {
        if self.deactivated == Some(true) {
            return None;
        }
        let mut state = self.state;
        state.network_connectivity_config_id = within.into();
        state.domain_names = state.domain_names.map(lower).filter(|names| !names.is_empty());
        state.resource_names = state.resource_names.filter(|names| !names.is_empty());
        // A rule to S3 is disabled at first, and the API may leave that out.
        if state.resource_names.is_some() {
            state.enabled.get_or_insert(false);
        }
        let facts = PrivateEndpointRuleFacts {
            endpoint_name: self.endpoint_name,
            vpc_endpoint_id: self.vpc_endpoint_id,
            error_message: self.error_message.filter(|text| !text.is_empty()),
        };
        let about = About {
            phase: phase(self.connection_state.as_deref(), &state, &facts),
            state: self.connection_state,
            created: self.creation_time.map(|ms| ms.0 / 1000),
            ..About::default()
        };
        let id = Inside { within: within.into(), own: self.rule_id };
        Some(Observed { id, state, facts, about })
    }
}

impl ExternalResource for PrivateEndpointRule {
    type State = PrivateEndpointRuleState;
    /// The config and the rule.
    type Id = Inside;
    type Facts = PrivateEndpointRuleFacts;

    const PARENTED: bool = true;
    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "resource_id", spec: &["resourceId"] },
        Immutable { state: "group_id", spec: &["groupId"] },
        Immutable { state: "endpoint_service", spec: &["endpointService"] },
    ];
    const REFERENCES: &'static [Reference] = &[Reference::to::<NetworkConnectivityConfig>(
        PARENT,
        &["networkConnectivityConfigId", "networkConnectivityConfigRef"],
        &["network connectivity", "network-connectivity"],
    )
    .required()
    .fixed()];

    /// Users of Terraform found that the API times out if some ten rules of a config are created at once, though it creates them.
    const CREATES_IN_TURN: bool = true;

    fn desired(spec: &PrivateEndpointRuleSpec, got: &Resolved) -> Result<PrivateEndpointRuleState> {
        Ok(PrivateEndpointRuleState {
            network_connectivity_config_id: got.id(PARENT)?.to_owned(),
            resource_id: spec.resource_id.clone(),
            group_id: spec.group_id.clone(),
            endpoint_service: spec.endpoint_service.clone(),
            domain_names: spec.domain_names.clone().map(lower),
            resource_names: spec.resource_names.clone().map(BTreeSet::from_iter),
            enabled: spec.enabled,
        })
    }

    fn within(id: &Inside) -> String {
        id.within.clone()
    }

    fn key(state: &PrivateEndpointRuleState) -> Key {
        let buckets = state.resource_names.iter().flatten().map(|bucket| format!(" {bucket}"));
        let name = [target(state)].into_iter().chain(buckets).collect();
        Key { within: state.network_connectivity_config_id.clone(), name }
    }

    /// The buckets may be changed, here and in the account. A spec without a target names the rule by its id alone.
    fn recognises(want: &PrivateEndpointRuleState, seen: &Observed<Self>) -> bool {
        let same = target(want).is_empty() || target(want) == target(&seen.state);
        want.network_connectivity_config_id == seen.id.within && same
    }

    fn changes(want: &PrivateEndpointRuleState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let connection = seen.about.state.as_deref().unwrap_or("in no known state");
        let when = |path: &str| match (path, connection) {
            ("enabled", ESTABLISHED) => When::Now,
            ("domain_names" | "resource_names", "PENDING" | "INIT" | ESTABLISHED) => When::Now,
            ("enabled" | "domain_names" | "resource_names", _) => When::NotNow(format!(
                "the rule is {connection}; the operator changes it once that state has ended"
            )),
            _ => When::Never(CANNOT_CHANGE.into()),
        };
        let same_target = target(want) == target(&seen.state);
        let of_target = |path: &str| ["resource_id", "group_id", "endpoint_service"].contains(&path);
        let paths = differences::<Self>(want, seen)?.into_iter();
        let paths = paths.filter(|path| !(same_target && of_target(path)));
        Ok(paths.map(|path| Change { when: when(&path), path }).collect())
    }

    async fn get(api: &Reader, id: &Inside) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(path(api, &id.within, Some(&id.own))).await.optional()?;
        Ok(found.and_then(|rule| rule.observed(&id.within)))
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(path(api, within, None), Pages::Token("items")).await?;
        Ok(all.into_iter().filter_map(|rule| rule.observed(within)).collect())
    }

    async fn create(api: &Writer, want: &PrivateEndpointRuleState) -> ApiResult<Created<Self>> {
        let Value::Object(mut body) = json!(want) else { return Err(unreadable().into()) };
        // Where the rule belongs to is in the path, and `enabled` has no effect before it is ESTABLISHED.
        body.retain(|field, value| field != PARENT && field != "enabled" && !value.is_null());
        let within = &want.network_connectivity_config_id;
        let created: Remote = api.post(path(api, within, None), body.into()).await.map_err(not_created)?;
        Ok(created.observed(within).ok_or_else(unreadable)?.into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &PrivateEndpointRuleState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let rule = path(api, &seen.id.within, Some(&seen.id.own)).with("update_mask", now.join(","));
        let changed: Remote = api.patch(rule, only(now, &json!(want))).await?;
        Ok(changed.observed(&seen.id.within).ok_or_else(unreadable)?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, &seen.id.within, Some(&seen.id.own))).await?)
    }
}

const PARENT: &str = "network_connectivity_config_id";

fn path(api: &Reader, config: &str, rule: Option<&str>) -> Path {
    let all = ["network-connectivity-configs", config, "private-endpoint-rules"];
    api.path(&all.into_iter().chain(rule).collect::<Vec<_>>())
}

fn unreadable() -> Error {
    Error::retry("Databricks returned a rule that is deactivated")
}

/// Several creates at once can be refused although they are carried out, and a deactivated rule may stand in the way of another one
/// to the same target.
fn not_created(error: databricks::Error) -> CallError {
    let databricks::Error::Api { message, .. } = &error else { return error.into() };
    let text = message.to_lowercase();
    if text.contains("taking too long") {
        return Error::retry(format!(
            "{error}; the rule may have been created: the account is read before another try"
        ))
        .into();
    }
    if text.contains("already exists") {
        let text = format!(
            "{error}; if a rule to this target was deleted, wait until Databricks has removed it, which takes some days; else set \
             spec.adoptionPolicy to IfExists, or give this one another target"
        );
        return Error::rejected(Reason::AlreadyExists, text).into();
    }
    error.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_to_s3_that_is_not_shown_as_enabled_is_disabled() {
        let seen = |fields: &Value| {
            let mut rule = json!({"rule_id": "r", "connection_state": ESTABLISHED});
            rule.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            serde_json::from_value::<Remote>(rule).unwrap().observed("n").unwrap()
        };
        let want = |enabled: bool| -> PrivateEndpointRuleState {
            let state =
                json!({"network_connectivity_config_id": "n", "resource_names": ["b"], "enabled": enabled});
            serde_json::from_value(state).unwrap()
        };
        for shown in [
            json!({"resource_names": ["b"]}),
            json!({"resource_names": ["b"], "enabled": null}),
            json!({"resource_names": ["b"], "enabled": false}),
        ] {
            assert_eq!(PrivateEndpointRule::changes(&want(false), &seen(&shown)).unwrap(), [], "{shown}");
            assert_eq!(PrivateEndpointRule::changes(&want(true), &seen(&shown)).unwrap().len(), 1, "{shown}");
        }
        let own =
            seen(&json!({"endpoint_service": "com.amazonaws.vpce.a", "domain_names": ["a.example.com"]}));
        assert_eq!(own.state.enabled, None, "only rules to S3 can be enabled");
    }
}
