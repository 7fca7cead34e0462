//! The hosts of workspaces: lists and the switch that puts them in force, with a token of their own.

use reqwest::Method;
use reqwest::header::HOST;
use serde_json::{Value, json};

use crate::{Account, Answer, answer, refused};

/// A workspace that runs, and a token of its host.
struct Workspace {
    account: Account,
    id: String,
    token: String,
}

impl Workspace {
    async fn new() -> Workspace {
        let account = Account::new().await;
        let made = account.sim.insert("workspaces", json!({"deployment_name": "acme"})).unwrap();
        let mut workspace = Workspace { account, id: made["workspace_id"].to_string(), token: String::new() };
        let (status, body) = workspace.sign_in().await;
        assert_eq!(status, 200, "{body}");
        workspace.token = body["access_token"].as_str().unwrap().to_owned();
        workspace
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let (origin, method) = (self.account.sim.url(), Method::from_bytes(method.as_bytes()).unwrap());
        let host = origin.replace("http://127.0.0.1", "acme.localhost");
        self.account.http.request(method, origin + path).header(HOST, host)
    }

    async fn sign_in(&self) -> Answer {
        let sim = &self.account.sim;
        let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        let request = self.request("POST", "/oidc/v1/token");
        answer(request.basic_auth(&sim.client_id, Some(&sim.client_secret)).form(&form)).await
    }

    async fn get(&self, rest: &str) -> Answer {
        answer(self.request("GET", &format!("/api/2.0/{rest}")).bearer_auth(&self.token)).await
    }

    async fn send(&self, method: &str, rest: &str, body: Value) -> Answer {
        let request = self.request(method, &format!("/api/2.0/{rest}"));
        answer(request.bearer_auth(&self.token).json(&body)).await
    }
}

fn allow(label: &str, address: &str) -> Value {
    json!({"label": label, "list_type": "ALLOW", "ip_addresses": [address]})
}

#[tokio::test]
async fn lists_of_a_workspace_are_its_own() {
    let workspace = Workspace::new().await;
    let (status, made) = workspace.send("POST", "ip-access-lists", allow("office", "203.0.113.0/24")).await;
    assert_eq!(status, 200, "{made}");
    let path = format!("ip-access-lists/{}", made["ip_access_list"]["list_id"].as_str().unwrap());
    assert_eq!(workspace.get(&path).await.1["ip_access_list"]["label"], "office");
    assert_eq!(workspace.get("ip-access-lists").await.1["ip_access_lists"].as_array().map(Vec::len), Some(1));
    assert_eq!(workspace.account.get("ip-access-lists").await.1.get("ip_access_lists"), None);
    assert_eq!(workspace.account.get(&path).await.0, 404);
    let twin = workspace.send("POST", "ip-access-lists", allow("office", "203.0.113.9")).await;
    assert_eq!(refused(&twin), (400, "RESOURCE_ALREADY_EXISTS"));
}

/// Behind a proxy that ends TLS, clients use the names that the hosts have in reality.
#[tokio::test]
async fn a_host_is_also_served_under_its_real_name() {
    let workspace = Workspace::new().await;
    for (host, kind) in [("acme", "workspace"), ("accounts", "account")] {
        let url = workspace.account.sim.url() + "/.well-known/databricks-config";
        let host = format!("{host}.cloud.databricks.com");
        let (_, metadata) = answer(workspace.account.http.get(url).header(HOST, &host)).await;
        assert_eq!(metadata["host_type"], kind);
        let endpoint = metadata["oidc_endpoint"].as_str().unwrap();
        assert!(endpoint.starts_with(&format!("https://{host}/oidc")), "{endpoint}");
    }
}

#[tokio::test]
async fn lists_have_an_effect_once_the_switch_is_on() {
    let workspace = Workspace::new().await;
    let conf = "workspace-conf?keys=enableIpAccessLists";
    assert_eq!(workspace.get(conf).await, (200, json!({"enableIpAccessLists": null})));
    let set = |ip: &'static str| {
        workspace.account.sim.set(|settings| settings.caller_ip = Some(ip.parse().unwrap()))
    };
    set("203.0.113.9");
    assert_eq!(workspace.send("POST", "ip-access-lists", allow("elsewhere", "198.51.100.7")).await.0, 200);
    let on = json!({"enableIpAccessLists": "true"});
    let turned_on = workspace.send("PATCH", "workspace-conf", on.clone()).await;
    assert_eq!(refused(&turned_on), (400, "INVALID_STATE"), "it would block the caller");
    assert_eq!(workspace.send("POST", "ip-access-lists", allow("office", "203.0.113.0/24")).await.0, 200);
    assert_eq!(workspace.send("PATCH", "workspace-conf", on).await.0, 204);
    assert_eq!(workspace.get(conf).await.1["enableIpAccessLists"], "true");

    set("192.0.2.1");
    let (status, blocked) = workspace.get("ip-access-lists").await;
    assert_eq!((status, blocked["error_code"].as_str()), (403, Some("PERMISSION_DENIED")));
    assert!(
        blocked["message"].as_str().unwrap().ends_with(&format!("workspace: {}", workspace.id)),
        "{blocked}"
    );
    assert_eq!(workspace.sign_in().await.0, 403);
    assert_eq!(workspace.account.get("workspaces").await.0, 200, "the account has lists of its own");
}

#[tokio::test]
async fn a_host_takes_its_own_token_while_its_workspace_runs() {
    let workspace = Workspace::new().await;
    workspace.account.sim.set(|settings| settings.bad_token_statuses = vec![401]);
    let of_account =
        workspace.request("GET", "/api/2.0/ip-access-lists").bearer_auth(&workspace.account.token);
    assert_eq!(answer(of_account).await.0, 401);
    let own = workspace.account.http.get(workspace.account.sim.url() + &workspace.account.path("workspaces"));
    assert_eq!(answer(own.bearer_auth(&workspace.token)).await.0, 401);
    workspace
        .account
        .sim
        .edit("workspaces", &workspace.id, json!({"workspace_status": "CANCELLING"}))
        .unwrap();
    assert_eq!(workspace.get("ip-access-lists").await, (404, Value::Null), "a page of a gateway");
}
