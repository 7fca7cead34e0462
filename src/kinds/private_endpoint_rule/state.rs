//! The state of a PrivateEndpointRule, and what follows from it: what the rule leads to, and what a person has to do about its
//! connection.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::spec::PrivateEndpointRuleFacts;
use crate::engine::kind::Phase;

/// What a spec controls. Domain names are in lower case.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct PrivateEndpointRuleState {
    #[serde(default)]
    pub(super) network_connectivity_config_id: String,
    pub(super) resource_id: Option<String>,
    pub(super) group_id: Option<String>,
    pub(super) endpoint_service: Option<String>,
    pub(super) domain_names: Option<BTreeSet<String>>,
    pub(super) resource_names: Option<BTreeSet<String>>,
    pub(super) enabled: Option<bool>,
}

/// Names of hosts have no case.
pub(super) fn lower(names: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.to_lowercase()).collect()
}

/// The state in which a rule is usable.
pub(super) const ESTABLISHED: &str = "ESTABLISHED";

/// What a connection state means, and what a person has to do about it.
pub(super) fn phase(
    connection: Option<&str>,
    state: &PrivateEndpointRuleState,
    facts: &PrivateEndpointRuleFacts,
) -> Phase {
    let owner = format!("the owner of {}", called(state));
    let over = |what: String| {
        Phase::Failed(format!(
            "{what}; Databricks does not ask again for this rule: to have another one, delete this object, with \
             spec.deletionPolicy Delete, and apply it again"
        ))
    };
    match connection.unwrap_or("no state") {
        ESTABLISHED => Phase::Ready,
        "CREATING" => Phase::Pending("Databricks is creating the private endpoint".into()),
        "PENDING" | "INIT" => {
            Phase::Awaiting(format!("{owner} has to approve it within 14 days: {}", approval(state, facts)))
        }
        "REJECTED" => over(format!("{owner} rejected the private endpoint")),
        "DISCONNECTED" => over(format!("{owner} removed the private endpoint")),
        "EXPIRED" => over(format!("{owner} did not approve the private endpoint within 14 days")),
        "CREATE_FAILED" => {
            let why = facts.error_message.as_deref().unwrap_or("Databricks gives no reason");
            over(format!("Databricks could not create the private endpoint ({why})"))
        }
        other => Phase::Pending(format!("the rule is in a state unknown to this operator, {other}")),
    }
}

/// The target as people call it.
fn called(state: &PrivateEndpointRuleState) -> &str {
    state.resource_id.as_deref().or(state.endpoint_service.as_deref()).unwrap_or("the buckets of S3")
}

/// What the owner of the target has to do, and where.
fn approval(state: &PrivateEndpointRuleState, facts: &PrivateEndpointRuleFacts) -> String {
    if state.resource_id.is_some() {
        let name = facts.endpoint_name.as_deref().unwrap_or("the one of Databricks");
        return format!("in the Azure portal, open its Private endpoint connections and approve {name}");
    }
    let id = facts.vpc_endpoint_id.as_deref().unwrap_or("the one of Databricks");
    format!("in the AWS console, open VPC, Endpoint services, Endpoint connections, and accept {id}")
}

/// What a rule leads to, without what may be changed: all rules to S3 are alike in that. Azure ignores the case of ids.
pub(super) fn target(state: &PrivateEndpointRuleState) -> String {
    match (&state.resource_id, &state.group_id, &state.endpoint_service) {
        _ if state.resource_names.is_some() => "s3".into(),
        (Some(id), Some(group), _) => format!("{id}/{group}").to_lowercase(),
        (Some(id), None, _) => id.to_lowercase(),
        (None, _, service) => service.clone().unwrap_or_default(),
    }
}
