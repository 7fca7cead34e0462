//! One client for one account and one pair of credentials: sign in, wait for the rate, one try, decode.
//!
//! Nothing here sends a POST twice: reqwest's own retries are off, and after a refused token only other methods are sent again.
//! (The pool below reqwest may move a request to a new connection, but only one of which no byte was written.)
//! The connection can do nothing but HTTPS to the checked host: no redirects, no proxy but that of the settings, no way
//! to relax certificate checks.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::TraceContextExt;
use reqwest::RequestBuilder;
use reqwest::header::HeaderValue;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::host::{Host, HostNotAllowed};
use super::page::{Broken, Collected, Pages};
use super::rate::{Class, Rate};
use super::reply::Reply;
use super::shown::{clean, collect_secrets, misfit};
use super::token::Tokens;
use super::{Error, Fence, Method, Request, Urgency};

mod connection;
mod exchange;
mod rates;
mod settings;
mod sign_in;
mod wire;
mod workspace;

pub use connection::{Connection, Credentials};
pub use exchange::{Exchange, NoResponse};
use rates::PrincipalRates;
pub use rates::Rates;
pub use settings::Settings;
use wire::Wire;

/// The account API. Clones share token, rate and connections; the credentials never change.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    settings: Settings,
    wire: Wire,
    /// The way to the server of Google that issues the tokens, if the credentials are Google's.
    google: Option<Wire>,
    rate: Arc<Rate>,
    /// All that the clients of the service principal share.
    rates: Arc<PrincipalRates>,
    tokens: Arc<Tokens>,
    /// The workspace whose host is called, if it is not the account's.
    workspace: Option<String>,
    /// The workspaces of the account that were called.
    known: Mutex<Known>,
}

/// What the audit log records of a call, whatever its result.
#[derive(Debug, Clone, PartialEq)]
pub struct Trail {
    /// Method and path.
    pub call: String,
    /// The HTTP status, if there was a response.
    pub status: Option<u16>,
    /// The id under which Databricks can find the call, if the response has one.
    pub request_id: Option<String>,
}

/// Where a workspace is.
pub enum WorkspaceHost {
    /// It runs, and this client calls it.
    Runs(Client),
    /// It exists, and cannot be called for now; the text says why.
    Waits(String),
    /// The account names a host that credentials must not be sent to.
    NotAllowed(HostNotAllowed),
    /// The account certainly has no such workspace.
    Gone,
}

/// The clients of workspaces by id, and when the account last said that the workspace runs.
type Known = HashMap<String, (Option<Instant>, Client)>;

/// One try: what to send and under which rules.
struct Try<'a> {
    wire: &'a Wire,
    call: &'a str,
    method: Method,
    class: Class,
    urgency: Urgency,
    fence: Option<&'a Fence>,
    /// Longest time for the exchange.
    limit: Duration,
    /// What must not come back in an error.
    secrets: Vec<String>,
}

impl Client {
    /// A client that has not signed in yet. It shares its rates with the other clients of the service principal that
    /// have these settings: what Databricks asks one of them to delay waits in all of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the settings or the system's certificates cannot be used.
    pub fn new(connection: Connection, settings: &Settings) -> Result<Client, Error> {
        let Connection { host, account_id, client_id, .. } = &connection;
        let rates = settings.rates.of([host.as_str(), account_id.as_str(), client_id.as_str()]);
        Client::at(connection, settings, None, rates)
    }

    /// A client for the account, or for a workspace whose host is that of the connection.
    fn at(
        connection: Connection,
        settings: &Settings,
        workspace: Option<String>,
        rates: Arc<PrincipalRates>,
    ) -> Result<Client, Error> {
        let wire = Wire::new(&connection.host, settings)?;
        let issuer = connection.credentials.issuer(&connection.host);
        let google = issuer.map(|issuer| Wire::new(&issuer, settings)).transpose()?;
        let new = || Rate::new(settings.requests_per_second, settings.burst);
        let rate = rates.of(workspace.as_deref(), new);
        let (settings, tokens, known) = (settings.clone(), Arc::default(), Mutex::default());
        Ok(Client {
            inner: Arc::new(Inner {
                connection,
                settings,
                wire,
                google,
                rate,
                rates,
                tokens,
                workspace,
                known,
            }),
        })
    }

    /// The account that this client is for.
    pub fn account_id(&self) -> &str {
        &self.inner.connection.account_id
    }

    /// The service principal, or the Google service account, that this client signs in as.
    pub fn client_id(&self) -> &str {
        &self.inner.connection.client_id
    }

    /// The workspace that this client calls; none if it calls the account.
    pub fn workspace_id(&self) -> Option<&str> {
        self.inner.workspace.as_deref()
    }

    /// Whether the account is on Google Cloud.
    pub fn on_google(&self) -> bool {
        self.inner.connection.on_google
    }

    /// Where the calls go.
    pub fn host(&self) -> &Host {
        &self.inner.connection.host
    }

    /// Whether host, account and credentials fit together: the host's metadata does not name another account, and
    /// there is a token.
    ///
    /// # Errors
    /// [`Error::AccountMismatch`], [`Error::CredentialsRefused`], or the reason for a missing response.
    pub async fn authenticate(&self) -> Result<(), Error> {
        self.inner.check_account().await?;
        self.inner.token().await.map(drop)
    }

    /// One call. An empty response decodes as `null`; use `serde::de::IgnoredAny` if the response does not matter.
    ///
    /// # Errors
    /// Any [`Error`]. After [`Error::may_have_happened`], read before trying again.
    pub async fn send<T: DeserializeOwned>(&self, request: Request) -> Result<T, Error> {
        self.send_for_audit(request).await.0
    }

    /// The same, with the trail for an audit log.
    pub async fn send_for_audit<T: DeserializeOwned>(&self, request: Request) -> (Result<T, Error>, Trail) {
        let call = request.call();
        let reply = self.inner.call(&request).await;
        let (status, request_id) = match &reply {
            Ok(reply) => (Some(reply.status), reply.request_id.as_deref()),
            Err(error) => (error.status(), error.request_id()),
        };
        let request_id = request_id.map(|id| clean(id, &[], 100));
        let result = reply.and_then(|reply| reply.decode(&call, request.method == Method::Get));
        (result, Trail { call, status, request_id })
    }

    /// All items of a list, over all pages. `request` is the GET of the first page.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Decode`] or [`Error::Unknown`] when the pages make no complete list.
    pub async fn list<T: DeserializeOwned>(
        &self,
        mut request: Request,
        style: Pages,
    ) -> Result<Vec<T>, Error> {
        let call = request.call();
        let mut collected = Collected::new(style);
        for (name, value) in collected.first() {
            set_query(&mut request, name, value);
        }
        loop {
            let reply = self.inner.call(&request).await?;
            let page: Value = reply.decode(&call, true)?;
            match collected.add(page, reply.body.len()) {
                Ok(Some((name, value))) => set_query(&mut request, name, value),
                Ok(None) => break,
                Err(Broken::Shape(reason)) => return Err(Error::Decode { call, reason }),
                Err(Broken::Moved(reason)) => return Err(Error::Unknown { call, reason: reason.to_owned() }),
            }
        }
        let items = collected.items.into_iter().map(serde_json::from_value).collect::<Result<Vec<T>, _>>();
        items.map_err(|error| Error::Decode { call, reason: misfit(&error) })
    }

    /// The longest time for which Databricks has asked to delay calls of some class.
    pub fn throttled(&self) -> Option<Duration> {
        self.inner.rate.closed_for()
    }

    /// When the token in use expires. `None` without one, and if it expired and no call has needed one since; a token that
    /// could not be renewed still counts.
    pub fn token_expiry(&self) -> Option<SystemTime> {
        self.inner.tokens.expiry()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(&self.inner.connection).finish()
    }
}

impl Inner {
    async fn call(self: &Arc<Self>, request: &Request) -> Result<Reply, Error> {
        let first = self.signed(request).await;
        match first {
            // Not so for a POST: "never twice" needs no exception for a host that acts first and then refuses.
            Err(Error::TokenRefused { fresh: false, .. }) if request.method != Method::Post => {}
            other => return other,
        }
        match self.signed(request).await {
            Err(Error::TokenRefused { refusal, .. }) => Err(Error::TokenRefused { refusal, fresh: true }),
            second => {
                if second.as_ref().err().is_none_or(Error::was_sent) {
                    self.tokens.helped();
                }
                second
            }
        }
    }

    /// One try with a token.
    async fn signed(self: &Arc<Self>, request: &Request) -> Result<Reply, Error> {
        let url = request.url(&self.connection.host)?;
        let call = request.call();
        if self.connection.lacks_google_token(request) {
            return Err(Error::NoGoogleToken { call });
        }
        let token = self.token().await?;
        let secrets = [Some(token.value()), token.of_google(), self.connection.credentials.secret()];
        let mut secrets: Vec<String> = secrets.into_iter().flatten().map(str::to_owned).collect();
        request.body.iter().for_each(|body| collect_secrets(body, false, &mut secrets));
        let of_google = token.of_google().filter(|_| self.connection.sends_google_token(request));
        let http = self.wire.request(request.method.http(), url).bearer_auth(token.value());
        let mut http = match of_google.and_then(|text| HeaderValue::from_str(text).ok()) {
            Some(mut of_google) => {
                of_google.set_sensitive(true);
                http.header("x-databricks-gcp-sa-access-token", of_google)
            }
            None => http,
        };
        if let Some(body) = &request.body {
            http = http.json(body);
        }
        let outcome = self
            .exchange(
                http,
                Try {
                    wire: &self.wire,
                    call: &call,
                    method: request.method,
                    class: Class::of(request.method, &request.path),
                    urgency: request.urgency,
                    fence: request.fence.as_ref(),
                    limit: match request.method {
                        Method::Get => self.settings.request_timeout,
                        _ => self.settings.write_timeout,
                    },
                    secrets,
                },
            )
            .await;
        match outcome {
            Err(Error::TokenRefused { refusal, .. }) => {
                Err(Error::TokenRefused { refusal, fresh: !self.tokens.refused(&token) })
            }
            outcome => outcome,
        }
    }

    /// One exchange, as a span of its own.
    async fn exchange(&self, http: RequestBuilder, this: Try<'_>) -> Result<Reply, Error> {
        let method = this.method.name();
        let span = debug_span!(
            "call",
            otel.name = format!("{method} {}", this.class.name()),
            otel.kind = "client",
            otel.status_code = Empty,
            api = this.class.name(),
            method,
            status = Empty,
            error = Empty,
        );
        let outcome = self.try_once(http, this).instrument(span.clone()).await;
        match &outcome {
            Ok(reply) => span.record("status", reply.status),
            Err(error) => {
                error.status().map(|status| span.record("status", status));
                span.record("error", error.class()).record("otel.status_code", "ERROR")
            }
        };
        outcome
    }

    /// Waits for the rate, checks the fence, sends, and records what the host says about the rate.
    async fn try_once(&self, http: RequestBuilder, this: Try<'_>) -> Result<Reply, Error> {
        let call = this.call.to_owned();
        let meter = &self.settings.meter;
        let asked = Instant::now();
        let turn = self.rate.turn(this.class, this.urgency).await;
        meter.waited(this.class, asked.elapsed());
        let turn = turn.map_err(|retry_after| Error::Throttled { call: call.clone(), retry_after })?;
        if this.fence.is_some_and(|may_act| !may_act()) {
            return Err(Error::Fenced { call });
        }
        let http = match traceparent() {
            Some(traceparent) => http.header("traceparent", traceparent),
            None => http,
        };
        let begun = Instant::now();
        let reply = this.wire.send(http, &call, this.limit).await;
        let status = reply.as_ref().ok().map(|reply| reply.status);
        meter.sent(this.class, this.method, status, begun.elapsed());
        let reply = reply?;
        if reply.is_success() {
            self.rate.answered(turn);
            return Ok(reply);
        }
        let mut error = reply.failure(&call, &this.secrets);
        let throttled = reply.status == 429 || (reply.status == 503 && reply.retry_after.is_some());
        if throttled {
            meter.throttled(this.class);
        }
        match &mut error {
            Error::Api { retry_after, .. } if throttled => {
                *retry_after = Some(self.rate.close(turn, *retry_after));
            }
            _ => self.rate.answered(turn),
        }
        Err(error)
    }
}

/// The header by which the called server can join the trace (W3C Trace Context), if there is one.
fn traceparent() -> Option<String> {
    let context = Span::current().context();
    let span = context.span().span_context().clone();
    span.is_valid()
        .then(|| format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8()))
}

fn set_query(request: &mut Request, name: &str, value: String) {
    request.query.retain(|(other, _)| other != name);
    request.query.push((name.to_owned(), value));
}
