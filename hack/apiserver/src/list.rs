//! Lists: pages, and the revisions they are of.

use std::collections::BTreeMap;
use std::ops::Bound;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::ApiServer;
use crate::failure::{Failure, Result};
use crate::request::Ask;
use crate::resources::Resource;
use crate::selector::Selector;
use crate::serve::shown;
use crate::store::{Store, Stored};

/// Where the next page begins.
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    /// The revision of the first page; -1: the current one.
    rv: i64,
    /// The first key that may be in the page, without the prefix of the namespace.
    start: String,
}

const CONTINUE_GONE: &str = "The provided continue parameter is too old to display a consistent list result. You can \
    start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder \
    of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, \
    or deleted between the time the first chunk was returned and now may show up in the list.";
const VERSION_GONE: &str = "The resourceVersion for the provided list is too old.";

impl ApiServer {
    pub(crate) fn list(&self, ask: &Ask) -> Result<Value> {
        let resource = self.definitions().get(ask.resource);
        let selector = Selector::of(ask, resource)?;
        let state = self.state();
        let (objects, revision, start) = snapshot(&state.store, ask)?;
        let limit: usize = ask.query("limit").parse().unwrap_or(0);
        // The watch cache, which serves version 0, does not know pages.
        let limit = if limit == 0 || ask.query("resourceVersion") == "0" { usize::MAX } else { limit };
        let first = format!("{}{start}", selector.prefix());
        let range = objects.range::<str, _>((Bound::Included(first.as_str()), Bound::Unbounded));
        let mut all = range.take_while(|(key, _)| key.starts_with(selector.prefix()));
        let found = all.by_ref().filter(|(key, stored)| selector.matches(key, &stored.object));
        let mut page: Vec<(&String, &Stored)> = found.take(limit).collect();
        // Whether they match or not: the real server does not know before it reads them.
        let rest = all.count();
        let mut metadata = json!({"resourceVersion": revision.to_string()});
        if resource.is_custom() && !ask.metadata_only {
            metadata["continue"] = "".into();
        }
        if rest > 0 {
            let last = page.last().map_or("", |(key, _)| &key[selector.prefix().len()..]);
            metadata["continue"] = token(revision as i64, &format!("{last}\0")).into();
            if !selector.selects() {
                metadata["remainingItemCount"] = rest.into();
            }
        }
        let items = page.drain(..).map(|(_, stored)| item(ask, resource, &stored.object)).collect();
        Ok(listed(ask, resource, metadata, items))
    }
}

/// The objects to list from, their revision, and the start of the page.
fn snapshot(store: &Store, ask: &Ask) -> Result<(BTreeMap<String, Stored>, u64, String)> {
    let current = store.revision();
    let at = |revision, gone| store.at(ask.resource, revision, gone);
    let token = ask.query("continue");
    if !token.is_empty() {
        let next = parse(token)?;
        let start = next.start.trim_start_matches('/').to_owned();
        let revision = if next.rv < 0 { current } else { next.rv as u64 };
        let objects = at(revision, CONTINUE_GONE).map_err(|mut failure| {
            failure.status["metadata"]["continue"] = self::token(-1, &start).into();
            failure
        })?;
        return Ok((objects, revision, start));
    }
    let version = ask.query("resourceVersion");
    if version.is_empty() || version == "0" {
        return Ok((at(current, "")?, current, String::new()));
    }
    let revision = parse_version(version)
        .map_err(|why| Failure::bad_request(format!("invalid resource version: {why}")))?;
    if revision > current {
        return Err(too_large(revision, current));
    }
    let matching = ask.query("resourceVersionMatch");
    if matching == "Exact" || matching.is_empty() && !ask.query("limit").is_empty() {
        return Ok((at(revision, VERSION_GONE)?, revision, String::new()));
    }
    Ok((at(current, "")?, current, String::new()))
}

/// A resourceVersion, or what is wrong with it.
pub fn parse_version(text: &str) -> std::result::Result<u64, String> {
    text.parse().map_err(|_| {
        format!(
            "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
        )
    })
}

fn too_large(asked: u64, current: u64) -> Failure {
    let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
    let mut failure = Failure::new(504, "Timeout", message);
    failure.status["details"] = json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    });
    failure
}

fn token(rv: i64, start: &str) -> String {
    let next = Continue { v: "meta.k8s.io/v1".into(), rv, start: format!("/{start}") };
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&next).expect("a JSON value can be written"))
}

fn parse(token: &str) -> Result<Continue> {
    let bad =
        |why: &str| Failure::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
    let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|e| bad(&e.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()))
}

/// An object as an item: those of built-in lists do not repeat the kind.
fn item(ask: &Ask, resource: &Resource, object: &Value) -> Value {
    let mut item = shown(ask, object);
    if let (false, false, Some(item)) = (resource.is_custom(), ask.metadata_only, item.as_object_mut()) {
        item.remove("kind");
        item.remove("apiVersion");
    }
    item
}

fn listed(ask: &Ask, resource: &Resource, metadata: Value, items: Vec<Value>) -> Value {
    let (kind, version) = match ask.metadata_only {
        true => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
        false => (format!("{}List", resource.kind), resource.api_version()),
    };
    json!({"kind": kind, "apiVersion": version, "metadata": metadata, "items": items})
}
