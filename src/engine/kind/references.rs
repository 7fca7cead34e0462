//! References to other objects of the account, as data: a table on the kind says which field of its spec has the id of the other
//! object, and which one names a Kubernetes object in its place. Pure.
//!
//! Some APIs know the other object by a fact instead of its id: a rule set knows a group by its name. Then the row names the fact,
//! and whatever this file says about an id applies to that fact.
//!
//! Everything about a reference follows from its row: the needs, the id that is used, the rules of the CRD, the fields that a
//! message names, the waves of Argo CD and the table in the documents. Only `desired` says what the id is for.
//!
//! A row is for one object or for a list. One object is given by its id *or* by a reference, so a rule refuses both together. In a
//! list, ids and references add up: some endpoints of a network may be in the cluster while others are not. Each reference of a
//! list is a need of its own, named by what it refers to, so that a list may be sorted without a change of meaning. Lists are in
//! the table, rather than written out by each kind that has one, because all other code about them is the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use kube::Resource;
use serde_json::Value;

use super::changes::at;
use super::needs::{Need, Wanted};

/// A field of `State` that has the id of another object of the account, or several.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The field of `State`.
    pub state: &'static str,
    /// The fields of the spec it comes from, in camelCase, a field of an object as a path: the id itself first, then what stands
    /// for it.
    pub spec: &'static [&'static str],
    /// What the account calls the other object in its messages, in lower case.
    pub words: &'static [&'static str],
    /// The spec must have one of the fields.
    pub required: bool,
    /// The object was created for these ids, and they never change.
    pub fixed: bool,
    /// It is a list.
    pub many: bool,
    /// The fact of the other object that the API takes in place of its id, by its name in the status of that object.
    pub fact: Option<&'static str>,
    kind: Option<fn() -> Cow<'static, str>>,
}

impl Reference {
    /// An id that no kind stands for, or that the kind resolves by itself.
    pub const fn id(
        state: &'static str,
        spec: &'static [&'static str],
        words: &'static [&'static str],
    ) -> Reference {
        Reference { state, spec, words, required: false, fixed: false, many: false, fact: None, kind: None }
    }

    /// One object of the kind `K`: the fields of the spec for its id and for a reference.
    pub const fn to<K: Resource<DynamicType = ()>>(
        state: &'static str,
        spec: &'static [&'static str; 2],
        words: &'static [&'static str],
    ) -> Reference {
        Reference { kind: Some(kind_of::<K>), ..Reference::id(state, spec, words) }
    }

    /// Several objects of the kind `K`: the fields of the spec for their ids and for references.
    pub const fn list<K: Resource<DynamicType = ()>>(
        state: &'static str,
        spec: &'static [&'static str; 2],
        words: &'static [&'static str],
    ) -> Reference {
        Reference { many: true, ..Reference::to::<K>(state, spec, words) }
    }

    /// The same, and the spec must have it.
    pub const fn required(self) -> Reference {
        Reference { required: true, ..self }
    }

    /// The same, and it never changes.
    pub const fn fixed(self) -> Reference {
        Reference { fixed: true, ..self }
    }

    /// The same, and the API knows the other object by this fact instead of its id. The first field of the spec has that fact.
    pub const fn by(self, fact: &'static str) -> Reference {
        Reference { fact: Some(fact), ..self }
    }

    /// The field of the spec that names objects of a kind, and that kind; none if it has only ids.
    pub fn named(&self) -> Option<(&'static str, String)> {
        Some((*self.spec.get(1)?, self.kind?().into_owned()))
    }

    /// The objects that a spec names.
    pub fn needs(&self, spec: &Value) -> Vec<Need> {
        let Some((field, kind)) = self.named() else { return vec![] };
        let names = items(at(spec, field)).filter_map(|item| item["name"].as_str());
        let need = |name: &str| Need {
            field: if self.many { format!("{field}/{name}") } else { field.to_owned() },
            what: Wanted::Object { kind: kind.clone(), name: name.to_owned() },
            fact: self.fact,
            soft: false,
        };
        names.map(need).collect()
    }

    /// The ids that a spec means: those that it has, and those of the objects that it names, as far as they are known. None if it
    /// has none of the fields.
    pub fn ids(&self, spec: &Value, known: &BTreeMap<String, String>) -> Option<Vec<String>> {
        let given = self.spec.iter().any(|field| !at(spec, field).is_null());
        let written =
            self.spec.first().map(|field| at(spec, field)).into_iter().flat_map(items).filter_map(id);
        let needs = self.needs(spec).into_iter().filter_map(|need| known.get(&need.field).cloned());
        given.then(|| written.chain(needs).map(in_one_case).collect())
    }

    /// The field of the spec that a message names: of several, the one that is written.
    pub fn written(&self, spec: &Value) -> &'static str {
        let written = self.spec.iter().find(|field| !at(spec, field).is_null());
        written.or(self.spec.first()).copied().unwrap_or_default()
    }
}

/// [`Resource::kind`], which is no constant.
fn kind_of<K: Resource<DynamicType = ()>>() -> Cow<'static, str> {
    K::kind(&())
}

/// The items of a list; one object or id is one item.
fn items(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.iter(),
        one => std::slice::from_ref(one).iter(),
    }
}

/// An id as text, whether a field has it as text or as a number.
fn id(value: &Value) -> Option<String> {
    match value {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// A UUID in the case in which the account writes it: a spec that has it in another one means the same.
fn in_one_case(id: String) -> String {
    match uuid::Uuid::try_parse(&id) {
        Ok(_) if id.len() == 36 => id.to_lowercase(),
        _ => id,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::crd::DatabricksAuth;

    fn known(all: &[(&str, &str)]) -> BTreeMap<String, String> {
        all.iter().map(|(field, id)| ((*field).to_owned(), (*id).to_owned())).collect()
    }

    #[test]
    fn one_object_is_meant_by_its_id_or_by_a_reference() {
        const TO: Reference = Reference::to::<DatabricksAuth>("auth_id", &["authId", "authRef"], &[]);
        let by_name = json!({"authRef": {"name": "a"}});
        let needs = TO.needs(&by_name);
        assert_eq!(needs, [Need::object::<DatabricksAuth>("authRef", "a")]);
        assert_eq!(TO.ids(&by_name, &known(&[("authRef", "1")])), Some(vec!["1".into()]));
        assert_eq!(TO.ids(&by_name, &known(&[])), Some(vec![]), "it is not known yet");
        for id in [json!("7"), json!(7)] {
            assert_eq!(TO.ids(&json!({"authId": id}), &known(&[])), Some(vec!["7".into()]));
        }
        for (id, meant) in [
            ("7F1C2D3E-4A5B-4C6D-8E9F-0A1B2C3D4E5F", "7f1c2d3e-4a5b-4c6d-8e9f-0a1b2c3d4e5f"),
            ("Admins", "Admins"),
        ] {
            assert_eq!(TO.ids(&json!({"authId": id}), &known(&[])), Some(vec![meant.into()]));
            assert_eq!(TO.ids(&by_name, &known(&[("authRef", id)])), Some(vec![meant.into()]));
        }
        assert_eq!(TO.ids(&json!({}), &known(&[])), None);
        assert_eq!((TO.written(&by_name), TO.written(&json!({}))), ("authRef", "authId"));
    }

    #[test]
    fn ids_and_references_of_a_list_add_up_in_any_order() {
        const LIST: Reference =
            Reference::list::<DatabricksAuth>("auths", &["on.authIds", "on.authRefs"], &[]);
        let spec = json!({"on": {"authIds": ["1"], "authRefs": [{"name": "b"}, {"name": "a"}]}});
        let fields: Vec<String> = LIST.needs(&spec).into_iter().map(|need| need.field).collect();
        assert_eq!(fields, ["on.authRefs/b", "on.authRefs/a"]);
        let ids = LIST.ids(&spec, &known(&[("on.authRefs/a", "2"), ("on.authRefs/b", "3")]));
        assert_eq!(ids, Some(vec!["1".into(), "3".into(), "2".into()]));
        assert_eq!(LIST.ids(&json!({"on": {"authIds": []}}), &known(&[])), Some(vec![]));
        assert_eq!(LIST.ids(&json!({"on": {}}), &known(&[])), None);
    }
}
