//! The life of a call: arrival, what a fault does to it, its effect, its response.
//!
//! A call runs in a task of its own: a client that gives up does not stop what it has set in motion.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use futures::stream;

use crate::call;
use crate::connection::{Connections, Cut};
use crate::control;
use crate::faults::{Fault, Held, When};
use crate::shared::Shared;
use crate::wire::{Content, Reply, Request};

/// The largest body that is read.
const LARGEST_BODY: usize = 4 << 20;

/// Serves until it is stopped.
pub(crate) async fn serve(shared: Arc<Shared>, listener: tokio::net::TcpListener) -> io::Result<()> {
    let stop = shared.stop.clone();
    let connections = Connections { listener, stop: stop.clone() };
    let router =
        Router::new().fallback(receive).with_state(shared).into_make_service_with_connect_info::<Cut>();
    axum::serve(connections, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: axum::extract::Request,
) -> Response<Body> {
    answer(shared, cut, request).await
}

/// The response to a call that came on no connection, with its whole body; an error where a connection would have broken.
pub(crate) async fn in_process(
    shared: Arc<Shared>,
    request: axum::http::Request<Bytes>,
) -> io::Result<Response<Bytes>> {
    let cut = Cut(shared.stop.child_token());
    let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
    let answered = async {
        let (head, body) = answer(shared, cut.clone(), request.map(Body::from)).await.into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(|_| lost())?;
        Ok(Response::from_parts(head, body))
    };
    let answered = cut.0.run_until_cancelled(answered).await;
    answered.filter(|_| !cut.0.is_cancelled()).unwrap_or_else(|| Err(lost()))
}

async fn answer(shared: Arc<Shared>, cut: Cut, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return respond(Reply::html(413, "Request body too large or not complete"), None);
    };
    let request = Request::new(parts.method.as_str(), &parts.uri, parts.headers, body);
    if let Some(path) = request.path.strip_prefix("/_simulator/") {
        let reply = control::answer(&shared, &request, path).unwrap_or_else(|refusal| refusal);
        return respond(reply, None);
    }
    let task = {
        let (shared, stop) = (shared.clone(), shared.stop.clone());
        async move { stop.run_until_cancelled(process(&shared, &request, &cut)).await }
    };
    match shared.tasks.spawn(task).await {
        Ok(Some(response)) => response,
        _ => respond(Reply::html(503, "the simulator is being stopped"), None),
    }
}

async fn process(shared: &Shared, request: &Request, cut: &Cut) -> Response<Body> {
    let arrival = call::arrive(&mut shared.world(), request);
    pause(arrival.latency_ms).await;
    let Some((id, fault)) = arrival.fault else {
        let reply = call::serve(&mut shared.world(), request, arrival.n);
        record(shared, arrival.n, reply.status);
        return respond(reply, None);
    };
    if fault.when == When::Before {
        wait(shared, request, arrival.n, id, &fault).await;
    }
    let replaced = fault.replaces();
    let mut reply =
        if replaced { Reply::empty(200) } else { call::serve(&mut shared.world(), request, arrival.n) };
    if fault.when == When::After {
        wait(shared, request, arrival.n, id, &fault).await;
    }
    fault.disguise(&mut reply);
    if fault.drop {
        cut.0.cancel();
    } else {
        record(shared, arrival.n, reply.status);
    }
    respond(reply, Some(&fault))
}

fn record(shared: &Shared, n: u64, status: u16) {
    if let Some(call) = shared.world().journal.call(n) {
        call.status = Some(status);
    }
}

async fn pause(ms: u64) {
    if ms > 0 {
        tokio::time::sleep(Duration::from_millis(ms)).await;
    }
}

/// The fault's delay and hold.
async fn wait(shared: &Shared, request: &Request, n: u64, fault_id: u64, fault: &Fault) {
    pause(fault.delay_ms).await;
    if !fault.hold {
        return;
    }
    let (method, path) = (request.method.clone(), request.path.clone());
    let released = shared.world().faults.hold(Held { n, fault_id, method, path, when: fault.when });
    shared.holding.notify_waiters();
    // The sender only goes away unused with the simulator, and then this task is cancelled too.
    let _ = released.await;
}

fn respond(reply: Reply, fault: Option<&Fault>) -> Response<Body> {
    let bytes = match reply.content {
        Content::Empty => Bytes::new(),
        Content::Json(value) => Bytes::from(value.to_string()),
        Content::Text(text) => Bytes::from(text),
    };
    let announced = bytes.len();
    let truncate_to = fault.and_then(|fault| fault.truncate_bytes).filter(|most| *most < announced);
    let slow_ms = fault.and_then(|fault| fault.slow_ms_per_byte);
    let body = if truncate_to.is_some() || slow_ms.is_some() {
        trickle(bytes, truncate_to, slow_ms)
    } else {
        Body::from(bytes)
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    // HTTP has no body, nor a length of one, with these.
    if !matches!(reply.status, 204 | 304) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(announced));
    }
    let content_type =
        Some(("content-type".to_owned(), reply.content_type)).filter(|(_, value)| !value.is_empty());
    for (name, value) in content_type.into_iter().chain(reply.headers) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    response
}

/// A body that comes in drops, or ends too early, or both.
fn trickle(bytes: Bytes, truncate_to: Option<usize>, slow_ms: Option<u64>) -> Body {
    let end = truncate_to.unwrap_or(bytes.len());
    let next = move |sent: usize| {
        let bytes = bytes.clone();
        async move {
            if sent >= end {
                // Lets what was sent so far reach the wire before the connection breaks.
                tokio::task::yield_now().await;
                let broken = Err(io::Error::from(io::ErrorKind::ConnectionReset));
                return (truncate_to.is_some() && sent == end).then_some((broken, end + 1));
            }
            pause(slow_ms.unwrap_or(0)).await;
            let until = if slow_ms.is_some() { sent + 1 } else { end };
            Some((Ok::<_, io::Error>(bytes.slice(sent..until)), until))
        }
    };
    Body::from_stream(stream::unfold(0, next))
}
