//! The samples of the kinds as a graph: the manifest of each kind in `config/samples`, and which kinds its objects refer to.
//!
//! What a kind refers to is in its own table, `REFERENCES`, so that no test has one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use databricks_operator::engine::kind::{Driver, Wanted};
use databricks_operator::kinds::KINDS;
use serde_json::{Value, json};

/// What `make` makes of a key, made once: a campaign asks for it thousands of times.
fn once<T: Clone>(made: &Mutex<BTreeMap<String, T>>, key: &str, make: impl FnOnce() -> T) -> T {
    if let Some(known) = made.lock().unwrap().get(key) {
        return known.clone();
    }
    let value = make();
    made.lock().unwrap().insert(key.to_owned(), value.clone());
    value
}

/// The manifest of a kind in `config/samples`: its text, and the object.
pub fn manifest(kind: &str) -> (String, Value) {
    static MADE: Mutex<BTreeMap<String, (String, Value)>> = Mutex::new(BTreeMap::new());
    once(&MADE, kind, || {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR"));
        let samples = crates.ancestors().map(|at| at.join("config/samples")).find(|samples| samples.is_dir());
        let path = samples.unwrap().join(format!("{}.yaml", kind.to_lowercase())).display().to_string();
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|e| panic!("{kind} has no sample {path}: {e}"));
        let object = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{path} is no YAML: {e}"));
        (text, object)
    })
}

/// The schema of a kind's `spec` or `status`.
pub fn schema(driver: &dyn Driver, part: &str) -> Value {
    static MADE: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    once(&MADE, &format!("{} {part}", driver.kind()), || {
        let crd = serde_json::to_value(driver.crd()).unwrap();
        crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone()
    })
}

/// The kinds that objects of a kind can refer to, by the field of the spec that names the object, or several. What the spec could
/// name and the table of the kind has not is a reference that no object waits for.
pub fn references(driver: &dyn Driver) -> BTreeMap<String, String> {
    static MADE: Mutex<BTreeMap<String, BTreeMap<String, String>>> = Mutex::new(BTreeMap::new());
    once(&MADE, &driver.kind(), || references_of(driver))
}

fn references_of(driver: &dyn Driver) -> BTreeMap<String, String> {
    let named = driver.traits().references.iter().filter_map(|reference| reference.named());
    let mut found: BTreeMap<String, String> = named.map(|(field, kind)| (field.to_owned(), kind)).collect();
    let mut fields = vec![];
    names(&schema(driver, "spec"), "", &mut fields);
    for field in fields {
        assert!(
            found.contains_key(&field),
            "{}: spec.{field} names an object, and REFERENCES does not have it: add Reference::to::<THE KIND>(…), or \
             Reference::list::<THE KIND>(…) for a list",
            driver.kind()
        );
    }
    let (kind, sample) = (driver.kind(), manifest(&driver.kind()).1["spec"].clone());
    for (list, field) in named_in_lists(&schema(driver, "spec")) {
        let mut spec = sample.clone();
        spec[&list] = json!([{&field: {"name": "other"}}]);
        let of_item = objects(driver, &spec);
        assert!(
            of_item.keys().any(|need| need.starts_with(&format!("{list}.{field}/"))),
            "{kind}: an item of spec.{list} refers to an object by {field}, and `needs` does not return it: return \
             Need::object::<THE KIND>(\"{list}.{field}/THE NAME\", …)"
        );
        let of_sample = objects(driver, &sample);
        let in_list = of_sample.into_iter().filter(|(need, _)| need.starts_with(&format!("{list}.{field}/")));
        found.extend(of_item.into_iter().chain(in_list));
    }
    found
}

/// The fields in items of lists of a spec that name an object of the same namespace, with the list.
fn named_in_lists(schema: &Value) -> Vec<(String, String)> {
    let mut found = vec![];
    for (list, of) in schema["properties"].as_object().into_iter().flatten() {
        let mut fields = vec![];
        names(&of["items"], "", &mut fields);
        found.extend(fields.into_iter().map(|field| (list.clone(), field)));
    }
    found
}

/// The objects that a spec needs: their kinds, by field.
fn objects(driver: &dyn Driver, spec: &Value) -> BTreeMap<String, String> {
    let needs = driver.needs(spec).unwrap_or_else(|e| panic!("{}: `needs` of {spec}: {e}", driver.kind()));
    let objects = needs.into_iter().filter_map(|need| match need.what {
        Wanted::Object { kind, .. } => Some((need.field, kind)),
        Wanted::Principal(_) => None,
    });
    objects.collect()
}

/// The fields of a spec, and of the objects in it, that name objects of the same namespace, but for the credentials.
fn names(schema: &Value, place: &str, found: &mut Vec<String>) {
    let only_a_name = |field: &Value| field["properties"].as_object().is_some_and(|f| f.keys().eq(["name"]));
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        if (name.ends_with("Ref") && only_a_name(field))
            || (name.ends_with("Refs") && only_a_name(&field["items"]))
        {
            found.push(path);
        } else {
            names(field, &path, found);
        }
    }
}

/// The wave in which objects of a kind are created: before all objects that can refer to them, and as late as that allows. What
/// no other kind refers to is in the last one, where it holds up none.
pub fn wave(kind: &str) -> usize {
    let referrers = referrers();
    let before = |kind: &str| followers(kind, &referrers, &mut vec![]);
    let last = KINDS.iter().map(|driver| before(&driver.kind())).max().unwrap_or(0) + 1;
    last - before(kind)
}

/// The kinds whose objects can refer to those of a kind, by kind. Objects of one kind that refer to each other have no order that
/// their kind determines.
fn referrers() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for driver in KINDS {
        let kind = driver.kind().into_owned();
        for other in references(*driver).into_values().filter(|other| *other != kind) {
            found.entry(other).or_default().insert(kind.clone());
        }
    }
    found
}

/// The length of the longest chain of kinds that refer to each other and at last to this one.
fn followers(kind: &str, referrers: &BTreeMap<String, BTreeSet<String>>, path: &mut Vec<String>) -> usize {
    assert!(
        !path.iter().any(|other| other == kind),
        "{kind} and {path:?} refer to each other: none can be first"
    );
    path.push(kind.to_owned());
    let longest =
        referrers.get(kind).into_iter().flatten().map(|by| followers(by, referrers, path) + 1).max();
    path.pop();
    longest.unwrap_or(0)
}
