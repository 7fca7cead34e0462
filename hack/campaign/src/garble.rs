//! A response of the server's in which something is wrong, although it is well-formed.

use serde_json::{Value, json};

use crate::fault::Garble;

/// A document with its fault; nothing if it has nothing that can be wrong so.
pub fn garbled(document: &[u8], how: Garble) -> Option<Vec<u8>> {
    let mut value: Value = serde_json::from_slice(document).ok()?;
    let wrong = match how {
        Garble::OtherObject => rename(&mut value),
        Garble::TextForNumber => replace(&mut value, &Value::is_number, &json!("several")),
        Garble::NullForRow => remove_rows(&mut value),
    };
    (wrong > 0).then(|| value.to_string().into_bytes())
}

/// Gives an object other ids and names. What it has a list of is left: the rows of a LIST are several objects. Returns how many
/// there were.
fn rename(value: &mut Value) -> usize {
    let mut renamed = 0;
    for (key, value) in value.as_object_mut().into_iter().flatten() {
        let key = key.to_ascii_lowercase();
        let is_id = key.ends_with("id") && !key.starts_with("account");
        let is_name = key.ends_with("name") || key == "label";
        renamed += match value {
            Value::Object(_) => rename(value),
            Value::Number(number) if is_id => {
                // The account's numbers are odd: this is of no object.
                let other = json!(number.as_i64().unwrap_or_default() ^ 1);
                *value = other;
                1
            }
            Value::String(id) if is_id && !id.is_empty() => {
                let last = id.pop();
                id.push(if last == Some('0') { '1' } else { '0' });
                1
            }
            Value::String(name) if is_name && !name.is_empty() => {
                name.push_str("-other");
                1
            }
            _ => 0,
        };
    }
    renamed
}

/// Puts null in place of each object in a list; returns how many there were.
fn remove_rows(value: &mut Value) -> usize {
    let is_list = value.is_array();
    inside(value)
        .map(|part| if is_list { replace(part, &Value::is_object, &Value::Null) } else { remove_rows(part) })
        .sum()
}

/// Puts something in place of each part of a value that fits; returns how many there were.
fn replace(value: &mut Value, fits: &dyn Fn(&Value) -> bool, with: &Value) -> usize {
    if fits(value) {
        *value = with.clone();
        return 1;
    }
    inside(value).map(|part| replace(part, fits, with)).sum()
}

/// The parts of a value.
fn inside(value: &mut Value) -> Box<dyn Iterator<Item = &mut Value> + '_> {
    match value {
        Value::Object(all) => Box::new(all.values_mut()),
        Value::Array(all) => Box::new(all.iter_mut()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_garbled_where_it_can_be() {
        let garbled = |document: Value, how| {
            let garbled = garbled(document.to_string().as_bytes(), how)?;
            Some(serde_json::from_slice::<Value>(&garbled).unwrap())
        };
        let one =
            || json!({"account_id": "a-1", "workspace_id": 7, "id": "u-8", "name": "x", "of": {"n": 1}});
        let other =
            json!({"account_id": "a-1", "workspace_id": 6, "id": "u-0", "name": "x-other", "of": {"n": 1}});
        assert_eq!(garbled(one(), Garble::OtherObject), Some(other));
        let text = json!({"account_id": "a-1", "workspace_id": "several", "id": "u-8", "name": "x", "of": {"n": "several"}});
        assert_eq!(garbled(one(), Garble::TextForNumber), Some(text));
        assert_eq!(garbled(one(), Garble::NullForRow), None);
        let list = json!([{"id": "1", "n": 1}]);
        assert_eq!(garbled(list.clone(), Garble::OtherObject), None);
        assert_eq!(garbled(json!({"all": list}), Garble::NullForRow), Some(json!({"all": [null]})));
        assert_eq!(garbled(json!({"a": []}), Garble::NullForRow), None);
    }
}
