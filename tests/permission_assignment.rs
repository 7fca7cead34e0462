//! What is particular to PermissionAssignment: refusals that pass, errors inside good answers, answers that tell little,
//! and the operator's own access.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Acting, AuthFacts, Driver, Phase, Resolved, Seen, Writer, of};
use databricks_operator::kinds::permission_assignment::PermissionAssignment;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator, When};

#[path = "account/connect.rs"]
mod connect;

const KIND: &dyn Driver = of::<PermissionAssignment>();
const NOT_YET: &str = "Permission assignment APIs are not available for this workspace.";

struct Bench {
    simulator: Simulator,
    api: Writer,
    workspace: i64,
}

async fn start() -> Bench {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let workspace = simulator.insert("workspaces", json!({})).unwrap()["workspace_id"].as_i64().unwrap();
    Bench { simulator, api, workspace }
}

impl Bench {
    /// The id of a principal of the account.
    fn principal(&self, collection: &str, name: &str) -> i64 {
        let all = self.simulator.objects(collection);
        let found = all.iter().find(|o| o["displayName"] == json!(name)).unwrap();
        found["id"].as_str().unwrap().parse().unwrap()
    }

    fn want(&self, principal: i64, permissions: Value) -> Value {
        let spec = json!({
            "authRef": {"name": "account"}, "workspaceId": self.workspace,
            "principal": {"id": principal}, "permissions": permissions,
        });
        assert_eq!(KIND.needs(&spec).unwrap(), [], "ids need nothing");
        KIND.desired(&spec, &Default::default()).unwrap()
    }

    fn answer(&self, method: &str, status: u16, body: Value) {
        let fault = Fault {
            method: Some(method.into()),
            path: "*/permissionassignments*".into(),
            status: Some(status),
            body: Some(body),
            when: When::After,
            times: Some(1),
            ..Fault::default()
        };
        self.simulator.fault(fault);
    }

    async fn guard(&self, want: Option<&Value>, seen: Option<&Seen>, auth: &AuthFacts) -> Result<(), Error> {
        KIND.guard(Acting { want, seen, siblings: &[], auth }, &self.api).await
    }

    async fn list(&self) -> Vec<Seen> {
        KIND.list(&self.api, &self.workspace.to_string()).await.unwrap()
    }
}

fn refusal(code: &str, message: &str) -> Value {
    json!({"error_code": code, "message": message})
}

fn reason(error: &Error) -> Option<Reason> {
    match error {
        Error::Waiting { reason, .. } | Error::Terminal { reason, .. } | Error::Rejected { reason, .. } => {
            Some(*reason)
        }
        _ => None,
    }
}

/// Covers RF-11.
#[test]
fn a_principal_in_any_form_is_one_id() {
    for (principal, field) in [
        (json!({"id": 7}), None),
        (json!({"userName": "ada@example.com"}), Some("principal")),
        (json!({"groupName": "analysts"}), Some("principal")),
        (json!({"servicePrincipalName": "robot"}), Some("principal")),
        (json!({"userRef": {"name": "ada"}}), Some("principal.userRef")),
        (json!({"groupRef": {"name": "analysts"}}), Some("principal.groupRef")),
        (json!({"servicePrincipalRef": {"name": "robot"}}), Some("principal.servicePrincipalRef")),
    ] {
        let spec = json!({"authRef": {"name": "account"}, "workspaceId": 42, "principal": principal, "permissions": ["USER"]});
        let needs = KIND.needs(&spec).unwrap();
        let fields: Vec<&str> = needs.iter().map(|need| need.field.as_str()).collect();
        assert_eq!(fields, field.into_iter().collect::<Vec<_>>(), "{spec}");
        let ids = needs.iter().map(|need| (need.field.clone(), "7".to_owned())).collect();
        let want = KIND.desired(&spec, &Resolved { ids, ..Resolved::default() }).unwrap();
        assert_eq!(want, json!({"workspace_id": 42, "principal_id": 7, "permissions": ["USER"]}), "{spec}");
    }
}

#[tokio::test]
async fn a_workspace_that_takes_no_assignments_yet_is_waited_for() {
    let bench = start().await;
    let want = bench.want(bench.principal("Groups", "data-eng"), json!(["USER"]));
    bench.simulator.set(|s| s.federation_delay_ms = 60_000);
    let listed = KIND.list(&bench.api, &bench.workspace.to_string()).await.unwrap_err();
    let written = KIND.create(&bench.api, &want).await.unwrap_err();
    for error in [listed, written] {
        assert!(matches!(error, Error::Waiting { reason: Reason::WaitingForWorkspace, .. }), "{error:?}");
        assert!(error.to_string().contains(NOT_YET), "{error}");
    }
    bench.simulator.advance_ms(60_000);
    KIND.create(&bench.api, &want).await.unwrap();
}

#[tokio::test]
async fn only_refusals_with_those_words_are_waited_for() {
    let bench = start().await;
    let want = bench.want(bench.principal("Users", "ada"), json!(["USER"]));
    for (status, code, message, reason_then) in [
        (404, "NOT_FOUND", "Principal 7 not in workspace 9", Some(Reason::WaitingForWorkspace)),
        (404, "ENDPOINT_NOT_FOUND", NOT_YET, Some(Reason::WaitingForWorkspace)),
        (404, "ENDPOINT_NOT_FOUND", "no such path", Some(Reason::NotSupported)),
        (403, "PERMISSION_DENIED", "not an account admin", Some(Reason::PermissionDenied)),
        (400, "INVALID_PARAMETER_VALUE", "bad level", Some(Reason::InvalidSpec)),
        (429, "RESOURCE_EXHAUSTED", NOT_YET, None),
    ] {
        bench.answer("PUT", status, refusal(code, message));
        let error = KIND.create(&bench.api, &want).await.unwrap_err();
        assert_eq!(reason(&error), reason_then, "{error:?}");
        if reason_then.is_none() {
            assert!(matches!(error, Error::Transient { reason: Reason::RateLimited, .. }), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_write_that_may_have_happened_is_never_taken_for_a_refusal() {
    let bench = start().await;
    let want = bench.want(bench.principal("Users", "ada"), json!(["USER"]));
    bench.answer("PUT", 500, refusal("INTERNAL_ERROR", NOT_YET));
    let error = KIND.create(&bench.api, &want).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error:?}");
    assert_eq!(bench.list().await.iter().filter(|s| s.state == want).count(), 1);
}

#[tokio::test]
async fn an_error_inside_a_good_answer_is_one() {
    let bench = start().await;
    let (ada, grace) = (bench.principal("Users", "ada"), bench.principal("Users", "grace"));
    let want = bench.want(ada, json!(["USER"]));
    for (text, expected) in [(NOT_YET, Reason::WaitingForWorkspace), ("something odd", Reason::ApplyFailed)] {
        bench.simulator.set(|s| s.fail_next_assignment = Some(text.into()));
        let error = KIND.create(&bench.api, &want).await.unwrap_err();
        assert_eq!(reason(&error), Some(expected), "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
    }
    // In a list it is that row's alone. The row stays: what is left out would count as gone.
    for who in [ada, grace] {
        KIND.create(&bench.api, &bench.want(who, json!(["USER"]))).await.unwrap();
    }
    let id = format!("{}/{ada}", bench.workspace);
    bench.simulator.edit("permissionassignments", &id, json!({"error": "odd", "permissions": []})).unwrap();
    let rows = bench.list().await;
    let phase = |id: &str| rows.iter().find(|row| row.id == id).map(|row| row.about.phase.clone());
    assert_eq!(phase(&id), Some(Phase::Failed("odd".into())));
    assert_eq!(phase(&format!("{}/{grace}", bench.workspace)), Some(Phase::Ready));
}

#[tokio::test]
async fn a_workspace_that_is_gone_has_no_assignments_and_a_lost_endpoint_says_nothing() {
    let bench = start().await;
    assert!(bench.simulator.remove("workspaces", &bench.workspace.to_string()));
    assert_eq!(bench.list().await, []);
    bench.answer("GET", 404, refusal("ENDPOINT_NOT_FOUND", "no such path"));
    assert!(KIND.list(&bench.api, &bench.workspace.to_string()).await.is_err());
    bench.simulator.fault(Fault {
        path: "*".into(),
        status: Some(404),
        body: Some(refusal("RESOURCE_DOES_NOT_EXIST", "no such account")),
        ..Fault::default()
    });
    let lost = KIND.list(&bench.api, &bench.workspace.to_string()).await;
    assert!(lost.is_err(), "an account that lists no workspaces proves nothing about one of them: {lost:?}");
}

#[tokio::test]
async fn admin_contains_user_and_unknown_levels_are_differences() {
    let bench = start().await;
    let ada = bench.principal("Users", "ada");
    let want = bench.want(ada, json!(["USER", "ADMIN"]));
    assert_eq!(want, bench.want(ada, json!(["ADMIN"])));
    let power = KIND.power(&want).unwrap();
    assert_eq!((power.workspace_id, power.admin), (Some(bench.workspace.to_string()), true));
    let made = KIND.create(&bench.api, &want).await.unwrap().seen.unwrap();
    assert_eq!(KIND.changes(&want, &made).unwrap(), []);
    assert_eq!(
        made.facts,
        *json!({"principalType": "USER", "principalName": "ada@example.com", "displayName": "ada"})
            .as_object()
            .unwrap()
    );
    for (levels, differs) in [(json!(["USER", "ADMIN"]), false), (json!(["UNKNOWN"]), true)] {
        bench.simulator.edit("permissionassignments", &made.id, json!({"permissions": levels})).unwrap();
        let seen = KIND.get(&bench.api, &made.id).await.unwrap().unwrap();
        assert_eq!(!KIND.changes(&want, &seen).unwrap().is_empty(), differs, "{levels}");
    }
}

#[tokio::test]
async fn an_answer_with_permissions_alone_is_enough() {
    let bench = start().await;
    let ada = bench.principal("Users", "ada");
    let user = KIND.create(&bench.api, &bench.want(ada, json!(["USER"]))).await.unwrap().seen.unwrap();
    let want = bench.want(ada, json!(["ADMIN"]));
    bench.answer("PUT", 200, json!({"permissions": ["ADMIN"]}));
    let shown = KIND.update(&bench.api, &user, &want, &["permission"]).await.unwrap();
    assert_eq!((&shown.id, &shown.state, &shown.facts), (&user.id, &want, &user.facts));
    bench.answer("PUT", 200, json!({"permissions": ["ADMIN"]}));
    let shown = KIND.create(&bench.api, &want).await.unwrap().seen.unwrap();
    assert_eq!((&shown.id, &shown.state), (&user.id, &want));
    // The response does not say whose access it is, so it is not taken away before that is known.
    let auth = AuthFacts { client_id: bench.simulator.client_id.clone(), ..AuthFacts::default() };
    let error = bench.guard(None, Some(&shown), &auth).await.unwrap_err();
    assert!(matches!(error, Error::Transient { .. }), "{error:?}");
}

#[tokio::test]
async fn the_operator_keeps_its_own_access() {
    let bench = start().await;
    let auth = AuthFacts { client_id: bench.simulator.client_id.clone(), ..AuthFacts::default() };
    let (own, other) =
        (bench.principal("ServicePrincipals", "operator"), bench.principal("ServicePrincipals", "pipeline"));
    for (who, refused) in [(own, true), (other, false)] {
        let (user, admin) = (bench.want(who, json!(["USER"])), bench.want(who, json!(["ADMIN"])));
        // It may be there by now, whatever the list said; who the operator is may not be told by the account.
        let knowing = AuthFacts { principal_id: Some(own.to_string()), ..auth.clone() };
        assert_eq!(bench.guard(Some(&user), None, &knowing).await.is_err(), refused);
        assert_eq!(bench.guard(Some(&admin), None, &knowing).await, Ok(()));
        assert_eq!(bench.guard(Some(&user), None, &auth).await, Ok(()));
        KIND.create(&bench.api, &admin).await.unwrap();
        let id = format!("{}/{who}", bench.workspace);
        let seen = KIND.get(&bench.api, &id).await.unwrap().unwrap();
        assert_eq!(bench.guard(Some(&admin), Some(&seen), &auth).await, Ok(()));
        for act in [None, Some(&user)] {
            let verdict = bench.guard(act, Some(&seen), &auth).await;
            assert_eq!(verdict.is_err(), refused, "{act:?}: {verdict:?}");
            if let Err(error) = verdict {
                assert_eq!(reason(&error), Some(Reason::WouldLockOut));
                assert!(error.to_string().contains("spec.deletionPolicy to Retain"), "{error}");
            }
        }
    }
}

/// ADMIN of a group counts for the operator in it, and for no other reason is it kept.
#[tokio::test]
async fn the_operator_keeps_access_that_it_has_by_a_group_alone() {
    let bench = start().await;
    let own = bench.principal("ServicePrincipals", "operator");
    let group = |name: &str, members: &[i64]| -> i64 {
        let members: Vec<Value> = members.iter().map(|id| json!({"value": id.to_string()})).collect();
        let group = json!({"displayName": name, "members": members});
        bench.simulator.insert("Groups", group).unwrap()["id"].as_str().unwrap().parse().unwrap()
    };
    let platform = group("platform", &[own]);
    let around = group("around", &[platform]);
    let (others, empty) = (bench.principal("Groups", "data-eng"), group("empty", &[]));
    // The account does not show who is in it.
    let all = group("account users", &[]);
    let ada = bench.principal("Users", "ada");
    let client_id = bench.simulator.client_id.clone();
    let known = AuthFacts { client_id, principal_id: Some(own.to_string()), ..AuthFacts::default() };
    let unknown = AuthFacts { principal_id: None, ..known.clone() };
    let cases = [
        (platform, true, true),
        (around, true, true),
        (all, true, true),
        (others, false, true),
        (empty, false, true),
        (ada, false, false),
    ];
    for direct in [false, true] {
        if direct {
            KIND.create(&bench.api, &bench.want(own, json!(["ADMIN"]))).await.unwrap();
        }
        for (who, if_known, if_unknown) in cases {
            let (user, admin) = (bench.want(who, json!(["USER"])), bench.want(who, json!(["ADMIN"])));
            let id = format!("{}/{who}", bench.workspace);
            KIND.create(&bench.api, &user).await.unwrap();
            let as_user = KIND.get(&bench.api, &id).await.unwrap().unwrap();
            KIND.create(&bench.api, &admin).await.unwrap();
            let as_admin = KIND.get(&bench.api, &id).await.unwrap().unwrap();
            for (auth, refused) in [(&known, if_known), (&unknown, if_unknown)] {
                bench.simulator.clear_journal();
                assert_eq!(bench.guard(None, Some(&as_user), auth).await, Ok(()), "{who}");
                assert_eq!(bench.guard(Some(&user), None, auth).await, Ok(()), "{who}");
                assert_eq!(bench.guard(Some(&admin), Some(&as_admin), auth).await, Ok(()), "{who}");
                assert_eq!(bench.simulator.journal().len(), 0, "nothing is read if no ADMIN is lost");
                for act in [None, Some(&user)] {
                    let verdict = bench.guard(act, Some(&as_admin), auth).await;
                    assert_eq!(verdict.is_err(), refused && !direct, "{who} {direct} {act:?}: {verdict:?}");
                    if let Err(error) = verdict {
                        assert_eq!(reason(&error), Some(Reason::WouldLockOut));
                        assert!(
                            error.to_string().contains("by this group, and not by an assignment of its own"),
                            "{error}"
                        );
                        assert!(error.to_string().contains("spec.deletionPolicy to Retain"), "{error}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn an_id_has_one_spelling() {
    let bench = start().await;
    for wrong in ["", "1", "1/", "/1", "+1/2", "01/2", "1/2/3", "a/b", "1/99999999999999999999"] {
        let error = KIND.get(&bench.api, wrong).await.unwrap_err();
        assert_eq!(reason(&error), Some(Reason::InvalidSpec), "{wrong}: {error:?}");
    }
    assert_eq!(KIND.get(&bench.api, &format!("{}/1", bench.workspace)).await, Ok(None));
}
