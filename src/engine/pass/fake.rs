//! A kind made by hand for the tests of the hops, and what else they need: a desired state and an account are plain JSON,
//! no call leaves the process, and each call is recorded. Longer than other files, as a kind
//! has that many functions.

pub mod account;
pub mod cluster;
mod list;
pub mod log;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use ipnet::IpNet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, GroupVersionKind};
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::engine::Settings;
use super::outcome::Pace;
use crate::clock;
use crate::databricks::{Client, Connection, Credentials, Host, HostPolicy, Urgency};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Acting, Change, Driver, Entries, Home, Issues, Key, Lifecycle, Need, New, Output, Ownership, Part,
    Phase, Power, PrincipalName, Reader, Resolved, Seen, Settled, Shared, Traits, Wanted, When, Writer,
};

/// A kind whose objects have a name, which no update gives to two of them, and values that differ where they differ. What is
/// in the account is set by a test.
pub struct Fake {
    /// Its lifecycle, and what proves ownership.
    pub traits: Traits,
    /// A reference means this fact of the other object instead of its id.
    pub fact: Option<&'static str>,
    /// It has a temporary name for an object that exchanges its name with another.
    pub steps_aside: bool,
    /// What GET shows.
    pub got: Mutex<HashMap<String, Seen>>,
    /// What LIST shows.
    pub listed: Mutex<Vec<Seen>>,
    /// The next failure of a read.
    pub fails: Mutex<Option<Error>>,
    /// The next writes are refused with these errors.
    pub refuses: Mutex<VecDeque<Error>>,
    /// Updates and deletions are accepted, and have no effect yet.
    pub late: Mutex<bool>,
    /// A create leaves the value out: an update sets it.
    pub partial: Mutex<bool>,
    /// The response to a create shows only the id.
    pub silent: Mutex<bool>,
    /// Updates carry out the value alone, and their responses say that the account refused the rest for this.
    pub in_part: Mutex<Option<Error>>,
    /// A create waits this long for its turn before it is sent, and an update for its response.
    pub waits: Mutex<Duration>,
    /// A LIST takes this long. It shows what there is when it begins.
    pub slow: Mutex<Duration>,
    /// So many secrets were issued.
    pub issued: Mutex<u32>,
    /// The next update puts an object with this id in place of the one that it changes.
    pub replaces: Mutex<Option<(&'static str, Old)>>,
    /// The next write is carried out, and its response is this failure.
    pub loses: Mutex<Option<Error>>,
    /// The phase of what is created.
    pub phase: Mutex<Phase>,
    /// The name in the mark on what is written.
    pub mark: Mutex<String>,
    /// The calls, in order: `GET id`, `LIST within`, `POST name`, `PATCH id fields`, `DELETE id`.
    pub calls: Mutex<Vec<String>>,
    /// What the guard was asked to judge by: the operator's own principal, and the ids of the siblings.
    pub judged: Mutex<Vec<(Option<String>, Vec<String>)>>,
    /// So many rows were compared with a key.
    pub compared: Mutex<usize>,
    /// What all objects share, or why that cannot be read.
    pub shared: Mutex<Result<Shared>>,
}

/// What becomes of an object that an update replaces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Old {
    /// It is gone.
    Gone,
    /// It is gone, but the next read fails.
    Unreadable,
    /// It is gone, and what the response shows has another name.
    Elsewhere,
    /// It stays.
    Stays,
}

impl Fake {
    /// A kind with an empty account.
    pub fn new(lifecycle: Lifecycle, ownership: Ownership) -> &'static Fake {
        Fake::with(|fake| (fake.traits.lifecycle, fake.traits.ownership) = (lifecycle, ownership))
    }

    /// A kind without a mark that differs in this from others. Leaked, as drivers are static.
    pub fn with(change: impl FnOnce(&mut Fake)) -> &'static Fake {
        let traits = Traits {
            immutable: &[],
            references: &[],
            untold: &[],
            unlisted: &[],
            home: Home::Account,
            parented: false,
            ownership: Ownership::RecordedId,
            lifecycle: Lifecycle::Object,
            data_bearing: false,
            undelete: None,
            retained: false,
            issues: Issues::Nothing,
            granted_by_name: false,
            removable: true,
            restored: false,
            read_lag: Duration::ZERO,
            guarded_alone: false,
            guarded_among_siblings: false,
            creates_in_turn: false,
            writes_in_turn: false,
            found_by_key: false,
            has_parts: true,
            guard_reads: None,
            explained: None,
            roster: None,
        };
        let mut fake = Fake {
            traits,
            fact: None,
            steps_aside: false,
            got: Mutex::default(),
            listed: Mutex::default(),
            fails: Mutex::default(),
            refuses: Mutex::default(),
            late: Mutex::default(),
            partial: Mutex::default(),
            silent: Mutex::default(),
            in_part: Mutex::default(),
            waits: Mutex::default(),
            slow: Mutex::default(),
            issued: Mutex::default(),
            replaces: Mutex::default(),
            loses: Mutex::default(),
            phase: Mutex::new(Phase::Ready),
            mark: Mutex::new("it".into()),
            calls: Mutex::default(),
            judged: Mutex::default(),
            compared: Mutex::default(),
            shared: Mutex::new(Ok(Shared::default())),
        };
        change(&mut fake);
        Box::leak(Box::new(fake))
    }

    /// One whose id is its key.
    pub fn upsert() -> &'static Fake {
        Fake::new(Lifecycle::Upsert, Ownership::RecordedId)
    }

    /// One whose guard checks each write.
    pub fn guarded() -> &'static Fake {
        Fake::with(|fake| fake.traits.guarded_among_siblings = true)
    }

    /// Puts an object into the account, in GET and in LIST.
    pub fn put(&self, seen: Seen) {
        self.listed.lock().unwrap().retain(|other| other.id != seen.id);
        self.listed.lock().unwrap().push(seen.clone());
        self.got.lock().unwrap().insert(seen.id.clone(), seen);
    }

    /// The calls since the last time.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// Removes an object from the account.
    pub fn take(&self, id: &str) {
        self.listed.lock().unwrap().retain(|seen| seen.id != id);
        self.got.lock().unwrap().remove(id);
    }

    /// Changes an object in the account, without the operator.
    pub fn edit(&self, id: &str, f: impl FnOnce(&mut Seen)) {
        let mut seen = self.got.lock().unwrap()[id].clone();
        f(&mut seen);
        self.put(seen);
    }

    /// The next write that is not refused yet is refused.
    pub fn refuse(&self, error: Error) {
        self.refuses.lock().unwrap().push_back(error);
    }

    fn written(&self, writer: &Writer, call: String) -> Result<()> {
        if !writer.may_write() {
            return Err(Error::Fenced);
        }
        self.calls.lock().unwrap().push(call);
        self.refuses.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    /// The mark on what is written, if the kind has one.
    fn mark(&self) -> Option<String> {
        let marks = self.traits.ownership == Ownership::Marker;
        marks.then(|| format!("here/ns/{}", self.mark.lock().unwrap()))
    }

    /// Whether another object has this name.
    fn is_taken(&self, id: &str, name: &Value) -> bool {
        self.got.lock().unwrap().values().any(|other| other.id != id && other.state["name"] == *name)
    }

    /// An id that no other object has had.
    fn next_id(&self) -> String {
        let mut issued = self.issued.lock().unwrap();
        *issued += 1;
        format!("id-{issued}")
    }

    fn answered<T>(&self, answer: T) -> Result<T> {
        self.loses.lock().unwrap().take().map_or(Ok(answer), Err)
    }

    fn called<T>(&self, call: String, answer: impl FnOnce() -> T) -> Result<T> {
        self.calls.lock().unwrap().push(call);
        match self.fails.lock().unwrap().take() {
            Some(error) => Err(error),
            None => Ok(answer()),
        }
    }
}

/// An object of the account: Ready, with this name, and the mark of this owner.
pub fn seen(id: &str, name: &str, owner: Option<&str>) -> Seen {
    let about = About { phase: Phase::Ready, owner: owner.map(str::to_owned), ..About::default() };
    Seen { id: id.into(), state: json!({"name": name}), facts: Map::new(), about }
}

/// An object of the account that nothing manages. Its id is its name.
pub fn vacant(name: &str) -> Seen {
    let mut seen = seen(name, name, None);
    (seen.about.phase, seen.about.state) = (Phase::Vacant, Some("OFF".into()));
    seen
}

/// The settings of the engine, with these times.
pub fn settings(read_lag: Duration, quarantine: Duration) -> Settings {
    let second = Duration::from_secs(1);
    Settings {
        resync: Some(600 * second),
        pace: Pace {
            backoff_min: second,
            backoff_max: 300 * second,
            poll_min: second,
            poll_max: 30 * second,
            waiting: 60 * second,
            stalled_min: 10 * second,
            stalled: 1_800 * second,
        },
        refusal_tries: 3,
        refusal_period: 60 * second,
        quarantine,
        absence: 10 * second,
        read_lag,
        operation: 3_600 * second,
        installation: "here".into(),
        namespaces: vec![],
        google_identity_namespaces: vec![],
        selector: String::new(),
        concurrency: 1,
        max_deletions_per_hour: 0,
    }
}

/// A client of an account that no call reaches.
pub fn client(account_id: &str) -> Client {
    let host = Host::parse("https://accounts.cloud.databricks.com", &HostPolicy::default()).unwrap();
    let connection = Connection {
        host,
        account_id: account_id.into(),
        client_id: "client".into(),
        credentials: Credentials::Secret("secret".to_owned().into()),
        on_google: false,
    };
    Client::new(connection, &crate::databricks::Settings::default()).unwrap()
}

/// A client of the account `account`. All tests share it, as it takes long to create one.
pub fn account() -> Client {
    static CLIENT: LazyLock<Client> = LazyLock::new(|| client("account"));
    CLIENT.clone()
}

/// A reader of an account that no call reaches.
pub fn reader() -> Reader {
    Reader::new(account(), Urgency::Routine)
}

impl Driver for Fake {
    fn api_resource(&self) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk("databricks-operator.io", "v1alpha1", "Fake"))
    }

    fn kind(&self) -> std::borrow::Cow<'static, str> {
        "Fake".into()
    }

    fn crd(&self) -> CustomResourceDefinition {
        unreachable!("no hop reads the CRD")
    }

    fn fields(&self) -> &'static BTreeSet<String> {
        static FIELDS: LazyLock<BTreeSet<String>> =
            LazyLock::new(|| BTreeSet::from(["name".into(), "value".into()]));
        &FIELDS
    }

    fn traits(&self) -> Traits {
        self.traits
    }

    fn needs(&self, spec: &Value) -> Result<Vec<Need>> {
        let object = |field: &'static str| {
            let name = spec[field]["name"].as_str()?.into();
            Some(Need {
                field: field.into(),
                what: Wanted::Object { kind: "Fake".into(), name },
                fact: self.fact,
                soft: false,
            })
        };
        let group = spec["group"].as_str().map(|name| PrincipalName::Group(name.into()));
        let group = group.map(|group| Need::principal("group", group));
        Ok(object("parentRef").into_iter().chain(object("otherRef")).chain(group).collect())
    }

    fn desired(&self, spec: &Value, got: &Resolved) -> Result<Value> {
        if spec["panic"] == true {
            panic!("a bug of ours");
        }
        if !spec["name"].is_string() {
            return Err(Error::terminal(Reason::InvalidSpec, "spec.name is missing"));
        }
        let value = match got.ids.get("parentRef").or(got.ids.get("group")) {
            Some(id) => json!(id),
            None => spec["value"].clone(),
        };
        let mut state = json!({"name": spec["name"], "value": value});
        list::desire(&mut state, spec);
        Ok(state)
    }

    fn key(&self, want: &Value) -> Result<Key> {
        let text = |field: &str| want[field].as_str().unwrap_or_default().to_owned();
        Ok(Key { within: text("within"), name: text("name") })
    }

    fn within(&self, id: &str) -> Result<String> {
        if id == "nonsense" {
            return Err(Error::terminal(Reason::InvalidSpec, format!("{id:?} is not an id of a Fake")));
        }
        Ok(id.rsplit_once('/').map_or(String::new(), |(within, _)| within.to_owned()))
    }

    fn aside(&self, want: &Value, id: &str) -> Result<Option<Value>> {
        let name = format!("{id} aside");
        Ok(self.steps_aside.then(|| json!({"name": name, "value": want["value"]})))
    }

    fn output(&self, spec: &Value) -> Result<Option<Output>> {
        Ok(spec["secretName"].as_str().filter(|_| self.traits.issues != Issues::Nothing).map(|name| Output {
            secret_name: name.to_owned(),
            key: "key",
            overlap: Duration::from_secs(spec["overlap"].as_u64().unwrap_or(600)),
            renewal: spec["renewal"].as_str().map(str::to_owned),
        }))
    }

    fn power(&self, _: &Value) -> Result<Power> {
        Ok(Power::default())
    }

    /// All of something that others may have shares of, which a spec means once it is bound, or one share of it.
    fn parts(&self, want: &Value, id: Option<&str>) -> Result<Vec<Part>> {
        let value = want["value"].as_str().unwrap_or_default();
        let part = |what: &str, shared| Part { what: what.to_owned(), shared, remedy: "change spec.value" };
        let all = value.strip_prefix("all of ").filter(|_| id.is_some()).map(|what| part(what, false));
        let one = value.strip_prefix("one of ").map(|what| part(what, true));
        Ok(all.into_iter().chain(one).collect())
    }

    fn entries(&self, want: &Value, seen: &Seen) -> Result<Entries> {
        Ok(list::entries(want, &seen.state))
    }

    fn settle(&self, want: &Value, settled: &Settled) -> Result<Value> {
        Ok(list::settle(want, settled))
    }

    fn recognises(&self, want: &Value, seen: &Seen) -> Result<bool> {
        let aside = self.aside(want, &seen.id)?;
        Ok([Some(want), aside.as_ref()].iter().flatten().any(|want| want["name"] == seen.state["name"]))
    }

    fn changes(&self, want: &Value, seen: &Seen) -> Result<Vec<Change>> {
        let fixed = |field: &str| self.traits.immutable.iter().any(|fixed| fixed.state == field);
        let fields = want
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, value)| list::differs(field, value, &seen.state[*field]) && !fixed(field));
        Ok(fields.map(|(field, _)| Change { path: field.clone(), when: When::Now }).collect())
    }

    fn again(&self, _: &Value, _: &Seen) -> Result<Vec<&'static str>> {
        Ok(vec![])
    }

    fn matches(&self, key: &Key, seen: &Seen) -> Result<bool> {
        *self.compared.lock().unwrap() += 1;
        Ok(seen.state["name"] == *key.name)
    }

    fn guard<'a>(&'a self, act: Acting<'a>, _: &'a Reader) -> BoxFuture<'a, Result<()>> {
        let siblings = act.siblings.iter().map(|seen| seen.id.clone()).collect();
        self.judged.lock().unwrap().push((act.auth.principal_id.clone(), siblings));
        let wanted = |field: &str| act.want.and_then(|want| want[field].as_str()).unwrap_or_default();
        let value = wanted("value");
        let blocks = |net: &IpNet| value.strip_prefix("block ") == Some(&net.to_string());
        let locks_out = [value, wanted("name")].contains(&"lock-out") || list::locks_out(act.want);
        let refused = locks_out || act.auth.egress.iter().any(blocks);
        let refusal = Error::terminal(Reason::WouldLockOut, "it would lock the operator out");
        std::future::ready(if refused { Err(refusal) } else { Ok(()) }).boxed()
    }

    fn shared<'a>(&'a self, _: &'a Reader, _: &'a str) -> BoxFuture<'a, Result<Shared>> {
        async move { self.shared.lock().unwrap().clone() }.boxed()
    }

    fn get<'a>(&'a self, _: &'a Reader, id: &'a str) -> BoxFuture<'a, Result<Option<Seen>>> {
        async move { self.called(format!("GET {id}"), || self.got.lock().unwrap().get(id).cloned()) }.boxed()
    }

    fn list<'a>(&'a self, _: &'a Reader, within: &'a str) -> BoxFuture<'a, Result<Vec<Seen>>> {
        async move {
            let listed = self.called(format!("LIST {within}"), || self.listed.lock().unwrap().clone());
            let slow = *self.slow.lock().unwrap();
            if !slow.is_zero() {
                tokio::time::sleep(slow).await;
            }
            listed
        }
        .boxed()
    }

    fn create<'a>(&'a self, api: &'a Writer, want: &'a Value) -> BoxFuture<'a, Result<New>> {
        async move {
            let name = want["name"].as_str().unwrap_or_default();
            let waits = *self.waits.lock().unwrap();
            tokio::time::sleep(waits).await;
            self.written(api, format!("POST {name}"))?;
            let (upsert, issues) = (self.traits.lifecycle == Lifecycle::Upsert, self.traits.issues);
            let id = match upsert {
                true => format!("/{name}"),
                false if issues != Issues::Nothing => self.next_id(),
                false => format!("id-{name}"),
            };
            let mut seen = seen(&id, name, self.mark().as_deref());
            if issues != Issues::Nothing {
                let now = clock::now().as_second();
                let expires = (issues == Issues::Secret).then_some(now + 9_000);
                (seen.about.created, seen.about.expires) = (Some(now), expires);
            }
            if !*self.partial.lock().unwrap() {
                seen.state["value"] = want["value"].clone();
            }
            seen.about.phase = self.phase.lock().unwrap().clone();
            self.put(seen.clone());
            let mut new = New::from(self.answered(seen)?);
            if *self.silent.lock().unwrap() {
                new.seen = None;
            }
            if issues != Issues::Nothing {
                new.secret = Some(SecretString::from(format!("secret of {}", new.id)));
            }
            if issues == Issues::WithSecret {
                new.beside = Some(("user", format!("user of {}", new.id)));
            }
            Ok(new)
        }
        .boxed()
    }

    fn update<'a>(
        &'a self,
        api: &'a Writer,
        seen: &'a Seen,
        want: &'a Value,
        now: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Seen>> {
        async move {
            self.written(api, format!("PATCH {} {}", seen.id, now.join(",")))?;
            let waits = *self.waits.lock().unwrap();
            tokio::time::sleep(waits).await;
            if now.contains(&"name") && self.is_taken(&seen.id, &want["name"]) {
                let text = format!("{} exists already", want["name"]);
                return Err(Error::rejected(Reason::AlreadyExists, text));
            }
            let mut seen = seen.clone();
            if *self.late.lock().unwrap() {
                return self.answered(seen);
            }
            let in_part = self.in_part.lock().unwrap().clone();
            let carried_out = now.iter().filter(|field| in_part.is_none() || **field == "value");
            carried_out.for_each(|field| list::put(&mut seen.state[*field], &want[*field]));
            if seen.about.phase == Phase::Vacant {
                seen.about.phase = Phase::Ready;
            }
            if let Some(mark) = self.mark() {
                seen.about.owner = Some(mark);
            }
            if let Some((id, old)) = self.replaces.lock().unwrap().take() {
                if old != Old::Stays {
                    self.take(&seen.id);
                }
                if old == Old::Unreadable {
                    *self.fails.lock().unwrap() = Some(Error::retry("no response"));
                }
                if old == Old::Elsewhere {
                    seen.state["name"] = json!("elsewhere");
                }
                seen.id = id.to_owned();
            }
            self.put(seen.clone());
            seen.about.refused = in_part;
            self.answered(seen)
        }
        .boxed()
    }

    fn left_behind(&self, _: Option<&Value>, seen: &Seen) -> Result<Option<&'static str>> {
        Ok((seen.state["value"] == "off").then_some("switched off"))
    }

    fn remove<'a>(
        &'a self,
        api: &'a Writer,
        seen: &'a Seen,
        _: Option<&'a Value>,
    ) -> BoxFuture<'a, Result<()>> {
        self.delete(api, seen)
    }

    fn delete<'a>(&'a self, api: &'a Writer, seen: &'a Seen) -> BoxFuture<'a, Result<()>> {
        async move {
            self.written(api, format!("DELETE {}", seen.id))?;
            match *self.late.lock().unwrap() {
                true => {}
                false if self.traits.lifecycle == Lifecycle::Standing => self.put(vacant(&seen.id)),
                false => self.take(&seen.id),
            }
            Ok(())
        }
        .boxed()
    }
}
