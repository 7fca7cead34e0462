//! The operator's way to the API server in memory: a layer around its service, with the time limit that the process sets.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use apiserver::ApiServer;
use bytes::Bytes;
use databricks_operator::engine::cluster::TIMEOUT;
use http::{Request, Response};
use http_body::Frame;
use tower::{BoxError, Service};

use crate::gate::{Answer, Call, Gate, Gone};
use crate::stream::Stream;
use crate::trace::Api;

/// The user that the operator is.
const USER: &str = "operator";

/// A client of the operator whose calls pass a gate.
pub fn client(server: &ApiServer, gate: &Arc<Gate>) -> kube::Client {
    kube::Client::new(Gated { gate: gate.clone(), server: server.clone() }, "default")
}

struct Gated {
    gate: Arc<Gate>,
    server: ApiServer,
}

/// The body of a response: the server's, that of a watch, or one in its place.
pub enum Body {
    Theirs(apiserver::Body),
    Watch(Box<Stream>),
    Ours(Option<Bytes>),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Body::Ours(Some(bytes.into()).filter(|bytes: &Bytes| !bytes.is_empty()))
    }
}

impl Answer for Body {
    fn document(&self) -> Option<&[u8]> {
        match self {
            Body::Theirs(body) => body.document(),
            Body::Watch(_) => None,
            Body::Ours(bytes) => bytes.as_deref(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Body::Theirs(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
            Body::Watch(stream) => stream.poll(context),
            Body::Ours(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
        }
    }
}

impl Service<Request<kube::client::Body>> for Gated {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (gate, server) = (self.gate.clone(), self.server.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let (method, path) = (head.method.to_string(), head.uri.to_string());
            let call = Call { api: Api::Cluster, method, path: path.clone(), body: body.to_vec() };
            let passed = gate.clone();
            let effect = async move {
                let answered = server.service(USER).call(Request::from_parts(head, body.into())).await;
                answered.map_err(|_| Gone::Lost).map(|response| {
                    let watch = path.contains("watch=true") && response.status().is_success();
                    response.map(|body| match watch {
                        true => Body::Watch(Box::new(Stream::new(passed, &path, body))),
                        false => Body::Theirs(body),
                    })
                })
            };
            let answered = tokio::time::timeout(TIMEOUT, gate.pass(call, effect)).await?;
            answered.map_err(|gone| format!("{gone:?}").into())
        })
    }
}
