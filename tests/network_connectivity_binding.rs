//! What is particular to NetworkConnectivityBinding: it is a field of a workspace, which may change only while that runs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::kind::{Driver, Phase, Resolved, When, of};
use databricks_operator::kinds::network_connectivity_binding::NetworkConnectivityBinding;
use serde_json::json;
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const KIND: &dyn Driver = of::<NetworkConnectivityBinding>();

/// A FAILED workspace would be provisioned again, and others refuse the change.
#[tokio::test]
async fn a_workspace_gets_its_configuration_once_it_runs() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let config = json!({"name": "main", "region": "eu-west-1"});
    let config = simulator.insert("network-connectivity-configs", config).unwrap();
    let config = config["network_connectivity_config_id"].clone();
    let tags = json!({"custom_tags": {"team": "data"}});
    let workspace = simulator.insert("workspaces", tags).unwrap()["workspace_id"].clone();
    let id = workspace.to_string();
    let spec =
        json!({"authRef": {"name": "a"}, "workspaceId": workspace, "networkConnectivityConfigId": config});
    let want = KIND.desired(&spec, &Resolved::default()).unwrap();
    let field = "network_connectivity_config_id";
    for status in ["PROVISIONING", "FAILED", "BANNED"] {
        simulator.edit("workspaces", &id, json!({"workspace_status": status})).unwrap();
        let seen = KIND.get(&api, &id).await.unwrap().unwrap();
        assert_eq!(seen.about.phase, Phase::Vacant, "{status}");
        let changes = KIND.changes(&want, &seen).unwrap();
        let When::NotNow(why) = &changes[0].when else { panic!("{status}: {changes:?}") };
        assert!(why.contains(status) && why.contains("once it is RUNNING"), "{why}");
    }
    for status in [json!(null), json!("")] {
        let body = json!({"workspace_id": workspace, field: null, "workspace_status": status});
        simulator.fault(Fault { path: "*/workspaces/*".into(), body: Some(body), ..Fault::default() });
        let seen = KIND.get(&api, &id).await.unwrap().unwrap();
        simulator.clear_faults();
        assert_eq!((&seen.about.phase, &seen.about.state), (&Phase::Vacant, &None));
        let changes = KIND.changes(&want, &seen).unwrap();
        assert!(matches!(changes[0].when, When::NotNow(_)), "it may be FAILED: {changes:?}");
    }
    simulator.edit("workspaces", &id, json!({"workspace_status": "RUNNING"})).unwrap();
    let seen = KIND.get(&api, &id).await.unwrap().unwrap();
    assert_eq!(KIND.changes(&want, &seen).unwrap()[0].when, When::Now);
    let bound = KIND.update(&api, &seen, &want, &[field]).await.unwrap();
    assert_eq!((&bound.about.phase, &bound.state[field]), (&Phase::Ready, &config));
    let [sent] = simulator.writes().try_into().unwrap();
    assert_eq!(sent.body, Some(json!({field: config})), "all else of the workspace stays");
    assert_eq!(sent.query, [("update_mask".to_owned(), field.to_owned())]);
}

/// Covers LC-02. What a bound object has is a part of the workspace that it is bound to.
#[test]
fn a_binding_is_a_part_of_the_workspace_that_it_is_bound_to() {
    let spec = json!({"authRef": {"name": "a"}, "workspaceId": 8, "networkConnectivityConfigId": "c"});
    let want = KIND.desired(&spec, &Resolved::default()).unwrap();
    let part = |id: Option<&str>| KIND.parts(&want, id).unwrap().remove(0).what;
    assert_eq!(part(None), "the network connectivity configuration of the workspace 8");
    assert_eq!(part(Some("7")), "the network connectivity configuration of the workspace 7");
}
