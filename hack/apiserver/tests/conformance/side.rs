//! One of the two servers, and what was seen of it: steps name versions and ids by what they are, not by their value.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use crate::steps::Step;

/// How long a response may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A server and the memory of one sequence.
pub struct Side {
    client: kube::Client,
    namespace: String,
    /// Every version of each object that a response had, by `plural/name`.
    seen: BTreeMap<String, Vec<Value>>,
    /// The revision of the first list.
    start: String,
    continued: String,
}

/// A response: a watch has a list of events.
#[derive(Clone, Debug)]
pub struct Reply {
    pub code: u16,
    pub body: Value,
}

impl Side {
    pub fn new(client: kube::Client, namespace: &str) -> Side {
        Side {
            client,
            namespace: namespace.to_owned(),
            seen: BTreeMap::new(),
            start: "1".into(),
            continued: String::new(),
        }
    }

    /// Sends a step and remembers what the response shows.
    pub async fn take(&mut self, step: &Step) -> Reply {
        let mut body = step.body.clone();
        if let Some(base) = &step.base {
            let mut object = self.last(base).cloned().unwrap_or(Value::Null);
            json_patch::merge(&mut object, &body);
            body = object;
        }
        self.fill(&mut body);
        let path = self.filled(&step.path);
        let bytes = if body.is_null() { vec![] } else { serde_json::to_vec(&body).unwrap() };
        let request = Request::builder()
            .method(step.method)
            .uri(&path)
            .header(header::CONTENT_TYPE, step.content)
            .header(header::USER_AGENT, "conformance/1");
        let sent = self.client.send(request.body(Body::from(bytes)).unwrap());
        let response = tokio::time::timeout(LIMIT, sent).await;
        let response = response.unwrap_or_else(|_| panic!("no response to {step}")).unwrap();
        let code = response.status().as_u16();
        let read = response.into_body().collect();
        let bytes = tokio::time::timeout(LIMIT, read).await;
        let bytes = bytes.unwrap_or_else(|_| panic!("the response does not end: {step}"));
        let bytes = bytes.unwrap().to_bytes();
        let body = if step.is_watch() {
            serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>().map(Result::unwrap).collect()
        } else {
            let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
            serde_json::from_slice(&bytes).unwrap_or_else(|_| text())
        };
        self.remember(step, &body);
        Reply { code, body }
    }

    fn last(&self, object: &str) -> Option<&Value> {
        self.seen.get(object)?.last()
    }

    fn remember(&mut self, step: &Step, body: &Value) {
        if let Some(revision) =
            body["metadata"]["resourceVersion"].as_str().filter(|_| body["items"].is_array())
        {
            if self.start == "1" {
                self.start = revision.to_owned();
            }
            self.continued = body["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        }
        let Some(name) = body["metadata"]["name"].as_str().filter(|_| !step.is_watch()) else { return };
        let seen = self.seen.entry(format!("{}/{name}", step.plural)).or_default();
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if !seen.last().is_some_and(|last| version(last) == version(body)) {
            seen.push(body.clone());
        }
    }

    /// Replaces what stands for a value of this side in all texts.
    fn fill(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.filled(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.fill(item)),
            Value::Object(map) => map.values_mut().for_each(|value| self.fill(value)),
            _ => {}
        }
    }

    fn filled(&self, text: &str) -> String {
        let text = text.replace("{ns}", &self.namespace).replace("$start", &self.start);
        let text = text.replace("$continue", &self.continued);
        let Some(at) = text.find('$') else { return text };
        let (before, rest) = text.split_at(at);
        let Some((word, object)) = rest[1..].split_once(':') else { return text };
        let (object, after) = object.split_once('&').map_or((object, ""), |(object, after)| (object, after));
        let of = |object: Option<&Value>, field: &str| {
            object.and_then(|o| o["metadata"][field].as_str()).unwrap_or("1").to_owned()
        };
        let found = match word {
            "version" => of(self.last(object), "resourceVersion"),
            "old" => of(self.seen.get(object).and_then(|all| all.first()), "resourceVersion"),
            "uid" => of(self.last(object), "uid"),
            _ => return text,
        };
        let after = if after.is_empty() { String::new() } else { format!("&{after}") };
        format!("{before}{found}{after}")
    }
}
