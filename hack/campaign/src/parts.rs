//! The objects of a run that has several: a chain of what refers to each other, or a crowd of one kind. Both follow from the samples, and
//! from what a driver says of its kind. What happens to them is in `story`.

use std::collections::{BTreeMap, BTreeSet};

use apiserver::ApiServer;
use databricks_operator::clock;
use databricks_operator::engine::crd::camel;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{
    Driver, Key, Lifecycle, Phase, PrincipalName, Resolved, Seen, Wanted, Writer,
};
use serde_json::{Map, Value, json};
use simulator::Simulator;

use crate::account;
use crate::life::HOUR_MS;
use crate::referents::{bring_about, driver_of, principal};
use crate::samples::manifest;
use crate::world::{INSTALLATION, managed, try_create};

/// A crowd has up to so many objects.
const MOST: usize = 10;

/// Kind and name of an object of the cluster.
pub type Called = (String, String);

/// An object of the cluster that is one of several.
#[derive(Clone)]
pub struct Part {
    /// Its kind.
    pub driver: &'static dyn Driver,
    /// Its name in the cluster.
    pub name: String,
    /// Its spec.
    pub spec: Value,
    /// Its spec after a change; none in a chain, and if it cannot be changed.
    pub changed: Option<Value>,
}

impl Part {
    /// Whether it has this kind and name.
    pub fn is(&self, (kind, name): &Called) -> bool {
        self.driver.kind() == *kind && self.name == *name
    }

    /// Whether it is the principal of this name.
    pub fn is_principal(&self, name: &PrincipalName) -> bool {
        let (collection, attribute, value) = name.search();
        collection.strip_suffix('s') == Some(&*self.driver.kind()) && self.spec[attribute] == json!(value)
    }

    /// Kind and name of the objects that its spec refers to, and whether it can be without.
    fn refers_to(&self) -> Result<Vec<(Called, bool)>, String> {
        let needs = self.driver.needs(&self.spec).map_err(|error| format!("{}: {error}", self.name))?;
        let objects = needs.into_iter().filter_map(|need| match need.what {
            Wanted::Object { kind, name } => Some(((kind, name), need.soft)),
            Wanted::Principal(_) => None,
        });
        Ok(objects.collect())
    }

    /// Kind and name of the objects that it uses: none of them is deleted before it.
    pub fn uses(&self) -> Result<Vec<Called>, String> {
        let needed = self.refers_to()?.into_iter().filter(|(_, soft)| !soft);
        Ok(needed.map(|(used, _)| used).collect())
    }

    /// What the account should have for a spec of this object, if it has `made` for those that the spec refers to. A principal that the
    /// spec names is created if there is none.
    pub fn want(&self, spec: &Value, made: &[(Part, Seen)], account: &Simulator) -> Result<Value, String> {
        let said = |error: Error| format!("{}: {error}", self.name);
        let mut ids = BTreeMap::new();
        for need in self.driver.needs(spec).map_err(said)? {
            let id = match &need.what {
                Wanted::Principal(name) => Some(principal(account, name)),
                Wanted::Object { kind, name } => {
                    let wanted = (kind.clone(), name.clone());
                    let found = made.iter().find(|(part, _)| part.is(&wanted));
                    found.and_then(|(_, seen)| need.value(&seen.id, &shown(seen)))
                }
            };
            let id = id.ok_or_else(|| format!("{}: spec.{} is not known", self.name, need.field))?;
            ids.insert(need.field, id);
        }
        let marker = format!("{INSTALLATION}/default/{}", self.name);
        self.driver.desired(spec, &Resolved { ids, marker, ..Resolved::default() }).map_err(said)
    }

    /// Whether this is what a deletion leaves in the account.
    pub fn leaves(&self, seen: &Seen) -> bool {
        self.driver.left_behind(None, seen).is_ok_and(|word| word.is_some())
    }
}

/// An object of the account as the status of its Kubernetes object shows it.
fn shown(seen: &Seen) -> Value {
    let state = seen.state.as_object().into_iter().flatten();
    let observed: Map<String, Value> = state.map(|(field, value)| (camel(field), value.clone())).collect();
    let mut status = Value::Object(seen.facts.clone());
    status["externalId"] = json!(seen.id);
    status["observed"] = Value::Object(observed);
    status
}

/// The sample of a kind, called `it`, and all that it refers to, with a reference in place of each id. What an object refers to comes
/// before it.
///
/// # Errors
/// The driver cannot read its own sample.
pub fn chain(driver: &'static dyn Driver) -> Result<Vec<Part>, String> {
    let mut parts = vec![];
    add(driver, "it", &mut parts)?;
    Ok(parts)
}

fn add(driver: &'static dyn Driver, name: &str, parts: &mut Vec<Part>) -> Result<(), String> {
    let part = Part { driver, name: name.to_owned(), spec: with_references(driver), changed: None };
    for (other, _) in part.refers_to()? {
        if !parts.iter().any(|known| known.is(&other)) {
            add(driver_of(&other.0), &other.1, parts)?;
        }
    }
    parts.push(part);
    Ok(())
}

/// The same objects, each after those that it refers to.
///
/// # Errors
/// Some of them refer to each other, or to what is not among them.
pub fn ordered(mut left: Vec<Part>) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = vec![];
    while !left.is_empty() {
        let mut next = None;
        for (at, part) in left.iter().enumerate() {
            let refers_to = part.refers_to()?;
            if refers_to.iter().all(|(called, _)| parts.iter().any(|known| known.is(called))) {
                next = Some(at);
                break;
            }
        }
        let Some(next) = next else {
            let names: Vec<&String> = left.iter().map(|part| &part.name).collect();
            return Err(format!("{names:?} refer to each other, or to what is not there"));
        };
        parts.push(left.remove(next));
    }
    Ok(parts)
}

/// The spec of the sample of a kind, with a reference in place of each id, or name, of an object of ours.
fn with_references(driver: &dyn Driver) -> Value {
    let mut spec = manifest(&driver.kind()).1["spec"].take();
    for reference in driver.traits().references {
        let (Some((field, kind)), Some(id)) = (reference.named(), reference.spec.first().copied()) else {
            continue;
        };
        let (within, id) = id.rsplit_once('.').unwrap_or(("", id));
        let fields = spec.pointer_mut(&pointer(within)).and_then(Value::as_object_mut);
        let Some(fields) = fields.filter(|fields| fields.contains_key(id)) else { continue };
        fields.remove(id);
        let one = json!({"name": manifest(&kind).1["metadata"]["name"]});
        let field = field.rsplit('.').next().unwrap_or(field);
        fields.insert(field.to_owned(), if reference.many { json!([one]) } else { one });
    }
    spec
}

/// A path such as `vpcEndpoints.restApiIds` as a JSON pointer.
fn pointer(path: &str) -> String {
    path.split('.').filter(|name| !name.is_empty()).map(|name| format!("/{name}")).collect()
}

/// How a text becomes another one.
type Form = fn(&str, usize) -> String;

/// Objects of a kind that differ in what the account finds them by, the first of them that of the sample: as many as the account takes
/// side by side, and fewer than two if a second one cannot be distinct. All are changed alike, if the account takes that.
pub async fn crowd(
    driver: &'static dyn Driver,
    spec: &Value,
    changed: Option<&Value>,
    server: &ApiServer,
    account: &Simulator,
) -> Vec<Part> {
    let traits = driver.traits();
    // There is one of it, or none is found by its key.
    if traits.lifecycle == Lifecycle::Standing || traits.are_secrets() {
        return vec![];
    }
    let mut texts = vec![];
    add_texts(spec, "", &mut texts);
    // A name is what a user would choose first.
    texts.sort_by_key(|place| !place.to_lowercase().contains("name"));
    let ids: Vec<String> = traits.references.iter().filter_map(|r| Some(pointer(r.spec.first()?))).collect();
    let is_id = |place: &String| ids.iter().any(|id| place.starts_with(&**id));
    let own: Vec<String> = texts.iter().filter(|place| !is_id(place)).cloned().collect();
    // Some kinds keep more to themselves than their names.
    for places in texts.into_iter().map(|place| vec![place]).chain([own]) {
        let forms: [Form; 2] = [|text, n| format!("{text}{n}"), |text, n| format!("{n}{text}")];
        for form in forms {
            let part = |n: usize| Part {
                driver,
                name: if n == 0 { "it".to_owned() } else { format!("it-{n}") },
                spec: varied(spec, &places, form, n),
                changed: changed.map(|changed| varied(changed, &places, form, n)),
            };
            let trial = Trial::new(server, account);
            let parts = trial.taken((0..MOST).map(part).collect()).await;
            if parts.len() < 2 {
                continue;
            }
            for part in &parts {
                // This creates the principals that they name.
                let specs = [Some(&part.spec), part.changed.as_ref()].into_iter().flatten();
                specs.for_each(|spec| drop(part.want(spec, &[], account)));
            }
            return parts;
        }
    }
    vec![]
}

/// The places of all texts of a value, as JSON pointers.
fn add_texts(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::String(_) => found.push(place.to_owned()),
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| add_texts(value, &format!("{place}/{name}"), found));
        }
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(at, value)| add_texts(value, &format!("{place}/{at}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A spec with other texts at some places, but for the first of a crowd.
fn varied(spec: &Value, places: &[String], form: Form, n: usize) -> Value {
    let mut spec = spec.clone();
    for place in places.iter().filter(|_| n > 0) {
        if let Some(Value::String(text)) = spec.pointer_mut(place) {
            *text = form(text, n);
        }
    }
    spec
}

/// Copies of both servers on which it is tried what they take.
struct Trial {
    server: ApiServer,
    account: Simulator,
    writer: Writer,
}

impl Trial {
    fn new(server: &ApiServer, account: &Simulator) -> Trial {
        let (server, account) = (server.fork(clock::now), account.fork(account.now_ms()));
        let writer = account::writer(&account, account::SECRET);
        Trial { server, account, writer }
    }

    /// The first ones of these that both servers take side by side, if all are distinct. Without their changes, unless the account takes
    /// all of these, too.
    async fn taken(&self, parts: Vec<Part>) -> Vec<Part> {
        let wants: Result<Vec<Value>, String> =
            parts.iter().map(|part| part.want(&part.spec, &[], &self.account)).collect();
        let Ok(wants) = wants else { return vec![] };
        let Some(keys) = self.distinct(&parts, &wants) else { return vec![] };
        let mut made = vec![];
        for ((part, want), key) in parts.into_iter().zip(wants).zip(keys) {
            let manifest = managed(part.driver, &part.name, part.spec.clone());
            let created = try_create(&self.server, &part.driver.api_resource(), manifest).await;
            let in_account = bring_about(part.driver, &self.writer, &want).await;
            let (Ok(_), Ok(seen)) = (created, in_account) else { break };
            made.push((part, key, seen.id));
        }
        self.account.advance_ms(HOUR_MS);
        if !self.are_found(&made).await {
            return vec![];
        }
        let change = self.are_changed(&made).await;
        let parts = made.into_iter().map(|(part, ..)| part);
        parts.map(|part| Part { changed: part.changed.clone().filter(|_| change), ..part }).collect()
    }

    /// The keys of these, if they are distinct.
    fn distinct(&self, parts: &[Part], wants: &[Value]) -> Option<Vec<Key>> {
        let keys = parts.iter().zip(wants).map(|(part, want)| part.driver.key(want).ok());
        let keys: Vec<Key> = keys.collect::<Option<_>>()?;
        let names: BTreeSet<&String> = keys.iter().map(|key| &key.name).collect();
        let within: BTreeSet<&String> = keys.iter().map(|key| &key.within).collect();
        (names.len() == keys.len() && within.len() == 1).then_some(keys)
    }

    /// Whether each is found by its key, and no other.
    async fn are_found(&self, made: &[(Part, Key, String)]) -> bool {
        for (part, key, id) in made {
            let Ok(rows) = part.driver.list(&self.writer, &key.within).await else { return false };
            let found = rows.iter().filter(|row| part.driver.matches(key, row).unwrap_or(false));
            if found.map(|row| &row.id).ne([id]) {
                return false;
            }
        }
        true
    }

    /// Whether the account takes the changes of all, and still manages them.
    async fn are_changed(&self, made: &[(Part, Key, String)]) -> bool {
        for (part, _, id) in made {
            let Some(spec) = &part.changed else { return false };
            let want = part.want(spec, &[], &self.account);
            let seen = part.driver.get(&self.writer, id).await;
            let (Ok(want), Ok(Some(seen))) = (want, seen) else { return false };
            let Ok(changes) = part.driver.changes(&want, &seen) else { return false };
            let fields: BTreeSet<&str> = changes.iter().map(|change| change.field()).collect();
            let fields: Vec<&str> = fields.into_iter().collect();
            let changed = part.driver.update(&self.writer, &seen, &want, &fields).await;
            if !changed.is_ok_and(|changed| changed.about.phase != Phase::Vacant) {
                return false;
            }
        }
        true
    }
}
