//! SCIM, for writing: what Terraform and the Python SDK send, and what the account does with it.

use serde_json::{Value, json};

use crate::{Account, Answer, refused};

const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

async fn create(account: &Account, kind: &str, body: Value) -> (String, Value) {
    let (status, made) = account.send("POST", &format!("scim/v2/{kind}"), body).await;
    assert_eq!(status, 201, "{made}");
    (format!("scim/v2/{kind}/{}", made["id"].as_str().unwrap()), made)
}

async fn patch(account: &Account, path: &str, operations: Value) -> Answer {
    account.send("PATCH", path, json!({"schemas": [PATCH], "Operations": operations})).await
}

async fn members(account: &Account, path: &str) -> Vec<String> {
    let (_, group) = account.get(path).await;
    let members = group["members"].as_array().cloned().unwrap_or_default();
    members.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect()
}

/// Ids of the people that every account begins with.
fn people(account: &Account) -> Vec<String> {
    account.sim.objects("Users").iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn members_come_and_go_by_patch() {
    let account = Account::new().await;
    let people = people(&account);
    let (path, made) = create(&account, "Groups", json!({"schemas": [GROUP], "displayName": "ops"})).await;
    assert_eq!(made.get("members"), None);
    let add = |ids: &[&str]| {
        let value: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
        json!([{"op": "add", "path": "members", "value": value}])
    };
    assert_eq!(patch(&account, &path, add(&[&people[0], &people[1]])).await, (200, Value::Null));
    assert_eq!(patch(&account, &path, add(&[&people[0]])).await.0, 200);
    assert_eq!(members(&account, &path).await, people[..2], "each once");

    let remove = json!([
        {"op": "remove", "path": format!("members[value eq \"{}\"]", people[0])},
        {"op": "add", "path": "members", "value": [{"value": people[2]}]},
    ]);
    assert_eq!(patch(&account, &path, remove).await.0, 200);
    assert_eq!(members(&account, &path).await, people[1..]);
    let replace = json!([{"op": "replace", "path": "members", "value": [{"value": people[0]}]}]);
    assert_eq!(patch(&account, &path, replace).await.0, 200);
    assert_eq!(members(&account, &path).await, people[..1]);
    assert_eq!(patch(&account, &path, json!([{"op": "remove", "path": "members"}])).await.0, 200);
    assert!(members(&account, &path).await.is_empty());
}

#[tokio::test]
async fn a_member_that_does_not_exist_is_no_error_and_not_there() {
    let account = Account::new().await;
    let people = people(&account);
    let (path, _) =
        create(&account, "Groups", json!({"displayName": "ops", "members": [{"value": "17"}]})).await;
    let uuid = "0a1b2c3d-0000-4000-8000-000000000001";
    let add = json!([{"op": "add", "path": "members", "value": [{"value": uuid}, {"value": "9"}, {"value": people[0]}]}]);
    assert_eq!(patch(&account, &path, add).await.0, 200);
    assert_eq!(members(&account, &path).await, people[..1]);
    for value in [json!(people[0]), json!([people[0]]), json!([{"display": "ada"}])] {
        let (status, refusal) =
            patch(&account, &path, json!([{"op": "add", "path": "members", "value": value}])).await;
        assert_eq!((status, &refusal["scimType"]), (400, &json!("invalidSyntax")), "{value}");
    }
    assert_eq!(account.delete(&format!("scim/v2/Users/{}", people[0])).await.0, 204);
    assert!(members(&account, &path).await.is_empty(), "a principal that is gone is no member");
}

#[tokio::test]
async fn a_replacement_loses_what_it_leaves_out() {
    let account = Account::new().await;
    let people = people(&account);
    let body = json!({"displayName": "ops", "members": [{"value": people[0]}], "roles": [{"value": "account_admin"}]});
    let (path, _) = create(&account, "Groups", body).await;
    assert_eq!(account.send("PUT", &path, json!({"displayName": "renamed"})).await.0, 200);
    let (_, after) = account.get(&path).await;
    assert_eq!(
        (&after["displayName"], after.get("members"), after.get("roles")),
        (&json!("renamed"), None, None)
    );
}

#[tokio::test]
async fn names_are_taken_once_also_by_the_deactivated() {
    let account = Account::new().await;
    let body =
        json!({"userName": "Barbara@Example.com", "displayName": "B", "emails": [{"value": "other@x.org"}]});
    let (path, made) = create(&account, "Users", body).await;
    assert_eq!((&made["userName"], &made["active"]), (&json!("barbara@example.com"), &json!(true)));
    assert_eq!(made["emails"][0]["value"], "barbara@example.com", "emails are the server's");
    let off = json!([{"op": "replace", "path": "active", "value": false}]);
    assert_eq!(patch(&account, &path, off).await.0, 200);
    let (status, refusal) =
        account.send("POST", "scim/v2/Users", json!({"userName": "barbara@example.COM"})).await;
    assert_eq!(status, 409);
    assert!(refusal["detail"].as_str().unwrap().contains("already exists in this account"), "{refusal}");
    let changes = json!([
        {"op": "replace", "path": "userName", "value": "grace@example.com"},
        {"op": "replace", "path": "name.givenName", "value": "Barbara"},
        {"op": "replace", "path": "active", "value": "true"},
    ]);
    assert_eq!(patch(&account, &path, changes).await.0, 200);
    let (_, after) = account.get(&path).await;
    assert_eq!((&after["userName"], &after["active"]), (&json!("barbara@example.com"), &json!(true)));
    assert_eq!(after["name"]["givenName"], "Barbara");

    let (status, refusal) = account.send("POST", "scim/v2/Groups", json!({"displayName": "data-eng"})).await;
    assert_eq!((status, &refusal["detail"]), (409, &json!("Group with name data-eng already exists.")));
    for body in [json!({"displayName": "admins"}), json!({}), json!({"displayName": "x", "colour": "red"})] {
        assert_eq!(account.send("POST", "scim/v2/Groups", body.clone()).await.0, 400, "{body}");
    }
    for _ in 0..2 {
        let (_, robot) = create(&account, "ServicePrincipals", json!({"displayName": "robot"})).await;
        assert!(robot["applicationId"].is_string(), "names of service principals are not unique");
    }
}

#[tokio::test]
async fn roles_are_added_and_removed_but_not_the_callers_own() {
    let account = Account::new().await;
    let robots = account.sim.objects("ServicePrincipals");
    let path = |name: &str| {
        let robot = robots.iter().find(|robot| robot["displayName"] == name).unwrap();
        format!("scim/v2/ServicePrincipals/{}", robot["id"].as_str().unwrap())
    };
    let add = json!([{"op": "add", "path": "roles", "value": [{"value": "account_admin"}]}]);
    let remove = json!([{"op": "remove", "path": "roles[value eq \"account_admin\"]"}]);
    let robot = path("pipeline");
    assert_eq!(patch(&account, &robot, add).await.0, 200);
    assert_eq!(account.get(&robot).await.1["roles"][0]["value"], "account_admin");
    assert_eq!(patch(&account, &robot, remove.clone()).await.0, 200);
    assert_eq!(account.get(&robot).await.1.get("roles"), None);
    assert_eq!(patch(&account, &path("operator"), remove).await.0, 400);
}

#[tokio::test]
async fn operations_have_a_form() {
    let account = Account::new().await;
    let (path, made) = create(&account, "Groups", json!({"displayName": "ops"})).await;
    for operations in [
        json!([]),
        json!([{"op": "Add", "path": "members", "value": []}]),
        json!([{"path": "members"}]),
        json!([{"op": "add", "path": "members[value eq 7]"}]),
        json!([{"op": "remove", "path": "members[display eq \"ada\"]"}]),
        json!([{"op": "replace", "path": "colour", "value": "red"}]),
        json!([{"op": "replace", "path": "displayName", "value": 7}]),
        json!([{"op": "replace", "value": 7}]),
        json!([{"op": "replace", "path": "displayName", "value": "x"}, {"op": "no", "path": "members"}]),
    ] {
        assert_eq!(patch(&account, &path, operations.clone()).await.0, 400, "{operations}");
    }
    assert_eq!(account.send("PATCH", &path, json!({"displayName": "x"})).await.0, 400);
    assert_eq!(account.get(&path).await.1["displayName"], made["displayName"], "nothing was applied");
    assert_eq!(
        patch(&account, &path, json!([{"op": "replace", "value": {"displayName": "new"}}])).await.0,
        200
    );
    assert_eq!(account.get(&path).await.1["displayName"], "new");
    assert_eq!(
        account
            .send("PATCH", "scim/v2/Groups/17", json!({"Operations": [{"op": "remove", "path": "roles"}]}))
            .await
            .0,
        404
    );
    assert_eq!(
        refused(&account.send("POST", "scim/v2/Groups/17", json!({})).await),
        (404, "ENDPOINT_NOT_FOUND")
    );
}

#[tokio::test]
async fn what_the_identity_provider_owns_is_left_to_it() {
    let account = Account::new().await;
    let (path, _) = create(&account, "Groups", json!({"displayName": "synced", "externalId": "e1"})).await;
    account.sim.set(|settings| settings.identity_managed = true);
    let rename = json!([{"op": "replace", "path": "displayName", "value": "x"}]);
    assert_eq!(patch(&account, &path, rename.clone()).await.0, 403);
    assert_eq!(account.send("PUT", &path, json!({"displayName": "x"})).await.0, 403);
    assert_eq!(account.delete(&path).await.0, 403);
    let other = json!({"displayName": "other", "externalId": "e2"});
    assert_eq!(account.send("POST", "scim/v2/Groups", other).await.0, 403);
    let release = json!([{"op": "remove", "path": "externalId"}]);
    assert_eq!(patch(&account, &path, release).await.0, 200);
    assert_eq!(patch(&account, &path, rename).await.0, 200);
}

#[tokio::test]
async fn an_unknown_member_is_refused_where_a_setting_says_so() {
    let account = Account::new().await;
    let (_, ada) = create(&account, "Users", json!({"userName": "lin@example.com"})).await;
    let (path, _) = create(&account, "Groups", json!({"displayName": "crew"})).await;
    account.sim.set(|settings| settings.unknown_member_status = Some(404));
    let known = json!({"op": "add", "path": "members", "value": [{"value": ada["id"]}]});
    let unknown = json!({"op": "add", "path": "members", "value": [{"value": "4242"}]});
    for in_part in [false, true] {
        account.sim.set(|settings| settings.patches_in_part = in_part);
        let refused = patch(&account, &path, json!([known, unknown])).await;
        assert_eq!(refused.0, 404);
        assert_eq!(members(&account, &path).await.len(), usize::from(in_part), "all operations or none");
    }
}
