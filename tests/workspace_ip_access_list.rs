//! IP access lists of a workspace against the simulated account: the host of the workspace, its switch, and the operator's addresses.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use connect::connect;
use databricks_operator::engine::crd::Reason;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Acting, AuthFacts, Driver, Resolved, Seen, When, Writer, of};
use databricks_operator::kinds::workspace_ip_access_list::WorkspaceIpAccessList;
use futures::FutureExt;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

const LISTS: &dyn Driver = of::<WorkspaceIpAccessList>();

/// An account with a workspace that runs.
struct Bench {
    account: Simulator,
    api: Writer,
    workspace: Value,
}

impl Bench {
    async fn new() -> Bench {
        let account = Simulator::start(Config::default()).await.unwrap();
        let workspace = account.insert("workspaces", json!({"deployment_name": "acme"})).unwrap();
        let api = connect(&account);
        Bench { account, api, workspace: workspace["workspace_id"].clone() }
    }

    fn within(&self) -> String {
        self.workspace.to_string()
    }

    /// The desired state of an ALLOW list of these addresses, with other fields.
    fn want(&self, addresses: &[&str], other: Value) -> Value {
        let mut spec = json!({"authRef": {"name": "a"}, "workspaceId": self.workspace, "label": "office",
            "listType": "ALLOW", "ipAddresses": addresses});
        spec.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        LISTS.desired(&spec, &Resolved::default()).unwrap()
    }

    fn edit(&self, changes: Value) {
        self.account.edit("workspaces", &self.within(), changes).unwrap();
    }

    fn turn_on(&self) {
        let on = json!({"workspace_id": self.workspace, "enableIpAccessLists": "true"});
        self.account.insert("workspace-conf", on).unwrap();
    }

    fn is_on(&self) -> bool {
        self.account.objects("workspace-conf").iter().any(|conf| conf["enableIpAccessLists"] == "true")
    }

    async fn list(&self) -> Result<Vec<Seen>, Error> {
        LISTS.list(&self.api, &self.within()).await
    }

    async fn create(&self, want: &Value) -> Seen {
        LISTS.create(&self.api, want).await.unwrap().seen.unwrap()
    }

    /// Does what differs, and returns what.
    async fn update(&self, seen: &Seen, want: &Value) -> (Vec<String>, Seen) {
        let changes = LISTS.changes(want, seen).unwrap();
        assert!(changes.iter().all(|change| change.when == When::Now), "{changes:?}");
        let now: Vec<String> = changes.into_iter().map(|change| change.path).collect();
        let fields: Vec<&str> = now.iter().map(String::as_str).collect();
        let updated = LISTS.update(&self.api, seen, want, &fields).await.unwrap();
        (now, updated)
    }

    /// Path and status of each call since the last question.
    fn calls(&self) -> Vec<String> {
        let calls = self.account.journal().into_iter().map(|call| format!("{} {}", call.method, call.path));
        let calls = calls.collect();
        self.account.clear_journal();
        calls
    }
}

/// Covers SE-04. The workspace gets a token of its own, once, and the account keeps its own.
#[tokio::test]
async fn a_workspace_is_called_with_a_token_of_its_host() {
    let bench = Bench::new().await;
    let (account, id) = (&bench.account.account_id, bench.within());
    assert_eq!(bench.list().await, Ok(vec![]));
    let expected = [
        format!("POST /oidc/accounts/{account}/v1/token"),
        format!("GET /api/2.0/accounts/{account}/workspaces/{id}"),
        "POST /oidc/v1/token".into(),
        "GET /api/2.0/ip-access-lists".into(),
    ];
    assert_eq!(bench.calls(), expected);
    let made = bench.create(&bench.want(&["203.0.113.0/24"], json!({}))).await;
    assert_eq!(made.id.split_once('/').map(|(workspace, _)| workspace), Some(&*id));
    let expected = ["GET /api/2.0/workspace-conf", "POST /api/2.0/ip-access-lists"];
    assert_eq!(bench.calls(), expected, "where the workspace is was known, and both tokens are there");
}

/// Covers SE-04.
#[tokio::test]
async fn no_call_goes_to_a_host_that_is_not_allowed() {
    for hostile in [
        json!({"workspace_url": "https://evil.example"}),
        json!({"workspace_url": "evil.example/.cloud.databricks.com"}),
        json!({"workspace_url": "http://acme.cloud.databricks.com"}),
        json!({"workspace_url": "https://acme.cloud.databricks.com.evil.example"}),
        json!({"workspace_url": "https://user@acme.cloud.databricks.com"}),
        json!({"workspace_url": "https://acme.cloud.databricks.com:8443"}),
        json!({"workspace_url": "http://169.254.169.254:80"}),
        json!({"deployment_name": "evil.example/"}),
        json!({"deployment_name": "evil.example:80#"}),
    ] {
        let bench = Bench::new().await;
        bench.edit(hostile.clone());
        let read = bench.list().await;
        let refused = |error: &Error| matches!(error, Error::Terminal { reason: Reason::HostNotAllowed, .. });
        assert!(read.as_ref().is_err_and(refused), "{hostile}: {read:?}");
        let created = LISTS.create(&bench.api, &bench.want(&[], json!({}))).await;
        assert!(created.as_ref().is_err_and(refused), "{hostile}: {created:?}");
        assert!(bench.calls().iter().all(|call| call.contains("/accounts/")), "{hostile}");
    }
}

/// Covers LC-28.
#[tokio::test]
async fn a_workspace_that_does_not_run_or_cannot_be_reached_is_waited_for() {
    for (edit, part) in [
        (json!({"workspace_status": "NOT_PROVISIONED"}), "is NOT_PROVISIONED"),
        (json!({"workspace_status": "BANNED"}), "is BANNED"),
        (json!({"workspace_status": "FAILED"}), "is FAILED"),
        (json!({"workspace_status": "CANCELLING"}), "is CANCELLING"),
        (json!({"workspace_status": null}), "in no known state"),
        (json!({"workspace_url": "http://127.0.0.1:1"}), "cannot be reached"),
        (json!({"deployment_name": null}), "names no host"),
    ] {
        let bench = Bench::new().await;
        let want = bench.want(&["203.0.113.0/24"], json!({}));
        let made = bench.create(&want).await;
        bench.edit(edit);
        // A client that has called the workspace before knows its host.
        let api = connect(&bench.account);
        for error in [
            LISTS.list(&api, &bench.within()).await.unwrap_err(),
            LISTS.get(&api, &made.id).await.unwrap_err(),
            LISTS.create(&api, &want).await.unwrap_err(),
            LISTS.delete(&api, &made).await.unwrap_err(),
        ] {
            let waits = matches!(error, Error::Transient { reason: Reason::WaitingForWorkspace, .. });
            assert!(waits && error.to_string().contains(part), "{part}: {error:?}");
        }
    }
}

/// Covers DL-14.
#[tokio::test]
async fn lists_are_gone_with_their_workspace_once_the_account_says_so() {
    let bench = Bench::new().await;
    let want = bench.want(&["203.0.113.0/24"], json!({}));
    let made = bench.create(&want).await;
    bench.account.remove("workspaces", &bench.within());
    for code in ["ENDPOINT_NOT_FOUND", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"] {
        let body = Some(json!({"error_code": code, "message": "no"}));
        let status = Some(if code == "PERMISSION_DENIED" { 403 } else { 404 });
        bench.account.fault(Fault { path: "*/workspaces*".into(), status, body, ..Fault::default() });
        assert!(bench.list().await.is_err(), "{code}: an account that is not known proves nothing");
        bench.account.clear_faults();
    }
    assert_eq!(bench.list().await, Ok(vec![]));
    assert_eq!(LISTS.get(&bench.api, &made.id).await, Ok(None));
    let gone = |result: Result<(), Error>| result.unwrap_err().is_rejected(Reason::ExternalResourceMissing);
    assert!(gone(LISTS.delete(&bench.api, &made).await));
    assert!(gone(LISTS.create(&bench.api, &want).await.map(drop)));
}

/// A workspace that refuses the operator says nothing about the account, and so nothing about other objects.
#[tokio::test]
async fn a_workspace_that_refuses_the_operator_is_named() {
    let bench = Bench::new().await;
    let body = Some(json!({"error": "invalid_client", "error_description": "no such principal here"}));
    let status = Some(401);
    bench.account.fault(Fault { path: "/oidc/v1/token".into(), status, body, ..Fault::default() });
    let refused = bench.list().await.unwrap_err();
    assert!(refused.is_rejected(Reason::PermissionDenied), "{refused:?}");
    assert!(refused.to_string().contains("administrator of the workspace"), "{refused}");
    bench.account.clear_faults();

    let elsewhere = json!({"workspace_id": bench.workspace, "label": "other", "ip_addresses": ["192.0.2.1"]});
    bench.account.insert("workspace-ip-access-lists", elsewhere).unwrap();
    bench.turn_on();
    bench.account.set(|settings| settings.caller_ip = Some("198.51.100.7".parse().unwrap()));
    let blocked = bench.list().await.unwrap_err();
    assert!(matches!(blocked, Error::Transient { reason: Reason::WaitingForWorkspace, .. }), "{blocked:?}");
    assert!(blocked.to_string().contains("198.51.100.7"), "{blocked}");
}

/// Covers LC-26. Without the switch a list has no effect, which it says; no deletion turns the switch off.
#[tokio::test]
async fn enforce_turns_on_the_switch_and_nothing_turns_it_off() {
    let bench = Bench::new().await;
    let want = bench.want(&["203.0.113.0/24"], json!({}));
    let made = bench.create(&want).await;
    assert_eq!(made.facts["enforced"], false);
    let remark = made.about.remark.clone().unwrap();
    assert!(remark.contains("no effect") && remark.contains("spec.enforce to true"), "{remark}");
    assert_eq!(LISTS.changes(&want, &made), Ok(vec![]), "that is no difference");
    for other in [json!({"enforce": false}), json!({})] {
        assert_eq!(bench.want(&["203.0.113.0/24"], other), want, "false says nothing");
    }
    let enforced = bench.want(&["203.0.113.9"], json!({"enforce": true}));
    bench.calls();
    let (changed, on) = bench.update(&made, &enforced).await;
    assert_eq!(changed, ["enforce", "ip_addresses"]);
    let writes: Vec<String> = bench.calls().into_iter().filter(|call| call.starts_with("PATCH")).collect();
    let list = format!("PATCH /api/2.0/ip-access-lists/{}", made.id.split('/').next_back().unwrap());
    assert_eq!(writes, [list, "PATCH /api/2.0/workspace-conf".into()], "the switch comes last");
    assert_eq!((&on.facts["enforced"], &on.about.remark), (&json!(true), &None));
    assert_eq!(LISTS.changes(&want, &on).unwrap().len(), 1, "without it, the switch stays on");

    LISTS.delete(&bench.api, &on).await.unwrap();
    assert_eq!((bench.list().await, bench.is_on()), (Ok(vec![]), true));
    let disabled = bench.create(&bench.want(&[], json!({"enabled": false}))).await;
    assert_eq!(disabled.state["enabled"], true, "created harmless");
}

/// While the switch is on, no list is in force before the operator's addresses were checked.
#[tokio::test]
async fn a_list_is_created_harmless_where_lists_are_in_force() {
    let bench = Bench::new().await;
    bench.turn_on();
    let want = bench.want(&["203.0.113.0/24"], json!({}));
    let made = bench.create(&want).await;
    assert_eq!((&made.state["list_type"], &made.state["ip_addresses"]), (&json!("BLOCK"), &json!([])));
    assert!(LISTS.matches(&LISTS.key(&want).unwrap(), &made).unwrap(), "it is found if the response is lost");
    let (changed, whole) = bench.update(&made, &want).await;
    assert_eq!(changed, ["ip_addresses", "list_type"]);
    assert_eq!(LISTS.changes(&want, &whole), Ok(vec![]));
}

/// The operator's addresses are checked against all lists that count, or that `enforce` makes count.
#[tokio::test]
async fn lists_that_count_do_not_shut_the_operator_out() {
    let bench = Bench::new().await;
    let auth = AuthFacts { egress: vec!["198.51.100.7/32".parse().unwrap()], ..AuthFacts::default() };
    let guard = |want: Option<&Value>, seen: Option<&Seen>, siblings: &[Seen]| {
        let checked = LISTS.guard(Acting { want, seen, siblings, auth: &auth }, &bench.api);
        match checked.now_or_never().unwrap() {
            Ok(()) => true,
            Err(Error::Terminal { reason: Reason::WouldLockOut, .. }) => false,
            Err(other) => panic!("{other:?}"),
        }
    };
    let office = bench.want(&["203.0.113.0/24"], json!({}));
    let enforced = bench.want(&["203.0.113.0/24"], json!({"enforce": true}));
    let both = bench.want(&["203.0.113.0/24", "198.51.100.0/24"], json!({"enforce": true}));
    let disabled = bench.want(&["203.0.113.0/24"], json!({"enforce": true, "enabled": false}));
    assert!(guard(Some(&office), None, &[]), "no list counts");
    assert!(!guard(Some(&enforced), None, &[]), "they are about to");
    assert!(guard(Some(&both), None, &[]) && guard(Some(&disabled), None, &[]));

    let mut ours = bench.create(&both).await;
    let mut theirs = ours.clone();
    theirs.id = format!("{}/theirs", bench.within());
    theirs.state["label"] = json!("theirs");
    theirs.state["ip_addresses"] = json!(["203.0.113.0/24"]);
    let pair = |ours: &Seen, theirs: &Seen| [ours.clone(), theirs.clone()];
    assert!(guard(None, Some(&ours), &pair(&ours, &theirs)), "deleted while none counts");
    (ours.state["enforce"], theirs.state["enforce"]) = (json!(true), json!(true));
    assert!(!guard(None, Some(&ours), &pair(&ours, &theirs)), "the other one does not have its address");
    assert!(!guard(Some(&office), Some(&ours), &pair(&ours, &theirs)));
    assert!(guard(Some(&both), Some(&ours), &pair(&ours, &theirs)));
    assert!(guard(None, Some(&ours), &pair(&ours, &ours)), "without a list all have access");
    let block = bench.want(&["198.51.100.0/24"], json!({"listType": "BLOCK"}));
    assert!(!guard(Some(&block), None, &pair(&ours, &theirs)), "a list that blocks counts first");
}

/// Covers RF-05. A grant can limit it to workspaces, whatever the kind says.
#[tokio::test]
async fn a_list_has_power_only_over_its_workspace() {
    let bench = Bench::new().await;
    let power = LISTS.power(&bench.want(&[], json!({}))).unwrap();
    assert_eq!(power.workspace_id, Some(bench.within()));
}
