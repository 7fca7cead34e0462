//! What differs between the desired and the observed state. Pure.
//!
//! `null` in the desired state means "not managed". JSON cannot distinguish a struct from a map, hence the rule that states
//! are serialised whole: a key that only one side has is a map entry that was added or removed, which is a difference.

use std::fmt::Debug;

use serde_json::Value;

/// Why an immutable field is not changed.
pub const CANNOT_CHANGE: &str = "it cannot be changed after creation";

pub fn diff(at: &str, want: &Value, seen: &Value, out: &mut Vec<String>) {
    match (want, seen) {
        (Value::Null, _) => {}
        (Value::Object(want), Value::Object(seen)) => {
            let below = |key: &str| if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
            for (key, value) in want {
                match seen.get(key) {
                    Some(other) => diff(&below(key), value, other, out),
                    None if value.is_null() => {}
                    None => out.push(below(key)),
                }
            }
            out.extend(seen.keys().filter(|key| !want.contains_key(*key)).map(|key| below(key)));
        }
        (want, seen) if want == seen => {}
        _ => out.push(at.to_owned()),
    }
}

/// The value at a dotted path; `null` where there is none. Map keys may hold dots: the longest key that fits is taken.
pub fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    let Value::Object(map) = value else { return &Value::Null };
    if let Some(found) = map.get(path) {
        return found;
    }
    let cuts = path.match_indices('.').map(|(i, _)| i).rev();
    cuts.filter_map(|i| Some((map.get(&path[..i])?, &path[i + 1..])))
        .map(|(inner, rest)| at(inner, rest))
        .find(|found| !found.is_null())
        .unwrap_or(&Value::Null)
}

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Path in `State`, dotted; its first part is what `update` gets.
    pub path: String,
    /// Whether it may be changed.
    pub when: When,
}

/// Whether a field may be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// Yes.
    Now,
    /// Later; the text says what must happen first.
    NotNow(String),
    /// Not at all; the text says why. The engine adds the value that the account has, and what to do instead.
    Never(String),
}

impl Change {
    /// The field of `State`.
    pub fn field(&self) -> &str {
        self.path.split('.').next().unwrap_or(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(want: Value, seen: Value) -> Vec<String> {
        let mut out = vec![];
        diff("", &want, &seen, &mut out);
        out
    }

    #[test]
    fn only_managed_fields_differ_and_map_entries_count_both_ways() {
        assert_eq!(paths(json!({"a": 1, "b": null}), json!({"a": 1, "b": 2})), [""; 0]);
        assert_eq!(paths(json!({"a": 1}), json!({"a": 2})), ["a"]);
        assert_eq!(paths(json!({"tags": {"x": "1"}}), json!({"tags": {"x": "1", "y": "2"}})), ["tags.y"]);
        assert_eq!(paths(json!({"tags": {"x": "1"}}), json!({"tags": {}})), ["tags.x"]);
        assert_eq!(paths(json!({"tags": {"x": "1"}}), json!({"tags": null})), ["tags"]);
        assert_eq!(paths(json!({"set": [1, 2]}), json!({"set": [1]})), ["set"]);
        assert_eq!(paths(json!({"a": {"b": null, "c": 1}}), json!({"a": {"b": 7, "c": 1}})), [""; 0]);
    }

    #[test]
    fn a_path_finds_its_value_even_where_keys_hold_dots() {
        let value = json!({"tags": {"a.b": "1"}, "x": {"y": 2}});
        assert_eq!(at(&value, "tags.a.b"), "1");
        assert_eq!(at(&value, "x.y"), 2);
        assert_eq!(at(&value, "x.z"), &Value::Null);
    }
}
