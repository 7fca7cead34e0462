//! An exchange in process: what carries out a call in place of the network, so that a test can run everything behind it in one
//! thread. Not a second way to send: time limits, rates, tokens and what a response means stay those of the client.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use reqwest::header::HOST;

use crate::databricks::reply::Reply;

/// A request with its whole body, as it would be sent.
type Sent = http::Request<Vec<u8>>;
/// The response, with its whole body, or why there is none.
type Outcome = Result<http::Response<Vec<u8>>, NoResponse>;

type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Carries out calls in process.
#[derive(Clone)]
pub struct Exchange(Arc<dyn Fn(Sent) -> Running + Send + Sync>);

/// Why an exchange ended without a response.
#[derive(Debug, Clone, PartialEq)]
pub enum NoResponse {
    /// There was no connection: nothing was sent.
    Unreachable(String),
    /// The request may have been carried out.
    Lost(String),
}

impl Exchange {
    /// An exchange that `carry_out` does.
    pub fn new<F>(carry_out: impl Fn(Sent) -> F + Send + Sync + 'static) -> Exchange
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        Exchange(Arc::new(move |request| Box::pin(carry_out(request))))
    }

    pub(super) async fn carry_out(&self, request: reqwest::Request) -> Result<Reply, NoResponse> {
        let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
        let mut sent = http::Request::new(body);
        *sent.method_mut() = request.method().clone();
        *sent.headers_mut() = request.headers().clone();
        let invalid = |error: &dyn fmt::Display| NoResponse::Unreachable(error.to_string());
        *sent.uri_mut() = request.url().as_str().parse().map_err(|error| invalid(&error))?;
        let host = sent.uri().authority().map(|host| host.as_str().parse());
        if let Some(host) = host {
            sent.headers_mut().insert(HOST, host.map_err(|error| invalid(&error))?);
        }
        let response = (self.0)(sent).await?;
        let mut reply = Reply::begun(response.status(), response.headers());
        reply.body = response.into_body();
        Ok(reply)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}
