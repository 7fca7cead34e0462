//! Roles in rule sets that others write too.

use serde_json::{Value, json};
use simulator::Fault;

use crate::support::{AUTH, Story, condition};

const KIND: &str = "RoleGrant";
const BILLING: &str = "roles/billing.admin";

fn grant(story: &Story, name: &str, principal: Value) -> Value {
    let spec = json!({"target": {"account": true}, "role": BILLING, "principal": principal});
    story.managed(KIND, name, spec)
}

/// The principals of the billing role on the account, sorted.
fn billing(story: &Story) -> Vec<String> {
    let set = format!("accounts/{}/ruleSets/default", story.account.account_id);
    let sets = story.account.objects("rule-sets");
    let set = sets.into_iter().find(|one| one["name"] == json!(set)).unwrap_or_default();
    let rules = set["grant_rules"].as_array().cloned().unwrap_or_default();
    let billing = rules.into_iter().filter(|rule| rule["role"] == BILLING);
    let names = billing.flat_map(|rule| rule["principals"].as_array().cloned().unwrap_or_default());
    let mut names: Vec<String> = names.map(|name| name.as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Sets the principals of the billing role, as a person does in the console.
fn in_the_console(story: &Story, principals: &[&str]) {
    let name = format!("accounts/{}/ruleSets/default", story.account.account_id);
    let rules = json!([{"role": BILLING, "principals": principals}]);
    story.account.insert("rule-sets", json!({"name": name, "grant_rules": rules})).unwrap();
}

/// Covers LC-25, LC-21, LC-03. Grants of the console and of objects are in one set, and two clients write it at the same moment.
#[tokio::test]
async fn a_rule_set_keeps_a_grant_of_the_console_and_two_writers_converge() {
    let story = Story::start("grant-console").await;
    in_the_console(&story, &["users/grace@example.com"]);
    let put = Fault { method: Some("PUT".into()), path: "*/rule-sets".into(), ..Fault::default() };
    let held = story.account.fault(Fault { hold: true, times: Some(1), ..put });
    story.apply(&grant(&story, "one", json!({"groupName": "data-eng"}))).await;
    let call = story.account.held(held).await;
    story.apply(&grant(&story, "two", json!({"groupName": "analysts"}))).await;
    in_the_console(&story, &["users/grace@example.com", "users/ada@example.com"]);
    assert!(story.account.release(call.n));
    for name in ["one", "two"] {
        story.wait_ready(KIND, name).await;
    }
    let all = ["groups/analysts", "groups/data-eng", "users/ada@example.com", "users/grace@example.com"];
    assert_eq!(billing(&story), all);
    let writes: Vec<_> =
        story.account.writes().into_iter().map(|call| call.status.unwrap_or_default()).collect();
    assert_eq!(
        writes,
        [409, 200, 200],
        "the write with the old version is refused and repeated, and no other"
    );

    // A grant that was there is the console's, until a policy says otherwise.
    story.apply(&grant(&story, "ada", json!({"userName": "Ada@Example.com"}))).await;
    let foreign = story.wait_condition(KIND, "ada", "Stalled", "True", "AlreadyExists").await;
    story.delete(KIND, "ada").await;
    story.wait_gone(KIND, "ada").await;
    assert_eq!(billing(&story), all, "{foreign}");

    // One that is revoked in the console is given again.
    in_the_console(&story, &["users/grace@example.com"]);
    story.account.clear_journal();
    for name in ["one", "two"] {
        story.patch(KIND, name, json!({"metadata": {"annotations": {"databricks-operator.io/reconcile-requested-at": "now"}}})).await;
    }
    for name in ["one", "two"] {
        let handled = |object: &Value| (object["status"]["lastHandledReconcileAt"] == "now").then_some(());
        story.wait(KIND, name, "the request is handled", handled).await;
        story.wait_ready(KIND, name).await;
    }
    assert_eq!(billing(&story), ["groups/analysts", "groups/data-eng", "users/grace@example.com"]);

    story.delete(KIND, "one").await;
    story.wait_gone(KIND, "one").await;
    assert_eq!(billing(&story), ["groups/analysts", "users/grace@example.com"]);
    story.delete(KIND, "two").await;
    story.wait_gone(KIND, "two").await;
    assert_eq!(billing(&story), ["users/grace@example.com"]);
    story.end().await;
}

/// Covers RF-14. A rule set knows groups, users and service principals by name, and references to objects of the namespace mean
/// these names.
#[tokio::test]
async fn a_grant_by_references_names_what_they_mean_in_the_account() {
    let story = Story::start("grant-references").await;
    let mut auth = story.auth(AUTH);
    auth["spec"]["grants"] = json!([{"namespaces": {"from": "Same"}}]);
    story.apply(&auth).await;
    let spec = |target: Value, role: &str, principal: Value| json!({"target": target, "role": role, "principal": principal, "deletionPolicy": "Delete"});
    let manager = spec(
        json!({"groupRef": {"name": "crew"}}),
        "roles/group.manager",
        json!({"userRef": {"name": "lin"}}),
    );
    let robot = json!({"servicePrincipalRef": {"name": "robot"}});
    let mut runs = spec(robot.clone(), "roles/servicePrincipal.user", json!({"groupRef": {"name": "crew"}}));
    // What its references mean triggers it all the same.
    runs["resyncInterval"] = json!("Never");
    let pays = spec(json!({"account": true}), BILLING, robot);
    for (name, spec) in [("manager", &manager), ("runs", &runs), ("pays", &pays)] {
        story.apply(&story.managed(KIND, name, spec.clone())).await;
    }
    story.apply(&story.managed("User", "lin", json!({"userName": "Lin@Example.com"}))).await;
    story.apply(&story.managed("Group", "crew", json!({"displayName": "crew"}))).await;
    story.apply(&story.managed("ServicePrincipal", "robot", json!({"displayName": "robot"}))).await;
    story.wait_ready(KIND, "pays").await;
    let application = story.get("ServicePrincipal", "robot").await["status"]["applicationId"].clone();
    let application = application.as_str().unwrap();
    assert_eq!(billing(&story), [format!("servicePrincipals/{application}")]);

    // Power over other principals needs a grant in words.
    for name in ["manager", "runs"] {
        let refused = story.wait_condition(KIND, name, "Ready", "False", "ReferenceNotPermitted").await;
        assert!(condition(&refused, "Ready").unwrap()["message"].as_str().unwrap().contains("ACCOUNT_ADMIN"));
    }
    auth["spec"]["grants"][0]["maxPermission"] = json!("ACCOUNT_ADMIN");
    story.apply(&auth).await;
    let ready = story.wait_ready(KIND, "manager").await;
    let group = story.get("Group", "crew").await["status"]["externalId"].as_str().unwrap().to_owned();
    let id = format!("groups/{group}/roles/group.manager/users/lin@example.com");
    assert_eq!(ready["status"]["externalId"], json!(id));
    let number: i64 = group.parse().unwrap();
    let observed = json!({"role": "roles/group.manager", "groupId": number, "userName": "lin@example.com"});
    assert_eq!(ready["status"]["observed"], observed);
    let runs = story.wait_ready(KIND, "runs").await;
    let id = format!("servicePrincipals/{application}/roles/servicePrincipal.user/groups/crew");
    assert_eq!(runs["status"]["externalId"], json!(id));

    // The same in other words is no change; another principal or target is refused.
    story.account.clear_journal();
    let by_id = json!({"target": {"groupRef": null, "groupId": number}, "principal": {"userRef": null, "userName": "lin@example.com"}});
    story.patch(KIND, "manager", json!({"spec": by_id})).await;
    story.wait_ready(KIND, "manager").await;
    assert_eq!(story.account.writes().len(), 0);
    for (wrong, field) in [
        (json!({"principal": {"userName": "ada@example.com"}}), "spec.principal.userName"),
        (json!({"target": {"groupId": null, "account": true}}), "spec.target.account"),
        (json!({"role": "roles/group.assumer"}), "spec.role"),
    ] {
        let patch = json!({"spec": wrong}).to_string();
        let refused =
            story.kubectl(&["patch", "dbrg", "manager", "--type=merge", "-p", &patch]).await.unwrap_err();
        assert!(refused.to_string().contains(&format!("{field} cannot be changed")), "{refused}");
    }

    // A group that is renamed is no longer the one that the rule names. The object says so, and takes the old grant along.
    story.patch("Group", "crew", json!({"spec": {"displayName": "squad"}})).await;
    story
        .wait("Group", "crew", "renamed", |group| {
            (group["status"]["observed"]["displayName"] == "squad").then_some(())
        })
        .await;
    let renamed = story.wait_condition(KIND, "runs", "Stalled", "True", "ImmutableFieldChanged").await;
    let text = condition(&renamed, "Ready").unwrap()["message"].as_str().unwrap();
    assert!(text.contains("now means squad, but this object was created for crew"), "{text}");

    // All at once: what a grant refers to stays until the grant is gone.
    for kind in ["Group", "ServicePrincipal", "User", KIND] {
        story.kubectl(&["delete", &kind.to_lowercase(), "--all", "--wait=false"]).await.unwrap();
    }
    for (kind, name) in [(KIND, "manager"), (KIND, "runs"), (KIND, "pays"), ("Group", "crew")] {
        story.wait_gone(kind, name).await;
    }
    let left = story.account.objects("rule-sets").into_iter().filter(|set| set["grant_rules"].is_array());
    assert_eq!(left.collect::<Vec<_>>(), [] as [Value; 0]);
    story.end().await;
}

/// Covers RF-01, RF-02, RF-06, RF-11. A group may use a budget policy, and both are objects of the namespace, applied after the grant. The id
/// in place of the reference is no change, and the policy is not deleted before the grant.
#[tokio::test]
async fn a_group_may_use_a_budget_policy_of_the_namespace() {
    let story = Story::start("grant-budget-policy").await;
    let target = json!({"budgetPolicyRef": {"name": "team"}});
    let spec = json!({"target": target, "role": "roles/budgetPolicy.user", "principal": {"groupRef": {"name": "crew"}}});
    story.apply(&story.managed(KIND, "use", spec)).await;
    let waits = story.wait_condition(KIND, "use", "ReferencesResolved", "False", "ReferenceNotFound").await;
    let says = condition(&waits, "ReferencesResolved").unwrap()["message"].as_str().unwrap();
    assert!(
        says.contains("spec.target.budgetPolicyRef") && says.contains("spec.principal.groupRef"),
        "{says}"
    );
    assert_eq!(story.account.writes().len(), 0);
    story.apply(&story.managed("Group", "crew", json!({"displayName": "crew"}))).await;
    story.apply(&story.managed("BudgetPolicy", "team", json!({"policyName": "team"}))).await;
    let ready = story.wait_ready(KIND, "use").await;
    let policy = story.get("BudgetPolicy", "team").await["status"]["externalId"].clone();
    let id = format!("budgetPolicies/{}/roles/budgetPolicy.user/groups/crew", policy.as_str().unwrap());
    assert_eq!(ready["status"]["externalId"], json!(id));

    story.account.clear_journal();
    let by_id = json!({"budgetPolicyRef": null, "budgetPolicyId": policy});
    let by_ref = json!({"budgetPolicyRef": {"name": "team"}, "budgetPolicyId": null});
    for same in [by_id, by_ref] {
        story.patch(KIND, "use", json!({"spec": {"target": same}})).await;
        story.wait_ready(KIND, "use").await;
    }
    assert_eq!(story.account.writes().len(), 0, "{:?}", story.account.writes());
    story.delete("BudgetPolicy", "team").await;
    let reason = "DependencyStillInUse";
    story.wait_condition("BudgetPolicy", "team", "DeletionBlocked", "True", reason).await;
    story.delete(KIND, "use").await;
    story.wait_gone(KIND, "use").await;
    story.wait_gone("BudgetPolicy", "team").await;
    story.end().await;
}
