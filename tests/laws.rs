//! What holds for every kind: each entry of `KINDS`, as its sample in config/samples asks for it, against the simulated
//! account.
//!
//! A new kind is held to the laws by being in the table and having a sample; nothing is to be added here. What a law has to
//! know of a kind it reads off the kind's traits, needs and schema, and off the calls that the kind sends. What the sample refers
//! to is created by the drivers of those kinds from their samples.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::{BTreeMap, BTreeSet};

use connect::connect;
use databricks_operator::engine::crd::{Management, Reason, camel};
use databricks_operator::engine::error::{Error, Result};
use databricks_operator::engine::kind::{
    Change, Driver, Key, Lifecycle, Need, Phase, Resolved, Seen, When, Writer, of,
};
use databricks_operator::kinds::KINDS;
use referents::{Ground, bring_about, driver_of, prepare, text};
use samples::{manifest, schema};
use serde_json::{Value, json};
use simulator::{Call, Config, Fault, Settings, Simulator};

#[path = "account/connect.rs"]
mod connect;
#[path = "account/planted.rs"]
mod planted;
#[path = "account/referents.rs"]
mod referents;
#[path = "account/samples.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod samples;

/// More looks than anything in the simulator takes, a second of its clock apart.
const LOOKS: usize = 60;
const LOOK_MS: u64 = 1000;

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
    /// Ids of the objects that the sample refers to, by kind.
    made: BTreeMap<String, String>,
}

/// The fields of the block that all kinds share, with their schemas.
fn shared() -> Value {
    json!(schemars::schema_for!(Management))["properties"].clone()
}

fn is_shared(field: &str) -> bool {
    shared().get(field).is_some()
}

/// The names of the fields that differ.
fn fields(changes: &[Change]) -> BTreeSet<String> {
    changes.iter().map(|change| change.field().to_owned()).collect()
}

impl Bench {
    async fn new(driver: &'static dyn Driver) -> Bench {
        let kind = driver.kind().into_owned();
        let settings = Settings { endpoint_rule_approval_ms: Some(LOOK_MS), ..Settings::default() };
        let simulator = Simulator::start(Config { settings, ..Config::default() }).await.unwrap();
        let api = connect(&simulator);
        let Ground { spec, got, want, key, made } = prepare(driver, &simulator, &api, LOOK_MS).await;
        let needs = driver.needs(&spec).unwrap_or_else(|e| panic!("{kind}: needs: {e}"));
        simulator.clear_journal();
        Bench { driver, kind, simulator, api, spec, needs, got, want, key, made }
    }

    /// What a function of the kind returns that must not fail here.
    fn ok<T>(&self, what: &str, result: Result<T>) -> T {
        result.unwrap_or_else(|e| panic!("{}: {what}: {e}", self.kind))
    }

    async fn create(&self) -> Seen {
        self.ok("create", bring_about(self.driver, &self.api, &self.want).await)
    }

    async fn get(&self, id: &str) -> Result<Option<Seen>> {
        self.simulator.advance_ms(LOOK_MS);
        self.driver.get(&self.api, id).await
    }

    /// The object, once it is no longer being made or changed.
    async fn ready(&self, id: &str) -> Seen {
        for _ in 0..LOOKS {
            let seen = self.ok("get", self.get(id).await);
            let seen = seen.unwrap_or_else(|| panic!("{}: no {id}", self.kind));
            if !matches!(seen.about.phase, Phase::Pending(_) | Phase::Awaiting(_)) {
                assert_eq!(seen.about.phase, Phase::Ready, "{}", self.kind);
                return seen;
            }
        }
        panic!("{}: {id} does not become ready", self.kind)
    }

    /// Deletes an object of a kind, and waits until it is gone, or as it is when nothing manages it.
    async fn delete(&self, driver: &dyn Driver, id: &str) {
        let seen = self.ok("get before delete", driver.get(&self.api, id).await);
        let seen = seen.unwrap_or_else(|| panic!("{}: `get` does not return {id}", driver.kind()));
        self.ok("delete", driver.delete(&self.api, &seen).await);
        for _ in 0..LOOKS {
            self.simulator.advance_ms(LOOK_MS);
            let left = self.ok("get after delete", driver.get(&self.api, id).await);
            if left.is_none_or(|left| left.about.phase == Phase::Vacant) {
                return;
            }
        }
        panic!("{}: the deletion of {id} was accepted, and `get` still returns it", driver.kind())
    }

    async fn list(&self) -> Vec<Seen> {
        self.ok("list", self.driver.list(&self.api, &self.key.within).await)
    }

    fn changes(&self, seen: &Seen) -> Vec<Change> {
        self.ok("changes", self.driver.changes(&self.want, seen))
    }

    /// Fields that the spec manages and that are no part of the object's name in the account: changed, they would make
    /// it another object.
    fn managed(&self, seen: &Seen) -> BTreeSet<String> {
        let state = self.want.as_object().unwrap().iter();
        state.filter(|(_, v)| !v.is_null() && !names(&seen.id, v)).map(|(k, _)| k.clone()).collect()
    }

    /// Whether it is nothing but its key: it is there or not, and nothing of it can differ.
    fn is_its_key(&self, seen: &Seen) -> bool {
        let (traits, managed) = (self.driver.traits(), self.managed(seen));
        let never = |f: &String| traits.immutable.iter().any(|i| i.state == *f);
        managed.is_empty() || (traits.lifecycle == Lifecycle::Upsert && managed.iter().all(never))
    }
}

fn names(id: &str, value: &Value) -> bool {
    (value.is_string() || value.is_number()) && id.split('/').any(|part| part == text(value))
}

/// Values of the same type that mean something else. Also values that the API does not know today: they have to be read.
fn others(value: &Value, schema: &Value) -> Vec<Value> {
    others_of(value, schema, None)
}

/// The same, but where the value is an object, only with other values of the fields that `sent` has: the rest of it is the
/// account's own.
fn others_of(value: &Value, schema: &Value, sent: Option<&Value>) -> Vec<Value> {
    match value {
        Value::Null => vec![],
        Value::Bool(on) => vec![json!(!on)],
        Value::Number(n) => n.as_i64().map(|n| json!(n + 1)).into_iter().collect(),
        Value::String(now) => {
            let listed = schema["enum"].as_array().into_iter().flatten().filter(|v| *v != value).cloned();
            listed.chain([json!(format!("{now}-other"))]).collect()
        }
        Value::Array(items) => {
            let mut all = vec![json!([])];
            let Some(first) = items.first() else {
                return match schema["items"]["type"].as_str() {
                    // What its items are is not known.
                    None => vec![json!(["other"]), json!([1])],
                    Some("integer") => vec![json!([1])],
                    Some(_) => vec![json!(["other"])],
                };
            };
            for other in others_of(first, &schema["items"], sent.and_then(|sent| sent.get(0))) {
                all.push([std::slice::from_ref(&other), &items[1..]].concat().into());
                // As a second one of the same it would mean the same where the order does not count.
                if !items.contains(&other) {
                    all.push([items.as_slice(), std::slice::from_ref(&other)].concat().into());
                }
            }
            all.extend((items.len() > 1).then(|| items[1..].into()));
            all
        }
        Value::Object(map) if schema["additionalProperties"].is_object() => {
            let mut more = map.clone();
            more.insert("other".into(), json!("other"));
            let changed = with_one_changed(map, &|_| &schema["additionalProperties"], sent);
            [json!({}), more.into()].into_iter().chain(changed).collect()
        }
        Value::Object(map) => with_one_changed(map, &|key| &schema["properties"][camel(key)], sent),
    }
}

fn with_one_changed<'a>(
    map: &serde_json::Map<String, Value>,
    schema: &dyn Fn(&str) -> &'a Value,
    sent: Option<&Value>,
) -> Vec<Value> {
    let one = |(key, value): (&String, &Value)| {
        let put = |other| {
            let mut changed = map.clone();
            changed.insert(key.clone(), other);
            Value::Object(changed)
        };
        let sent = sent.and_then(|sent| sent.get(key));
        others_of(value, schema(key), sent).into_iter().map(put).collect::<Vec<_>>()
    };
    let is_sent = |key: &String| sent.is_none_or(|sent| !sent.is_object() || sent.get(key).is_some());
    map.iter().filter(|(key, _)| is_sent(key)).flat_map(one).collect()
}

#[tokio::test]
async fn a_create_is_one_call_and_is_found_again_by_id_and_by_key() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        if driver.traits().lifecycle == Lifecycle::Standing {
            let phases: Vec<Phase> = bench.list().await.into_iter().map(|row| row.about.phase).collect();
            assert_eq!(
                phases,
                [Phase::Vacant],
                "{kind}: what is always there, in an account where nothing manages it"
            );
        }
        let made = bench.create().await;
        let writes = bench.simulator.writes();
        assert_eq!(writes.len(), 1, "{kind}: {writes:?}");

        let seen = bench.ready(&made.id).await;
        assert_eq!((&seen.id, &seen.state), (&made.id, &made.state), "{kind}: create and get");
        assert_eq!(bench.changes(&seen), [], "{kind}: wanted and not made so");
        let recognised = bench.ok("recognises", driver.recognises(&bench.want, &seen));
        assert!(recognised, "{kind}: `recognises` refuses what was created: {seen:?}");

        let listed = bench.list().await;
        let matches = |row: &&Seen| bench.ok("matches", driver.matches(&bench.key, row));
        let hits: Vec<Seen> = listed.iter().filter(matches).map(|row| whole(row, &seen, *driver)).collect();
        assert_eq!(hits, std::slice::from_ref(&seen), "{kind}: the list's rows that match the key, and get");
        assert_eq!(
            bench.ok("key", driver.key(&seen.state)),
            bench.key,
            "{kind}: the key of what was created"
        );
    }
}

/// A read that fails before the write leaves nothing in doubt: in doubt, what another user creates meanwhile would count as its result. One
/// that fails after the write says nothing about it.
#[tokio::test]
async fn a_read_that_fails_leaves_a_create_in_doubt_only_after_its_write() {
    let mut before = 0;
    for driver in KINDS.iter().filter(|driver| driver.traits().lifecycle != Lifecycle::Standing) {
        for (nth, status) in [(1, Some(503)), (1, None), (2, Some(403))] {
            let bench = Bench::new(*driver).await;
            // So the client knows where a workspace is.
            bench.list().await;
            bench.simulator.fault(Fault {
                method: Some("GET".into()),
                path: "*".into(),
                nth: Some(nth),
                status,
                drop: status.is_none(),
                ..Fault::default()
            });
            let Err(error) = driver.create(&bench.api, &bench.want).await else { continue };
            let sent = !bench.simulator.writes().is_empty();
            before += usize::from(!sent);
            let in_doubt = matches!(error, Error::Unknown { .. });
            assert_eq!(in_doubt, sent, "{}: call {nth}, {status:?}: {error:?}", bench.kind);
        }
    }
    assert!(before > 5, "only {before} reads failed before a write");
}

/// A row of a LIST with what `get` read of the fields that a LIST leaves out, and of what is shown because of them.
fn whole(row: &Seen, seen: &Seen, driver: &dyn Driver) -> Seen {
    let (mut row, unlisted) = (row.clone(), driver.traits().unlisted);
    for field in unlisted {
        assert_eq!(
            row.state[*field],
            Value::Null,
            "{}: {field} is in UNLISTED, and a row has it",
            driver.kind()
        );
        row.state[*field] = seen.state[*field].clone();
    }
    if !unlisted.is_empty() {
        row.facts = seen.facts.clone();
    }
    row
}

#[tokio::test]
async fn what_is_changed_outside_is_seen_and_what_may_be_changed_is_put_right() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let made = bench.create().await;
        let call = bench.simulator.writes().remove(0);
        let seen = bench.ready(&made.id).await;
        let managed = bench.managed(&seen);
        let never = |f: &String| driver.traits().immutable.iter().any(|i| i.state == *f);
        if bench.is_its_key(&seen) {
            continue;
        }
        let store = Store::of(&bench, &call, &seen.id);
        let sent = sent_in(&call);
        assert!(!sent.is_empty(), "{}: create sends no JSON object", bench.kind);
        let mut noticed = BTreeSet::new();
        let mut corrected = 0;
        for key in managed.iter().chain(sent.keys()).collect::<BTreeSet<_>>() {
            let field =
                Outside { bench: &bench, seen: &seen, store: &store, key, sent: sent.get(key).copied() };
            corrected += field.changed(&mut noticed).await;
            field.removed().await;
        }
        let told = |field: &&String| !seen.state[*field].is_null();
        let missed: Vec<&String> =
            managed.iter().filter(told).filter(|field| !noticed.contains(*field)).collect();
        assert!(
            missed.is_empty(),
            "{}: no change outside is seen in {missed:?}: read them into the State that `get` returns, or name those that \
             the API never returns in UNTOLD",
            bench.kind
        );
        // Some kinds can only be made and deleted; those say so for every field.
        assert!(
            corrected > 0 || managed.iter().all(never),
            "{}: nothing could be corrected: write `update`, or name all of {managed:?} in IMMUTABLE",
            bench.kind
        );
    }
}

/// Where the simulated account keeps an object, whatever of it the API shows.
struct Store {
    collection: String,
    /// A value that only this object has in one of its fields.
    id: String,
    /// What the simulator calls it: its id after that of its parent.
    key: String,
}

/// The fields that a create sends, whatever is around them; of two with one name the outer one.
fn sent_in(create: &Call) -> BTreeMap<String, &Value> {
    let (mut found, mut level) = (BTreeMap::new(), create.body.iter().collect::<Vec<_>>());
    while !level.is_empty() {
        let fields: Vec<(&String, &Value)> = level.iter().filter_map(|v| v.as_object()).flatten().collect();
        for (name, value) in &fields {
            found.entry((*name).clone()).or_insert(*value);
        }
        level = fields.into_iter().map(|(_, value)| value).collect();
    }
    found
}

impl Store {
    /// The collection is the one that the simulator names, or the last part of the path of the create that is one, or else any other;
    /// the object has its id, or the last part of it, and something that the create sent.
    fn of(bench: &Bench, create: &Call, id: &str) -> Store {
        // What a list of entries has is an object of its own under it.
        let entry = format!("{id}/{}", create.path.rsplit('/').next().unwrap_or_default());
        let own = [&*entry, id, id.rsplit('/').next().unwrap_or(id)];
        let sent = sent_in(create);
        let is_it = |object: &Value, own: &str| {
            let mut fields = object.as_object().into_iter().flatten();
            holds(object, own) && fields.any(|(name, value)| sent.contains_key(name) && !names(id, value))
        };
        let named = std::iter::once(&*create.class).chain(create.path.split('/').rev()).map(str::to_owned);
        let served = bench.simulator.served().into_iter().map(|served| served.name);
        let mut stores = named.chain(served).filter_map(|collection| {
            let objects = bench.simulator.objects(&collection);
            let known = |own: &&str| bench.simulator.edit(&collection, own, json!({})).is_ok();
            let found = own.into_iter().find(|own| objects.iter().any(|object| is_it(object, own)))?;
            let key = own.into_iter().find(known)?;
            Some(Store { collection: collection.clone(), id: found.to_owned(), key: key.to_owned() })
        });
        stores.next().unwrap_or_else(|| panic!("{}: no object {own:?} of {}", bench.kind, create.path))
    }
}

/// Whether a field of an object has this id.
fn holds(object: &Value, id: &str) -> bool {
    object.as_object().is_some_and(|fields| fields.values().any(|value| text(value) == id))
}

/// One field of one object, as somebody else changes it.
struct Outside<'a> {
    bench: &'a Bench,
    seen: &'a Seen,
    store: &'a Store,
    /// The field as the API calls it.
    key: &'a str,
    /// What the create sent in it.
    sent: Option<&'a Value>,
}

impl Outside<'_> {
    /// What the API has; nothing for fields that it does not keep, and for those that make the object this one.
    fn value(&self) -> Option<Value> {
        let objects = self.bench.simulator.objects(&self.store.collection);
        let object = objects.into_iter().find(|object| holds(object, &self.store.id))?;
        object.get(self.key).filter(|v| !names(&self.seen.id, v)).cloned()
    }

    fn set(&self, value: &Value) {
        let Store { collection, key, .. } = self.store;
        self.bench.simulator.edit(collection, key, json!({self.key: value})).unwrap();
    }

    /// Gives the field every other value; returns how often the kind could put it right by itself. A field in which no other value
    /// is noticed is a constant of the API, which the spec does not control; one in which some are is compared as a whole.
    async fn changed(&self, noticed: &mut BTreeSet<String>) -> usize {
        let Some(right) = self.value() else { return 0 };
        let Outside { bench, key, .. } = self;
        let (mut corrected, mut seen_once, mut unseen) = (0, false, vec![]);
        for other in others_of(&right, &schema(bench.driver, "spec")["properties"][camel(key)], self.sent) {
            let what = format!("{}: {key} was changed to {other}", bench.kind);
            self.set(&other);
            let Some(seen) = bench.get(&self.seen.id).await.unwrap_or_else(|e| panic!("{what}: {e}")) else {
                // What is written under a key of ours may be as good as gone without its contents.
                assert_eq!(bench.driver.traits().lifecycle, Lifecycle::Upsert, "{what} and is gone");
                bench.create().await;
                continue;
            };
            let changes = bench.changes(&seen);
            if changes.is_empty() {
                self.set(&right);
                unseen.push(what);
                continue;
            }
            seen_once = true;
            noticed.extend(fields(&changes));
            corrected += usize::from(self.corrected(&what, &seen, &changes, &right).await);
        }
        assert!(!seen_once || unseen.is_empty(), "no difference is seen outside:\n{}", unseen.join("\n"));
        corrected
    }

    /// Corrects what differs, by the kind if it can; returns whether it could.
    async fn corrected(&self, what: &str, seen: &Seen, changes: &[Change], right: &Value) -> bool {
        let bench = self.bench;
        let can = changes.iter().all(|change| change.when == When::Now);
        if can {
            let now = fields(changes);
            let now: Vec<&str> = now.iter().map(String::as_str).collect();
            let updated = bench.driver.update(&bench.api, seen, &bench.want, &now).await;
            updated.unwrap_or_else(|e| {
                let returned = e.to_string().contains("x_unknown");
                let hint =
                    "; x_unknown is in responses only: send back just the fields that a request may have";
                panic!("{what}, and the update of {now:?} fails: {e}{}", if returned { hint } else { "" })
            });
        } else {
            self.set(right);
        }
        let after = bench.ready(&self.seen.id).await;
        assert_eq!(bench.changes(&after), [], "{what} outside, and stays so");
        can
    }

    /// Takes the field away. What a spec may leave out, the API may leave out.
    async fn removed(&self) {
        let Some(right) = self.value() else { return };
        let Outside { bench, key, .. } = self;
        self.set(&Value::Null);
        let required = schema(bench.driver, "spec")["required"].clone();
        let optional = !required.as_array().is_some_and(|all| all.contains(&json!(camel(key))));
        match bench.get(&self.seen.id).await {
            // It says nothing of the object, and may be another one the next time.
            Err(Error::Transient { reason: Reason::Retrying, .. }) if !optional => {}
            Err(error) => panic!(
                "{}: a response without {key} cannot be read, and blocks the object: give it a default, or make it an Option: \
                 {error:?}",
                bench.kind
            ),
            Ok(None) => assert_eq!(bench.driver.traits().lifecycle, Lifecycle::Upsert, "{}", bench.kind),
            Ok(Some(now)) => {
                let noticed = now.state == self.seen.state || !bench.changes(&now).is_empty();
                assert!(noticed, "{}: {key} was removed outside, and no difference is seen", bench.kind);
            }
        }
        self.set(&right);
    }
}

/// The API sends numbers of 64 bits as numbers, and in some places as strings of digits. One row in the other form must not keep a
/// whole LIST from being read.
#[tokio::test]
async fn a_row_with_strings_in_place_of_its_numbers_is_read_as_before() {
    let mut kinds = 0;
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let made = bench.create().await;
        let call = bench.simulator.writes().remove(0);
        let seen = bench.ready(&made.id).await;
        if bench.is_its_key(&seen) {
            continue;
        }
        let store = Store::of(&bench, &call, &seen.id);
        let stored = bench.simulator.objects(&store.collection);
        let stored = stored.into_iter().find(|object| holds(object, &store.id)).unwrap();
        let fields = stored.as_object().unwrap().iter().filter(|(_, value)| !names(&seen.id, value));
        let other = fields.map(|(name, value)| (name.clone(), in_strings(value)));
        let other: serde_json::Map<_, _> =
            other.filter(|(name, value)| stored.get(name) != Some(value)).collect();
        if other.is_empty() {
            continue;
        }
        kinds += 1;
        let row = |rows: Vec<Seen>| rows.into_iter().find(|row| row.id == seen.id);
        let listed = row(bench.list().await);
        bench.simulator.edit(&store.collection, &store.key, Value::Object(other.clone())).unwrap();
        assert_eq!(bench.ready(&seen.id).await, seen, "{}: get, with {other:?}", bench.kind);
        assert_eq!(row(bench.list().await), listed, "{}: list, with {other:?}", bench.kind);
    }
    assert!(kinds > 5, "only {kinds} kinds have numbers");
}

/// A value with the digits of each number in it as a string.
fn in_strings(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.to_string()),
        Value::Array(items) => items.iter().map(in_strings).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), in_strings(value))).collect()
        }
        other => other.clone(),
    }
}

#[tokio::test]
async fn what_is_deleted_is_gone_and_may_be_deleted_again() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        bench.ready(&made.id).await;
        if !driver.traits().removable {
            let unwritten = driver.delete(&bench.api, &made).await;
            assert!(
                matches!(unwritten, Err(Error::Terminal { reason: Reason::InternalError, .. })),
                "{kind}: it cannot be taken away by REMOVABLE, and `delete` is written: {unwritten:?}"
            );
            continue;
        }
        bench.delete(*driver, &made.id).await;
        let gone = |row: &Seen| row.id != made.id || row.about.phase == Phase::Vacant;
        assert!(bench.list().await.iter().all(gone), "{kind}: gone, and still listed");
        bench.simulator.clear_journal();
        match driver.delete(&bench.api, &made).await {
            Ok(()) | Err(Error::Rejected { reason: Reason::ExternalResourceMissing, .. }) => {}
            // It was read before the deletion, which gave it another version.
            Err(Error::Conflict(_)) if made.about.etag.is_some() => {}
            // A read of the driver's own does not show it: nothing is sent, and the next LIST decides.
            Err(Error::Conflict(_)) if bench.simulator.writes().is_empty() => {}
            Err(error) => panic!("{kind}: deleting what is gone: {error:?}"),
        }
    }
}

/// A read need not name the version that a deletion must name; the refusal of the deletion does.
#[tokio::test]
async fn what_was_read_without_its_version_is_deleted_anyway() {
    let mut kinds = 0;
    for driver in KINDS.iter().filter(|driver| driver.traits().removable) {
        let bench = Bench::new(*driver).await;
        let made = bench.create().await;
        let mut seen = bench.ready(&made.id).await;
        if seen.about.etag.take().is_none() {
            continue;
        }
        kinds += 1;
        bench.ok("delete", driver.delete(&bench.api, &seen).await);
        let left = bench.ok("get after delete", bench.get(&made.id).await);
        assert!(left.is_none_or(|left| left.about.phase == Phase::Vacant), "{}", bench.kind);
    }
    assert!(kinds > 0, "no kind that can be removed has versions");
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

/// What belongs to an object of the account is gone with it, so that it can be deleted in Kubernetes.
#[tokio::test]
async fn in_a_parent_that_is_gone_is_nothing() {
    let mut parents = 0;
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let Some((kind, id)) = bench.made.iter().find(|(_, id)| **id == bench.key.within) else { continue };
        parents += 1;
        bench.delete(driver_of(kind), id).await;
        assert_eq!(bench.list().await, [], "{}: its {kind} {id} is gone", bench.kind);
    }
    assert!(parents > 0, "no kind belongs to another one");
}

/// Covers DL-06. Its kind needs no code for that. An account that the API does not know proves nothing.
#[tokio::test]
async fn a_parent_is_gone_only_in_an_account_that_is_there() {
    let simulator = Simulator::start(Config::default()).await.unwrap();
    let (api, planted) = (connect(&simulator), of::<planted::PlantedPolicy>());
    assert_eq!(planted.list(&api, "42").await, Ok(vec![]));
    assert_eq!(planted.get(&api, "42/7").await, Ok(None));
    for driver in KINDS.iter().copied().chain([planted]) {
        let body = json!({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such account"});
        let everything = Fault { path: "*".into(), status: Some(404), body: Some(body), ..Fault::default() };
        simulator.fault(everything);
        let listed = driver.list(&api, "42").await;
        assert!(listed.is_err(), "{}: {listed:?}", driver.kind());
        simulator.clear_faults();
    }
}

/// When its spec cannot be read any more, an object is still searched, and deleted, where it was created.
#[tokio::test]
async fn an_id_says_where_its_object_is_listed() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let made = bench.create().await;
        let within = bench.ok("within", driver.within(&made.id));
        assert_eq!(
            within, bench.key.within,
            "{}: `within` of the id {}, and that of its key",
            bench.kind, made.id
        );
        let traits = driver.traits();
        if traits.lifecycle != Lifecycle::Standing {
            assert_eq!(traits.parented, !within.is_empty(), "{}: PARENTED", bench.kind);
        }
        let of_key = format!("{}/{}", bench.key.within, bench.key.name);
        match traits.lifecycle {
            Lifecycle::Object => {}
            Lifecycle::Upsert => assert_eq!(made.id, of_key, "{}", bench.kind),
            Lifecycle::Standing => assert_eq!(made.id, of_key.trim_matches('/'), "{}", bench.kind),
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
        let changes = |want: &Value| bench.ok("changes", driver.changes(want, &seen));
        assert_eq!(changes(&seen.state), [], "{kind}: differs from itself");
        for (name, value) in seen.state.as_object().unwrap() {
            let other = |other: Value| {
                let mut want = seen.state.clone();
                want[name] = other;
                driver.changes(&want, &seen).map(|changes| (want, changes)).ok()
            };
            let all = others(value, &Value::Null);
            let mut read: Vec<_> = all.iter().cloned().filter_map(other).collect();
            // A list that only gives what it has asks for nothing if it is empty.
            read.sort_by_key(|(_, changes)| changes.is_empty());
            let first = read.into_iter().next();
            assert!(all.is_empty() || first.is_some(), "{kind}: reads no other {name} than {value}");
            if let Some((want, changes)) = first {
                assert_eq!(
                    fields(&changes),
                    BTreeSet::from([name.clone()]),
                    "{kind}: {want} is wanted, {} is seen",
                    seen.state
                );
            }
        }
        let shown = schema(*driver, "status")["properties"].clone();
        for fact in seen.facts.keys() {
            assert!(
                shown.get(fact).is_some(),
                "{kind}: the schema of status would drop {fact}: name it in Facts as the API server is to store it"
            );
        }
    }
}

/// Covers LC-07, LC-18. Differences are told by the names that users write: each field of a state comes from one of the spec,
/// but for the mark, which is ours. What is shown of a state fits what the schema says of it, or the API server would refuse the
/// status.
#[tokio::test]
async fn a_state_is_reported_under_the_field_names_of_the_spec() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let made = bench.create().await;
        let seen = bench.ready(&made.id).await;
        let (fields, immutable) = (driver.fields(), driver.traits().immutable);
        let other = Resolved { marker: "laws/default/other".into(), ..bench.got.clone() };
        let marked = bench.ok("desired", driver.desired(&bench.spec, &other));
        let schema = schema(*driver, "spec");
        let mut shown = serde_json::Map::new();
        for (name, value) in seen.state.as_object().unwrap() {
            if let Some(fixed) = immutable.iter().find(|i| i.state == name) {
                for path in fixed.spec {
                    let inside = path.split('.').fold(&schema, |at, field| &at["properties"][field]);
                    assert!(
                        inside.is_object(),
                        "{kind}: by IMMUTABLE, {name} comes from spec.{path}, which does not exist: correct the path"
                    );
                }
            } else if !fields.contains(&camel(name)) {
                assert_ne!(
                    marked[name], bench.want[name],
                    "{kind}: {name} of State is no field of the spec, and no mark: give both the same name, or name the field \
                     of the spec in IMMUTABLE"
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

/// A row of REFERENCES that names a field which does not exist is a reference that no object waits for.
#[tokio::test]
async fn references_name_fields_that_exist_in_pairs() {
    let mut pairs = 0;
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let (kind, schema) = (&bench.kind, schema(*driver, "spec"));
        for reference in driver.traits().references {
            let state = reference.state;
            assert!(
                bench.want.get(state).is_some(),
                "{kind}: REFERENCES has {state}, which is no field of State"
            );
            assert!(
                !reference.words.is_empty(),
                "{kind}: {state}: say what the account calls the other object"
            );
            for path in reference.spec {
                let field = path.split('.').fold(&schema, |at, name| &at["properties"][name]);
                assert!(
                    field.is_object(),
                    "{kind}: {state} comes from spec.{path}, which does not exist: correct the path"
                );
            }
            let Some((by_name, _)) = reference.named() else { continue };
            pairs += 1;
            assert!(
                reference.fact.is_some() || reference.spec[0] == by_name.replace("Ref", "Id"),
                "{kind}: the field beside spec.{by_name} has the same name, but for Id in place of Ref"
            );
        }
    }
    assert!(pairs > 5, "only {pairs} references");
}

/// A grant can limit a kind to workspaces where its spec says to which one an object belongs: the CRD of DatabricksAuth is made by that.
#[tokio::test]
async fn what_gives_power_over_a_workspace_names_it_in_its_spec() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let limited = bench.ok("power", driver.power(&bench.want)).workspace_id.is_some();
        let named = schema(*driver, "spec")["properties"].get("workspaceId").is_some();
        assert_eq!(
            limited, named,
            "{}: `power` returns a workspace if and only if the spec has workspaceId",
            bench.kind
        );
    }
}

#[tokio::test]
async fn what_is_desired_follows_from_the_spec_and_the_declared_needs() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        let kind = &bench.kind;
        let again = bench.ok("desired", driver.desired(&bench.spec, &bench.got));
        assert_eq!(again, bench.want, "{kind}: twice the same");
        for need in &bench.needs {
            let mut less = bench.got.clone();
            less.ids.remove(&need.field);
            let without = driver.desired(&bench.spec, &less);
            assert_ne!(without.as_ref(), Ok(&bench.want), "{kind}: {} is asked for and not used", need.field);
        }
        for (name, value) in bench.spec.as_object().unwrap().iter().filter(|(name, _)| !is_shared(name)) {
            let counts = |other: Value| {
                let mut spec = bench.spec.clone();
                spec[name] = other;
                let desired = driver.desired(&spec, &bench.got);
                let output = bench.ok("output", driver.output(&bench.spec));
                desired.is_ok_and(|d| d != bench.want)
                    || driver.needs(&spec).is_ok_and(|n| n != bench.needs)
                    || driver.output(&spec).is_ok_and(|o| o != output)
            };
            let all = others(value, &schema(*driver, "spec")["properties"][name]);
            assert!(
                all.into_iter().any(counts),
                "{kind}: spec.{name} has no effect: use it in `desired` or `needs`, or remove it"
            );
        }
        assert_eq!(bench.simulator.journal().len(), 0, "{kind}: no call is needed to know what is wanted");
    }
}

/// The fields of the shared block are the engine's. A field of a kind with the name of one of them gets its value as well, and the
/// CRD shows only the shared one.
#[tokio::test]
async fn no_kind_has_a_field_with_the_name_of_one_that_all_share() {
    for driver in KINDS {
        let bench = Bench::new(*driver).await;
        assert_eq!(taken(*driver, &bench.spec, &bench.got), [] as [String; 0]);
    }
    let planted =
        taken(of::<planted::PlantedPolicy>(), &json!({"authRef": {"name": "a"}}), &Resolved::default());
    assert_eq!(
        planted,
        [
            "PlantedPolicy: spec.externalId is a field that all kinds share: give the kind's own field another name, and send it \
             under the API's name"
        ]
    );
}

/// What to correct in a kind that reads fields of the shared block, one line for each.
fn taken(driver: &dyn Driver, spec: &Value, got: &Resolved) -> Vec<String> {
    let read = |spec: &Value| (driver.needs(spec), driver.desired(spec, got));
    let schemas = schema(driver, "spec")["properties"].clone();
    let reads = |field: &&String| {
        let schema = &schemas[field];
        let (mut without, mut with) = (spec.clone(), spec.clone());
        with[*field] = match (schema["enum"].get(0), schema["type"].as_str()) {
            (Some(first), _) => first.clone(),
            (None, Some("boolean")) => json!(true),
            (None, Some("string")) => json!("other"),
            _ => {
                let first = schema["properties"].as_object().and_then(|all| all.keys().next());
                json!({first.map_or("name", String::as_str): "other"})
            }
        };
        // Without credentials it is no spec.
        if *field != "authRef" {
            without.as_object_mut().unwrap().remove(*field);
        }
        read(&with) != read(&without)
    };
    let remedy = |field: &String| {
        format!(
            "{}: spec.{field} is a field that all kinds share: give the kind's own field another name, and send it under the \
             API's name",
            driver.kind()
        )
    };
    shared().as_object().unwrap().keys().filter(reads).map(remedy).collect()
}

#[test]
fn samples_fit_their_schema_and_name_every_field() {
    for driver in KINDS {
        let resource = driver.api_resource();
        let kind = resource.kind;
        let (text, object) = manifest(&kind);
        assert_eq!(object["apiVersion"], json!(resource.api_version), "{kind}");
        assert_eq!(object["kind"], json!(kind));
        let mut wrong = vec![];
        let spec = schema(*driver, "spec");
        check("spec", &object["spec"], &spec, &mut wrong);
        assert!(wrong.is_empty(), "{kind}: {wrong:?}");
        // The fields that all kinds share are explained once, elsewhere.
        for field in spec["properties"].as_object().unwrap().keys().filter(|f| !is_shared(f)) {
            assert!(
                text.contains(&format!("{field}:")),
                "{kind}: its sample does not show {field}: add it, with a value or commented out"
            );
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
