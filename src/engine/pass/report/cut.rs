//! The API server refuses an object that is too large, and the account may have lists of any length: they are cut. Only what is shown
//! is cut, nothing that is compared. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Entries of a list that are shown: as many as the longest list of a spec can have, so that such a list is shown whole.
const MOST_ENTRIES: usize = 1000;

/// Bytes of all lists together that are shown, as JSON. An object may have one and a half million, the spec included.
const MOST_BYTES: usize = 400_000;

/// The bytes that lists may still have.
pub struct Left(usize);

impl Default for Left {
    fn default() -> Left {
        Left(MOST_BYTES)
    }
}

/// Cuts the lists in these fields. Returns how many entries those had that were cut, by path.
pub fn cut(fields: &mut Map<String, Value>, left: &mut Left) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for (name, value) in fields {
        cut_value(name, value, left, &mut counts);
    }
    counts
}

fn cut_value(path: &str, value: &mut Value, left: &mut Left, counts: &mut BTreeMap<String, i64>) {
    match value {
        Value::Array(entries) => {
            let fits = |entry: &&Value| {
                let size = entry.to_string().len() + 1;
                left.0 = left.0.saturating_sub(size);
                left.0 > 0
            };
            let shown = entries.iter().take(MOST_ENTRIES).take_while(fits).count();
            if shown < entries.len() {
                counts.insert(path.to_owned(), i64::try_from(entries.len()).unwrap_or(i64::MAX));
                entries.truncate(shown);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                cut_value(&format!("{path}.{name}"), value, left, counts);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cut_all(value: Value) -> (Value, Value) {
        let Value::Object(mut fields) = value else { panic!("fields") };
        let counts = cut(&mut fields, &mut Left::default());
        (fields.into(), json!(counts))
    }

    #[test]
    fn a_list_that_a_spec_can_have_is_shown_whole() {
        let ids: Vec<Value> = (0..1000).map(|id| json!({"id": 1_000_000_000_000_000_u64 + id})).collect();
        let fields = json!({"members": ids, "name": "crew", "endpoints": {"ids": ["a"]}});
        assert_eq!(cut_all(fields.clone()), (fields, json!({})));
    }

    #[test]
    fn of_a_longer_list_the_first_entries_are_shown_and_their_number() {
        let ids: Vec<i64> = (0..10_000).collect();
        let (shown, counts) = cut_all(json!({"members": ids, "endpoints": {"ids": ids}}));
        assert_eq!(shown, json!({"members": ids[..1000], "endpoints": {"ids": ids[..1000]}}));
        assert_eq!(counts, json!({"members": 10_000, "endpoints.ids": 10_000}));
    }

    #[test]
    fn long_entries_are_fewer() {
        let long = "x".repeat(5_000);
        let (shown, counts) = cut_all(json!({"hosts": vec![long.clone(); 200], "paths": vec![long; 200]}));
        assert!(shown.to_string().len() < 450_000, "{}", shown.to_string().len());
        assert!(shown["hosts"].as_array().is_some_and(|hosts| hosts.len() > 50), "{counts}");
        assert_eq!(counts, json!({"hosts": 200, "paths": 200}));
    }
}
