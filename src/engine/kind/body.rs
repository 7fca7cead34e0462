//! Bodies of requests, for the authors of kinds. Pure.

use serde_json::Value;

/// A body without what is `null`, and without objects that hold nothing else: what a spec does not manage is not sent.
pub fn given(body: Value) -> Value {
    let Value::Object(fields) = body else { return body };
    let kept = fields.into_iter().map(|(name, value)| {
        let (was_object, value) = (value.is_object(), given(value));
        let empty =
            value.is_null() || (was_object && value.as_object().is_some_and(|inner| inner.is_empty()));
        (name, Some(value).filter(|_| !empty))
    });
    Value::Object(kept.filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The fields of a body that a change is about.
pub fn only(fields: &[&str], body: &Value) -> Value {
    fields.iter().map(|field| ((*field).to_owned(), body[*field].clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_managed_is_not_sent_and_what_is_empty_is() {
        let body = json!({"a": null, "b": false, "c": [], "d": {"e": null, "f": {"g": null}}, "h": {"i": null, "j": ""}});
        assert_eq!(given(body), json!({"b": false, "c": [], "h": {"j": ""}}));
    }

    #[test]
    fn a_change_sends_the_fields_that_it_is_about_also_what_is_null() {
        let body = json!({"a": {"b": 1}, "c": null, "d": 2});
        assert_eq!(only(&["a", "c"], &body), json!({"a": {"b": 1}, "c": null}));
        assert_eq!(only(&[], &body), json!({}));
    }
}
