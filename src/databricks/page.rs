//! Lists: all pages, or an error. A list that lacks an object would make the caller create it a second time.
//!
//! This file reads pages; fetching them is `Client::list`.

use std::collections::HashSet;

use serde_json::Value;

/// How an endpoint returns a list. The key names the array in the wrapper object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Everything at once: a bare array; the newest documentation has it wrapped, under a name of its own.
    Bare,
    /// Everything at once: a bare array or a wrapper object.
    Whole(&'static str),
    /// Pages linked by `next_page_token`.
    Token(&'static str),
    /// Pages counted by `startIndex`, 1-based.
    Scim,
}

/// Pages of a host that never ends a list fill the memory.
const MOST_PAGES: usize = 1000;
const MOST_BYTES: usize = 128 << 20;
/// Small enough for the limit on a body; the libraries request 10000, which users with many groups would exceed.
const SCIM_COUNT: usize = 500;

/// A list as collected so far.
pub(super) struct Collected {
    style: Pages,
    pub items: Vec<Value>,
    bytes: usize,
    pages: usize,
    seen: HashSet<String>,
    scim_total: Option<u64>,
}

/// Why the pages make no list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Not what the endpoint is known to send.
    Shape(String),
    /// The list changed while it was read; another try may do.
    Moved(&'static str),
}

fn shape<T>(reason: impl Into<String>) -> Result<T, Broken> {
    Err(Broken::Shape(reason.into()))
}

impl Collected {
    pub(super) fn new(style: Pages) -> Collected {
        Collected { style, items: Vec::new(), bytes: 0, pages: 0, seen: HashSet::new(), scim_total: None }
    }

    /// The query parameters of the first page beyond the caller's.
    pub(super) fn first(&self) -> Vec<(&'static str, String)> {
        match self.style {
            Pages::Scim => vec![("startIndex", "1".to_owned()), ("count", SCIM_COUNT.to_string())],
            Pages::Bare | Pages::Whole(_) | Pages::Token(_) => Vec::new(),
        }
    }

    /// Adds a page of `bytes`; returns the query parameter that leads to the next page, if there is one.
    pub(super) fn add(
        &mut self,
        page: Value,
        bytes: usize,
    ) -> Result<Option<(&'static str, String)>, Broken> {
        (self.bytes, self.pages) = (self.bytes + bytes, self.pages + 1);
        if self.bytes > MOST_BYTES || self.pages > MOST_PAGES {
            return shape(format!(
                "the list does not end within {MOST_PAGES} pages and {} MiB",
                MOST_BYTES >> 20
            ));
        }
        match self.style {
            Pages::Bare => {
                self.items = unwrap(page, None)?;
                Ok(None)
            }
            Pages::Whole(key) | Pages::Token(key) => self.add_linked(page, key),
            Pages::Scim => self.add_counted(page),
        }
    }

    fn add_linked(&mut self, page: Value, key: &str) -> Result<Option<(&'static str, String)>, Broken> {
        let next = match page.get("next_page_token") {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) => Some(token.clone()).filter(|token| !token.is_empty()),
            Some(_) => return shape("`next_page_token` is not a string"),
        };
        let items = unwrap(page, Some(key))?;
        self.note_page(&items)?;
        self.items.extend(items);
        match next {
            Some(token) if !self.seen.insert(format!("token {token}")) => {
                shape("the pages lead back to an earlier one")
            }
            next => Ok(next.map(|token| ("page_token", token))),
        }
    }

    fn add_counted(&mut self, page: Value) -> Result<Option<(&'static str, String)>, Broken> {
        let Value::Object(mut page) = page else { return shape("it is not a SCIM list") };
        let total = page.get("totalResults").and_then(Value::as_u64);
        let items = match page.remove("Resources") {
            Some(Value::Array(items)) => items,
            None | Some(Value::Null) if total.is_some() || page.contains_key("schemas") => Vec::new(),
            _ => return shape("it is not a SCIM list"),
        };
        if self.pages > 1 && total != self.scim_total {
            // Positions have shifted, so an entry may have slipped from a page unread to one already read.
            return Err(Broken::Moved("the list changed while it was read"));
        }
        self.scim_total = total;
        self.note_page(&items)?;
        let received = items.len();
        self.items.extend(items);
        let collected = self.items.len() as u64;
        // A short page alone may be the host's own limit, a total alone may count this page only.
        let complete = total.is_some_and(|total| collected >= total) && received < SCIM_COUNT;
        match received {
            0 if total.is_some_and(|total| collected < total) => {
                Err(Broken::Moved("the list ended before its announced end"))
            }
            0 => Ok(None),
            _ if complete => Ok(None),
            _ => Ok(Some(("startIndex", (collected + 1).to_string()))),
        }
    }

    fn note_page(&mut self, items: &[Value]) -> Result<(), Broken> {
        // An empty page may repeat while tokens lead on.
        if !items.is_empty() && !self.seen.insert(format!("page {}", fingerprint(items))) {
            return shape("a page came twice");
        }
        Ok(())
    }
}

/// The items of a bare array, of the array under `key`, or of the only array. With a key, the API omits empty lists; a
/// response that is no list must not count as one, because absence is concluded from it.
fn unwrap(page: Value, key: Option<&str>) -> Result<Vec<Value>, Broken> {
    let mut page = match page {
        Value::Array(items) => return Ok(items),
        Value::Object(page) => page,
        _ => return shape("it is neither an array nor an object"),
    };
    match key.and_then(|key| page.remove(key)) {
        Some(Value::Array(items)) => return Ok(items),
        Some(Value::Null) => return Ok(Vec::new()),
        Some(_) => return shape("what should be its list is not an array"),
        None => {}
    }
    if ["error_code", "error", "errors", "message", "detail"].iter().any(|key| page.contains_key(*key)) {
        return shape("it is an error in place of a list");
    }
    let mut arrays = page.into_iter().filter_map(|(_, value)| match value {
        Value::Array(items) => Some(items),
        _ => None,
    });
    match (arrays.next(), arrays.next()) {
        (None, _) if key.is_some() => Ok(Vec::new()),
        (None, _) => shape("it holds no list"),
        (Some(items), None) => Ok(items),
        _ => shape("it holds several lists"),
    }
}

fn fingerprint(items: &[Value]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    items.iter().for_each(|item| item.to_string().hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests;
