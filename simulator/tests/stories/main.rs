//! Stories about the simulated account, over real HTTP: what a client gets, and what it is refused.

#![allow(clippy::unwrap_used, reason = "all of this is a test")]

mod assignments;
mod auth;
mod billing;
mod control;
mod credentials;
mod faults;
mod google;
mod governance;
mod identity;
mod in_process;
mod ip_access_lists;
mod networking;
mod oauth_apps;
mod provisioning;
mod refusals;
mod scim;
mod scim_writes;
mod standing;
mod terraform;
mod workspace_hosts;
mod workspaces;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use simulator::{Config, Settings, Simulator};

/// A client with a token, and the simulator it calls.
pub(crate) struct Account {
    pub(crate) sim: Simulator,
    pub(crate) http: Client,
    pub(crate) token: String,
}

/// What came back: the status, and the body if it was JSON (null otherwise).
pub(crate) type Answer = (u16, Value);

pub(crate) fn http() -> Client {
    // Installed once for the whole binary; later attempts change nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

impl Account {
    pub(crate) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let sim = Simulator::start(Config { settings, ..Config::default() }).await.unwrap();
        let mut account = Self { sim, http: http(), token: String::new() };
        let (status, body) = account.ask_token(&account.sim.client_secret).await;
        assert_eq!(status, 200, "{body}");
        account.token = body["access_token"].as_str().unwrap().to_owned();
        account.sim.clear_journal();
        account
    }

    /// An account whose tokens outlast any jump of the clock.
    pub(crate) async fn for_years(settings: Settings) -> Self {
        Self::with(Settings { token_lifetime_ms: 100 * 365 * 24 * 60 * 60 * 1000, ..settings }).await
    }

    pub(crate) async fn ask_token(&self, secret: &str) -> Answer {
        self.login(&self.sim.client_id, secret).await
    }

    pub(crate) async fn login(&self, client_id: &str, secret: &str) -> Answer {
        let url = format!("{}/oidc/accounts/{}/v1/token", self.sim.url(), self.sim.account_id);
        let form = [("grant_type", "client_credentials"), ("scope", "all-apis")];
        answer(self.http.post(url).basic_auth(client_id, Some(secret)).form(&form)).await
    }

    /// A path below the account.
    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/api/2.0/accounts/{}/{rest}", self.sim.account_id)
    }

    pub(crate) fn request(&self, method: &str, rest: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        self.http.request(method, self.sim.url() + &self.path(rest)).bearer_auth(&self.token)
    }

    pub(crate) async fn get(&self, rest: &str) -> Answer {
        answer(self.request("GET", rest)).await
    }

    pub(crate) async fn delete(&self, rest: &str) -> Answer {
        answer(self.request("DELETE", rest)).await
    }

    pub(crate) async fn send(&self, method: &str, rest: &str, body: Value) -> Answer {
        answer(self.request(method, rest).json(&body)).await
    }
}

pub(crate) async fn answer(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// A refusal: its status and its code.
pub(crate) fn refused(answer: &Answer) -> (u16, &str) {
    (answer.0, answer.1["error_code"].as_str().unwrap_or_default())
}
