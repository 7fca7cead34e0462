//! SCIM, for reading.

use serde_json::{Value, json};

use crate::{Account, answer};

async fn names(account: &Account, kind: &str, query: &[(&str, &str)]) -> Vec<String> {
    let (status, list) = answer(account.request("GET", &format!("scim/v2/{kind}")).query(query)).await;
    assert_eq!(status, 200, "{list}");
    let found = list["Resources"].as_array().cloned().unwrap_or_default();
    found.iter().map(|item| item["displayName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn principals_are_found_by_filter() {
    let account = Account::new().await;
    let client = account.sim.client_id.clone();
    for (kind, filter, found) in [
        ("Groups", r#"displayName eq "data-eng""#.to_owned(), vec!["data-eng"]),
        ("Groups", r#"displayName eq "DATA-ENG""#.to_owned(), vec!["data-eng"]),
        ("Groups", r#"displayName ne "data-eng""#.to_owned(), vec!["analysts"]),
        ("Users", r#"userName sw "a" or userName co "grace""#.to_owned(), vec!["ada", "grace"]),
        ("Users", r#"displayName eq "ada" and (active eq false or active eq true)"#.to_owned(), vec!["ada"]),
        ("Users", r#"displayName eq "a\"da""#.to_owned(), vec![]),
        ("ServicePrincipals", format!(r#"applicationId eq "{client}""#), vec!["operator"]),
    ] {
        assert_eq!(names(&account, kind, &[("filter", &filter)]).await, found, "{filter}");
    }
    for filter in [
        "displayName",
        "displayName eq data",
        "displayName gt \"a\"",
        "(a eq \"b\"",
        "a eq \"b\" c",
        "a eq \"b",
    ] {
        let (status, refusal) =
            answer(account.request("GET", "scim/v2/Users").query(&[("filter", filter)])).await;
        assert_eq!((status, &refusal["scimType"]), (400, &json!("invalidFilter")), "{filter}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_and_without_members() {
    let account = Account::new().await;
    let (_, page) = account.get("scim/v2/Users?startIndex=2&count=1").await;
    assert_eq!(
        (&page["totalResults"], &page["startIndex"], &page["itemsPerPage"]),
        (&json!(3), &json!(2), &json!(1))
    );
    assert!(account.get("scim/v2/Users?startIndex=4").await.1.get("Resources").is_none());
    assert_eq!(
        names(&account, "Users", &[("sortBy", "displayName"), ("sortOrder", "descending")]).await[0],
        "grace"
    );

    let (_, groups) = account.get("scim/v2/Groups").await;
    let group = &groups["Resources"][0];
    assert!(group.get("members").is_none(), "a list shows no members");
    let path = format!("scim/v2/Groups/{}", group["id"].as_str().unwrap());
    let (_, whole) = account.get(&path).await;
    assert_eq!(whole["members"].as_array().map(Vec::len), Some(2));
    let (_, part) = account.get(&(path.clone() + "?attributes=displayName")).await;
    assert_eq!((part.get("members"), &part["displayName"]), (None, &group["displayName"]));
    let (_, rest) = account.get(&(path + "?excludedAttributes=members")).await;
    assert_eq!(rest.get("members"), None);

    // The application id stands for the name of a service principal.
    let (_, robots) = account.get("scim/v2/ServicePrincipals?attributes=userName").await;
    let (robot, other) = (&robots["Resources"][0], "displayName");
    assert!(robot["applicationId"].is_string() && robot.get(other).is_none(), "{robot}");
    let (_, robots) = account.get("scim/v2/ServicePrincipals?attributes=displayName").await;
    assert_eq!(robots["Resources"][0].get("applicationId"), None);
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_scim() {
    let account = Account::new().await;
    let (status, refusal) = account.get("scim/v2/Users/1").await;
    assert_eq!((status, &refusal["status"]), (404, &json!("404")));
    let body: Value = account.get("scim/v2/Users?count=many").await.1;
    assert_eq!(body["scimType"], "invalidValue");
}

#[tokio::test]
async fn members_say_where_they_are_found() {
    let account = Account::new().await;
    let of = |collection: &str| account.sim.objects(collection)[0]["id"].as_str().unwrap().to_owned();
    let [user, robot, inner] = ["Users", "ServicePrincipals", "Groups"].map(of);
    let members = json!([{"value": user}, {"value": robot}, {"value": inner}, {"value": "17"}]);
    let group = account.sim.insert("Groups", json!({"displayName": "all", "members": members})).unwrap();
    let (_, whole) = account.get(&format!("scim/v2/Groups/{}", group["id"].as_str().unwrap())).await;
    let refs: Vec<&Value> =
        whole["members"].as_array().unwrap().iter().map(|member| &member["$ref"]).collect();
    let [user, robot, inner] = [("Users", user), ("ServicePrincipals", robot), ("Groups", inner)]
        .map(|(home, id)| json!(format!("{home}/{id}")));
    assert_eq!(refs, [&user, &robot, &inner, &Value::Null], "a member that is gone is nowhere");
    assert_eq!(whole["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:Group"]));
    assert_eq!(whole["meta"]["resourceType"], "Group");
}

#[tokio::test]
async fn a_user_has_what_the_account_fills_in() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.unknown_fields = false);
    let user = account.sim.insert("Users", json!({"userName": "Barbara@Example.com"})).unwrap();
    let (_, user) = account.get(&format!("scim/v2/Users/{}", user["id"].as_str().unwrap())).await;
    let address = json!("barbara@example.com");
    assert_eq!(
        (&user["userName"], &user["displayName"], &user["active"]),
        (&address, &address, &json!(true))
    );
    assert_eq!(user["emails"], json!([{"value": address, "type": "work", "primary": true}]));
    assert_eq!(user["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:User"]));
    let (_, list) = account.get("scim/v2/Users?count=10000&attributes=id").await;
    assert_eq!((&list["totalResults"], &list["itemsPerPage"]), (&json!(4), &json!(4)));
    let (_, past) = account.get("scim/v2/Users?startIndex=5").await;
    assert_eq!(
        (&past["totalResults"], &past["startIndex"], &past["itemsPerPage"]),
        (&json!(4), &json!(5), &json!(0))
    );
}

#[tokio::test]
async fn some_accounts_list_names_only() {
    let account = Account::new().await;
    account.sim.set(|settings| settings.lean_scim_lists = true);
    let (_, users) = account.get("scim/v2/Users").await;
    assert_eq!(
        (users["Resources"][0].get("active"), &users["Resources"][0]["displayName"]),
        (None, &json!("ada"))
    );
    let (_, users) = account.get("scim/v2/Users?attributes=id,active").await;
    assert_eq!(users["Resources"][0]["active"], true, "the client asked for it");
}
