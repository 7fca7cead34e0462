//! What is particular to GroupMembership: its group has members of others, and accepts members that do not exist.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Acting, AuthFacts, Driver, Resolved, of};
use databricks_operator::kinds::group_membership::GroupMembership;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const KIND: &dyn Driver = of::<GroupMembership>();

fn want(group: &str, principal: i64) -> Value {
    let group: i64 = group.parse().unwrap();
    let spec = json!({"authRef": {"name": "a"}, "group": {"groupId": group}, "principal": {"id": principal}});
    KIND.desired(&spec, &Resolved::default()).unwrap()
}

/// The id of a principal of the account.
fn id(simulator: &Simulator, collection: &str, name: &str) -> String {
    let found = simulator.objects(collection).into_iter().find(|one| one["displayName"] == name).unwrap();
    found["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_member_that_is_no_principal_is_named_and_not_sent() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let (api, group) = (connect(&simulator), id(&simulator, "Groups", "analysts"));
    let error = KIND.create(&api, &want(&group, 4242)).await.unwrap_err();
    let Error::Rejected { reason: Reason::ReferenceNotFound, patience: Some(_), message, .. } = error else {
        panic!("{error:?}")
    };
    assert!(message.contains("no principal of the account has the id 4242"), "{message}");
    assert!(message.contains("correct spec.principal"), "{message}");
    assert_eq!(simulator.writes().len(), 0, "so nothing is in doubt");
}

/// The group shows it late, or the account has not added it: forgotten, it would count as another client's, and stay when its object is
/// deleted. Whether it is a principal may be unknown.
#[tokio::test]
async fn a_member_that_the_group_does_not_show_yet_is_in_doubt() {
    for (sort, name) in [("Users", "ada"), ("ServicePrincipals", "pipeline"), ("Groups", "data-eng")] {
        for readable in [true, false] {
            let simulator = Simulator::start(Config::default()).await.unwrap();
            let (api, group) = (connect(&simulator), id(&simulator, "Groups", "analysts"));
            let member = id(&simulator, sort, name);
            let before =
                simulator.objects("Groups").into_iter().find(|one| one["id"] == json!(group)).unwrap();
            let reads = |path: String| Fault { method: Some("GET".into()), path, ..Fault::default() };
            simulator.fault(Fault { nth: Some(2), body: Some(before), ..reads(format!("*/Groups/{group}")) });
            if !readable {
                simulator.fault(Fault { status: Some(403), ..reads(format!("*/{sort}/{member}")) });
            }
            let error = KIND.create(&api, &want(&group, member.parse().unwrap())).await.unwrap_err();
            let Error::Unknown { message } = error else { panic!("{sort}: {error:?}") };
            assert!(message.contains(&format!("did not add the member {member}")), "{message}");
            assert_eq!(simulator.writes().len(), 1, "{sort}");
        }
    }
}

/// The change may have been carried out, so an error of the read after it is not taken for a refusal.
#[tokio::test]
async fn a_member_is_added_also_if_the_read_after_it_fails() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let (api, group) = (connect(&simulator), id(&simulator, "Groups", "analysts"));
    let ada = id(&simulator, "Users", "ada");
    let body = json!({"error_code": "PERMISSION_DENIED", "message": "no"});
    simulator.fault(Fault {
        method: Some("GET".into()),
        path: "*/Groups/*".into(),
        nth: Some(2),
        status: Some(403),
        body: Some(body),
        ..Fault::default()
    });
    let created = KIND.create(&api, &want(&group, ada.parse().unwrap())).await.unwrap();
    assert_eq!((created.id, created.seen), (format!("{group}/{ada}"), None));
    simulator.clear_faults();
    let all = KIND.list(&api, &group).await.unwrap();
    assert!(all.iter().any(|seen| seen.id == format!("{group}/{ada}")), "{all:?}");
}

#[tokio::test]
async fn a_group_of_an_identity_provider_is_named_as_such() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let group = json!({"displayName": "synced", "externalId": "entra-1"});
    let group = simulator.insert("Groups", group).unwrap()["id"].as_str().unwrap().to_owned();
    simulator.set(|settings| settings.identity_managed = true);
    let ada = id(&simulator, "Users", "ada").parse().unwrap();
    let error = KIND.create(&api, &want(&group, ada)).await.unwrap_err();
    assert!(error.is_rejected(Reason::ManagedByIdentityProvider), "{error:?}");
}

/// Covers LC-03. The engine has read the group, and then another client adds the member: it is not ours, and deleting ours would remove it.
#[tokio::test]
async fn a_member_that_another_client_adds_at_that_moment_is_not_ours() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let (api, group) = (connect(&simulator), id(&simulator, "Groups", "analysts"));
    let grace = id(&simulator, "Users", "grace").parse().unwrap();
    let error = KIND.create(&api, &want(&group, grace)).await.unwrap_err();
    let Error::Conflict(message) = error else { panic!("{error:?}") };
    assert_eq!(message, format!("the group {group} has the member {grace} already"));
    // Nor does a read that fails leave it in doubt what was sent.
    simulator.fault(Fault {
        method: Some("GET".into()),
        path: "*/Groups/*".into(),
        status: Some(503),
        ..Fault::default()
    });
    let ada = id(&simulator, "Users", "ada").parse().unwrap();
    let error = KIND.create(&api, &want(&group, ada)).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    assert_eq!(simulator.writes().len(), 0);
}

/// Covers LC-02. A name or a reference may mean another group by now. The member is still in the one that it was added to.
#[test]
fn a_bound_membership_is_a_part_of_the_group_that_it_is_in() {
    let want = want("8", 9);
    let part = |id: Option<&str>| KIND.parts(&want, id).unwrap().remove(0).what;
    assert_eq!(part(None), "the members of the group 8");
    assert_eq!(part(Some("7/9")), "the members of the group 7");
}

/// Covers SE-08. A group gives the role to the members of groups in it, and of groups in those.
#[tokio::test]
async fn a_group_in_a_group_of_administrators_is_joined_only_with_a_permission() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let insert = |name: &str, inner: &[&str], roles: &[&str]| {
        let entries = |all: &[&str]| all.iter().map(|value| json!({"value": value})).collect::<Value>();
        let group = json!({"displayName": name, "members": entries(inner), "roles": entries(roles)});
        simulator.insert("Groups", group).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let team = insert("team", &[], &[]);
    let crew = insert("crew", &[team.as_str()], &[]);
    let chiefs = insert("chiefs", &[crew.as_str()], &["account_admin"]);
    let other = insert("other", &[chiefs.as_str()], &[]);
    let auth = AuthFacts::default();
    let guard = async |group: &str, allowed: bool| {
        let mut want = want(group, 7);
        want["account_admin"] = json!(allowed);
        KIND.guard(Acting { want: Some(&want), seen: None, siblings: &[], auth: &auth }, &api).await
    };
    for group in [chiefs.as_str(), crew.as_str(), team.as_str()] {
        let error = guard(group, false).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::InvalidSpec), "{error}");
        assert!(error.to_string().contains("set spec.accountAdmin to true"), "{error}");
        assert_eq!(guard(group, true).await, Ok(()));
    }
    assert_eq!(guard(other.as_str(), false).await, Ok(()), "it has administrators, and gives no role");
}
