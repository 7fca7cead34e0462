//! Watches: the changes after a revision as lines of JSON, with bookmarks, until the time-out.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::ApiServer;
use crate::failure::{Failure, Result};
use crate::list::parse_version;
use crate::request::Ask;
use crate::selector::Selector;
use crate::serve::shown;
use crate::store::{Change, Stored};

/// How often an idle watch gets a bookmark, and how long before its end it gets the last one.
const BOOKMARKS: Duration = Duration::from_secs(60);
const LAST_BOOKMARK: Duration = Duration::from_secs(2);
/// How often it gets one from a server that is calm, see [`ApiServer::calm`], and how long a watch of that server runs.
const CALM_BOOKMARKS: Duration = Duration::from_secs(280);
const CALM_TIMEOUT: u64 = 14_400;
/// How long a watch runs that names no time-out. The real server draws between this and twice as long.
const DEFAULT_TIMEOUT: u64 = 1800;

/// A running watch.
pub struct Watch {
    server: ApiServer,
    ask: Ask,
    selector: Selector,
    /// The revision up to which everything was sent.
    seen: u64,
    /// Lines to send before any change.
    first: VecDeque<Value>,
    /// How often it gets a bookmark, if it wants any.
    bookmarks: Option<Duration>,
    ends: Instant,
    timer: Pin<Box<Sleep>>,
    /// Nothing comes after what is in `first`.
    over: bool,
}

impl ApiServer {
    pub(crate) fn watch(&self, ask: &Ask) -> Result<Watch> {
        let resource = self.definitions().get(ask.resource);
        let selector = Selector::of(ask, resource)?;
        let version = ask.query("resourceVersion");
        let from = if version.is_empty() { Ok(0) } else { parse_version(version) };
        let from = from.map_err(|why| Failure::new(500, "", why))?;
        let calm = self.state().calm;
        let timeout: u64 = ask.query("timeoutSeconds").parse().unwrap_or(DEFAULT_TIMEOUT);
        let timeout = if calm { CALM_TIMEOUT } else { timeout };
        let ends = Instant::now() + Duration::from_secs(timeout);
        let bookmarks = ask.query("allowWatchBookmarks") == "true" || ask.query("allowWatchBookmarks") == "1";
        let mut watch = Watch {
            server: self.clone(),
            ask: ask.clone(),
            selector,
            seen: from,
            first: VecDeque::new(),
            bookmarks: bookmarks.then_some(if calm { CALM_BOOKMARKS } else { BOOKMARKS }),
            ends,
            timer: Box::pin(sleep_until(ends)),
            over: false,
        };
        watch.begin(from);
        watch.set_timer();
        Ok(watch)
    }
}

impl Watch {
    /// What is sent at once: the state if no revision was named, or that the revision is too old.
    fn begin(&mut self, from: u64) {
        let server = self.server.clone();
        let state = server.state();
        let (current, oldest) = (state.store.revision(), state.store.oldest());
        if from == 0 {
            let all = state.store.all(self.ask.resource).iter();
            let selected = all.filter(|(key, stored)| self.selector.matches(key, &stored.object));
            let added: Vec<Value> = selected.map(|(_, stored)| self.event("ADDED", &stored.object)).collect();
            self.first.extend(added);
            self.seen = current;
            if self.bookmarks.is_some() {
                let mut bookmark = self.bookmark();
                bookmark["object"]["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
                self.first.push_back(bookmark);
            }
        } else if from < oldest {
            let failure = Failure::expired(format!("too old resource version: {from} ({oldest})"));
            self.first.push_back(json!({"type": "ERROR", "object": failure.status}));
            self.over = true;
        }
    }

    /// The next lines; `None` at the end.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.first.is_empty() {
            let lines: Vec<Value> = self.first.drain(..).collect();
            return Poll::Ready(Some(written(&lines)));
        }
        if self.over {
            return Poll::Ready(None);
        }
        let events = self.changes(context);
        if !events.is_empty() {
            return Poll::Ready(Some(written(&events)));
        }
        if self.timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        if Instant::now() >= self.ends {
            self.over = true;
            return Poll::Ready(None);
        }
        let bookmark = self.bookmark();
        self.set_timer();
        Poll::Ready(Some(written(&[bookmark])))
    }

    /// The events since the last call. If there are none, the next change wakes the watch.
    fn changes(&mut self, context: &mut Context<'_>) -> Vec<Value> {
        let server = self.server.clone();
        let mut state = server.state();
        let changes = state.store.since(self.seen).iter();
        let changes = changes.filter(|change| change.resource == self.ask.resource);
        let events: Vec<Value> = changes.filter_map(|change| self.of(change)).collect();
        self.seen = self.seen.max(state.store.revision());
        if events.is_empty() {
            state.store.wake(self.ask.resource, context.waker());
        }
        events
    }

    /// What a change is for this watch: an object that no longer matches the selector is as good as deleted.
    fn of(&self, change: &Change) -> Option<Value> {
        let matching = |stored: &&Stored| self.selector.matches(&change.key, &stored.object);
        match (change.before.as_ref().filter(matching), change.after.as_ref().filter(matching)) {
            (None, None) => None,
            (None, Some(after)) => Some(self.event("ADDED", &after.object)),
            (Some(_), Some(after)) => Some(self.event("MODIFIED", &after.object)),
            (Some(before), None) => {
                let mut last = (*before.object).clone();
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                Some(self.event("DELETED", &last))
            }
        }
    }

    fn event(&self, kind: &str, object: &Value) -> Value {
        json!({"type": kind, "object": shown(&self.ask, object)})
    }

    fn bookmark(&self) -> Value {
        let resource = self.server.definitions().get(self.ask.resource);
        let version = json!({"resourceVersion": self.seen.to_string()});
        let object =
            json!({"kind": resource.kind, "apiVersion": resource.api_version(), "metadata": version});
        json!({"type": "BOOKMARK", "object": shown(&self.ask, &object)})
    }

    /// To the next bookmark or the end.
    fn set_timer(&mut self) {
        let now = Instant::now();
        let last = self.ends.checked_sub(LAST_BOOKMARK).filter(|last| *last > now);
        let next = match (last, self.bookmarks) {
            (Some(last), Some(bookmarks)) => last.min(now + bookmarks),
            _ => self.ends,
        };
        self.timer.as_mut().reset(next);
    }
}

fn written(events: &[Value]) -> Bytes {
    let mut text = vec![];
    for event in events {
        serde_json::to_writer(&mut text, event).expect("a JSON value can be written");
        text.push(b'\n');
    }
    text.into()
}
