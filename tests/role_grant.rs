//! What is particular to RoleGrant: it shares a rule set with grants of others, whose every write replaces the whole.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Acting, AuthFacts, Driver, Resolved, Seen, Writer, of};
use databricks_operator::kinds::role_grant::RoleGrant;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const KIND: &dyn Driver = of::<RoleGrant>();
const BILLING: &str = "roles/billing.admin";

struct Bench {
    simulator: Simulator,
    api: Writer,
}

async fn start() -> Bench {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    Bench { simulator, api }
}

/// The desired state of a spec, whose principal exists.
fn want(target: Value, role: &str, principal: Value) -> Value {
    let spec =
        json!({"authRef": {"name": "account"}, "target": target, "role": role, "principal": principal});
    let ids = [("principal".to_owned(), "7".to_owned())].into();
    KIND.desired(&spec, &Resolved { ids, ..Resolved::default() }).unwrap()
}

fn billing(group: &str) -> Value {
    want(json!({"account": true}), BILLING, json!({"groupName": group}))
}

impl Bench {
    fn set(&self, of: &str) -> String {
        format!("accounts/{}{of}/ruleSets/default", self.simulator.account_id)
    }

    /// What others granted on the account.
    fn others(&self) -> Value {
        let rules = json!([
            {"role": "roles/marketplace.admin", "principals": ["users/ada@example.com", "groups/gone"]},
            {"role": BILLING, "principals": ["users/grace@example.com"], "condition": {"hours": "night"}},
        ]);
        let set = json!({"name": self.set(""), "grant_rules": rules, "deny_rules": ["one"]});
        self.simulator.insert("rule-sets", set).unwrap();
        rules
    }

    /// The rules of the account.
    fn rules(&self) -> Value {
        let sets = self.simulator.objects("rule-sets");
        let set = sets.into_iter().find(|set| set["name"] == json!(self.set("")));
        set.map(|set| set["grant_rules"].clone()).unwrap_or_default()
    }

    async fn list(&self, set: &str) -> Vec<Seen> {
        KIND.list(&self.api, set).await.unwrap()
    }

    fn responds(&self, method: &str, status: u16, body: Value) {
        self.simulator.fault(Fault {
            method: Some(method.into()),
            path: "*/rule-sets".into(),
            status: Some(status),
            body: Some(body),
            times: Some(1),
            ..Fault::default()
        });
    }
}

fn reason(error: &Error) -> Option<Reason> {
    error.reason()
}

/// Covers LC-25. The billing administrators of the account and all other grants stay.
#[tokio::test]
async fn a_grant_comes_and_goes_and_all_others_stay() {
    let bench = start().await;
    let others = bench.others();
    let created = KIND.create(&bench.api, &billing("data-eng")).await.unwrap().seen.unwrap();
    assert_eq!(created.id, "account/roles/billing.admin/groups/data-eng");
    let mut expected = others.clone();
    expected.as_array_mut().unwrap().push(json!({"role": BILLING, "principals": ["groups/data-eng"]}));
    assert_eq!(bench.rules(), expected, "the rules of others have a field that may be a condition");
    assert_eq!(bench.list("account").await.len(), 4);

    bench.simulator.clear_journal();
    let error = KIND.create(&bench.api, &billing("data-eng")).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "{error:?}");
    assert_eq!(bench.simulator.writes().len(), 0, "it is there, so nothing is sent");

    KIND.delete(&bench.api, &created).await.unwrap();
    assert_eq!(bench.rules(), others);
    assert_eq!(bench.simulator.objects("rule-sets")[0]["deny_rules"], json!(["one"]));
    bench.simulator.clear_journal();
    let error = KIND.delete(&bench.api, &created).await.unwrap_err();
    assert!(matches!(error, Error::Conflict(_)), "what sent nothing does not count as a deletion: {error:?}");
    assert_eq!(bench.simulator.writes().len(), 0, "it is gone, so nothing is sent");
}

/// Covers LC-25, LC-21. Another client writes the set between the read and the write: the write is refused, and the next one has
/// both changes.
#[tokio::test]
async fn a_write_that_another_client_overtakes_changes_nothing() {
    let bench = start().await;
    let created = KIND.create(&bench.api, &billing("data-eng")).await.unwrap().seen.unwrap();
    let (api, removed) = (bench.api.clone(), created.clone());
    let after = overtake(&bench, async move { KIND.delete(&api, &removed).await }).await;
    assert_eq!(bench.rules(), after, "the grant of the console is there, and ours too");
    KIND.delete(&bench.api, &created).await.unwrap();
    assert_eq!(bench.rules(), json!([{"role": BILLING, "principals": ["users/ada@example.com"]}]));

    let api = bench.api.clone();
    let create = async move { KIND.create(&api, &billing("analysts")).await.map(drop) };
    let after = overtake(&bench, create).await;
    assert_eq!(bench.rules(), after);
    KIND.create(&bench.api, &billing("analysts")).await.unwrap();
    let ids: Vec<String> = bench.list("account").await.into_iter().map(|seen| seen.id).collect();
    let billing = |who: &str| format!("account/roles/billing.admin/{who}");
    assert_eq!(ids, [billing("groups/analysts"), billing("users/ada@example.com")]);
}

/// Another client grants something while a write of ours is in flight; returns the rules after that, which the refused write left
/// alone.
async fn overtake(bench: &Bench, act: impl Future<Output = Result<(), Error>> + Send + 'static) -> Value {
    let put = Fault { method: Some("PUT".into()), path: "*".into(), ..Fault::default() };
    let held = bench.simulator.fault(Fault { hold: true, times: Some(1), ..put });
    let act = tokio::spawn(act);
    let call = bench.simulator.held(held).await;
    let mut rules = bench.rules();
    rules[0]["principals"].as_array_mut().unwrap().push(json!("users/ada@example.com"));
    bench.simulator.edit("rule-sets", &bench.set(""), json!({"grant_rules": rules})).unwrap();
    assert!(bench.simulator.release(call.n));
    let overtaken = act.await.unwrap();
    assert!(matches!(overtaken, Err(Error::Conflict(_))), "{overtaken:?}");
    rules
}

/// Covers LC-25. Written back, it could revoke what it does not show.
#[tokio::test]
async fn a_set_in_an_unexpected_form_is_not_written() {
    let bench = start().await;
    let others = bench.others();
    let name = bench.set("");
    let grace = "account/roles/billing.admin/users/grace@example.com";
    let grace = KIND.get(&bench.api, grace).await.unwrap().unwrap();
    for odd in [
        json!({"name": name, "grant_rules": []}),
        json!({"name": name, "etag": "", "grant_rules": []}),
        json!({"name": name, "etag": "e", "grant_rules": {"role": BILLING}}),
        json!({"name": bench.set("/groups/1"), "etag": "e"}),
        json!({"etag": "e"}),
    ] {
        bench.responds("GET", 200, odd.clone());
        let created = KIND.create(&bench.api, &billing("data-eng")).await;
        assert!(created.is_err(), "{odd}");
        bench.responds("GET", 200, odd.clone());
        let deleted = KIND.delete(&bench.api, &grace).await;
        assert!(deleted.is_err(), "{odd}");
    }
    assert_eq!(bench.simulator.writes().len(), 0);
    assert_eq!(bench.rules(), others);
}

/// Covers LC-03. Nothing was sent, so nothing is in doubt: a grant that another user adds meanwhile is not taken for the result of the
/// create.
#[tokio::test]
async fn a_create_whose_read_fails_is_not_in_doubt() {
    let bench = start().await;
    let failed = json!({"error_code": "INTERNAL_ERROR", "message": "no response"});
    for (status, body) in [(500, failed), (200, json!({"etag": "e"}))] {
        bench.responds("GET", status, body);
        let error = KIND.create(&bench.api, &billing("data-eng")).await.unwrap_err();
        assert!(matches!(error, Error::Conflict(_)), "{status}: {error:?}");
    }
    assert_eq!(bench.simulator.writes().len(), 0);
    KIND.create(&bench.api, &billing("data-eng")).await.unwrap();
}

#[tokio::test]
async fn each_target_has_a_set_of_its_own() {
    let bench = start().await;
    let group = bench.simulator.insert("Groups", json!({"displayName": "Crew"})).unwrap();
    let group: i64 = group["id"].as_str().unwrap().parse().unwrap();
    let robot = bench.simulator.objects("ServicePrincipals")[1]["applicationId"].clone();
    let robot_id = robot.as_str().unwrap();
    for (target, role, set) in [
        (json!({"account": true}), BILLING, "account".to_owned()),
        (json!({"groupId": group}), "roles/group.manager", format!("groups/{group}")),
        (
            json!({"applicationId": robot}),
            "roles/servicePrincipal.user",
            format!("servicePrincipals/{robot_id}"),
        ),
        (json!({"budgetPolicyId": "b-1"}), "roles/budgetPolicy.user", "budgetPolicies/b-1".to_owned()),
        (json!({"tagPolicyId": "t-1"}), "roles/tagPolicy.assigner", "tagPolicies/t-1".to_owned()),
    ] {
        for (principal, name) in [
            (json!({"userName": "Ada@Example.com"}), "users/ada@example.com".to_owned()),
            (json!({"groupName": "Crew"}), "groups/crew".to_owned()),
            (json!({"servicePrincipalName": robot}), format!("servicePrincipals/{robot_id}")),
        ] {
            let want = want(target.clone(), role, principal);
            let created = KIND.create(&bench.api, &want).await.unwrap().seen.unwrap();
            assert_eq!(created.id, format!("{set}/{role}/{name}"));
            let seen = KIND.get(&bench.api, &created.id).await.unwrap().unwrap();
            assert_eq!(KIND.changes(&want, &seen), Ok(vec![]), "{seen:?}");
            assert_eq!(seen.facts["target"], json!(set));
        }
        let all = bench.list(&set).await;
        assert_eq!(all.len(), 3, "{all:?}");
        KIND.delete(&bench.api, &all[0]).await.unwrap();
        assert_eq!(bench.list(&set).await, all[1..]);
    }
}

/// The account keeps the name as it is written there, and finds it in any case.
#[tokio::test]
async fn a_group_is_the_same_in_any_case() {
    let bench = start().await;
    bench.simulator.insert("Groups", json!({"displayName": "FinOps"})).unwrap();
    let created = KIND.create(&bench.api, &billing("FinOps")).await.unwrap().seen.unwrap();
    assert_eq!(bench.rules(), json!([{"role": BILLING, "principals": ["groups/FinOps"]}]));
    let want = billing("finops");
    assert_eq!(KIND.changes(&want, &created), Ok(vec![]));
    assert_eq!(KIND.key(&want).unwrap(), KIND.key(&created.state).unwrap());
    assert!(matches!(KIND.create(&bench.api, &want).await, Err(Error::Conflict(_))));
    assert_eq!(bench.list("account").await.len(), 1);
}

/// Covers DL-06.
#[tokio::test]
async fn with_its_target_a_grant_is_gone() {
    let bench = start().await;
    let group = bench.simulator.insert("Groups", json!({"displayName": "crew"})).unwrap();
    let id = group["id"].as_str().unwrap();
    let number: i64 = id.parse().unwrap();
    let want =
        want(json!({"groupId": number}), "roles/group.manager", json!({"userName": "ada@example.com"}));
    let created = KIND.create(&bench.api, &want).await.unwrap().seen.unwrap();
    assert!(bench.simulator.remove("Groups", id));
    assert_eq!(bench.list(&format!("groups/{id}")).await, []);
    KIND.delete(&bench.api, &created).await.unwrap();
    let error = KIND.create(&bench.api, &want).await.unwrap_err();
    assert_eq!(reason(&error), Some(Reason::ReferenceNotFound), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("spec.target.groupId") && !text.contains("spec.principal"), "{text}");

    let missing = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such account"});
    let everything = Fault { path: "*".into(), status: Some(404), body: Some(missing), ..Fault::default() };
    bench.simulator.fault(everything);
    let lost = KIND.delete(&bench.api, &created).await;
    assert!(lost.is_err(), "an account that is not known proves nothing: {lost:?}");
}

#[tokio::test]
async fn a_principal_that_is_not_known_everywhere_yet_is_waited_for() {
    let bench = start().await;
    let error = KIND.create(&bench.api, &billing("brand-new")).await.unwrap_err();
    let Error::Rejected { reason: Reason::ReferenceNotFound, patience: Some(_), message, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(message.contains("correct spec.principal"), "{message}");
    let role = want(json!({"account": true}), "roles/group.manager", json!({"groupName": "data-eng"}));
    let error = KIND.create(&bench.api, &role).await.unwrap_err();
    assert_eq!(reason(&error), Some(Reason::InvalidSpec), "{error:?}");
    bench.responds(
        "PUT",
        500,
        json!({"error_code": "INTERNAL_ERROR", "message": "principal does not exist"}),
    );
    let error = KIND.create(&bench.api, &billing("data-eng")).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "it may have happened: {error:?}");
}

/// An empty name would be refused by the account, and one that has no room in the status would block it for ever.
#[test]
fn a_grant_that_cannot_be_named_is_never_sent() {
    let desired = |principal: Value| {
        let spec = json!({"authRef": {"name": "a"}, "target": {"account": true}, "role": BILLING, "principal": principal});
        let ids = [("principal".to_owned(), "7".to_owned())].into();
        KIND.desired(&spec, &Resolved { ids, ..Resolved::default() })
    };
    for name in ["", "  ", &"x".repeat(250)] {
        let error = desired(json!({"groupName": name})).unwrap_err();
        assert!(matches!(error, Error::Terminal { reason: Reason::InvalidSpec, .. }), "{name}: {error:?}");
    }
    assert!(desired(json!({"groupName": "a/b c"})).is_ok());
}

/// Who manages a service principal or a group has the rights of others, so no default of a DatabricksAuth gives that.
#[test]
fn only_a_grant_in_words_allows_roles_over_other_principals() {
    let admin = |target: Value, role: &str| {
        let state = want(target, role, json!({"userName": "ada@example.com"}));
        KIND.power(&state).unwrap().account_admin
    };
    let id = "6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d";
    assert!(admin(json!({"groupId": 17}), "roles/group.manager"));
    assert!(admin(json!({"applicationId": id}), "roles/servicePrincipal.user"));
    for known in [BILLING, "roles/marketplace.admin", "roles/tagPolicy.creator", "roles/tagPolicy.manager"] {
        assert!(!admin(json!({"account": true}), known), "{known}");
    }
    // Databricks may add a role that is worth more.
    for unknown in ["roles/account.admin", "roles/servicePrincipal.manager", "roles/Billing.admin"] {
        assert!(admin(json!({"account": true}), unknown), "{unknown}");
    }
    assert!(!admin(json!({"budgetPolicyId": "b"}), "roles/budgetPolicy.user"));
}

/// Covers SE-07.
#[tokio::test]
async fn the_operator_keeps_its_own_roles_of_an_administrator() {
    let bench = start().await;
    let own = bench.simulator.client_id.clone();
    let facts = AuthFacts { client_id: own.to_uppercase(), ..AuthFacts::default() };
    let created = async |role: &str, principal: Value| {
        let state = want(json!({"applicationId": own}), role, principal);
        KIND.create(&bench.api, &state).await.unwrap().seen.unwrap()
    };
    let manager = created("roles/servicePrincipal.manager", json!({"servicePrincipalName": own})).await;
    let user = created("roles/servicePrincipal.user", json!({"servicePrincipalName": own})).await;
    let other = created("roles/servicePrincipal.manager", json!({"groupName": "data-eng"})).await;
    let guard =
        |seen| KIND.guard(Acting { want: None, seen: Some(seen), siblings: &[], auth: &facts }, &bench.api);
    let error = guard(&manager).await.unwrap_err();
    assert!(matches!(error, Error::Terminal { reason: Reason::WouldLockOut, .. }), "{error:?}");
    assert!(error.to_string().contains("deletionPolicy"), "{error}");
    for allowed in [&user, &other] {
        assert_eq!(guard(allowed).await, Ok(()), "{}", allowed.id);
    }
    let grants = Acting { want: Some(&manager.state), seen: None, siblings: &[], auth: &facts };
    assert_eq!(KIND.guard(grants, &bench.api).await, Ok(()), "it may get it");
}
