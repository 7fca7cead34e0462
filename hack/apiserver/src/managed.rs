//! Managed fields: which manager owns which fields of an object, at the level of leaves, as in structured merge and diff.
//!
//! Left out: more than ten managers, conversion between versions, and a request that sets managed fields itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use crate::request::Ask;
use crate::resources::Resource;
use crate::schema::Schema;

/// The way to a field, in the words of `fieldsV1`: `f:name`, `k:{"type":"Ready"}`, `v:"text"`.
pub type Path = Vec<String>;
pub type Fields = BTreeSet<Path>;

/// The managers of an object: their entries without `fieldsV1`, and what they own.
#[derive(Clone)]
pub struct Managers(Vec<(Value, Fields)>);

static METADATA: LazyLock<Schema> = LazyLock::new(|| {
    Schema::compile(&json!({"type": "object", "properties": {
        "finalizers": {"type": "array", "x-kubernetes-list-type": "set"},
        "ownerReferences": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["uid"]},
    }}))
});
pub static ANY: LazyLock<Schema> = LazyLock::new(Schema::default);

/// The fields that the server owns.
const OWN: [&str; 9] = [
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "uid",
];

/// All nodes of an object: leaves with their value, others with null and `false`.
type Nodes = BTreeMap<Path, (Value, bool)>;

/// How an item of a list is named; `None` if the list is owned as a whole.
pub fn element(schema: &Schema, item: &Value) -> Option<String> {
    match schema.list.as_str() {
        "set" => Some(format!("v:{item}")),
        "map" => {
            let keys: Map<String, Value> =
                schema.list_keys.iter().map(|key| (key.clone(), item[key].clone())).collect();
            Some(format!("k:{}", Value::Object(keys)))
        }
        _ => None,
    }
}

/// The schema of a field of an object; `root` for those of the object itself.
pub fn inner<'a>(schema: &'a Schema, name: &str, root: bool) -> &'a Schema {
    match (root, name) {
        (true, "metadata") => &METADATA,
        _ => schema.field(name).unwrap_or(&ANY),
    }
}

fn walk(schema: &Schema, value: &Value, path: &mut Path, nodes: &mut Nodes) {
    let children: Vec<(String, &Schema, &Value)> = match value {
        Value::Object(map) => {
            let root = path.is_empty();
            map.iter().map(|(name, value)| (format!("f:{name}"), inner(schema, name, root), value)).collect()
        }
        Value::Array(items) => {
            let items = items
                .iter()
                .map(|item| Some((element(schema, item)?, schema.items.as_deref().unwrap_or(&ANY), item)));
            items.collect::<Option<_>>().unwrap_or_default()
        }
        _ => vec![],
    };
    if !path.is_empty() {
        let leaf = children.is_empty() && !(value.is_array() && element(schema, &Value::Null).is_some());
        nodes.insert(path.clone(), (if leaf { value.clone() } else { Value::Null }, leaf));
    }
    for (name, schema, value) in children {
        path.push(name);
        walk(schema, value, path, nodes);
        path.pop();
    }
}

/// The nodes of an object that clients own: for a write of the status the status, else the rest.
fn nodes(ask: &Ask, resource: &Resource, object: &Value) -> Nodes {
    let mut nodes = Nodes::new();
    walk(resource.schema().unwrap_or(&ANY), object, &mut vec![], &mut nodes);
    nodes.retain(|path, _| {
        let top = path[0].as_str();
        let second = path.get(1).and_then(|second| second.strip_prefix("f:"));
        match top {
            "f:apiVersion" | "f:kind" => false,
            "f:metadata" if ask.is_status() => false,
            "f:metadata" => second.is_some_and(|second| !OWN.contains(&second)),
            "f:status" => ask.is_status() || !resource.status,
            _ => !ask.is_status(),
        }
    });
    nodes
}

/// What an applied configuration owns: leaves, and the items of lists and maps.
pub fn applied(ask: &Ask, resource: &Resource, config: &Value) -> Fields {
    let nodes = nodes(ask, resource, config);
    let owned = |(path, (_, leaf)): (&Path, &(Value, bool))| {
        let item = path.last().is_some_and(|last| last.starts_with("k:"));
        (*leaf || item).then(|| path.clone())
    };
    nodes.iter().filter_map(owned).collect()
}

/// What differs between two objects.
pub struct Difference {
    pub changed: Fields,
    pub removed: Fields,
}

pub fn difference(ask: &Ask, resource: &Resource, old: &Value, new: &Value) -> Difference {
    let (mut old, mut new) = (nodes(ask, resource, old), nodes(ask, resource, new));
    if !resource.is_custom() {
        // Built-in objects always have one.
        for nodes in [&mut old, &mut new] {
            nodes.remove(&vec!["f:spec".to_owned()]);
        }
    }
    let changed = new.iter().filter(|(path, node)| old.get(*path).is_none_or(|old| old.1 && old != *node));
    let changed = changed.map(|(path, _)| path.clone()).collect();
    let removed = old.keys().filter(|path| !new.contains_key(*path)).cloned().collect();
    Difference { changed, removed }
}

impl Managers {
    /// Those of an object.
    pub fn of(object: &Value) -> Managers {
        let entries = object["metadata"]["managedFields"].as_array().into_iter().flatten();
        let read = |entry: &Value| {
            let mut entry = entry.clone();
            let fields = entry.as_object_mut().and_then(|entry| entry.remove("fieldsV1")).unwrap_or_default();
            let mut owned = Fields::new();
            from_tree(&fields, &mut vec![], &mut owned);
            (entry, owned)
        };
        Managers(entries.map(read).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes them into an object.
    pub fn write(mut self, object: &mut Value) {
        self.0.retain(|(_, fields)| !fields.is_empty());
        self.0.sort_by_key(|(entry, _)| {
            ["operation", "time", "manager", "subresource"].map(|key| entry[key].to_string())
        });
        let entries: Vec<Value> = self
            .0
            .into_iter()
            .map(|(mut entry, fields)| {
                entry["fieldsV1"] = tree(&fields);
                entry
            })
            .collect();
        let metadata = crate::meta::of(object);
        metadata.remove("managedFields");
        if !entries.is_empty() {
            metadata.insert("managedFields".into(), entries.into());
        }
    }

    /// Before the first apply to an object that has no managers: what it has belongs to one of this name.
    pub fn begin(&mut self, ask: &Ask, resource: &Resource, object: &Value, now: &str) {
        if self.is_empty() {
            let fields = difference(ask, resource, &Value::Null, object).changed;
            let entry = json!({
                "manager": "before-first-apply", "operation": "Update", "apiVersion": resource.api_version(),
                "time": now, "fieldsType": "FieldsV1",
            });
            self.0.push((entry, fields));
        }
    }

    fn is_own(ask: &Ask, operation: &str, entry: &Value) -> bool {
        entry["manager"] == ask.manager()
            && entry["operation"] == operation
            && entry["subresource"].as_str() == ask.subresource.as_deref()
    }

    /// What this manager owns by that operation.
    pub fn own(&self, ask: &Ask, operation: &str) -> Fields {
        let own = self.0.iter().find(|(entry, _)| Managers::is_own(ask, operation, entry));
        own.map(|(_, fields)| fields.clone()).unwrap_or_default()
    }

    /// All that others own.
    pub fn of_others(&self, ask: &Ask) -> impl Iterator<Item = &Path> {
        let others = self.0.iter().filter(|(entry, _)| !Managers::is_own(ask, "Apply", entry));
        others.flat_map(|(_, fields)| fields)
    }

    /// What others own of these fields.
    pub fn others<'a>(&'a self, ask: &Ask, fields: &Fields) -> Vec<(&'a Value, Fields)> {
        let others = self.0.iter().filter(|(entry, _)| !Managers::is_own(ask, "Apply", entry));
        let shared = others.map(|(entry, owned)| (entry, owned.intersection(fields).cloned().collect()));
        shared.filter(|(_, shared): &(_, Fields)| !shared.is_empty()).collect()
    }

    /// After a write: the writer owns `owned`, others what has not changed.
    pub fn update(
        &mut self,
        ask: &Ask,
        resource: &Resource,
        operation: &str,
        owned: Fields,
        diff: &Difference,
        now: &str,
    ) {
        let mut found = false;
        for (entry, fields) in &mut self.0 {
            if Managers::is_own(ask, operation, entry) {
                found = true;
                if *fields != owned {
                    *fields = owned.clone();
                    entry["time"] = now.into();
                }
            } else {
                fields.retain(|path| !diff.changed.contains(path) && !diff.removed.contains(path));
            }
        }
        if !found {
            let mut entry = json!({
                "manager": ask.manager(), "operation": operation, "apiVersion": resource.api_version(),
                "time": now, "fieldsType": "FieldsV1",
            });
            if let Some(subresource) = &ask.subresource {
                entry["subresource"] = subresource.clone().into();
            }
            self.0.push((entry, owned));
        }
    }
}

/// A set of fields in the form of `fieldsV1`.
fn tree(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let node = path.iter().fold(&mut root, |node, name| &mut node[name.as_str()]);
        if node.is_null() {
            *node = json!({});
        }
    }
    // A field that is owned and has owned fields in it says so by a dot.
    for path in fields {
        let node = path.iter().fold(&mut root, |node, name| &mut node[name.as_str()]);
        if node.as_object().is_some_and(|inside| !inside.is_empty()) {
            node["."] = json!({});
        }
    }
    root
}

fn from_tree(node: &Value, path: &mut Path, fields: &mut Fields) {
    let Some(inside) = node.as_object() else { return };
    if !path.is_empty() && (inside.is_empty() || inside.contains_key(".")) {
        fields.insert(path.clone());
    }
    for (name, node) in inside.iter().filter(|(name, _)| *name != ".") {
        path.push(name.clone());
        from_tree(node, path, fields);
        path.pop();
    }
}
