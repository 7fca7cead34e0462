//! What may be shown of foreign texts, and how: errors end in the status of objects and in logs.

use std::error::Error as _;

use serde_json::Value;

/// Without the ids that Databricks appends to some messages: they differ between tries.
pub(super) fn steady(message: &str) -> String {
    let mut rest = message.to_owned();
    for mark in ["[TraceId:", "[ReqId:", "[RequestId:"] {
        while let Some(start) = rest.find(mark) {
            let end = rest[start..].find(']').map_or(rest.len(), |length| start + length + 1);
            rest.replace_range(start..end, "");
        }
    }
    rest.trim_end().to_owned()
}

/// `text` fit to be shown: no secrets, no control characters, at most `longest` characters.
pub(super) fn clean(text: &str, secrets: &[String], longest: usize) -> String {
    let mut secrets: Vec<&String> = secrets.iter().filter(|secret| !secret.is_empty()).collect();
    // The longest first: the rest of a secret that begins with another one must not stay.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let text = secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"));
    match text.char_indices().nth(longest) {
        Some((end, _)) => plain(&text[..end]) + "…",
        None => plain(&text),
    }
}

/// The innermost cause, which says most, without the URL (its query may hold names) and without times.
pub fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        (text, source) = (cause.to_string(), cause.source());
    }
    // rustls includes the time of the check of an expired certificate.
    let steady = text.split(": verification time").next().unwrap_or_default();
    clean(steady, &[], 200)
}

/// `text` on one line, and as it reads: characters that would end the line, or would hide or reorder text on a terminal,
/// are escaped, as in JSON.
pub fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' | '\n' | '\r' => shown.extend(char.escape_default()),
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => shown += &escaped(char),
            char if char.is_control() => shown += &escaped(char),
            char => shown.push(char),
        }
    }
    shown
}

/// In the way of JSON, which knows no more than sixteen bits at a time.
fn escaped(char: char) -> String {
    char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// serde's message without the value in it, and without the position, which changes between tries.
pub(super) fn misfit(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match text.rsplit_once(", expected ") {
        _ if !error.is_data() => "it is not whole, valid JSON".to_owned(),
        _ if text.starts_with("missing field `") => text.to_owned(),
        Some((_, expected)) => format!("a value is not {expected}"),
        None => "a value is not as expected".to_owned(),
    }
}

/// The strings of a body whose keys mark them as secret: a host that quotes the body in an error must not get them shown.
pub(super) fn collect_secrets(body: &Value, secret: bool, found: &mut Vec<String>) {
    let names = ["secret", "token", "password", "private_key"];
    match body {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            let key = key.to_ascii_lowercase();
            collect_secrets(value, secret || names.iter().any(|name| key.contains(name)), found);
        }),
        Value::Array(items) => items.iter().for_each(|item| collect_secrets(item, secret, found)),
        Value::String(text) if secret && text.len() >= 8 => found.push(text.clone()),
        _ => {}
    }
}
