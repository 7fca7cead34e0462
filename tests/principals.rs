//! What is particular to users, groups and service principals: how they are found, what a create and a change send, what a deletion
//! leaves behind, changes that the account carries out in part, the role of an administrator that the operator has through groups,
//! and who may sign in as a principal.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::{Error, Result};
use databricks_operator::engine::kind::{Acting, AuthFacts, Driver, Seen, When, Writer, of};
use databricks_operator::kinds::federation_policy::AccountFederationPolicy;
use databricks_operator::kinds::group::Group;
use databricks_operator::kinds::service_principal::ServicePrincipal;
use databricks_operator::kinds::user::User;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const GROUP: &dyn Driver = of::<Group>();
const SERVICE: &dyn Driver = of::<ServicePrincipal>();
const USER: &dyn Driver = of::<User>();
const FEDERATION: &dyn Driver = of::<AccountFederationPolicy>();
const ADMIN: &[&str] = &["account_admin"];

struct Bench {
    simulator: Simulator,
    api: Writer,
    /// The id of the operator's own service principal.
    own: String,
}

async fn start() -> Bench {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let api = connect(&simulator);
    let all = simulator.objects("ServicePrincipals");
    let own = all.iter().find(|one| one["applicationId"] == simulator.client_id.as_str()).unwrap();
    let own = own["id"].as_str().unwrap().to_owned();
    Bench { simulator, api, own }
}

fn entries(values: &[&str]) -> Value {
    values.iter().map(|value| json!({"value": value})).collect()
}

/// The body of a refusal.
fn refusal_body(status: u16, detail: &str) -> Value {
    let schema = "urn:ietf:params:scim:api:messages:2.0:Error";
    json!({"schemas": [schema], "detail": detail, "status": status.to_string()})
}

impl Bench {
    /// The id of a user of the account.
    fn user(&self, name: &str) -> String {
        let all = self.simulator.objects("Users");
        all.iter().find(|user| user["displayName"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Puts a group into the account; returns its id.
    fn group(&self, name: &str, members: &[&str], roles: &[&str]) -> String {
        let group = json!({"displayName": name, "members": entries(members), "roles": entries(roles)});
        let stored = self.simulator.insert("Groups", group).unwrap();
        stored["id"].as_str().unwrap().to_owned()
    }

    fn members(&self, id: &str) -> Vec<String> {
        let all = self.simulator.objects("Groups");
        let group = all.iter().find(|group| group["id"] == id).unwrap();
        let members = group["members"].as_array().into_iter().flatten();
        let mut ids: Vec<String> = members.map(|member| member["value"].as_str().unwrap().into()).collect();
        ids.sort();
        ids
    }

    async fn seen(&self, id: &str) -> Seen {
        GROUP.get(&self.api, id).await.unwrap().unwrap()
    }

    /// The state that a spec with these fields means.
    fn want(&self, driver: &dyn Driver, fields: Value) -> Value {
        let mut spec = json!({"authRef": {"name": "account"}});
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        driver.desired(&spec, &Default::default()).unwrap()
    }

    fn with_members(&self, members: &[&str]) -> Value {
        let members: Value = members.iter().map(|id| json!({"id": id.parse::<i64>().unwrap()})).collect();
        self.want(GROUP, json!({"members": members}))
    }

    /// Whether the guard allows a change of a group, or its deletion.
    async fn allows(&self, id: &str, want: Option<&Value>) -> Result<()> {
        let principal_id = Some(self.own.clone());
        let client_id = self.simulator.client_id.clone();
        let auth = AuthFacts { client_id, principal_id, ..AuthFacts::default() };
        let seen = self.seen(id).await;
        GROUP.guard(Acting { want, seen: Some(&seen), siblings: &[], auth: &auth }, &self.api).await
    }

    async fn refuses(&self, id: &str, want: Option<&Value>) {
        let error = self.allows(id, want).await.expect_err("it would lock the operator out");
        assert_eq!(error.reason(), Some(Reason::WouldLockOut), "{error}");
        assert!(error.to_string().contains(&self.simulator.client_id), "{error}");
        assert!(error.to_string().contains("spec.deletionPolicy to Retain"), "{error}");
    }
}

/// The account shows the groups of its workspaces too, and they are not its own: whatever binds an object to one, it stays as it is.
#[tokio::test]
async fn a_group_of_one_workspace_is_neither_changed_nor_deleted() {
    let bench = start().await;
    let ada = bench.user("ada");
    let local = bench.group("local", &[&ada], &[]);
    let of_a_workspace = json!({"meta": {"resourceType": "WorkspaceGroup"}});
    bench.simulator.edit("Groups", &local, of_a_workspace).unwrap();
    let renamed = bench.want(GROUP, json!({"displayName": "renamed"}));
    for want in [None, Some(bench.with_members(&[])), Some(renamed)] {
        let refused = bench.allows(&local, want.as_ref()).await.expect_err("it is a group of one workspace");
        assert_eq!(refused.reason(), Some(Reason::InvalidSpec), "{refused}");
        let says = refused.to_string();
        assert!(says.contains("group of one workspace") && says.contains("Retain"), "{says}");
    }
    let own = bench.group("own", &[&ada], &[]);
    assert_eq!(bench.allows(&own, None).await, Ok(()));
    let listed: Vec<String> =
        GROUP.list(&bench.api, "").await.unwrap().into_iter().map(|row| row.id).collect();
    assert!(listed.contains(&own) && !listed.contains(&local), "{listed:?}");
}

/// Covers SE-07. The operator is in `team`, which is in `crew`, which is in `chiefs`, which has the role.
#[tokio::test]
async fn the_operator_keeps_a_role_that_it_has_through_groups_in_groups() {
    let bench = start().await;
    let ada = bench.user("ada");
    let team = bench.group("team", &[&bench.own, &ada], &[]);
    let crew = bench.group("crew", &[&team, &ada], &[]);
    let chiefs = bench.group("chiefs", &[&crew, &ada], ADMIN);
    let other = bench.group("other", &[&bench.own, &team], &[]);
    for (group, inner) in [(&team, &bench.own), (&crew, &team), (&chiefs, &crew)] {
        bench.refuses(group, None).await;
        bench.refuses(group, Some(&bench.with_members(&[&ada]))).await;
        bench.refuses(group, Some(&bench.with_members(&[]))).await;
        // The way to the role stays.
        assert_eq!(bench.allows(group, Some(&bench.with_members(&[inner]))).await, Ok(()));
        let renamed = bench.want(GROUP, json!({"displayName": "renamed"}));
        assert_eq!(bench.allows(group, Some(&renamed)).await, Ok(()));
    }
    bench.refuses(&chiefs, Some(&bench.want(GROUP, json!({"roles": []})))).await;
    // What a change adds may be refused by the account, after it has removed the rest.
    bench.refuses(&chiefs, Some(&bench.with_members(&[&bench.own]))).await;
    // A group that leads to no role is free.
    assert_eq!(bench.allows(&other, None).await, Ok(()));
    assert_eq!(bench.allows(&other, Some(&bench.with_members(&[]))).await, Ok(()));
    // A group without members gives its role to no principal.
    let empty = bench.group("empty", &[], ADMIN);
    assert_eq!(bench.allows(&empty, None).await, Ok(()));
}

/// Covers SE-07. Of two ways to the role one may go in a change of a group, as the other one is kept for itself.
#[tokio::test]
async fn of_two_ways_to_the_role_in_one_group_one_may_go() {
    let bench = start().await;
    let team = bench.group("team", &[&bench.own], &[]);
    let chiefs = bench.group("chiefs", &[&team, &bench.own], ADMIN);
    assert_eq!(bench.allows(&chiefs, Some(&bench.with_members(&[&bench.own]))).await, Ok(()));
    assert_eq!(bench.allows(&chiefs, Some(&bench.with_members(&[&team]))).await, Ok(()));
    // It is a member of a group that has the role, and of the group above, which has it too.
    let above = bench.group("above", &[&chiefs], ADMIN);
    assert_eq!(bench.allows(&chiefs, Some(&bench.want(GROUP, json!({"roles": []})))).await, Ok(()));
    bench.refuses(&above, None).await;
}

/// Covers SE-07. Groups that contain each other have an end.
#[tokio::test]
async fn groups_in_a_circle_are_read_once() {
    let bench = start().await;
    let one = bench.group("one", &[&bench.user("ada")], ADMIN);
    let two = bench.group("two", &[&one], &[]);
    bench.simulator.edit("Groups", &one, json!({"members": entries(&[&two])})).unwrap();
    assert_eq!(bench.allows(&one, None).await, Ok(()), "the operator is in neither");
    bench.simulator.edit("Groups", &two, json!({"members": entries(&[&one, &bench.own])})).unwrap();
    bench.refuses(&one, None).await;
    bench.refuses(&two, Some(&bench.with_members(&[&one]))).await;
}

/// Covers SE-07. What cannot be checked is refused, and costs few reads.
#[tokio::test]
async fn a_change_that_too_many_groups_matter_for_is_refused() {
    let bench = start().await;
    let inner: Vec<String> =
        (0..60).map(|n| bench.group(&format!("inner {n}"), &[&bench.user("ada")], &[])).collect();
    let inner: Vec<&str> = inner.iter().map(String::as_str).collect();
    let chiefs = bench.group("chiefs", &inner, ADMIN);
    bench.simulator.clear_journal();
    let error = bench.allows(&chiefs, None).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::WouldLockOut), "{error}");
    assert!(error.to_string().contains("more than 50 groups"), "{error}");
    let reads = bench.simulator.calls("GET", "*/Groups/*");
    assert!(reads <= 51, "{reads} reads");
    // Reads that fail say nothing.
    let fault = Fault { path: "*/Groups".into(), status: Some(503), ..Fault::default() };
    bench.simulator.fault(fault);
    let error = bench.allows(&chiefs, None).await.unwrap_err();
    assert!(matches!(error, Error::Transient { .. }), "{error:?}");
}

/// Covers SE-07, SE-08. Only what takes something away or adds a member is checked: by one LIST, and the groups that have the role.
#[tokio::test]
async fn a_change_that_takes_nothing_away_and_adds_no_member_costs_no_read() {
    let bench = start().await;
    let (ada, grace) = (bench.user("ada"), bench.user("grace"));
    bench.group("chiefs", &[&bench.own], ADMIN);
    let crew = bench.group("crew", &[&ada], &[]);
    let seen = bench.seen(&crew).await;
    let auth = AuthFacts { principal_id: Some(bench.own.clone()), ..AuthFacts::default() };
    let mut allowed = bench.with_members(&[&ada, &grace]);
    allowed["account_admin"] = json!(true);
    for (want, reads) in [
        (bench.want(GROUP, json!({"displayName": "renamed"})), 0),
        (bench.with_members(&[&ada]), 0),
        (allowed, 0),
        (bench.with_members(&[]), 1),
        (bench.with_members(&[&ada, &grace]), 2),
        (bench.with_members(&[&grace]), 2),
    ] {
        bench.simulator.clear_journal();
        let act = Acting { want: Some(&want), seen: Some(&seen), siblings: &[], auth: &auth };
        assert_eq!(GROUP.guard(act, &bench.api).await, Ok(()));
        assert_eq!(bench.simulator.calls("GET", "*"), reads, "{want}");
    }
}

/// Covers SE-08. A group gives the role to the members of groups in it, and of groups in those.
#[tokio::test]
async fn a_member_of_a_group_in_a_group_of_administrators_is_added_only_with_a_permission() {
    let bench = start().await;
    let (ada, grace) = (bench.user("ada"), bench.user("grace"));
    let team = bench.group("team", &[&ada], &[]);
    let crew = bench.group("crew", &[&team], &[]);
    let chiefs = bench.group("chiefs", &[&crew], ADMIN);
    let other = bench.group("other", &[&chiefs], &[]);
    for (group, inner) in [(&team, &ada), (&crew, &team)] {
        let mut more = bench.with_members(&[inner, &grace]);
        let error = bench.allows(group, Some(&more)).await.expect_err("it would make an administrator");
        assert_eq!(error.reason(), Some(Reason::InvalidSpec), "{error}");
        assert!(error.to_string().contains("set spec.accountAdmin to true"), "{error}");
        more["account_admin"] = json!(true);
        assert!(GROUP.power(&more).unwrap().account_admin, "a grant decides");
        assert_eq!(bench.allows(group, Some(&more)).await, Ok(()));
        assert_eq!(bench.allows(group, Some(&bench.with_members(&[]))).await, Ok(()));
    }
    // A grant has allowed to change a group that has the role itself, and one around it gives its members nothing.
    assert_eq!(bench.allows(&chiefs, Some(&bench.with_members(&[&crew, &grace]))).await, Ok(()));
    assert_eq!(bench.allows(&other, Some(&bench.with_members(&[&chiefs, &grace]))).await, Ok(()));
}

/// Covers RF-12. Some accounts refuse a member that they do not know. Then all that was sent with it is carried out all the same, and the
/// response says what is missing.
#[tokio::test]
async fn a_refused_member_holds_up_no_removal_and_no_other_member() {
    for (status, in_part) in [(400, false), (404, false), (400, true), (404, true)] {
        let bench = start().await;
        bench.simulator.set(|settings| {
            settings.unknown_member_status = Some(status);
            settings.patches_in_part = in_part;
        });
        let (ada, grace, edsger) = (bench.user("ada"), bench.user("grace"), bench.user("edsger"));
        let crew = bench.group("crew", &[&ada, &edsger], &[]);
        let seen = bench.seen(&crew).await;
        let want = bench.with_members(&[&ada, "4242", &grace]);
        let changed = GROUP.update(&bench.api, &seen, &want, &["members"]).await.unwrap();
        let mut expected = [ada.clone(), grace.clone()];
        expected.sort();
        assert_eq!(bench.members(&crew), expected, "{status} {in_part}");
        assert_eq!(changed.state, bench.seen(&crew).await.state, "{status} {in_part}");
        let text = changed.about.refused.unwrap().to_string();
        assert!(text.contains("there is no member") && text.contains("not added yet: 4242"), "{text}");
        assert!(bench.simulator.writes().len() <= 8, "{}", bench.simulator.writes().len());
    }
}

/// Covers RF-12. Nor does a name that another group has.
#[tokio::test]
async fn a_refused_name_holds_up_no_removal() {
    let bench = start().await;
    let (ada, edsger) = (bench.user("ada"), bench.user("edsger"));
    bench.group("taken", &[], &[]);
    let crew = bench.group("crew", &[&ada, &edsger], ADMIN);
    let members = json!([{"id": ada.parse::<i64>().unwrap()}]);
    let want = bench.want(GROUP, json!({"displayName": "taken", "members": members, "roles": []}));
    let fields = ["display_name", "members", "roles"];
    let changed = GROUP.update(&bench.api, &bench.seen(&crew).await, &want, &fields).await.unwrap();
    assert_eq!(bench.members(&crew), [ada]);
    assert_eq!(changed.state["roles"], json!([]));
    assert!(changed.about.refused.unwrap().is_rejected(Reason::AlreadyExists));

    // The same for a user, whose access is taken away.
    let id = bench.user("grace");
    let seen = USER.get(&bench.api, &id).await.unwrap().unwrap();
    let want = bench.want(USER, json!({"displayName": "x", "active": false}));
    let refusal = Fault {
        method: Some("PATCH".into()),
        path: "*/Users/*".into(),
        status: Some(400),
        body: Some(refusal_body(400, "displayName is not valid")),
        times: Some(2),
        ..Fault::default()
    };
    bench.simulator.fault(refusal);
    let changed = USER.update(&bench.api, &seen, &want, &["display_name", "active"]).await.unwrap();
    assert_eq!((&changed.state["active"], &changed.state["display_name"]), (&json!(false), &json!("grace")));
    assert!(changed.about.refused.unwrap().to_string().contains("displayName is not valid"));
}

/// A refusal of the caller, or of any change by others than the identity provider, is not tried in parts.
#[tokio::test]
async fn what_is_refused_as_a_whole_is_sent_once() {
    let bench = start().await;
    let (ada, grace) = (bench.user("ada"), bench.user("grace"));
    let crew = bench.group("crew", &[&ada], &[]);
    let (seen, want) = (bench.seen(&crew).await, bench.with_members(&[&grace]));
    for (status, text) in [(403, "not for you"), (400, "This object is managed by the identity provider.")] {
        let refusal = Fault {
            method: Some("PATCH".into()),
            status: Some(status),
            body: Some(refusal_body(status, text)),
            times: Some(1),
            ..Fault::default()
        };
        bench.simulator.clear_journal();
        bench.simulator.fault(refusal);
        let changed = GROUP.update(&bench.api, &seen, &want, &["members"]).await.unwrap();
        assert!(changed.about.refused.unwrap().to_string().contains(text));
        assert_eq!(bench.simulator.writes().len(), 1, "{text}");
    }
    // A group that is gone is no refusal of what was sent.
    bench.simulator.remove("Groups", &crew);
    bench.simulator.clear_journal();
    let error = GROUP.update(&bench.api, &seen, &want, &["members"]).await.unwrap_err();
    assert!(error.is_rejected(Reason::ExternalResourceMissing), "{error:?}");
    assert_eq!(bench.simulator.writes().len(), 1);
}

/// Azure: Microsoft Entra ID manages the service principal, and the account has another one of the same display name.
#[tokio::test]
async fn a_service_principal_is_found_by_its_application_id_if_the_spec_has_one() {
    let bench = start().await;
    let (meant, foreign) = ("6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d", "0f9e8d7c-6b5a-4c3d-8e2f-1a0b9c8d7e6f");
    let insert = |name: &str, id: &str| {
        let principal = json!({"displayName": name, "applicationId": id});
        let stored = bench.simulator.insert("ServicePrincipals", principal).unwrap();
        stored["id"].as_str().unwrap().to_owned()
    };
    let foreign = insert("etl", foreign);
    let want = bench.want(SERVICE, json!({"displayName": "etl", "applicationId": meant}));
    let found = async |want: &Value| {
        let key = SERVICE.key(want).unwrap();
        let all = SERVICE.list(&bench.api, &key.within).await.unwrap();
        let matching = all.into_iter().filter(|seen| SERVICE.matches(&key, seen).unwrap());
        matching.map(|seen| seen.id).collect::<Vec<_>>()
    };
    assert_eq!(found(&want).await, [""; 0], "one of the same name prevents no create, and is not adopted");
    assert_eq!(found(&bench.want(SERVICE, json!({"displayName": "etl"}))).await, [foreign.as_str()]);

    let other = SERVICE.get(&bench.api, &foreign).await.unwrap().unwrap();
    assert_eq!(SERVICE.recognises(&want, &other), Ok(false));
    let existing = insert("under another name", meant);
    assert_eq!(found(&want).await, [existing.as_str()]);
    let seen = SERVICE.get(&bench.api, &existing).await.unwrap().unwrap();
    assert_eq!(SERVICE.recognises(&want, &seen), Ok(true));
    let changes = SERVICE.changes(&want, &seen).unwrap();
    let changes: Vec<&str> = changes.iter().map(|change| change.field()).collect();
    assert_eq!(changes, ["display_name"], "once it is adopted, it gets the name of the spec");
}

/// A create sends the application id, and what it created is found by it.
#[tokio::test]
async fn a_created_service_principal_has_the_application_id_of_the_spec() {
    let bench = start().await;
    let id = "6a7b8c9d-0e1f-4a2b-8c3d-4e5f6a7b8c9d";
    let want = bench.want(SERVICE, json!({"displayName": "etl", "applicationId": id}));
    let created = SERVICE.create(&bench.api, &want).await.unwrap().seen.unwrap();
    assert_eq!(created.state["application_id"], id);
    assert_eq!(SERVICE.changes(&want, &created), Ok(vec![]));
    assert_eq!(SERVICE.matches(&SERVICE.key(&want).unwrap(), &created), Ok(true));

    // Without one in the spec, Databricks chooses it: that is no difference.
    let want = bench.want(SERVICE, json!({"displayName": "nightly"}));
    let created = SERVICE.create(&bench.api, &want).await.unwrap().seen.unwrap();
    assert!(created.state["application_id"].is_string(), "{:?}", created.state);
    assert_eq!(SERVICE.changes(&want, &created), Ok(vec![]));
    assert_eq!(SERVICE.matches(&SERVICE.key(&want).unwrap(), &created), Ok(true));
    assert_eq!(SERVICE.recognises(&want, &created), Ok(true));
}

/// What runs as a service principal stops for good if that is erased: only `purge` does that.
#[tokio::test]
async fn a_deletion_deactivates_a_service_principal_and_purge_erases_it() {
    let bench = start().await;
    let now = |id: &str| {
        let all = bench.simulator.objects("ServicePrincipals");
        all.into_iter().find(|principal| principal["id"] == id)
    };
    for (purge, erased) in [(None, false), (Some(false), false), (Some(true), true)] {
        let want = bench.want(SERVICE, json!({"displayName": "etl", "purge": purge}));
        let created = SERVICE.create(&bench.api, &want).await.unwrap().seen.unwrap();
        assert_eq!(SERVICE.left_behind(Some(&want), &created), Ok(None), "{purge:?}: it is active");
        bench.simulator.clear_journal();
        SERVICE.remove(&bench.api, &created, Some(&want)).await.unwrap();
        assert_eq!(bench.simulator.calls("DELETE", "*"), usize::from(erased), "{purge:?}");
        if erased {
            assert_eq!(now(&created.id), None);
            continue;
        }
        assert_eq!(now(&created.id).unwrap()["active"], json!(false), "{purge:?}");
        let seen = SERVICE.get(&bench.api, &created.id).await.unwrap().unwrap();
        assert_eq!(SERVICE.left_behind(Some(&want), &seen), Ok(Some("deactivated")), "{purge:?}");
        // A user may write `purge` while the object is being deleted.
        let purged = bench.want(SERVICE, json!({"displayName": "etl", "purge": true}));
        assert_eq!(SERVICE.left_behind(Some(&purged), &seen), Ok(None), "{purge:?}");
    }
    // A spec that cannot be read erases nothing.
    let want = bench.want(SERVICE, json!({"displayName": "unreadable", "purge": true}));
    let created = SERVICE.create(&bench.api, &want).await.unwrap().seen.unwrap();
    SERVICE.remove(&bench.api, &created, None).await.unwrap();
    assert_eq!(now(&created.id).unwrap()["active"], json!(false));
}

/// The id that an identity provider knows the group by is the external id of SCIM. `spec.externalId` means another one.
#[tokio::test]
async fn a_create_of_a_group_sends_its_scim_external_id() {
    let bench = start().await;
    let want = bench.want(GROUP, json!({"displayName": "crew", "scimExternalId": "of-the-provider"}));
    let created = GROUP.create(&bench.api, &want).await.unwrap().seen.unwrap();
    let writes = bench.simulator.writes();
    assert_eq!((writes.len(), writes[0].method.as_str()), (1, "POST"));
    let body = writes[0].body.as_ref().unwrap();
    assert_eq!(body["externalId"], "of-the-provider");
    assert_eq!(body.get("scimExternalId"), None, "{body}");
    assert_eq!(created.state["scim_external_id"], "of-the-provider");
    assert_eq!(GROUP.changes(&want, &created), Ok(vec![]));
}

/// The name is who the user is. A change of it would give the access of one person to another.
#[tokio::test]
async fn no_change_of_a_user_sends_its_name() {
    let bench = start().await;
    let id = bench.user("ada");
    let seen = USER.get(&bench.api, &id).await.unwrap().unwrap();
    let fields = json!({"userName": "eve@example.com", "displayName": "Eve", "active": false, "roles": ["account_admin"]});
    let want = bench.want(USER, fields);
    let changes = USER.changes(&want, &seen).unwrap();
    let of_name = changes.iter().find(|change| change.field() == "user_name").unwrap();
    assert!(matches!(of_name.when, When::Never(_)), "{of_name:?}");
    // Not even if it is asked to.
    let fields: Vec<&str> = changes.iter().map(|change| change.field()).collect();
    let changed = USER.update(&bench.api, &seen, &want, &fields).await.unwrap();
    assert_eq!((&changed.state["display_name"], &changed.state["active"]), (&json!("Eve"), &json!(false)));
    assert_eq!(changed.state["user_name"], seen.state["user_name"]);
    let writes = bench.simulator.writes();
    assert!(!writes.is_empty() && writes.iter().all(|call| call.method == "PATCH"), "{writes:?}");
    for call in writes {
        let body = call.body.unwrap().to_string();
        assert!(!body.contains("userName") && !body.contains("eve@example.com"), "{body}");
    }
}

/// Databricks has groups of its own of two names: the status shows its refusal of another one, and nothing is created.
#[tokio::test]
async fn a_group_of_a_reserved_name_is_refused_in_the_words_of_the_account() {
    let bench = start().await;
    let before = bench.simulator.objects("Groups").len();
    for name in ["users", "admins"] {
        let want = bench.want(GROUP, json!({"displayName": name}));
        let refused = GROUP.create(&bench.api, &want).await.unwrap_err();
        assert!(refused.is_rejected(Reason::InvalidSpec), "{refused:?}");
        assert!(refused.to_string().contains("reserved"), "{refused}");
    }
    assert_eq!(bench.simulator.objects("Groups").len(), before);
}

/// A policy of the account is for all its principals, so it names no subject: one that another user adds is removed.
#[tokio::test]
async fn a_subject_that_another_user_adds_to_a_policy_of_the_account_is_removed() {
    let bench = start().await;
    let oidc = json!({"issuer": "https://oidc.example.com"});
    let want = bench.want(FEDERATION, json!({"policyId": "k8s", "oidcPolicy": oidc}));
    let created = FEDERATION.create(&bench.api, &want).await.unwrap().seen.unwrap();
    let stored = || bench.simulator.objects("federation-policies").remove(0)["oidc_policy"].clone();
    let mut planted = stored();
    planted["subject"] = json!("system:serviceaccount:data:pipeline");
    bench.simulator.edit("federation-policies", &created.id, json!({"oidc_policy": planted})).unwrap();

    let seen = FEDERATION.get(&bench.api, &created.id).await.unwrap().unwrap();
    let changes = FEDERATION.changes(&want, &seen).unwrap();
    assert!(changes.iter().all(|change| change.when == When::Now), "{changes:?}");
    let fields: Vec<&str> = changes.iter().map(|change| change.field()).collect();
    assert_eq!(fields, ["oidc_policy"]);
    let changed = FEDERATION.update(&bench.api, &seen, &want, &fields).await.unwrap();
    assert_eq!(FEDERATION.changes(&want, &changed), Ok(vec![]));
    assert_eq!(stored().get("subject"), None);
}
