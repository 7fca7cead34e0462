//! What Databricks found wrong with the network of a workspace, so that the workspace can report it. It is not a state of the
//! workspace: one that runs has no message about its network, and stays usable.

use serde_json::Value;

use crate::engine::kind::{About, Explained, Phase, Seen};

/// The row of the network.
pub const BY_NETWORK: Explained = Explained { by: "Network", field: "network_id", add };

/// Adds what is wrong with the network: to the message of a failure, which often only says that there are errors, and as a remark
/// to a workspace that runs.
fn add(about: &mut About, network: &Seen) {
    let errors = errors(network);
    match (about.state.as_deref(), &mut about.phase) {
        (Some("RUNNING"), _) => about.remark = remark(network, &errors),
        (Some("FAILED"), Phase::Failed(why)) if !errors.is_empty() => {
            *why += &format!("; the network {} reports {errors}", network.id);
        }
        _ => {}
    }
}

/// The errors, in an order that does not change; empty if there are none.
fn errors(network: &Seen) -> String {
    let all = network.facts.get("errorMessages").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// What a user has to know of a workspace that runs in this network, if Databricks found it broken.
fn remark(network: &Seen, errors: &str) -> Option<String> {
    if network.about.state.as_deref() != Some("BROKEN") {
        return None;
    }
    let errors = if errors.is_empty() { "Databricks gives no reason" } else { errors };
    Some(format!(
        "Databricks found the network {} of this workspace BROKEN ({errors}), so that compute may not start: correct that in the \
         cloud, or let spec.networkRef or spec.networkId name another network",
        network.id
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    fn network(status: &str, errors: &[&str]) -> Seen {
        let facts = Map::from_iter([("errorMessages".to_owned(), json!(errors))]);
        let about = About { state: Some(status.into()), ..About::default() };
        Seen { id: "n".into(), state: Value::Null, facts, about }
    }

    #[test]
    fn a_workspace_reports_what_is_wrong_with_its_network() {
        let errors = ["securityGroup: no egress", "subnet: too small"];
        let all = "securityGroup: no egress, subnet: too small";
        let broken = network("BROKEN", &errors);
        let failed = || Phase::Failed("no launch".into());
        let explained = Phase::Failed(format!("no launch; the network n reports {all}"));
        let pending = || Phase::Pending("soon".into());
        let cases: [(&str, Phase, &Seen, Phase, &str); 7] = [
            ("RUNNING", Phase::Ready, &broken, Phase::Ready, all),
            ("RUNNING", Phase::Ready, &network("BROKEN", &[]), Phase::Ready, "Databricks gives no reason"),
            ("RUNNING", Phase::Ready, &network("WARNED", &errors), Phase::Ready, ""),
            ("FAILED", failed(), &broken, explained, ""),
            ("FAILED", failed(), &network("BROKEN", &[]), failed(), ""),
            ("BANNED", failed(), &broken, failed(), ""),
            ("PROVISIONING", pending(), &broken, pending(), ""),
        ];
        for (state, phase, network, shown, says) in cases {
            let mut about = About { phase, state: Some(state.into()), ..About::default() };
            add(&mut about, network);
            assert_eq!(about.phase, shown, "{state} {network:?}");
            let remark = about.remark.unwrap_or_default();
            assert!(remark.contains(says) && remark.is_empty() == says.is_empty(), "{state}: {remark}");
        }
    }
}
