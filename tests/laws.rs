//! What holds for every kind: each entry of `KINDS`, as its sample in config/samples asks for it, against the simulated
//! account.
//!
//! A new kind is held to the laws by being in the table and having a sample; nothing is to be added here. What a law has to
//! know of a kind it reads off the kind's traits, needs and schema, and off the calls that the kind sends.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::BTreeSet;

use connect::connect;
use databricks_operator::engine::crd::{Reason, camel};
use databricks_operator::engine::error::{Error, Result};
use databricks_operator::engine::kind::{
    Change, Driver, Key, Lifecycle, Need, Phase, Resolved, Seen, Wanted, When, Writer,
};
use databricks_operator::kinds::KINDS;
use serde_json::{Value, json};
use simulator::{Config, Fault, Simulator};

#[path = "account/connect.rs"]
mod connect;

/// More looks than anything in the simulator takes, a second of its clock apart.
const LOOKS: usize = 60;

/// One kind and its sample, with an account of its own in which all that the sample refers to is there.
struct Bench {
    driver: &'static dyn Driver,
    kind: String,
    simulator: Simulator,
    api: Writer,
    spec: Value,
    needs: Vec<Need>,
    got: Resolved,
    want: Value,
    key: Key,
}

fn sample(kind: &str) -> (String, Value) {
    let path = format!("{}/config/samples/{}.yaml", env!("CARGO_MANIFEST_DIR"), kind.to_lowercase());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{kind} has no sample {path}: {e}"));
    let object: Value = serde_saphyr::from_str(&text).unwrap();
    (text, object)
}

/// The schema of a kind's `spec` or `status`.
fn schema(driver: &dyn Driver, part: &str) -> Value {
    let crd = serde_json::to_value(driver.crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone()
}

/// Whether a field is one of those that all kinds have in their spec.
fn shared(field: &str) -> bool {
    KINDS.iter().all(|kind| schema(*kind, "spec")["properties"].get(field).is_some())
}

/// The id of an object that the account gets for a need.
fn seed(simulator: &Simulator, need: &Need) -> String {
    match &need.what {
        Wanted::Object { kind, .. } => {
            let kebab: String = kind
                .chars()
                .enumerate()
                .flat_map(|(i, c)| {
                    (c.is_uppercase() && i > 0).then_some('-').into_iter().chain(c.to_lowercase())
                })
                .collect();
            let collection = if kebab.ends_with('s') { kebab } else { format!("{kebab}s") };
            let made = simulator.insert(&collection, json!({})).unwrap();
            let mut ids = made.as_object().unwrap().iter().filter(|(k, _)| k.ends_with("_id"));
            text(ids.find(|(k, _)| *k != "account_id").unwrap().1)
        }
        Wanted::Principal(name) => {
            let (collection, attribute, value) = name.search();
            let known = simulator.objects(collection).into_iter().find(|o| o[attribute] == json!(value));
            text(
                &known.unwrap_or_else(|| simulator.insert(collection, json!({attribute: value})).unwrap())["id"],
            )
        }
    }
}

/// An id, whether the API shows it as text or as a number.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn field(change: &Change) -> String {
    change.field().to_owned()
}

impl Bench {
    async fn new(driver: &'static dyn Driver) -> Bench {
        let kind = driver.api_resource().kind;
        let simulator = Simulator::start(Config::default()).await.unwrap();
        let api = connect(&simulator);
        let spec = sample(&kind).1["spec"].clone();
        if let Some(id) = spec["credentialsId"].as_str() {
            let credentials = json!({"credentials_id": id, "credentials_name": "analytics"});
            simulator.insert("credentials", credentials).unwrap();
        }
        let needs = driver.needs(&spec).unwrap();
        let ids = needs.iter().map(|need| (need.field.clone(), seed(&simulator, need))).collect();
        let got = Resolved { ids, marker: "laws/default/sample".into() };
        let want = driver
            .desired(&spec, &got)
            .unwrap_or_else(|e| panic!("{kind}: with all declared needs, desired fails: {e}"));
        let key = driver.key(&want).unwrap();
        Bench { driver, kind, simulator, api, spec, needs, got, want, key }
    }

    async fn create(&self) -> Seen {
        self.driver.create(&self.api, &self.want).await.unwrap_or_else(|e| panic!("{}: {e}", self.kind))
    }

    async fn get(&self, id: &str) -> Result<Option<Seen>> {
        self.simulator.advance_ms(1000);
        self.driver.get(&self.api, id).await
    }

    /// The object, once it is no longer being made or changed.
    async fn ready(&self, id: &str) -> Seen {
        for _ in 0..LOOKS {
            let seen = self.get(id).await.unwrap().unwrap_or_else(|| panic!("{}: no {id}", self.kind));
            if !matches!(seen.about.phase, Phase::Pending(_)) {
                assert_eq!(seen.about.phase, Phase::Ready, "{}", self.kind);
                return seen;
            }
        }
        panic!("{}: {id} does not become ready", self.kind)
    }

    async fn list(&self) -> Vec<Seen> {
        self.driver.list(&self.api, &self.key.within).await.unwrap()
    }

    fn changes(&self, seen: &Seen) -> Vec<Change> {
        self.driver.changes(&self.want, seen).unwrap()
    }

    /// Fields that the spec manages and that are no part of the object's name in the account: changed, they would make
    /// it another object.
    fn managed(&self, seen: &Seen) -> BTreeSet<String> {
        let state = self.want.as_object().unwrap().iter();
        state.filter(|(_, v)| !v.is_null() && !names(&seen.id, v)).map(|(k, _)| k.clone()).collect()
    }
}

fn names(id: &str, value: &Value) -> bool {
    (value.is_string() || value.is_number()) && id.split('/').any(|part| part == text(value))
}

/// Values of the same type that mean something else. Also values that the API does not know today: they have to be read.
fn others(value: &Value, schema: &Value) -> Vec<Value> {
    match value {
        Value::Null => vec![],
        Value::Bool(on) => vec![json!(!on)],
        Value::Number(n) => vec![json!(n.as_i64().unwrap() + 1)],
        Value::String(now) => {
            let listed = schema["enum"].as_array().into_iter().flatten().filter(|v| *v != value).cloned();
            listed.chain([json!(format!("{now}-other"))]).collect()
        }
        Value::Array(items) => {
            let mut all = vec![json!([])];
            let Some(first) = items.first() else { return vec![json!(["other"])] };
            for other in others(first, &schema["items"]) {
                all.push([std::slice::from_ref(&other), &items[1..]].concat().into());
                all.push([items.as_slice(), std::slice::from_ref(&other)].concat().into());
            }
            all.extend((items.len() > 1).then(|| items[1..].into()));
            all
        }
        Value::Object(map) if schema["additionalProperties"].is_object() => {
            let mut more = map.clone();
            more.insert("other".into(), json!("other"));
            let changed = with_one_changed(map, &|_| &schema["additionalProperties"]);
            [json!({}), more.into()].into_iter().chain(changed).collect()
        }
        Value::Object(map) => with_one_changed(map, &|key| &schema["properties"][camel(key)]),
    }
}

fn with_one_changed<'a>(
    map: &serde_json::Map<String, Value>,
    schema: &dyn Fn(&str) -> &'a Value,
) -> Vec<Value> {
    let one = |(key, value): (&String, &Value)| {
        let put = |other| {
            let mut changed = map.clone();
            changed.insert(key.clone(), other);
            Value::Object(changed)
        };
        others(value, schema(key)).into_iter().map(put).collect::<Vec<_>>()
    };
    map.iter().flat_map(one).collect()
}

#[tokio::test]
async fn a_create_is_one_call_and_is_found_again_by_id_and_by_key() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        let writes = bench.simulator.writes();
        assert_eq!(writes.len(), 1, "{kind}: {writes:?}");

        let seen = bench.ready(&made.id).await;
        assert_eq!((&seen.id, &seen.state), (&made.id, &made.state), "{kind}: create and get");
        assert_eq!(bench.changes(&seen), [], "{kind}: wanted and not made so");
        assert!(driver.recognises(&bench.want, &seen).unwrap(), "{kind}: {seen:?}");

        let listed = bench.list().await;
        let hits: Vec<&Seen> = listed.iter().filter(|row| driver.matches(&bench.key, row).unwrap()).collect();
        assert_eq!(hits, [&seen], "{kind}: the list's rows that match the key, and get");
        assert_eq!(driver.key(&seen.state).unwrap(), bench.key, "{kind}");
    }
}

#[tokio::test]
async fn what_is_changed_outside_is_seen_and_what_may_be_changed_is_put_right() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let made = bench.create().await;
        let call = bench.simulator.writes().remove(0);
        let seen = bench.ready(&made.id).await;
        let managed = bench.managed(&seen);
        let sent = call.body.as_ref().and_then(Value::as_object).unwrap().keys().cloned();
        let mut noticed = BTreeSet::new();
        let mut corrected = 0;
        for key in managed.iter().cloned().chain(sent).collect::<BTreeSet<_>>() {
            let field = Outside { bench: &bench, seen: &seen, collection: &call.class, key: &key };
            corrected += field.changed(&mut noticed).await;
            field.removed().await;
        }
        let told = |field: &&String| !seen.state[*field].is_null();
        let missed: Vec<&String> =
            managed.iter().filter(told).filter(|field| !noticed.contains(*field)).collect();
        assert!(missed.is_empty(), "{}: no change outside is seen in {missed:?}", bench.kind);
        // Some kinds can only be made and deleted; those say so for every field.
        let never = |f: &String| driver.traits().immutable.iter().any(|i| i.state == *f);
        assert!(corrected > 0 || managed.iter().all(never), "{}: nothing could be corrected", bench.kind);
    }
}

/// One field of one object, as somebody else changes it.
struct Outside<'a> {
    bench: &'a Bench,
    seen: &'a Seen,
    /// The simulator's collection: calls are classed by it.
    collection: &'a str,
    /// The field as the API calls it.
    key: &'a str,
}

impl Outside<'_> {
    /// What the API has; nothing for fields that it does not keep, and for those that make the object this one.
    fn value(&self) -> Option<Value> {
        let objects = self.bench.simulator.objects(self.collection);
        let is_it = |o: &Value| o.as_object().unwrap().values().any(|v| text(v) == self.seen.id);
        let object = objects.into_iter().find(is_it).unwrap();
        object.get(self.key).filter(|v| !names(&self.seen.id, v)).cloned()
    }

    fn set(&self, value: &Value) {
        self.bench.simulator.edit(self.collection, &self.seen.id, json!({self.key: value})).unwrap();
    }

    /// Gives the field every other value; returns how often the kind could put it right by itself.
    async fn changed(&self, noticed: &mut BTreeSet<String>) -> usize {
        let Some(right) = self.value() else { return 0 };
        let Outside { bench, key, .. } = self;
        let mut corrected = 0;
        for other in others(&right, &schema(bench.driver, "spec")["properties"][camel(key)]) {
            let what = format!("{}: {key} was changed to {other}", bench.kind);
            self.set(&other);
            let Some(seen) = bench.get(&self.seen.id).await.unwrap_or_else(|e| panic!("{what}: {e}")) else {
                // What is written under a key of ours may be as good as gone without its contents.
                assert_eq!(bench.driver.traits().lifecycle, Lifecycle::Upsert, "{what} and is gone");
                bench.create().await;
                continue;
            };
            let changes = bench.changes(&seen);
            assert!(!changes.is_empty(), "{what} outside, and no difference is seen");
            noticed.extend(changes.iter().map(field));
            if changes.iter().all(|c| c.when == When::Now) {
                let now: BTreeSet<String> = changes.iter().map(field).collect();
                let now: Vec<&str> = now.iter().map(String::as_str).collect();
                let updated = bench.driver.update(&bench.api, &seen, &bench.want, &now).await;
                updated.unwrap_or_else(|e| panic!("{what}, and the update fails: {e}"));
                corrected += 1;
            } else {
                self.set(&right);
            }
            let after = bench.ready(&self.seen.id).await;
            assert_eq!(bench.changes(&after), [], "{what} outside, and stays so");
        }
        corrected
    }

    /// Takes the field away. What a spec may leave out, the API may leave out.
    async fn removed(&self) {
        let Some(right) = self.value() else { return };
        let Outside { bench, key, .. } = self;
        self.set(&Value::Null);
        let required = schema(bench.driver, "spec")["required"].clone();
        let optional = !required.as_array().unwrap().contains(&json!(camel(key)));
        match bench.get(&self.seen.id).await {
            // It says nothing of the object, and may be another one the next time.
            Err(Error::Transient { reason: Reason::Retrying, .. }) if !optional => {}
            Err(error) => panic!("{}: an answer without {key}: {error:?}", bench.kind),
            Ok(None) => assert_eq!(bench.driver.traits().lifecycle, Lifecycle::Upsert, "{}", bench.kind),
            Ok(Some(now)) => {
                let noticed = now.state == self.seen.state || !bench.changes(&now).is_empty();
                assert!(noticed, "{}: {key} was removed outside, and no difference is seen", bench.kind);
            }
        }
        self.set(&right);
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_may_be_deleted_again() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        bench.ready(&made.id).await;
        driver.delete(&bench.api, &made).await.unwrap_or_else(|e| panic!("{kind}: {e}"));
        let mut looks = 0;
        while let Some(seen) = bench.get(&made.id).await.unwrap() {
            looks += 1;
            assert!(looks < LOOKS, "{kind}: accepted, and still there: {:?}", seen.about);
        }
        assert!(bench.list().await.iter().all(|row| row.id != made.id), "{kind}: gone, and still listed");
        match driver.delete(&bench.api, &made).await {
            Ok(()) | Err(Error::Rejected { reason: Reason::ExternalResourceMissing, .. }) => {}
            Err(error) => panic!("{kind}: deleting what is gone: {error:?}"),
        }
    }
}

/// A lack of permission, of the endpoint or of the feature says nothing about the object, and a list that is refused is not
/// empty: what is taken for gone is made a second time, or let go while it is still there.
#[tokio::test]
async fn what_may_not_be_read_is_not_taken_for_gone() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        bench.ready(&made.id).await;
        for (status, code, expected) in [
            (403, "PERMISSION_DENIED", Reason::PermissionDenied),
            (404, "ENDPOINT_NOT_FOUND", Reason::NotSupported),
            (404, "FEATURE_DISABLED", Reason::NotSupported),
        ] {
            let is_told = |error: &Error| error.is_rejected(expected);
            bench.simulator.fault(Fault {
                method: Some("GET".into()),
                path: "*".into(),
                status: Some(status),
                body: Some(json!({"error_code": code, "message": "no"})),
                ..Fault::default()
            });
            let got = bench.get(&made.id).await;
            assert!(got.as_ref().is_err_and(is_told), "{kind}: {code}: {got:?}");
            let listed = driver.list(&bench.api, &bench.key.within).await;
            assert!(listed.as_ref().is_err_and(is_told), "{kind}: {code}: {listed:?}");
            bench.simulator.clear_faults();
        }
    }
}

/// When its spec cannot be read any more, an object is still searched, and deleted, where it was created.
#[tokio::test]
async fn an_id_says_where_its_object_is_listed() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let made = bench.create().await;
        assert_eq!(driver.within(&made.id).unwrap(), bench.key.within, "{}", bench.kind);
        if driver.traits().lifecycle == Lifecycle::Upsert {
            assert_eq!(made.id, format!("{}/{}", bench.key.within, bench.key.name), "{}", bench.kind);
        }
    }
}

/// Kinds are compiled once and handed JSON: what is lost on the way would never be compared or shown.
#[tokio::test]
async fn states_and_facts_survive_as_json() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        let seen = bench.ready(&made.id).await;
        assert_eq!(driver.changes(&seen.state, &seen).unwrap(), [], "{kind}: differs from itself");
        for (name, value) in seen.state.as_object().unwrap() {
            for other in others(value, &Value::Null).into_iter().take(1) {
                let mut want = seen.state.clone();
                want[name] = other;
                let changes = driver.changes(&want, &seen).unwrap();
                let fields: BTreeSet<String> = changes.iter().map(field).collect();
                assert_eq!(
                    fields,
                    BTreeSet::from([name.clone()]),
                    "{kind}: {want} is wanted, {} is seen",
                    seen.state
                );
            }
        }
        let shown = schema(*driver, "status")["properties"].clone();
        for fact in seen.facts.keys() {
            assert!(shown.get(fact).is_some(), "{kind}: the schema of status would drop {fact}");
        }
    }
}

/// Covers LC-07, LC-18. Differences are told by the names that users write: each field of a state comes from one of the spec,
/// but for the mark, which is ours. What is shown of a state fits what the schema says of it, or the API server would refuse the
/// status.
#[tokio::test]
async fn what_is_told_of_a_state_goes_by_the_fields_of_the_spec() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        let seen = bench.ready(&made.id).await;
        let (fields, immutable) = (driver.fields(), driver.traits().immutable);
        let other = Resolved { marker: "laws/default/other".into(), ..bench.got.clone() };
        let marked = driver.desired(&bench.spec, &other).unwrap();
        let schema = schema(*driver, "spec");
        let mut shown = serde_json::Map::new();
        for (name, value) in seen.state.as_object().unwrap() {
            if let Some(fixed) = immutable.iter().find(|i| i.state == name) {
                for path in fixed.spec {
                    let inside = path.split('.').fold(&schema, |at, field| &at["properties"][field]);
                    assert!(inside.is_object(), "{kind}: {name} comes from spec.{path}, which there is not");
                }
            } else if !fields.contains(&camel(name)) {
                assert_ne!(
                    marked[name], bench.want[name],
                    "{kind}: {name} is no field of the spec, and no mark"
                );
            }
            if fields.contains(&camel(name)) && !value.is_null() {
                shown.insert(camel(name), value.clone());
            }
        }
        let mut wrong = vec![];
        check("status.observed", &Value::Object(shown), &observed_schema(*driver), &mut wrong);
        assert!(wrong.is_empty(), "{kind}: {wrong:?}");
    }
}

fn observed_schema(driver: &dyn Driver) -> Value {
    schema(driver, "status")["properties"]["observed"].clone()
}

/// A grant can limit a kind to workspaces where its spec says to which one an object belongs: the CRD of DatabricksAuth is made by that.
#[tokio::test]
async fn what_gives_power_over_a_workspace_names_it_in_its_spec() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let limited = driver.power(&bench.want).unwrap().workspace_id.is_some();
        let named = schema(*driver, "spec")["properties"].get("workspaceId").is_some();
        assert_eq!(limited, named, "{}", bench.kind);
    }
}

#[tokio::test]
async fn what_is_desired_follows_from_the_spec_and_the_declared_needs() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        assert_eq!(driver.desired(&bench.spec, &bench.got).unwrap(), bench.want, "{kind}: twice the same");
        for need in &bench.needs {
            let mut less = bench.got.clone();
            less.ids.remove(&need.field);
            let without = driver.desired(&bench.spec, &less);
            assert_ne!(without.as_ref(), Ok(&bench.want), "{kind}: {} is asked for and not used", need.field);
        }
        for (name, value) in bench.spec.as_object().unwrap().iter().filter(|(name, _)| !shared(name)) {
            let counts = |other: Value| {
                let mut spec = bench.spec.clone();
                spec[name] = other;
                let desired = driver.desired(&spec, &bench.got);
                desired.is_ok_and(|d| d != bench.want) || driver.needs(&spec).is_ok_and(|n| n != bench.needs)
            };
            let all = others(value, &schema(*driver, "spec")["properties"][name]);
            assert!(all.into_iter().any(counts), "{kind}: spec.{name} has no effect");
        }
        assert_eq!(bench.simulator.journal().len(), 0, "{kind}: no call is needed to know what is wanted");
    }
}

#[test]
fn samples_fit_their_schema_and_name_every_field() {
    for driver in KINDS {
        let resource = driver.api_resource();
        let kind = resource.kind;
        let (text, object) = sample(&kind);
        assert_eq!(object["apiVersion"], json!(resource.api_version), "{kind}");
        assert_eq!(object["kind"], json!(kind));
        let mut wrong = vec![];
        let spec = schema(*driver, "spec");
        check("spec", &object["spec"], &spec, &mut wrong);
        assert!(wrong.is_empty(), "{kind}: {wrong:?}");
        // The fields that all kinds share are explained once, elsewhere.
        let shared =
            |field: &str| KINDS.iter().all(|other| schema(*other, "spec")["properties"].get(field).is_some());
        for field in spec["properties"].as_object().unwrap().keys().filter(|f| !shared(f)) {
            assert!(text.contains(&format!("{field}:")), "{kind}: its sample does not show {field}");
        }
    }
}

/// What the API server would refuse or drop, but for the rules in CEL.
fn check(at: &str, value: &Value, schema: &Value, wrong: &mut Vec<String>) {
    if let Some(values) = schema["enum"].as_array().filter(|values| !values.contains(value)) {
        wrong.push(format!("{at} is none of {values:?}"));
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        wrong.push(format!("{at} is no {}", schema["type"]));
    }
    for item in value.as_array().into_iter().flatten() {
        check(&format!("{at}[]"), item, &schema["items"], wrong);
    }
    let Some(map) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            wrong.push(format!("{at}.{name} is missing"));
        }
    }
    for (name, value) in map {
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        match known {
            Some(schema) => check(&format!("{at}.{name}"), value, schema, wrong),
            None => wrong.push(format!("{at}.{name} is unknown")),
        }
    }
}
