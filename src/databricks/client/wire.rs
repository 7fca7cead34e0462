//! One HTTP exchange, within limits of time and memory, that can reach only the checked host.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, DATE, HeaderMap, HeaderName, LOCATION, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, Url};
use tokio::time::timeout;

use super::settings::Settings;
use crate::databricks::Error;
use crate::databricks::host::Host;
use crate::databricks::reply::Reply;
use crate::databricks::shown::root_cause;

/// Counted after decompression.
const LONGEST_BODY: usize = 8 << 20;

pub(super) struct Wire {
    http: reqwest::Client,
}

impl Wire {
    pub(super) fn new(host: &Host, settings: &Settings) -> Result<Wire, Error> {
        match client(host, settings) {
            Ok(http) => Ok(Wire { http }),
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
            let response = self.http.execute(request).await?;
            read(response).await
        };
        match timeout(limit, exchange).await {
            Ok(Ok(Some(reply))) => Ok(reply),
            Ok(Ok(None)) => {
                let reason = format!("the answer is longer than {} MiB", LONGEST_BODY >> 20);
                Err(Error::Unknown { call, reason })
            }
            Ok(Err(error)) if error.is_connect() => {
                Err(Error::Unreachable { call, reason: root_cause(error) })
            }
            Ok(Err(error)) => Err(Error::Unknown { call, reason: root_cause(error) }),
            Err(_) => Err(Error::Unknown { call, reason: format!("it took longer than {limit:?}") }),
        }
    }
}

fn client(host: &Host, settings: &Settings) -> Result<reqwest::Client, reqwest::Error> {
    let http = settings.egress.http(host.as_str())?;
    let http = match host.below_localhost() {
        Some(name) => http.resolve(name, (Ipv4Addr::LOCALHOST, 0).into()),
        None => http,
    };
    http.user_agent(&settings.user_agent)
        .https_only(!host.is_loopback())
        .connect_timeout(settings.connect_timeout)
        // Shorter than the idle limits of usual load balancers, so that few calls meet a closed connection.
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(8)
        .tcp_keepalive(Duration::from_secs(30))
        .build()
}

/// The whole response, or `None` if it is too long.
async fn read(mut response: Response) -> Result<Option<Reply>, reqwest::Error> {
    let headers = response.headers();
    let mut reply = Reply {
        status: response.status().as_u16(),
        content_type: text(headers, CONTENT_TYPE).unwrap_or_default(),
        location: text(headers, LOCATION).unwrap_or_default(),
        retry_after: text(headers, RETRY_AFTER),
        date: text(headers, DATE),
        request_id: text(headers, HeaderName::from_static("x-request-id")),
        body: Vec::new(),
    };
    while let Some(chunk) = response.chunk().await? {
        if reply.body.len() + chunk.len() > LONGEST_BODY {
            return Ok(None);
        }
        reply.body.extend_from_slice(&chunk);
    }
    Ok(Some(reply))
}

/// A header as text; one that is not ASCII counts as garbage, not as absent.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}
