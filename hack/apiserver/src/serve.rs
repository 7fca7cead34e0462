//! The tower service: from HTTP requests to operations, and back.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use serde_json::{Value, json};

use crate::ApiServer;
use crate::failure::{Failure, Result};
use crate::request::{Ask, Verb};
use crate::resources::Resource;
use crate::watch::Watch;

/// The server for one user.
#[derive(Clone)]
pub struct Service {
    server: ApiServer,
    user: String,
}

/// The body of a response: a document, or the events of a watch.
pub struct Body(Kind);

enum Kind {
    Once(Option<Bytes>),
    Watch(Box<Watch>),
}

/// What an operation responds with.
pub enum Reply {
    Document(u16, Value),
    Watch(Box<Watch>),
}

impl Service {
    pub(crate) fn new(server: ApiServer, user: &str) -> Service {
        Service { server, user: user.to_owned() }
    }
}

impl tower::Service<Request<kube::client::Body>> for Service {
    type Response = Response<Body>;
    type Error = kube::Error;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Response<Body>, kube::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), kube::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let Service { server, user } = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            Ok(server.respond(&parts, &body, &user))
        })
    }
}

impl Body {
    /// The document that it is; nothing if it is a watch.
    pub fn document(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Once(bytes) => bytes.as_deref(),
            Kind::Watch(_) => None,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<Bytes>, Infallible>>> {
        let frame = match &mut self.get_mut().0 {
            Kind::Once(bytes) => Poll::Ready(bytes.take()),
            Kind::Watch(watch) => watch.poll(context),
        };
        frame.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl ApiServer {
    fn respond(&self, parts: &http::request::Parts, body: &[u8], user: &str) -> Response<Body> {
        let asked = match Ask::parse(parts, self.definitions(), user) {
            None => return response(404, "text/plain", Kind::Once(Some("404 page not found\n".into()))),
            Some(asked) => asked,
        };
        match asked.and_then(|ask| self.dispatch(&ask, body)) {
            Ok(Reply::Watch(watch)) => response(200, "application/json", Kind::Watch(watch)),
            Ok(Reply::Document(code, document)) => document_response(code, &document),
            Err(failure) => document_response(failure.code, &failure.status),
        }
    }

    fn dispatch(&self, ask: &Ask, body: &[u8]) -> Result<Reply> {
        let resource = self.definitions().get(ask.resource);
        self.authorize(ask, resource)?;
        let done = |object: &Value| Reply::Document(200, shown(ask, object));
        match ask.verb {
            Verb::Get => self.get(ask).map(|object| done(&object)),
            Verb::List => self.list(ask).map(|list| Reply::Document(200, list)),
            Verb::Watch => self.watch(ask).map(|watch| Reply::Watch(Box::new(watch))),
            Verb::Create => self.create(ask, body).map(|object| Reply::Document(201, shown(ask, &object))),
            Verb::Update => self.replace(ask, body).map(|(object, created)| {
                Reply::Document(if created { 201 } else { 200 }, shown(ask, &object))
            }),
            Verb::Patch => self.patch(ask, body).map(|(object, created)| {
                Reply::Document(if created { 201 } else { 200 }, shown(ask, &object))
            }),
            Verb::Delete => self.delete(ask, body).map(|object| done(&object)),
            Verb::DeleteCollection => self.delete_all(ask, body).map(|list| Reply::Document(200, list)),
        }
    }

    fn get(&self, ask: &Ask) -> Result<Value> {
        let state = self.state();
        let found = state.store.get(ask.resource, &ask.key());
        let missing = || {
            Failure::not_found(self.definitions().get(ask.resource), ask.name.as_deref().unwrap_or_default())
        };
        found.map(|stored| (*stored.object).clone()).ok_or_else(missing)
    }

    /// Refuses what [`ApiServer::deny`] was called for.
    fn authorize(&self, ask: &Ask, resource: &Resource) -> Result<()> {
        let sub = ask.subresource.as_ref().map(|sub| format!("/{sub}")).unwrap_or_default();
        let what = format!("{}{sub}", resource.plural);
        let state = self.state();
        let fits = |denied: &[String; 3]| {
            let fits = |rule: &str, asked: &str| rule == "*" || rule == asked;
            denied[0] == ask.user && fits(&denied[1], ask.verb.name()) && fits(&denied[2], &what)
        };
        if !state.denied.iter().any(fits) {
            return Ok(());
        }
        let name = ask.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
        let scope = match &ask.namespace {
            Some(namespace) => format!("in the namespace {namespace:?}"),
            None => "at the cluster scope".to_owned(),
        };
        let message = format!(
            "{}{name} is forbidden: User {:?} cannot {} resource {what:?} in API group {:?} {scope}",
            resource.qualified(),
            ask.user,
            ask.verb.name(),
            resource.group,
        );
        let mut failure = Failure::new(403, "Forbidden", message);
        failure.status["details"] = json!({"kind": resource.plural});
        if !resource.group.is_empty() {
            failure.status["details"]["group"] = resource.group.clone().into();
        }
        if let Some(name) = &ask.name {
            failure.status["details"]["name"] = name.clone().into();
        }
        Err(failure)
    }
}

/// An object in the form that was asked for.
pub fn shown(ask: &Ask, object: &Value) -> Value {
    if !ask.metadata_only || object["kind"] == "Status" && object["apiVersion"] == "v1" {
        return object.clone();
    }
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
    })
}

fn document_response(code: u16, document: &Value) -> Response<Body> {
    let text = serde_json::to_vec(document).expect("a JSON value can be written");
    response(code, "application/json", Kind::Once(Some(text.into())))
}

fn response(code: u16, content: &'static str, body: Kind) -> Response<Body> {
    let response = Response::builder().status(code).header("content-type", content);
    response.body(Body(body)).expect("the parts are valid")
}
