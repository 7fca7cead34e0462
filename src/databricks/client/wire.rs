//! One HTTP exchange, within limits of time and memory, that can reach only the checked host. A test may give an exchange
//! in process in place of the network, see [`Exchange`].

use std::time::Duration;

use reqwest::header::ACCEPT;
use reqwest::{Method, Request, RequestBuilder, Response, Url};
use tokio::time::timeout;

use super::exchange::{Exchange, NoResponse};
use super::settings::Settings;
use crate::databricks::Error;
use crate::databricks::host::Host;
use crate::databricks::reply::Reply;
use crate::databricks::shown::root_cause;

/// Counted after decompression.
const LONGEST_BODY: usize = 8 << 20;

pub(super) struct Wire {
    /// Builds all requests, and sends them unless there is an exchange in process.
    http: reqwest::Client,
    in_process: Option<Exchange>,
}

impl Wire {
    pub(super) fn new(host: &Host, settings: &Settings) -> Result<Wire, Error> {
        let http = match settings.exchange {
            Some(_) => builder_of_requests(),
            None => client(host, settings),
        };
        match http {
            Ok(http) => Ok(Wire { http, in_process: settings.exchange.clone() }),
            Err(error) => {
                Err(Error::Invalid { call: "the HTTP client".to_owned(), reason: root_cause(error) })
            }
        }
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url).header(ACCEPT, "application/json")
    }

    /// Sends once and reads the whole response, within `limit`. Any status is a response.
    pub(super) async fn send(
        &self,
        http: RequestBuilder,
        call: &str,
        limit: Duration,
    ) -> Result<Reply, Error> {
        let call = call.to_owned();
        let request = match http.build() {
            Ok(request) => request,
            Err(error) => return Err(Error::Invalid { call, reason: root_cause(error) }),
        };
        let exchange = async {
            match &self.in_process {
                Some(exchange) => exchange.carry_out(request).await,
                None => self.over_the_network(request).await,
            }
        };
        match timeout(limit, exchange).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(NoResponse::Unreachable(reason))) => Err(Error::Unreachable { call, reason }),
            Ok(Err(NoResponse::Lost(reason))) => Err(Error::Unknown { call, reason }),
            Err(_) => Err(Error::Unknown { call, reason: format!("it took longer than {limit:?}") }),
        }
    }

    async fn over_the_network(&self, request: Request) -> Result<Reply, NoResponse> {
        let broken = |error: reqwest::Error| match error.is_connect() {
            true => NoResponse::Unreachable(root_cause(error)),
            false => NoResponse::Lost(root_cause(error)),
        };
        let response = self.http.execute(request).await.map_err(broken)?;
        let reply = read(response).await.map_err(broken)?;
        reply.ok_or_else(|| {
            NoResponse::Lost(format!("the response is longer than {} MiB", LONGEST_BODY >> 20))
        })
    }
}

fn client(host: &Host, settings: &Settings) -> Result<reqwest::Client, reqwest::Error> {
    let http = settings.egress.http(host.as_str())?;
    let http = match host.fixed_address() {
        Some((name, address)) => http.resolve(name, (address, 0).into()),
        None => http,
    };
    http.user_agent(&settings.user_agent)
        .https_only(!host.is_plain_http())
        .connect_timeout(settings.connect_timeout)
        // Shorter than the idle limits of usual load balancers, so that few calls meet a closed connection.
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .tcp_keepalive(Duration::from_secs(30))
        .build()
}

/// A client that is never asked to send, and could reach nothing: it trusts no certificate.
fn builder_of_requests() -> Result<reqwest::Client, reqwest::Error> {
    _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().https_only(true).tls_certs_only([]).build()
}

/// The whole response, or `None` if it is too long.
async fn read(mut response: Response) -> Result<Option<Reply>, reqwest::Error> {
    let mut reply = Reply::begun(response.status(), response.headers());
    while let Some(chunk) = response.chunk().await? {
        if reply.body.len() + chunk.len() > LONGEST_BODY {
            return Ok(None);
        }
        reply.body.extend_from_slice(&chunk);
    }
    Ok(Some(reply))
}
