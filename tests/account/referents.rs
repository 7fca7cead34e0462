//! An account in which everything exists that the sample of a kind refers to: each object created by the driver of its kind,
//! from the sample of its kind, in the same account. Thus no test knows where the account keeps what, and the samples are proven
//! to fit together.

use std::collections::BTreeMap;

use databricks_operator::engine::error::Result;
use databricks_operator::engine::kind::{Driver, Key, Phase, PrincipalName, Resolved, Seen, Wanted, Writer};
use databricks_operator::kinds::KINDS;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use simulator::Simulator;

use crate::samples::{manifest, references, schema};

/// So often an object is read that is being created.
const READS: usize = 60;

/// The sample of a kind in an account that has what it refers to.
pub struct Ground {
    /// The spec of the sample; where that has the id of an object that a kind manages, with the id that the account has.
    pub spec: Value,
    /// What the spec needs, resolved.
    pub got: Resolved,
    /// The desired state.
    pub want: Value,
    /// Its key.
    pub key: Key,
    /// Ids of the objects that were created for it, by kind.
    pub made: BTreeMap<String, String>,
}

/// Creates what the sample of a kind refers to. What takes time in the account takes steps of this length of its clock.
pub async fn prepare(driver: &dyn Driver, simulator: &Simulator, api: &Writer, step_ms: u64) -> Ground {
    let mut account = Account { simulator, api, step_ms, made: BTreeMap::new(), path: vec![] };
    account.prepare(driver).await
}

struct Account<'a> {
    simulator: &'a Simulator,
    api: &'a Writer,
    step_ms: u64,
    made: BTreeMap<String, String>,
    /// The kinds whose samples are being prepared, each for the one before.
    path: Vec<String>,
}

impl Account<'_> {
    fn prepare<'a>(&'a mut self, driver: &'a dyn Driver) -> BoxFuture<'a, Ground> {
        async move {
            let kind = driver.kind().into_owned();
            assert!(!self.path.contains(&kind), "the samples of {:?} refer to each other", self.path);
            self.path.push(kind.clone());
            let mut spec = manifest(&kind).1["spec"].clone();
            for (field, other) in references(driver) {
                let id_field = id_field(&field);
                if spec.pointer(&pointer(&id_field)).is_some() {
                    let id = self.object(&other, None).await;
                    *spec.pointer_mut(&pointer(&id_field)).unwrap() = as_field(driver, &id_field, &id);
                }
            }
            let needs = driver.needs(&spec).unwrap_or_else(|e| panic!("{kind}: `needs` of its sample: {e}"));
            let mut got = Resolved { marker: "tests/default/sample".into(), ..Resolved::default() };
            for need in &needs {
                let id = match &need.what {
                    Wanted::Object { kind, name } => self.object(kind, Some(name)).await,
                    Wanted::Principal(name) => principal(self.simulator, name),
                };
                got.ids.insert(need.field.to_owned(), id);
            }
            let want = driver.desired(&spec, &got);
            let want =
                want.unwrap_or_else(|e| panic!("{kind}: with all declared needs, `desired` fails: {e}"));
            let key = driver.key(&want).unwrap_or_else(|e| panic!("{kind}: `key` of {want}: {e}"));
            self.path.pop();
            Ground { spec, got, want, key, made: self.made.clone() }
        }
        .boxed()
    }

    /// The id of the object that a sample means by this kind and name; the name of the sample of that kind, if it is given.
    async fn object(&mut self, kind: &str, name: Option<&str>) -> String {
        let by = self.path.last().cloned().unwrap_or_default();
        let driver = driver_of(kind);
        let called = manifest(kind).1["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            name.unwrap_or(&called),
            called,
            "{by}: its sample refers to a {kind} that has another name than the sample of {kind}"
        );
        if let Some(id) = self.made.get(kind) {
            return id.clone();
        }
        let want = self.prepare(driver).await.want;
        let made = bring_about(driver, self.api, &want).await;
        let id = made
            .unwrap_or_else(|e| panic!("{by} refers to {kind}, which its sample does not create: {e}"))
            .id;
        self.ready(driver, &id).await;
        self.made.insert(kind.to_owned(), id.clone());
        id
    }

    async fn ready(&self, driver: &dyn Driver, id: &str) {
        for _ in 0..READS {
            let seen = driver.get(self.api, id).await;
            let seen = seen.unwrap_or_else(|e| panic!("{}: reading what was created: {e}", driver.kind()));
            if seen.is_some_and(|seen| seen.about.phase == Phase::Ready) {
                return;
            }
            self.simulator.advance_ms(self.step_ms);
        }
        panic!("{}: {id} does not become ready", driver.kind())
    }
}

impl Ground {
    /// The spec with an id of the account in place of each reference.
    #[allow(dead_code, reason = "not every test writes objects of Kubernetes")]
    pub fn with_ids(&self, driver: &dyn Driver) -> Value {
        let mut spec = self.spec.clone();
        for (field, kind) in references(driver) {
            if let Some((list, member)) = field.split_once('.').filter(|_| field.contains('/')) {
                self.made.get(&kind).into_iter().for_each(|id| name_by_id(&mut spec[list], member, id));
                continue;
            }
            let (within, name) = field.rsplit_once('.').unwrap_or(("", &field));
            let within = if within.is_empty() { Some(&mut spec) } else { spec.pointer_mut(&pointer(within)) };
            let Some(fields) = within.and_then(Value::as_object_mut) else { continue };
            if fields.remove(name).is_some() {
                fields.insert(id_field(name), as_field(driver, &id_field(&field), &self.made[&kind]));
            }
        }
        spec
    }
}

/// Replaces the items of a list that are a reference, `userRef/lin`, by items with an id.
fn name_by_id(list: &mut Value, reference: &str, id: &str) {
    let (field, name) = reference.split_once('/').unwrap_or((reference, ""));
    let id: i64 = id.parse().unwrap_or_else(|e| panic!("{reference}: {id}: {e}"));
    for item in list.as_array_mut().into_iter().flatten().filter(|item| item[field]["name"] == name) {
        *item = json!({"id": id});
    }
}

/// Does what the operator does for a new object: changes what is in the account and not managed, or else creates it.
pub async fn bring_about(driver: &dyn Driver, api: &Writer, want: &Value) -> Result<Seen> {
    let key = driver.key(want)?;
    for seen in driver.list(api, &key.within).await? {
        if seen.about.phase == Phase::Vacant && driver.matches(&key, &seen)? {
            let changes = driver.changes(want, &seen)?;
            let now: Vec<&str> = changes.iter().map(|change| change.field()).collect();
            return driver.update(api, &seen, want, &now).await;
        }
    }
    let created = driver.create(api, want).await?;
    match created.seen {
        Some(seen) => Ok(seen),
        None => Ok(driver.get(api, &created.id).await?.expect("what was created is shown")),
    }
}

/// The driver of a kind.
pub fn driver_of(kind: &str) -> &'static dyn Driver {
    let found = KINDS.iter().copied().find(|driver| driver.kind() == kind);
    found.unwrap_or_else(|| panic!("a kind refers to {kind}, which is none of KINDS"))
}

/// The field beside a reference that has the id in place of the name.
fn id_field(reference: &str) -> String {
    reference.replace("Ref", "Id")
}

/// The part of an object at a path such as `vpcEndpoints.restApiRefs`.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

/// An id as a field of the spec has it: text, a number, or a list of one.
fn as_field(driver: &dyn Driver, field: &str, id: &str) -> Value {
    let schema = schema(driver, "spec");
    let schema = field.split('.').fold(&schema, |at, name| &at["properties"][name]);
    match schema["type"].as_str() {
        Some("array") => json!([id]),
        Some("integer") => json!(id.parse::<i64>().unwrap_or_else(|e| panic!("spec.{field} {id}: {e}"))),
        Some(_) => json!(id),
        None => panic!("{}: there is no spec.{field} beside the reference: add it", driver.kind()),
    }
}

/// The id of a principal, which is created if the account has none of this name.
pub fn principal(simulator: &Simulator, name: &PrincipalName) -> String {
    let (collection, attribute, value) = name.search();
    let known = simulator.objects(collection).into_iter().find(|o| o[attribute] == json!(value));
    let known = known.unwrap_or_else(|| simulator.insert(collection, json!({attribute: value})).unwrap());
    text(&known["id"])
}

/// An id, whether the API shows it as text or as a number.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
