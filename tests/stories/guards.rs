//! What keeps an account from harm: the operator's own access, principals that a name used to mean, writes that did not
//! take, and manifests that are refused before there is an object.

use serde_json::{Value, json};
use simulator::Fault;
use world::eventually;

use crate::support::{AUTH, SOON, Story, condition};

const LIST: &str = "IpAccessList";
const ASSIGNMENT: &str = "PermissionAssignment";
/// Where the operator of these stories calls from, and a network that it is not in.
const OURS: &str = "203.0.113.7";
const ELSEWHERE: &str = "198.51.100.0/24";

fn list(story: &Story, name: &str, kind: &str, addresses: &[&str]) -> Value {
    story.managed(LIST, name, json!({"label": name, "listType": kind, "ipAddresses": addresses}))
}

fn message(object: &Value, type_: &str) -> String {
    condition(object, type_).unwrap()["message"].as_str().unwrap().to_owned()
}

/// A story whose operator says where it calls from.
async fn guarded(name: &str) -> Story {
    let story = Story::start(name).await;
    story.patch("DatabricksAuth", AUTH, json!({"spec": {"egressCidrs": [OURS]}})).await;
    story.wait_ready("DatabricksAuth", AUTH).await;
    story
}

/// Waits until a list is refused because it would lock the operator out, and checks what is said.
async fn locked_out(story: &Story, name: &str) {
    let seen = story.wait_condition(LIST, name, "Stalled", "True", "WouldLockOut").await;
    let says = message(&seen, "Stalled");
    assert!(says.contains(OURS) && says.contains("egressCidrs") && says.contains("ALLOW"), "{says}");
}

/// The methods of what was sent to change something, in order.
fn methods(story: &Story) -> Vec<String> {
    story.account.writes().into_iter().map(|call| call.method).collect()
}

/// Covers ST-11, SE-06. A list that would shut the operator out is neither made, nor changed, nor deleted into that, and the
/// message names the address.
#[tokio::test]
async fn no_list_shuts_the_operator_out() {
    let story = guarded("guards-lockout").await;
    story.apply(&list(&story, "allow", "ALLOW", &[ELSEWHERE])).await;
    story.apply(&list(&story, "block", "BLOCK", &["203.0.113.0/24"])).await;
    locked_out(&story, "allow").await;
    locked_out(&story, "block").await;
    assert_eq!(methods(&story), [""; 0]);

    // With the address added it is no danger, and makes room for one without it.
    story.patch(LIST, "allow", json!({"spec": {"ipAddresses": [ELSEWHERE, "203.0.113.0/29"]}})).await;
    story.wait_ready(LIST, "allow").await;
    story.apply(&list(&story, "second", "ALLOW", &[ELSEWHERE])).await;
    story.wait_ready(LIST, "second").await;
    assert_eq!(methods(&story), ["POST", "POST"]);
    let before = story.account.objects("ip-access-lists");

    for wrong in [
        json!({"ipAddresses": [ELSEWHERE]}),
        json!({"ipAddresses": ["203.0.113.0/29"], "listType": "BLOCK"}),
        json!({"enabled": false, "listType": "ALLOW"}),
    ] {
        story.patch(LIST, "allow", json!({"spec": wrong})).await;
        locked_out(&story, "allow").await;
    }
    let right = json!({"ipAddresses": [ELSEWHERE, "203.0.113.0/29"], "enabled": null});
    story.patch(LIST, "allow", json!({"spec": right})).await;
    story.wait_ready(LIST, "allow").await;

    story.delete(LIST, "allow").await;
    let blocked = story.wait_condition(LIST, "allow", "DeletionBlocked", "True", "ApiRefused").await;
    assert!(message(&blocked, "DeletionBlocked").contains(OURS), "{blocked}");
    assert_eq!(story.account.objects("ip-access-lists"), before);
    assert_eq!(methods(&story), ["POST", "POST"]);

    // Without the second list everybody is let in, and the first may go.
    story.delete(LIST, "second").await;
    story.wait_gone(LIST, "second").await;
    story.wait_gone(LIST, "allow").await;
    assert_eq!(methods(&story), ["POST", "POST", "DELETE", "DELETE"]);
    story.end().await;
}

/// Covers LC-27, LC-26. Lists that the account ignores say so. They come into force together, and only once they let the operator in.
#[tokio::test]
async fn lists_that_the_account_ignores_come_into_force_only_if_they_let_the_operator_in() {
    const SWITCH: &str = "IpAccessListEnforcement";
    let story = guarded("guards-enforcement").await;
    let value = |story: &Story| story.account.objects("settings")[0]["acct_ip_acl_enable"]["value"].clone();
    let off = json!({"setting_type": "acct_ip_acl_enable", "acct_ip_acl_enable": {"value": false}});
    story.account.insert("settings", off).unwrap();
    // Created in the console, and of no effect so far.
    let theirs = json!({"label": "console", "list_type": "BLOCK", "ip_addresses": ["203.0.113.0/24"]});
    let theirs = story.account.insert("ip-access-lists", theirs).unwrap()["list_id"].clone();
    story.let_reads_catch_up();
    story.apply(&list(&story, "allow", "ALLOW", &[OURS])).await;
    let ignored = story.wait_ready(LIST, "allow").await;
    assert_eq!(ignored["status"]["enforced"], false);
    assert!(message(&ignored, "Ready").contains("apply an IpAccessListEnforcement"), "{ignored}");
    let asked = story.account.calls("GET", "*/settings/types/acct_ip_acl_enable/*");
    let lists = story.account.calls("GET", "*/ip-access-lists");
    assert!(asked <= lists, "{asked} reads of the setting for {lists} of the lists");

    let on = |more: Value| {
        let mut spec = json!({"value": true, "adoptionPolicy": "IfExists"});
        more.as_object().unwrap().iter().for_each(|(field, value)| spec[field] = value.clone());
        story.managed(SWITCH, "switch", spec)
    };
    story.apply(&on(json!({}))).await;
    let refused = story.wait_condition(SWITCH, "switch", "Stalled", "True", "WouldLockOut").await;
    assert!(message(&refused, "Stalled").contains(OURS), "{refused}");
    assert_eq!(value(&story), false);

    assert!(story.account.remove("ip-access-lists", theirs.as_str().unwrap()));
    story.let_reads_catch_up();
    story.pass(SWITCH, "switch").await;
    story.wait_ready(SWITCH, "switch").await;
    assert_eq!(value(&story), true);
    story.pass(LIST, "allow").await;
    let heeded = story.wait_ready(LIST, "allow").await;
    assert_eq!((&heeded["status"]["enforced"], message(&heeded, "Ready")), (&json!(true), String::new()));

    let delete = story.try_apply(&on(json!({"deletionPolicy": "Delete"}))).await.unwrap_err().to_string();
    assert!(delete.contains("cannot take this away"), "{delete}");
    story.delete(SWITCH, "switch").await;
    story.wait_gone(SWITCH, "switch").await;
    assert_eq!(value(&story), true, "the account stays closed");
    story.end().await;
}

/// Covers ST-11, SE-06. Of two lists that each may change alone, but not both, only one is changed, however close in time: the
/// second is judged by what the first left.
#[tokio::test]
async fn two_changes_at_once_do_not_shut_the_operator_out() {
    let story = guarded("guards-together").await;
    for name in ["one", "two"] {
        story.apply(&list(&story, name, "ALLOW", &[OURS])).await;
        story.wait_ready(LIST, name).await;
    }
    let hold = Fault {
        method: Some("PATCH".into()),
        path: "*/ip-access-lists/*".into(),
        hold: true,
        ..Fault::default()
    };
    let hold = story.account.fault(hold);
    for name in ["one", "two"] {
        story.patch(LIST, name, json!({"spec": {"ipAddresses": [ELSEWHERE]}})).await;
    }
    let first = story.account.held(hold).await;
    // A pass over another object that was asked for later has ended: the second change was taken up by then.
    let asked = json!({"databricks-operator.io/reconcile-requested-at": "later"});
    story.patch("DatabricksAuth", AUTH, json!({"metadata": {"annotations": asked}})).await;
    story
        .wait("DatabricksAuth", AUTH, "looked at", |auth| {
            (auth["status"]["lastHandledReconcileAt"] == "later").then_some(())
        })
        .await;
    assert_eq!(story.account.calls("PATCH", "*"), 1, "{:?}", story.account.writes());
    story.account.clear_faults();
    story.account.release(first.n);

    let (changed, refused) = eventually("one is changed and one refused", SOON, async || {
        let mut reasons = vec![];
        for name in ["one", "two"] {
            let object = story.get(LIST, name).await;
            let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
            let reason = condition(&object, "Ready").map(|c| c["reason"].as_str().unwrap().to_owned());
            reasons.push((name, reason.filter(|_| current)));
        }
        let with = |wanted: &str| reasons.iter().find(|(_, r)| r.as_deref() == Some(wanted)).map(|(n, _)| *n);
        with("Available").zip(with("WouldLockOut")).ok_or_else(|| format!("{reasons:?}"))
    })
    .await
    .unwrap();
    locked_out(&story, refused).await;
    let addresses = |label: &str| {
        let all = story.account.objects("ip-access-lists");
        all.into_iter().find(|l| l["label"] == label).unwrap()["ip_addresses"].clone()
    };
    assert_eq!(addresses(changed), json!([ELSEWHERE]));
    assert!(addresses(refused).to_string().contains(OURS), "{}", addresses(refused));
    assert_eq!(methods(&story), ["POST", "POST", "PATCH"]);
    story.end().await;
}

/// A running workspace in the account.
fn workspace(story: &Story) -> i64 {
    story.account.insert("workspaces", json!({})).unwrap()["workspace_id"].as_i64().unwrap()
}

fn assignment(story: &Story, name: &str, workspace: i64, principal: Value, levels: &[&str]) -> Value {
    let spec = json!({"workspaceId": workspace, "principal": principal, "permissions": levels});
    story.managed(ASSIGNMENT, name, spec)
}

/// The id of a principal of the account.
fn principal(story: &Story, collection: &str, field: &str, value: &str) -> String {
    let all = story.account.objects(collection);
    all.iter().find(|p| p[field] == value).unwrap()["id"].as_str().unwrap().to_owned()
}

/// A workspace of which the operator's own service principal, whose id comes with it, is an admin.
fn own_workspace(story: &Story) -> (i64, i64) {
    let workspace = workspace(story);
    let own = principal(story, "ServicePrincipals", "applicationId", &story.account.client_id);
    let own: i64 = own.parse().unwrap();
    let row = json!({"workspace_id": workspace, "principal_id": own, "permissions": ["ADMIN"]});
    story.account.insert("permissionassignments", row).unwrap();
    (workspace, own)
}

/// Covers ST-11, SE-06. The operator's own access to a workspace is neither taken away nor lowered, by whatever name it goes.
#[tokio::test]
async fn the_operators_own_access_stays() {
    let story = Story::start("guards-own-access").await;
    let (workspace, own) = own_workspace(&story);
    let client = story.account.client_id.clone();
    let before = story.account.objects("permissionassignments");

    for (name, principal) in
        [("by-id", json!({"id": own})), ("by-name", json!({"servicePrincipalName": client}))]
    {
        let mut wanted = assignment(&story, name, workspace, principal, &["USER"]);
        wanted["spec"]["adoptionPolicy"] = json!("IfExists");
        wanted["spec"]["deletionPolicy"] = json!("Delete");
        story.apply(&wanted).await;
        let seen = story.wait_condition(ASSIGNMENT, name, "Stalled", "True", "WouldLockOut").await;
        let says = message(&seen, "Stalled");
        assert!(says.contains(&client) && says.contains("keep ADMIN"), "{says}");

        story.patch(ASSIGNMENT, name, json!({"spec": {"permissions": ["ADMIN"]}})).await;
        story.wait_ready(ASSIGNMENT, name).await;
        story.delete(ASSIGNMENT, name).await;
        let seen = story.wait_condition(ASSIGNMENT, name, "DeletionBlocked", "True", "ApiRefused").await;
        assert!(message(&seen, "DeletionBlocked").contains("deletionPolicy to Retain"), "{seen}");
        story.patch(ASSIGNMENT, name, json!({"spec": {"deletionPolicy": "Retain"}})).await;
        story.wait_gone(ASSIGNMENT, name).await;
    }
    assert_eq!(story.account.objects("permissionassignments"), before);
    assert_eq!(methods(&story), [""; 0]);
    story.end().await;
}

/// Covers ST-11. A PUT that is answered with 200 and an error inside did not happen; words of a passing state are waited
/// for under a reason of their own, and neither is Stalled.
#[tokio::test]
async fn an_error_inside_a_200_counts() {
    let story = Story::start("guards-inner-error").await;
    let workspace = workspace(&story);
    let ada: i64 = principal(&story, "Users", "userName", "ada@example.com").parse().unwrap();
    let rows = [
        ("full", "The workspace has too many principals", "ApplyFailed"),
        ("late", "Permission assignment APIs are not available for this workspace.", "WaitingForWorkspace"),
        ("away", "Principal 7 is not in workspace 8", "WaitingForWorkspace"),
    ];
    for (name, text, reason) in rows {
        let told = json!({"principal": {"principal_id": ada}, "permissions": [], "error": text});
        story.account.fault(Fault {
            method: Some("PUT".into()),
            path: "*/principals/*".into(),
            body: Some(told),
            ..Fault::default()
        });
        story.apply(&assignment(&story, name, workspace, json!({"id": ada}), &["USER"])).await;
        let seen = story.wait_condition(ASSIGNMENT, name, "Ready", "False", reason).await;
        assert!(message(&seen, "Ready").contains(text), "{seen}");
        assert!(condition(&seen, "Stalled").is_none() && condition(&seen, "Reconciling").is_some(), "{seen}");
        assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);
        story.account.clear_faults();
        story.wait_ready(ASSIGNMENT, name).await;
        assert_eq!(story.account.objects("permissionassignments").len(), 1);
        story.delete(ASSIGNMENT, name).await;
        story.wait_gone(ASSIGNMENT, name).await;
    }
    story.end().await;
}

/// Covers ST-11. A group is found by its name once and pinned by its id: a group that was deleted and made again under
/// the same name does not inherit the access of the old one.
#[tokio::test]
async fn a_group_that_is_created_again_under_its_name_gets_no_access() {
    let story = Story::start("guards-group").await;
    let workspace = workspace(&story);
    let old = principal(&story, "Groups", "displayName", "data-eng");
    story.apply(&assignment(&story, "team", workspace, json!({"groupName": "data-eng"}), &["USER"])).await;
    let ready = story.wait_ready(ASSIGNMENT, "team").await;
    assert_eq!(ready["status"]["resolvedRefs"], json!({"principal": old}));
    assert_eq!(ready["status"]["externalId"], format!("{workspace}/{old}"));
    let journal = story.account.journal();
    let asked: Vec<&str> = journal
        .iter()
        .filter(|call| call.class == "scim")
        .filter_map(|call| Some(call.query.iter().find(|(k, _)| k == "filter")?.1.as_str()))
        .collect();
    // And once who the operator itself is.
    let own = format!("applicationId eq \"{}\"", story.account.client_id);
    assert_eq!(asked, [r#"displayName eq "data-eng""#, &own]);

    assert!(story.account.remove("Groups", &old));
    let new = story.account.insert("Groups", json!({"displayName": "data-eng"})).unwrap()["id"].clone();
    let seen = story.wait_condition(ASSIGNMENT, "team", "Stalled", "True", "PrincipalChanged").await;
    assert!(message(&seen, "Stalled").contains(new.as_str().unwrap()), "{seen}");
    assert_eq!(seen["status"]["resolvedRefs"], json!({"principal": old}));
    assert_eq!(methods(&story), ["PUT"]);
    assert_eq!(story.account.objects("permissionassignments"), [] as [Value; 0]);

    // A person decides.
    story.delete(ASSIGNMENT, "team").await;
    story.wait_gone(ASSIGNMENT, "team").await;
    story.apply(&assignment(&story, "team", workspace, json!({"groupName": "data-eng"}), &["USER"])).await;
    let ready = story.wait_ready(ASSIGNMENT, "team").await;
    assert_eq!(ready["status"]["resolvedRefs"]["principal"], new);
    story.end().await;
}

/// Covers ST-11. A name that nobody has is waited for, with what to do; an ambiguous one is for a person.
#[tokio::test]
async fn a_name_of_no_principal_or_of_two_is_reported() {
    let story = Story::start("guards-names").await;
    let workspace = workspace(&story);
    story.apply(&assignment(&story, "none", workspace, json!({"groupName": "finance"}), &["USER"])).await;
    let seen =
        story.wait_condition(ASSIGNMENT, "none", "ReferencesResolved", "False", "ReferenceNotFound").await;
    assert!(message(&seen, "Ready").contains("finance"), "{seen}");
    for _ in 0..2 {
        story.account.insert("Groups", json!({"displayName": "twins"})).unwrap();
    }
    story.apply(&assignment(&story, "twins", workspace, json!({"groupName": "twins"}), &["USER"])).await;
    let seen = story.wait_condition(ASSIGNMENT, "twins", "Stalled", "True", "Ambiguous").await;
    assert!(message(&seen, "Stalled").contains("give the id instead"), "{seen}");
    assert_eq!(methods(&story), [""; 0]);
    story.end().await;
}

/// Covers IM-03, IM-04, LC-11, ST-11. A manifest with a slip is refused by the API server, with the field and what to write; no object comes
/// of it.
#[tokio::test]
async fn a_manifest_with_a_slip_is_refused_with_the_remedy() {
    let story = Story::start("guards-manifests").await;
    let auth = story.auth("wrong")["spec"].clone();
    let office = json!({"label": "office", "listType": "ALLOW", "ipAddresses": ["203.0.113.0/24"]});
    let access = json!({"workspaceId": 7, "principal": {"id": 7}, "permissions": ["USER"]});
    // A null takes a field away.
    let rows = [
        (LIST, &office, json!({"ipAdresses": ["203.0.113.9"]}), &["spec.ipAdresses"][..]),
        (LIST, &office, json!({"deletionpolicy": "Retain"}), &["spec.deletionpolicy"]),
        (LIST, &office, json!({"authRef": {"name": "account", "names": "x"}}), &["spec.authRef.names"]),
        (LIST, &office, json!({"authRef": null}), &["spec.authRef", "Required"]),
        (
            LIST,
            &office,
            json!({"deletionPolicy": "retain"}),
            &["spec.deletionPolicy", "\"Delete\", \"Retain\""],
        ),
        (
            LIST,
            &office,
            json!({"managementPolicy": "Off"}),
            &["spec.managementPolicy", "\"Managed\", \"Observe\""],
        ),
        (LIST, &office, json!({"listType": "DENY"}), &["spec.listType", "\"ALLOW\", \"BLOCK\""]),
        (LIST, &office, json!({"label": ""}), &["spec.label"]),
        (LIST, &office, json!({"label": "a\u{2028}b"}), &["spec.label"]),
        (LIST, &office, json!({"authRef": {"name": "a\nERROR b"}}), &["spec.authRef.name"]),
        (LIST, &office, json!({"authRef": {"name": "a", "namespace": "a.b"}}), &["spec.authRef.namespace"]),
        (LIST, &office, json!({"suspend": "yes"}), &["spec.suspend", "boolean"]),
        (LIST, &office, json!({"ipAddresses": ["203.0.113.300"]}), &["spec.ipAddresses[0]"]),
        (LIST, &office, json!({"ipAddresses": ["2001:db8::1"]}), &["spec.ipAddresses[0]"]),
        (
            LIST,
            &office,
            json!({"resyncInterval": "10s"}),
            &["spec.resyncInterval", "at least 30s, for example 10m"],
        ),
        (LIST, &office, json!({"resyncInterval": "soon"}), &["spec.resyncInterval"]),
        (ASSIGNMENT, &access, json!({"workspaceId": null}), &["exactly one of workspaceRef and workspaceId"]),
        (
            ASSIGNMENT,
            &access,
            json!({"workspaceRef": {"name": "w"}}),
            &["exactly one of", "write workspaceRef for"],
        ),
        (
            ASSIGNMENT,
            &access,
            json!({"principal": {}}),
            &["spec.principal", "needs exactly one of id, userName"],
        ),
        (
            ASSIGNMENT,
            &access,
            json!({"principal": {"id": 7, "groupName": "a"}}),
            &["spec.principal", "keep one and remove the others"],
        ),
        (
            ASSIGNMENT,
            &access,
            json!({"principal": {"groupName": "a\u{202e}b"}}),
            &["spec.principal.groupName"],
        ),
        (ASSIGNMENT, &access, json!({"permissions": []}), &["spec.permissions"]),
        (
            ASSIGNMENT,
            &access,
            json!({"permissions": ["OWNER"]}),
            &["spec.permissions[0]", "\"USER\", \"ADMIN\""],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"clientId": null}),
            &["authType OAUTH_M2M needs clientId and clientSecretRef"],
        ),
        ("DatabricksAuth", &auth, json!({"clientSecret": "in the open"}), &["spec.clientSecret"]),
        ("DatabricksAuth", &auth, json!({"accountId": "my-account"}), &["spec.accountId"]),
        ("DatabricksAuth", &auth, json!({"cloud": "aws"}), &["spec.cloud", "\"AWS\", \"Azure\", \"GCP\""]),
        ("DatabricksAuth", &auth, json!({"egressCidrs": ["::/0"]}), &["spec.egressCidrs[0]"]),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "Names"}}]}),
            &["spec.grants[0].namespaces", "names is needed with from: Names"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "All"}, "kinds": ["IPAccessList"]}]}),
            &["spec.grants[0].kinds[0]", "\"IpAccessList\", \"PermissionAssignment\""],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "All"}, "kinds": []}]}),
            &["spec.grants[0].kinds", "at least 1 items"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "Names", "names": []}}]}),
            &["spec.grants[0].namespaces.names", "at least 1 items"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "All"}, "workspaceIds": []}]}),
            &["spec.grants[0].workspaceIds", "at least 1 items"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "All"}, "workspaceIds": [0]}]}),
            &["spec.grants[0].workspaceIds[0]", "greater than or equal to 1"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "All"}, "workspaceIds": [7], "kinds": ["Credential"]}]}),
            &["spec.grants[0]", "remove workspaceIds, or add one of PermissionAssignment"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "Selector", "selector": {"matchLabels": {}}}}]}),
            &["spec.grants[0].namespaces.selector.matchLabels", "at least 1 properties"],
        ),
        (
            "DatabricksAuth",
            &auth,
            json!({"grants": [{"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "my team"}}}}]}),
            &["spec.grants[0].namespaces.selector.matchLabels.team"],
        ),
    ];
    let tries = rows.into_iter().map(|(kind, base, slip, says)| {
        let manifest = |spec: Value| {
            if kind == "DatabricksAuth" {
                story.object(kind, "wrong", spec)
            } else {
                story.managed(kind, "wrong", spec)
            }
        };
        let mut manifest = manifest(base.clone());
        for (field, value) in slip.as_object().unwrap() {
            manifest["spec"][field] = value.clone();
            if value.is_null() {
                manifest["spec"].as_object_mut().unwrap().remove(field);
            }
        }
        let story = &story;
        async move {
            let refused = story.try_apply(&manifest).await.expect_err(&slip.to_string()).to_string();
            for part in says {
                assert!(refused.contains(part), "{kind} {slip}: {part:?} is not in: {refused}");
            }
        }
    });
    futures::future::join_all(tries).await;
    for kind in [LIST, ASSIGNMENT] {
        assert!(story.api(kind).list(&Default::default()).await.unwrap().items.is_empty());
    }
    story.end().await;
}

/// Covers ST-11. A host that ignores the filter names somebody else: that one gets nothing, and the one who was meant is
/// waited for.
#[tokio::test]
async fn a_principal_that_the_spec_does_not_name_gets_no_access() {
    let story = Story::start("guards-no-filter").await;
    let workspace = workspace(&story);
    let [ada, grace] = ["ada", "grace"].map(|name| principal(&story, "Users", "displayName", name));
    let others = json!({"totalResults": 1, "startIndex": 1, "itemsPerPage": 1,
        "Resources": [{"id": grace, "userName": "grace@example.com"}]});
    story.account.fault(Fault { path: "*/scim/v2/Users".into(), body: Some(others), ..Fault::default() });
    let wanted = assignment(&story, "ada", workspace, json!({"userName": "ada@example.com"}), &["USER"]);
    story.apply(&wanted).await;
    story.wait_condition(ASSIGNMENT, "ada", "ReferencesResolved", "False", "ReferenceNotFound").await;
    assert_eq!(methods(&story), [""; 0]);
    story.account.clear_faults();
    story.pass(ASSIGNMENT, "ada").await;
    let ready = story.wait_ready(ASSIGNMENT, "ada").await;
    assert_eq!(ready["status"]["externalId"], format!("{workspace}/{ada}"));
    assert_eq!(story.account.objects("permissionassignments").len(), 1);
    story.end().await;
}

/// Covers ST-11. The operator's own access is not lowered either where the list does not show it: who is meant counts, not
/// what was seen.
#[tokio::test]
async fn the_operators_own_access_stays_though_no_list_shows_it() {
    let story = Story::start("guards-own-unlisted").await;
    let (workspace, own) = own_workspace(&story);
    let client = story.account.client_id.clone();
    let before = story.account.objects("permissionassignments");
    let path = format!("*/workspaces/{workspace}/permissionassignments");
    story.account.fault(Fault { path: path.clone(), body: Some(json!({})), ..Fault::default() });
    for (name, principal) in
        [("by-id", json!({"id": own})), ("by-name", json!({"servicePrincipalName": client}))]
    {
        story.apply(&assignment(&story, name, workspace, principal, &["USER"])).await;
        let seen = story.wait_condition(ASSIGNMENT, name, "Stalled", "True", "WouldLockOut").await;
        assert!(message(&seen, "Stalled").contains(&client), "{seen}");
        story.delete(ASSIGNMENT, name).await;
        story.wait_gone(ASSIGNMENT, name).await;
    }
    assert!(story.account.calls("GET", &path) > 0, "nobody read the list");
    assert_eq!(methods(&story), [""; 0]);
    assert_eq!(story.account.objects("permissionassignments"), before);
    story.end().await;
}

/// Covers ST-11. Which id a name stands for is remembered for a while, but not against the account's word that there is none
/// such any more: the next look asks for the name again.
#[tokio::test]
async fn an_id_that_a_name_no_longer_stands_for_is_forgotten() {
    let story = Story::start("guards-remembered").await;
    let (first, second) = (workspace(&story), workspace(&story));
    let team = json!({"groupName": "data-eng"});
    story.apply(&assignment(&story, "before", first, team.clone(), &["USER"])).await;
    story.wait_ready(ASSIGNMENT, "before").await;
    // So that only the name is remembered, and nobody asks for it anew.
    story.patch(ASSIGNMENT, "before", json!({"spec": {"suspend": true}})).await;
    story.wait_condition(ASSIGNMENT, "before", "Suspended", "True", "SuspendedBySpec").await;
    assert!(story.account.remove("Groups", &principal(&story, "Groups", "displayName", "data-eng")));
    let new = story.account.insert("Groups", json!({"displayName": "data-eng"})).unwrap()["id"].clone();

    story.apply(&assignment(&story, "after", second, team, &["USER"])).await;
    story.wait_condition(ASSIGNMENT, "after", "Stalled", "True", "ReferenceNotFound").await;
    story.pass(ASSIGNMENT, "after").await;
    let ready = story.wait_ready(ASSIGNMENT, "after").await;
    assert_eq!(ready["status"]["externalId"], format!("{second}/{}", new.as_str().unwrap()));
    story.end().await;
}

/// Covers ST-11. Credentials that may not read who is in the account can assign by id all the same, and the operator's own
/// access stays as far as the list tells whose it is.
#[tokio::test]
async fn principals_that_may_not_be_read_are_no_obstacle() {
    let story = Story::start("guards-no-scim").await;
    let (workspace, own) = own_workspace(&story);
    let ada: i64 = principal(&story, "Users", "displayName", "ada").parse().unwrap();
    let no = json!({"error_code": "PERMISSION_DENIED", "message": "no"});
    let no = Fault { path: "*/scim/*".into(), status: Some(403), body: Some(no), ..Fault::default() };
    story.account.fault(no);
    story.apply(&assignment(&story, "ada", workspace, json!({"id": ada}), &["USER"])).await;
    story.wait_ready(ASSIGNMENT, "ada").await;
    let mut mine = assignment(&story, "own", workspace, json!({"id": own}), &["USER"]);
    mine["spec"]["adoptionPolicy"] = json!("IfExists");
    story.apply(&mine).await;
    story.wait_condition(ASSIGNMENT, "own", "Stalled", "True", "WouldLockOut").await;
    assert_eq!(methods(&story), ["PUT"]);
    story.end().await;
}
