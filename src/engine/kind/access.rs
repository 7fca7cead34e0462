//! What a call may reach, and whether a process may still write.
//!
//! A [`Writer`] comes only with a [`Permit`], which is checked once more at the last moment before each send: code without
//! a permit cannot write. Both are bound to one endpoint, the account or a workspace of it, so a kind never builds a host or an account
//! path.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::databricks::{Client, Error, Pages, Request, Trail, Urgency, WorkspaceHost, path};

/// The right to write. A single process holds a permit that never ends; with several, it ends with the lease.
#[derive(Clone)]
pub struct Permit(Arc<dyn Fn() -> bool + Send + Sync>);

impl Permit {
    /// The permit of a process that runs alone.
    pub fn sole() -> Permit {
        Permit(Arc::new(|| true))
    }

    /// A permit that holds while `valid` says so.
    pub fn while_valid(valid: impl Fn() -> bool + Send + Sync + 'static) -> Permit {
        Permit(Arc::new(valid))
    }

    /// Whether a change may be sent now.
    pub fn holds(&self) -> bool {
        (self.0)()
    }
}

/// Where the account API serves a collection. Source: the paths of Databricks' API reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Base {
    /// `/api/2.0/accounts/{account}`, of nearly all collections.
    V20,
    /// `/api/2.1/accounts/{account}`, of budgets.
    V21,
    /// `/api/2.0/preview/accounts/{account}`, of rule sets.
    Preview,
    /// `/api/networking/v1/accounts/{account}`, of network endpoints.
    Networking,
}

/// Where a call goes: a path of the account or of the workspace that is called, and a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    path: String,
    query: Vec<(String, String)>,
}

impl Path {
    /// The same with a parameter in the query.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Path {
        self.query.push((name.into(), value.into()));
        self
    }

    fn to(self, request: impl FnOnce(String) -> Request) -> Request {
        let mut request = request(self.path);
        request.query = self.query;
        request
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Reads from one endpoint: the account of one DatabricksAuth, or a workspace of it.
#[derive(Clone)]
pub struct Reader {
    client: Client,
    urgency: Urgency,
}

impl Reader {
    /// A reader of the client's account.
    pub fn new(client: Client, urgency: Urgency) -> Reader {
        Reader { client, urgency }
    }

    /// The path of an object of the account, or of the workspace that is called: `/api/2.0/…` there.
    pub fn path(&self, segments: &[&str]) -> Path {
        self.path_at(Base::V20, segments)
    }

    /// The same, for an API with another base path than most.
    pub fn path_at(&self, base: Base, segments: &[&str]) -> Path {
        let api = match base {
            Base::V20 => path(&["api", "2.0"]),
            Base::V21 => path(&["api", "2.1"]),
            Base::Preview => path(&["api", "2.0", "preview"]),
            Base::Networking => path(&["api", "networking", "v1"]),
        };
        let place = match self.client.workspace_id() {
            Some(_) => String::new(),
            None => path(&["accounts", self.client.account_id()]),
        };
        Path { path: format!("{api}{place}{}", path(segments)), query: vec![] }
    }

    /// The id of the account, for names that contain it.
    pub fn account_id(&self) -> &str {
        self.client.account_id()
    }

    /// Whether the account is on Google Cloud.
    pub fn on_google(&self) -> bool {
        self.client.on_google()
    }

    /// The account's host, for links.
    pub fn host(&self) -> &str {
        self.client.host().as_str()
    }

    /// GET of one object.
    pub async fn get<T: DeserializeOwned>(&self, path: Path) -> Result<T, Error> {
        self.client.send(self.request(path.to(Request::get))).await
    }

    /// GET of a whole collection: complete, or an error.
    pub async fn list<T: DeserializeOwned>(&self, path: Path, pages: Pages) -> Result<Vec<T>, Error> {
        self.client.list(self.request(path.to(Request::get)), pages).await
    }

    /// Fails unless the API knows the account: it lists the workspaces.
    pub async fn find_account(&self) -> Result<(), Error> {
        self.list::<IgnoredAny>(self.path(&["workspaces"]), Pages::Bare).await.map(|_| ())
    }

    /// Where a workspace of the account is; see [`super::Home`].
    pub(super) async fn find_workspace(&self, id: &str) -> Result<WorkspaceHost, Error> {
        self.client.workspace(id, self.urgency).await
    }

    /// Makes the next read find the workspace again.
    pub(super) fn forget_workspace(&self, id: &str) {
        self.client.forget_workspace(id);
    }

    /// The same at another endpoint.
    pub(super) fn at(&self, client: Client) -> Reader {
        Reader { client, urgency: self.urgency }
    }

    fn request(&self, mut request: Request) -> Request {
        request.urgency = self.urgency;
        request
    }
}

/// What a write does, for the audit log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditEntry {
    /// `create`, `update` or `delete`.
    pub operation: &'static str,
    /// The fields that are written, as a spec names them; never their values.
    pub fields: Vec<String>,
}

/// Reads and writes.
#[derive(Clone)]
pub struct Writer {
    reader: Reader,
    permit: Permit,
    audit: AuditEntry,
    /// A change was sent in this act, or may have been.
    sent: Arc<AtomicBool>,
}

impl Deref for Writer {
    type Target = Reader;
    fn deref(&self) -> &Reader {
        &self.reader
    }
}

impl Writer {
    /// A writer for as long as the permit holds.
    pub fn new(reader: Reader, permit: Permit) -> Writer {
        Writer { reader, permit, audit: AuditEntry::default(), sent: Arc::default() }
    }

    /// Whether a change would be sent now.
    #[cfg(test)]
    pub fn may_write(&self) -> bool {
        self.permit.holds()
    }

    /// The same writer for one act: the audit log shows this operation and these fields.
    pub fn to(&self, operation: &'static str, fields: Vec<String>) -> Writer {
        Writer { audit: AuditEntry { operation, fields }, sent: Arc::default(), ..self.clone() }
    }

    /// Whether this act may have changed something: its calls so far were not all reads.
    pub(super) fn has_sent(&self) -> bool {
        self.sent.load(Ordering::Relaxed)
    }

    /// The same at another endpoint.
    pub(super) fn at(&self, reader: Reader) -> Writer {
        Writer { reader, ..self.clone() }
    }

    /// POST. It is sent at most once, whatever happens.
    pub async fn post<T: DeserializeOwned>(&self, path: Path, body: Value) -> Result<T, Error> {
        self.write(path.to(|path| Request::post(path, body))).await
    }

    /// PUT.
    pub async fn put<T: DeserializeOwned>(&self, path: Path, body: Value) -> Result<T, Error> {
        self.write(path.to(|path| Request::put(path, body))).await
    }

    /// PATCH. Where the API requires it, `update_mask` in the query names the fields that are sent.
    pub async fn patch<T: DeserializeOwned>(&self, path: Path, body: Value) -> Result<T, Error> {
        self.write(path.to(|path| Request::patch(path, body))).await
    }

    /// DELETE. The body of the response is ignored: APIs send nothing, `{}` or the object.
    pub async fn delete(&self, path: Path) -> Result<(), Error> {
        self.write::<IgnoredAny>(path.to(Request::delete)).await.map(|_| ())
    }

    async fn write<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        let mut request = self.reader.request(request);
        request.fence = Some(self.permit.0.clone());
        self.sent.store(true, Ordering::Relaxed);
        let (result, trail) = self.reader.client.send_for_audit(request).await;
        self.audit(result.as_ref().err(), &trail);
        result
    }

    /// The line of the audit log; every write goes through it. The span of the reconcile names the object.
    fn audit(&self, error: Option<&Error>, trail: &Trail) {
        if error.is_some_and(|error| !error.was_sent()) {
            return;
        }
        tracing::info!(
            target: "databricks_operator::audit",
            hop = "act",
            operation = self.audit.operation,
            fields = self.audit.fields.join(","),
            account = self.reader.client.account_id(),
            workspace = self.reader.client.workspace_id(),
            call = trail.call,
            outcome = error.map_or("ok", Error::class),
            code = trail.status,
            request_id = trail.request_id,
            "{} in the account", self.audit.operation
        );
    }
}
