//! What every CRD gets in addition to what the derive makes of the types: columns, immutability rules, a pattern for text,
//! and a schema without `nullable`.
//!
//! Immutability is a rule at the root that reads the status: a field is free until the object exists in the account, and
//! after that may only keep its value or get the one that the account has (`status.observed`), so that a spec that was
//! wrong from the start can be corrected; where the account has none, the field may be removed. A rule on the field itself
//! would not see that it is added or removed. A reference or a name with the same meaning may replace a field; only the operator
//! can check that it means the same.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::lifecycle::Lifecycle;
use super::references::Reference;
use super::resource::Immutable;
use super::traits::Traits;
use crate::engine::crd::{Management, TEXT};

/// The constants of a kind that its CRD depends on; see those of the same names of [`super::ExternalResource`].
pub struct Rules {
    /// The constants that the engine reads as well.
    pub traits: Traits,
    /// Fields that name the object.
    pub name: &'static [&'static str],
    /// Other fields that a create needs.
    pub required: &'static [&'static str],
}

/// Finishes the CRD that `kube` derived for a kind.
pub fn finish(crd: CustomResourceDefinition, of: &Rules) -> CustomResourceDefinition {
    let traits = &of.traits;
    let mut value = common(&crd, traits.are_secrets(), traits.has_parts, traits.restored);
    let schema = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    refer(&mut schema["properties"]["spec"], traits.references);
    let spec = schema["properties"]["spec"].clone();
    let mut shown: Map<_, _> =
        own(&spec).map(|(name, field)| (name.to_owned(), loose(field, false))).collect();
    let fixed = traits.immutable.iter().filter_map(Immutable::shown);
    shown.extend(fixed.map(|(path, name)| (name.to_owned(), loose(inside(&spec, path), true))));
    let observed = &mut schema["properties"]["status"]["properties"]["observed"];
    // The API server drops an empty one, which would be a difference for ever.
    if !shown.is_empty() {
        observed.as_object_mut().into_iter().for_each(|o| drop(o.remove("additionalProperties")));
        observed["properties"] = shown.into();
    }
    let mut rules: Vec<Value> =
        traits.immutable.iter().map(|i| immutable_rule(&spec, i, traits.lifecycle)).collect();
    rules.extend(of.name.iter().map(|field| name_rule(field)));
    rules.extend(of.required.iter().map(|field| required_rule(field)));
    rules.push(external_id_rule());
    if !traits.removable && !traits.restored {
        rules.push(retain_rule());
    }
    schema["x-kubernetes-validations"] = Value::Array(rules);
    serde_json::from_value(value).expect("still a CRD")
}

/// What every CRD gets, that of DatabricksAuth too: text with a pattern, columns, and no `nullable`. `are_secrets` says that its
/// objects are secrets: only those have successors. `has_parts` says that it manages parts that other kinds can manage too. `restored`
/// says that a deletion may set it back to what it was before.
fn common(crd: &CustomResourceDefinition, are_secrets: bool, has_parts: bool, restored: bool) -> Value {
    let mut value = serde_json::to_value(crd).expect("a CRD is plain data");
    strip_nullable(&mut value);
    value["spec"]["versions"][0]["additionalPrinterColumns"] = columns(crd).into();
    let fields = &mut value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    plain_text(&mut fields["spec"]);
    // All kinds but DatabricksAuth.
    let outputs = fields["spec"]["properties"].get("outputs").is_some();
    if let Some(status) = fields["status"]["properties"].as_object_mut() {
        for (name, has) in [("retired", are_secrets), ("parts", has_parts), ("outputs", outputs)] {
            status.retain(|field, _| has || field != name);
        }
        let external = status.get_mut("external").and_then(|external| external["properties"].as_object_mut());
        if let Some(external) = external {
            external.retain(|field, _| restored || field != "former");
        }
    }
    value
}

/// The fields of a kind's spec that are its own, by name: not those that all kinds share, and no reference, which stands for an
/// id that has a field.
fn own(spec: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let shared = serde_json::to_value(schemars::schema_for!(Management)).unwrap_or_default();
    let fields = spec["properties"].as_object().into_iter().flatten();
    fields
        .filter(move |(name, _)| shared["properties"].get(*name).is_none() && !name.ends_with("Ref"))
        .map(|(name, field)| (name.as_str(), field))
}

/// The names of the fields of a kind's spec that are its own.
pub fn fields(crd: &CustomResourceDefinition) -> BTreeSet<String> {
    let value = serde_json::to_value(crd).expect("a CRD is plain data");
    let spec = &value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    own(spec).map(|(name, _)| name.to_owned()).collect()
}

/// Finishes the CRD of DatabricksAuth with the names of all kinds: which kinds a grant may name, which of them it must name to
/// allow them, and which of them are in a workspace. A grant with workspaceIds and without such a kind would allow no object. Also which
/// kinds can be `counted` by spec.reportUnmanaged.
pub fn grants(
    auth: CustomResourceDefinition,
    kinds: &[CustomResourceDefinition],
    by_name: &[String],
    counted: &[String],
) -> CustomResourceDefinition {
    let mut value = common(&auth, false, false, false);
    let name = |crd: &CustomResourceDefinition| crd.spec.names.kind.clone();
    let all: Vec<String> = kinds.iter().map(name).collect();
    let inside: Vec<String> = kinds.iter().filter(|crd| in_workspace(crd)).map(name).collect();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    let spec = value.pointer_mut(spec).expect("a DatabricksAuth has a spec");
    spec["properties"]["reportUnmanaged"]["items"] = json!({"type": "string", "enum": counted});
    let grant = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/grants/items";
    let grant = value.pointer_mut(grant).expect("a DatabricksAuth has grants");
    grant["properties"]["kinds"]["items"] = json!({"type": "string", "enum": all});
    if !by_name.is_empty() {
        grant["properties"]["kinds"]["description"] = json!(format!(
            "The kinds of objects that may use the credentials. Default: all kinds except these, which a grant must name, as they \
             can give control of the account: {}.",
            by_name.join(", ")
        ));
    }
    grant["x-kubernetes-validations"] = json!([{
        "rule": format!(
            "!has(self.workspaceIds) || !has(self.kinds) || self.kinds.exists(kind, kind in ['{}'])",
            inside.join("', '")
        ),
        "message": format!(
            "workspaceIds allows only objects of a workspace, and none of kinds is in a workspace: remove workspaceIds, or add one \
             of {}",
            inside.join(", ")
        ),
    }]);
    serde_json::from_value(value).expect("still a CRD")
}

/// Whether objects of a kind belong to a workspace: their spec says to which.
fn in_workspace(crd: &CustomResourceDefinition) -> bool {
    let schema = crd.spec.versions[0].schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
    let spec = schema.and_then(|s| s.properties.as_ref()?.get("spec")?.properties.as_ref());
    spec.is_some_and(|fields| fields.contains_key("workspaceId"))
}

/// The columns of `kubectl get`: those of the kind between those that all kinds have.
fn columns(crd: &CustomResourceDefinition) -> Vec<Value> {
    let own = json!(crd.spec.versions[0].additional_printer_columns);
    let own = own.as_array().into_iter().flatten().cloned();
    let condition = |kind: &str, of: &str| format!(".status.conditions[?(@.type==\"{kind}\")].{of}");
    let before = json!([
        {"name": "Ready", "type": "string", "jsonPath": condition("Ready", "status"), "description": "Whether the object in the account is usable and matches the spec."},
        {"name": "Synced", "type": "string", "jsonPath": condition("Synced", "status"), "description": "Whether the last comparison with the account found no difference, or corrected it."},
        {"name": "External-ID", "type": "string", "jsonPath": ".status.externalId", "description": "The id in the Databricks account."},
    ]);
    let after = json!([
        {"name": "Status", "type": "string", "jsonPath": condition("Ready", "reason"), "description": "Why it is ready or not."},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Auth", "type": "string", "jsonPath": ".spec.authRef.name", "priority": 1},
        {"name": "Policy", "type": "string", "jsonPath": ".status.effective.managementPolicy", "priority": 1},
        {"name": "Deletion", "type": "string", "jsonPath": ".status.effective.deletionPolicy", "priority": 1, "description": "What happens to the object in the account when this one is deleted."},
        {"name": "Message", "type": "string", "jsonPath": condition("Ready", "message"), "priority": 1},
    ]);
    let shared = |columns: Value| columns.as_array().cloned().unwrap_or_default();
    shared(before).into_iter().chain(own).chain(shared(after)).collect()
}

/// Adds a rule for each object that is given by its id or by a reference.
fn refer(spec: &mut Value, references: &[Reference]) {
    let rules = references.iter().filter(|reference| !reference.many).filter_map(|reference| {
        let (by_name, kind) = reference.named()?;
        let id = reference.spec.first()?;
        let (has_name, has_id) = (has(spec, "self", by_name), has(spec, "self", id));
        let (rule, says) = match reference.required {
            true => {
                (format!("{has_name} != {has_id}"), format!("exactly one of {by_name} and {id} is needed"))
            }
            false => (format!("!{has_name} || !{has_id}"), format!("{by_name} and {id} exclude each other")),
        };
        let message = format!("{says}: write {by_name} for a {kind} of this namespace, else {id}");
        Some(json!({"rule": rule, "message": message, "fieldPath": format!(".{by_name}")}))
    });
    let rules: Vec<Value> = rules.collect();
    if rules.is_empty() {
        return;
    }
    match &mut spec["x-kubernetes-validations"] {
        Value::Array(own) => own.extend(rules),
        none => *none = rules.into(),
    }
}

/// The rule that keeps what an object was created for. Of several fields with the same meaning, each may replace another.
/// The API server compares ids, and names with names; the operator compares what a reference, or a name in place of another form, means.
fn immutable_rule(spec: &Value, immutable: &Immutable, lifecycle: Lifecycle) -> Value {
    let [value, others @ ..] = immutable.spec else { return Value::Null };
    // An object that holds either the id or a name is compared as a whole.
    let field =
        others.iter().find(|path| value.strip_prefix(**path).is_some_and(|rest| rest.starts_with('.')));
    let field = field.unwrap_or(value);
    let has = |of: &str, path: &str| has(spec, &format!("{of}.spec"), path);
    let mut allowed = vec![format!(
        "({} == {} && (!{} || self.spec.{field} == oldSelf.spec.{field}))",
        has("self", field),
        has("oldSelf", field),
        has("self", field)
    )];
    let mut remedy = String::new();
    if let Some((_, name)) = immutable.shown() {
        allowed.push(format!(
            "({} && has(self.status.observed) && has(self.status.observed.{name}) && self.spec.{value} == self.status.observed.{name})",
            has("self", value)
        ));
        remedy = format!("write the value of status.observed.{name}, ");
        // It is what the operator says to do: an adopted object may lack a value that the spec has.
        if others.is_empty() {
            allowed.push(format!(
                "(!{} && has(self.status.observed) && !has(self.status.observed.{name}))",
                has("self", value)
            ));
            remedy =
                format!("write the value of status.observed.{name} or remove the field if that has none, ");
        }
    } else if lifecycle.is_repeatable() {
        // The id ends with the name. A rule that builds text from the field instead costs too much for the API server.
        let name = "self.status.externalId.find('[^/]+$')";
        let name =
            if inside(spec, value)["type"] == "integer" { format!("int({name})") } else { name.into() };
        allowed.push(format!("({} && self.spec.{value} == {name})", has("self", value)));
        remedy = format!("write the id that status.externalId shows in spec.{value}, ");
    }
    if !others.is_empty() {
        allowed.push(format!("({} && !{})", has("oldSelf", value), has("self", value)));
    }
    let within = |path: &&&str| path.strip_prefix(*field).is_some_and(|rest| rest.starts_with('.'));
    let references = others.iter().filter(within);
    allowed.extend(references.map(|path| format!("{} != {}", has("self", path), has("oldSelf", path))));
    json!({
        "rule": format!("!has(self.status) || !has(self.status.externalId) || {}", allowed.join(" || ")),
        "message": format!("spec.{field} cannot be changed, added or removed after the object exists in the account: keep it, {remedy}or to replace the object in the account set spec.deletionPolicy to Delete, delete this object and create a new one"),
        "fieldPath": format!(".spec.{field}"),
        "reason": "FieldValueForbidden",
    })
}

/// The expression that is true if a spec has the field at a path. `has` of a field fails, and with it every write
/// of the object, where an optional object around the field is missing, so those are checked first.
fn has(spec: &Value, called: &str, path: &str) -> String {
    let (mut place, mut schema) = (called.to_owned(), spec);
    let mut steps = path.split('.').peekable();
    let mut checks = vec![];
    while let Some(step) = steps.next() {
        place = format!("{place}.{step}");
        let required =
            schema["required"].as_array().is_some_and(|names| names.iter().any(|name| name == step));
        if steps.peek().is_none() || !required {
            checks.push(format!("has({place})"));
        }
        schema = &schema["properties"][step];
    }
    if checks.len() == 1 { checks.remove(0) } else { format!("({})", checks.join(" && ")) }
}

/// The rule that an object has a name or an id.
fn name_rule(field: &str) -> Value {
    json!({
        "rule": format!("has(self.spec.{field}) || has(self.spec.externalId)"),
        "message": format!("spec.{field} is needed to find or create the object: set it, or set spec.externalId to the id of an object in the account"),
        "fieldPath": format!(".spec.{field}"),
        "reason": "FieldValueRequired",
    })
}

/// The rule that a create has what it needs.
fn required_rule(field: &str) -> Value {
    let is =
        |policy: &str, value: &str| format!("(has(self.spec.{policy}) && self.spec.{policy} == '{value}')");
    let (observes, required) = (is("managementPolicy", "Observe"), is("adoptionPolicy", "Required"));
    json!({
        "rule": format!("has(self.spec.{field}) || has(self.spec.externalId) || {observes} || {required}"),
        "message": format!("spec.{field} is needed to create the object: set it. It can be left out where nothing is created: with externalId, managementPolicy Observe or adoptionPolicy Required"),
        "fieldPath": format!(".spec.{field}"),
        "reason": "FieldValueRequired",
    })
}

fn external_id_rule() -> Value {
    let unchanged = "has(self.spec.externalId) == has(oldSelf.spec.externalId) && (!has(self.spec.externalId) || self.spec.externalId == oldSelf.spec.externalId)";
    json!({
        "rule": format!("!has(self.status) || !has(self.status.externalId) || ({unchanged}) || !has(self.spec.externalId) || self.spec.externalId == self.status.externalId"),
        "message": "spec.externalId cannot be changed once an object is bound: write the id that status.externalId shows, or delete this object and create a new one",
        "fieldPath": ".spec.externalId",
        "reason": "FieldValueForbidden",
    })
}

/// The rule of a kind that the API cannot take away.
fn retain_rule() -> Value {
    json!({
        "rule": "!has(self.spec.deletionPolicy) || self.spec.deletionPolicy != 'Delete'",
        "message": "spec.deletionPolicy cannot be Delete: the API of Databricks cannot take this away, so it stays in the account as it is; remove the field or write Retain, and to change what stays, change the spec before you delete this object",
        "fieldPath": ".spec.deletionPolicy",
        "reason": "FieldValueForbidden",
    })
}

/// The schema of a field at a path.
fn inside<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, field| &schema["properties"][field])
}

/// A schema that accepts any value of the same type: an odd value in the account must not block status writes. `bounded` if
/// a rule compares it.
fn loose(schema: &Value, bounded: bool) -> Value {
    let mut out = Map::new();
    for key in ["description", "type", "format", "properties", "items", "additionalProperties"] {
        match (key, schema.get(key)) {
            (_, None) => {}
            ("properties", Some(Value::Object(all))) => {
                out.insert(
                    key.into(),
                    all.iter().map(|(k, v)| (k.clone(), loose(v, bounded))).collect::<Map<_, _>>().into(),
                );
            }
            ("items" | "additionalProperties", Some(inner)) if inner.is_object() => {
                out.insert(key.into(), loose(inner, bounded));
            }
            (_, Some(value)) => {
                out.insert(key.into(), value.clone());
            }
        }
    }
    // The API server bounds the cost of a comparison by the sizes that the schema allows.
    match schema["type"].as_str().filter(|_| bounded) {
        Some("string") => out.insert("maxLength".into(), 4096.into()),
        Some("array") => out.insert("maxItems".into(), 1024.into()),
        _ => None,
    };
    out.into()
}

/// Gives [`TEXT`] to each string in a schema that has no pattern and no list of values.
fn plain_text(schema: &mut Value) {
    if schema["type"] == "string" && schema.get("enum").or(schema.get("pattern")).is_none() {
        schema["pattern"] = TEXT.into();
    }
    let Some(schema) = schema.as_object_mut() else { return };
    for (key, inner) in schema {
        match (key.as_str(), inner) {
            ("properties", Value::Object(all)) => all.values_mut().for_each(plain_text),
            ("items" | "additionalProperties", inner) => plain_text(inner),
            _ => {}
        }
    }
}

/// `Option` becomes `nullable`, with which a user's `null` would count as "has a value" in rules.
fn strip_nullable(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("nullable") == Some(&Value::Bool(true)) {
                map.remove("nullable");
                if let Some(Value::Array(allowed)) = map.get_mut("enum") {
                    allowed.retain(|v| !v.is_null());
                }
            }
            map.values_mut().for_each(strip_nullable);
        }
        Value::Array(all) => all.iter_mut().for_each(strip_nullable),
        _ => {}
    }
}
