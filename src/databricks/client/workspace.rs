//! The workspaces of an account: whether one exists and runs, at which host, and a client for that host.
//!
//! The account says which host a workspace has. That is input like any other: nothing is sent there before the name passes the policy of
//! hosts, and then with a token of that host, and at a rate of its own. The token of the account stays with the account.

use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::{Client, Connection, Known, WorkspaceHost};
use crate::databricks::host::{Host, workspace_url};
use crate::databricks::{Error, Int64, Optional, Pages, Request, Urgency, path};

/// How long a workspace counts as running without another read, unless a call to it fails.
const FRESH: Duration = Duration::from_secs(60);

/// How long the client of a workspace is kept that no call uses. The workspace may be gone, and then nothing else says so.
const KEPT: Duration = Duration::from_secs(86_400);

#[derive(Deserialize)]
struct Remote {
    workspace_id: Int64,
    workspace_status: Option<String>,
    workspace_url: Option<String>,
    deployment_name: Option<String>,
}

impl Client {
    /// Where a workspace of the account is: read from the account, unless it was a moment ago.
    ///
    /// # Errors
    /// As [`Client::send`], for the reads of the account.
    pub async fn workspace(&self, id: &str, urgency: Urgency) -> Result<WorkspaceHost, Error> {
        if let Some((Some(at), client)) = self.known().get(id)
            && at.elapsed() < FRESH
        {
            return Ok(WorkspaceHost::Runs(client.clone()));
        }
        let found: Option<Remote> = self.send(self.of_account(&[id], urgency)).await.optional()?;
        let Some(found) = found else { return self.without(id, urgency).await };
        let status = found.workspace_status.as_deref().unwrap_or("in no known state");
        if status != "RUNNING" {
            return Ok(WorkspaceHost::Waits(format!("workspace {id} is {status}, and not RUNNING")));
        }
        let (account, deployment) = (self.host(), found.deployment_name.as_deref());
        let url = workspace_url(account.as_str(), found.workspace_url.as_deref(), deployment);
        let Some(url) = url.or_else(|| account.on_this_machine(deployment?)) else {
            return Ok(WorkspaceHost::Waits(format!("the account names no host of workspace {id}")));
        };
        match Host::parse(&url, &self.inner.settings.hosts) {
            Ok(host) => Ok(WorkspaceHost::Runs(self.of_workspace(id, host)?)),
            Err(error) => Ok(WorkspaceHost::NotAllowed(error)),
        }
    }

    /// Makes the next use of a workspace ask the account whether it still runs.
    pub fn forget_workspace(&self, id: &str) {
        self.known().entry(id.to_owned()).and_modify(|(at, _)| *at = None);
    }

    /// The client of a workspace that runs: the one that there is, with its token, if the host is the same.
    fn of_workspace(&self, id: &str, host: Host) -> Result<Client, Error> {
        let present = self.known().get(id).map(|(_, client)| client.clone());
        let client = match present.filter(|client| *client.host() == host) {
            Some(client) => client,
            None => {
                self.drop_unused();
                let connection = Connection { host, ..self.inner.connection.clone() };
                let rates = self.inner.rates.clone();
                Client::at(connection, &self.inner.settings, Some(id.to_owned()), rates)?
            }
        };
        self.known().insert(id.to_owned(), (Some(Instant::now()), client.clone()));
        Ok(client)
    }

    fn drop_unused(&self) {
        let mut known = self.known();
        let unused = known.extract_if(|_, (at, _)| at.is_some_and(|at| at.elapsed() >= KEPT));
        unused.for_each(|(id, _)| self.inner.rates.forget(&id));
    }

    /// The account reports no such workspace: it is gone if the list of all workspaces does not have it either. An account that is not
    /// known proves nothing.
    async fn without(&self, id: &str, urgency: Urgency) -> Result<WorkspaceHost, Error> {
        let request = self.of_account(&[], urgency);
        let call = request.call();
        let all: Vec<Remote> = self.list(request, Pages::Bare).await?;
        if all.iter().any(|workspace| workspace.workspace_id.to_string() == id) {
            let reason =
                format!("Databricks says of workspace {id} both that it exists and that it does not");
            return Err(Error::Unknown { call, reason });
        }
        self.known().remove(id);
        self.inner.rates.forget(id);
        Ok(WorkspaceHost::Gone)
    }

    fn of_account(&self, segments: &[&str], urgency: Urgency) -> Request {
        let workspaces = ["api", "2.0", "accounts", self.account_id(), "workspaces"];
        let mut request = Request::get(path(&[&workspaces[..], segments].concat()));
        request.urgency = urgency;
        request
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::databricks::{Credentials, Exchange, HostPolicy, Settings};

    /// An account in which each workspace runs.
    fn account() -> Client {
        let exchange = Exchange::new(|request| {
            let path = request.uri().path();
            let id = path.rsplit('/').next().unwrap_or_default();
            let body = match path.ends_with("/token") {
                true => r#"{"access_token": "token", "expires_in": 3600}"#.to_owned(),
                false => format!(
                    r#"{{"workspace_id": {id}, "workspace_status": "RUNNING", "deployment_name": "w-{id}"}}"#
                ),
            };
            let response = http::Response::builder().header("content-type", "application/json");
            let response = response.body(body.into_bytes()).unwrap();
            async { Ok(response) }
        });
        let connection = Connection {
            host: Host::parse("https://accounts.cloud.databricks.com", &HostPolicy::default()).unwrap(),
            account_id: "account".into(),
            client_id: "client".into(),
            credentials: Credentials::Secret("secret".to_owned().into()),
            on_google: false,
        };
        Client::new(connection, &Settings { exchange: Some(exchange), ..Settings::default() }).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_dropped_a_day_after_its_last_use() {
        let account = account();
        let call = async |id: &str| {
            let found = account.workspace(id, Urgency::Routine).await;
            assert!(matches!(found, Ok(WorkspaceHost::Runs(_))), "{id}");
        };
        call("1").await;
        for _ in 0..24 {
            call("2").await;
            advance(Duration::from_secs(3_600)).await;
        }
        let known = || {
            let mut ids: Vec<String> = account.known().keys().cloned().collect();
            ids.sort();
            ids
        };
        assert_eq!(known(), ["1", "2"]);
        call("3").await;
        assert_eq!(known(), ["2", "3"]);
    }
}
