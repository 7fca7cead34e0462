//! The events of a watch between the API server and the operator, where the faults of watches strike.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};
use tower::BoxError;

use crate::fault::Watch;
use crate::gate::Gate;

/// How long a response that has begun may pause: as long as the process allows, see `src/cli/connect.rs`.
const SILENCE: Duration = Duration::from_secs(300);

/// A running watch.
pub struct Stream {
    gate: Arc<Gate>,
    /// The path of the watch, without its query.
    path: String,
    theirs: apiserver::Body,
    /// Lines of the API server that no fault has been asked about.
    arrived: VecDeque<Bytes>,
    /// Lines for the operator.
    passed: VecDeque<Bytes>,
    state: State,
}

enum State {
    Open,
    /// Nothing passes until then.
    Held(Pin<Box<Sleep>>),
    /// Nothing passes; then the operator closes the connection.
    Silent(Pin<Box<Sleep>>),
    Over,
}

impl Stream {
    /// A watch that has begun.
    pub fn new(gate: Arc<Gate>, path: &str, theirs: apiserver::Body) -> Stream {
        let path = path.split('?').next().unwrap_or_default().to_owned();
        let (arrived, passed) = (VecDeque::new(), VecDeque::new());
        Stream { gate, path, theirs, arrived, passed, state: State::Open }
    }

    /// The next line; `None` at the end.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        // What is left of a crashed operator waits for ever.
        if self.gate.is_closed() {
            return Poll::Pending;
        }
        loop {
            match &mut self.state {
                State::Held(until) => {
                    ready!(until.as_mut().poll(context));
                    self.state = State::Open;
                }
                State::Silent(until) => {
                    ready!(until.as_mut().poll(context));
                    self.state = State::Over;
                    return Poll::Ready(Some(Err("the connection is silent".into())));
                }
                State::Open | State::Over => {}
            }
            if let Some(line) = self.passed.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(line))));
            }
            if matches!(self.state, State::Over) {
                return Poll::Ready(None);
            }
            if let Some(line) = self.arrived.pop_front() {
                self.pass(line);
                continue;
            }
            match ready!(Pin::new(&mut self.theirs).poll_frame(context)) {
                None => return Poll::Ready(None),
                Some(Err(never)) => match never {},
                Some(Ok(frame)) => self.arrived.extend(frame.into_data().map(lines).unwrap_or_default()),
            }
        }
    }

    /// One line, with what happens to it.
    fn pass(&mut self, line: Bytes) {
        match self.gate.next_event(&self.path, || is_bookmark(&line)) {
            None => self.passed.push_back(line),
            Some(Watch::Late(seconds)) => {
                self.passed.push_back(line);
                self.state = State::Held(Box::pin(sleep(Duration::from_secs(seconds.into()))));
            }
            Some(Watch::Twice) => self.passed.extend([line.clone(), line]),
            Some(Watch::Cut) => self.state = State::Over,
            Some(Watch::Expired) => {
                self.passed.push_back(expired());
                self.state = State::Over;
            }
            Some(Watch::Silent) => self.state = State::Silent(Box::pin(sleep(SILENCE))),
        }
    }
}

/// The lines of a frame, which has only whole ones.
fn lines(mut frame: Bytes) -> Vec<Bytes> {
    let mut all = vec![];
    while let Some(end) = frame.iter().position(|byte| *byte == b'\n') {
        all.push(frame.split_to(end + 1));
    }
    all
}

fn is_bookmark(line: &[u8]) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|event| event["type"] == "BOOKMARK")
}

/// The last line of a watch whose history is gone.
fn expired() -> Bytes {
    let message = "too old resource version";
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
                        "reason": "Expired", "code": 410});
    format!("{}\n", json!({"type": "ERROR", "object": status})).into()
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use apiserver::ApiServer;
    use databricks_operator::clock;
    use futures::StreamExt;
    use k8s_openapi::api::core::v1::Secret;
    use kube::ResourceExt;
    use kube::api::{Api, ListParams, PostParams, WatchParams};
    use kube::core::WatchEvent;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::cluster;
    use crate::fault::Plan;

    /// Longer than all that is late.
    const PATIENCE: Duration = Duration::from_secs(100);

    struct Cluster {
        user: Api<Secret>,
        operator: Api<Secret>,
        began: Instant,
    }

    impl Cluster {
        /// An API server; the fault is at the operator's first call.
        fn with(fault: &str) -> Cluster {
            let server = ApiServer::new(vec![], clock::now);
            let plan: Plan = format!("call 1: {fault}").parse().unwrap();
            let gate = Gate::new(Arc::default(), Arc::new(plan));
            let user = Api::default_namespaced(server.client("user"));
            let operator = Api::default_namespaced(cluster::client(&server, &gate));
            Cluster { user, operator, began: Instant::now() }
        }

        async fn create(&self, names: &[&str]) {
            for name in names {
                let mut secret = Secret::default();
                secret.metadata.name = Some((*name).to_owned());
                self.user.create(&PostParams::default(), &secret).await.unwrap();
            }
        }

        /// When the operator sees what, in a watch from this version on: names, and the codes of errors.
        async fn seen(&self, version: &str, create: &[&str]) -> Vec<(u64, String)> {
            let params = WatchParams::default().disable_bookmarks();
            let mut events = pin!(self.operator.watch(&params, version).await.unwrap());
            self.create(create).await;
            let mut all = vec![];
            while let Ok(Some(event)) = timeout(PATIENCE, events.next()).await {
                let what = match event.unwrap() {
                    WatchEvent::Added(secret) => secret.name_any(),
                    WatchEvent::Error(status) => status.code.to_string(),
                    other => format!("{other:?}"),
                };
                all.push((self.began.elapsed().as_secs(), what));
            }
            all
        }

        async fn version(&self) -> String {
            let list = self.user.list(&ListParams::default()).await.unwrap();
            list.metadata.resource_version.unwrap()
        }
    }

    fn at(second: u64, names: &[&str]) -> Vec<(u64, String)> {
        names.iter().map(|name| (second, (*name).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_to_an_event_happens_once_and_keeps_the_order() {
        for (fault, expected) in [
            ("next event 60 s late", at(60, &["a", "b"])),
            ("next event twice", at(0, &["a", "a", "b"])),
            ("next event lost, the watch ends", at(0, &[])),
            ("next event lost, the watch ends with 410", at(0, &["410"])),
            ("next event lost, the watch is silent", at(0, &[])),
        ] {
            let cluster = Cluster::with(fault);
            let version = cluster.version().await;
            assert_eq!(cluster.seen(&version, &["a", "b"]).await, expected, "{fault}");
            // The next watch continues where the client was.
            let again = cluster.seen(&version, &[]).await;
            assert_eq!(again.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["a", "b"], "{fault}");
        }
    }
}
