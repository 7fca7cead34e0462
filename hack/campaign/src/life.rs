//! An object and its account in a run: what users and others do with them, and how their states are read.
//!
//! What must hold is read from the account and its journal, not from what the operator says of itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use databricks_operator::engine::kind::{Driver, Lifecycle, Seen};
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::example;
use crate::fault::Plan;
use crate::honest::Honest;
use crate::lane::{self, Case, Known};
use crate::oracle::{self, End};
use crate::outside::Outside;
use crate::start::Start;
use crate::story::Story;
use crate::trace::Trace;
use crate::world::{INSTALLATION, World, create, credentials, managed};
use crate::{account, seed};

/// An hour of the account's clock.
pub const HOUR_MS: u64 = 3_600_000;
/// Within this time an object is as its spec says, and gone once it is deleted, whatever went wrong before.
const SOON: Duration = Duration::from_secs(6 * 3600);
/// Within this time all is done, if nothing goes wrong.
const SETTLES: Duration = Duration::from_secs(2 * 3600);
/// The note from which on nothing is to be done.
pub const REST: &str = "it rests";
/// How long after a change the operator may still write about it.
pub const SETTLED: Duration = Duration::from_secs(20 * 60);

/// Follows the story of a run; returns what must not be, and how it went.
pub async fn live(case: Case, plan: Plan, trace: Arc<Trace>) -> (Vec<String>, Known) {
    // What is there is another installation's.
    let installation = if case.story == Story::Foreign { "elsewhere" } else { INSTALLATION };
    let (world, outside) = case.start.begin(plan, trace, installation);
    // In the others, watches end and begin again as often as those of a real API server.
    if seed::below(8) > 0 {
        world.server.calm();
    }
    account::take(&world.account, 1000 * [0, 5, 90][seed::below(3) as usize]);
    account::assume(&world.account);
    let late = account::late(&world.account, case.start.kinds);
    let mut life = Life::new(case.start.clone(), world.clone(), outside);
    (life.known, life.late) = (case.known.clone(), late);
    if case.story == Story::Restore {
        life.restore().await;
    }
    life.expect().await;
    // Where reads are late, the status is not judged, see docs/reliability.md.
    let watch = (!late).then(|| {
        let outside = life.outside.in_account(&world.account, life.outside.writer().clone());
        tokio::spawn(life.honest.clone().watch(world.clone(), outside, life.api.clone()))
    });
    let operator = match case.story {
        Story::Handover => tokio::spawn(world.clone().replicate()),
        _ => tokio::spawn(world.clone().operate()),
    };
    let followed = async {
        // The operator is starting, or has started.
        sleep(Duration::from_secs([0, 2, 60][seed::below(3) as usize])).await;
        case.story.follow(&mut life).await?;
        life.quiet(case.rest).await;
        life.check_rest();
        Ok::<_, String>(())
    };
    if let Err(stuck) = followed.await {
        life.wrong.push(stuck);
    }
    watch.inspect(JoinHandle::abort);
    life.judge();
    world.stop.cancel();
    let ended = operator.await.map_err(|panic| panic.to_string());
    life.wrong.extend(ended.and_then(std::convert::identity).err());
    let known = Known { calls: lane::busy(&world.trace), end: life.end, verdict: life.verdict };
    (life.wrong, known)
}

/// An object and its account, and what users and others do with both.
pub struct Life {
    pub start: Arc<Start>,
    pub world: Arc<World>,
    pub outside: Outside,
    /// What the account should have for the spec as it is.
    pub want: Value,
    honest: Arc<Honest>,
    /// How the story goes without faults.
    known: Option<Arc<Known>>,
    user: kube::Client,
    api: Api<DynamicObject>,
    /// All objects of the account at the end.
    end: End,
    /// What the object's conditions say once all is done.
    verdict: String,
    /// When users began to delete what they created.
    deleted_ms: Option<u64>,
    /// So many objects they have created, but for a rival.
    pub objects: usize,
    /// So many calls to the account within a minute are too many.
    pub busiest: usize,
    /// The operator's reads of the account may be late.
    pub late: bool,
    /// All objects of the account at the start, if what the story leaves behind depends on what is drawn.
    pub before: Option<End>,
    pub wrong: Vec<String>,
}

impl Life {
    pub fn new(start: Arc<Start>, world: Arc<World>, outside: Outside) -> Life {
        let user = world.server.client("user");
        let api = Api::default_namespaced_with(user.clone(), &start.driver.api_resource());
        let (want, honest) = (start.want.clone(), Arc::default());
        let (end, verdict, wrong) = (End::new(), String::new(), vec![]);
        Life {
            start,
            world,
            outside,
            want,
            honest,
            known: None,
            user,
            api,
            end,
            verdict,
            deleted_ms: None,
            objects: 1,
            busiest: oracle::BUSIEST_MINUTE,
            late: false,
            before: None,
            wrong,
        }
    }

    /// The objects of a type.
    fn api_of(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::default_namespaced_with(self.user.clone(), resource)
    }

    /// A user creates the object.
    pub async fn create(&self, name: &str, more: &Value) {
        let mut spec = self.start.spec.clone();
        json_patch::merge(&mut spec, more);
        self.create_as(self.start.driver, name, spec).await;
    }

    /// A user creates an object of a kind.
    pub async fn create_as(&self, driver: &dyn Driver, name: &str, spec: Value) {
        self.note(format!("a user creates {} {name}", driver.kind()));
        create(&self.world.server, &driver.api_resource(), managed(driver, name, spec)).await;
        if name == "it" {
            self.expect().await;
        }
    }

    /// A user applies a manifest of an example.
    pub async fn apply(&self, manifest: &Value) {
        let (resource, name) = example::called(manifest);
        self.note(format!("a user creates {} {name}", resource.kind));
        create(&self.world.server, &resource, manifest.clone()).await;
    }

    /// The status may claim that the account has what the spec wants only if that is so. Not known is that of a chain.
    async fn expect(&self) {
        if let Ok(Some(object)) = self.api.get_opt("it").await
            && !self.want.is_null()
        {
            self.honest.expect(&object, &self.want);
        }
    }

    /// Another client changes the account.
    pub fn disturb(&self, text: &str) {
        self.note(text);
        self.honest.disturbed.store(true, Ordering::Relaxed);
    }

    /// The operator knows what another client changed.
    pub fn calm(&self) {
        self.honest.disturbed.store(false, Ordering::Relaxed);
    }

    /// A user deletes the object, and it goes.
    pub async fn delete(&mut self, name: &str) -> Result<(), String> {
        if name == "it" {
            self.deletes();
        }
        let resource = self.start.driver.api_resource();
        self.delete_as(&resource, name).await?;
        self.until("the object is gone", async |life| life.gone(&resource, name).await).await?;
        self.note("it is gone");
        Ok(())
    }

    /// From here on users delete what they created; returns the time of the account.
    pub fn deletes(&mut self) -> u64 {
        *self.deleted_ms.insert(self.world.account.now_ms())
    }

    /// A user deletes an object of a type.
    pub async fn delete_as(&self, resource: &ApiResource, name: &str) -> Result<(), String> {
        self.note(format!("a user deletes {} {name}", resource.kind));
        let deleted = self.api_of(resource).delete(name, &DeleteParams::default()).await;
        deleted.map(drop).map_err(|error| format!("the API server refuses the deletion: {error}"))
    }

    /// Whether an object of a type is gone.
    pub async fn gone(&self, resource: &ApiResource, name: &str) -> Result<(), String> {
        let found = self.seen_as(resource, name).await?;
        found.map_or(Ok(()), |found| Err(format!("{name}: {}", found["status"])))
    }

    /// The cluster is lost, and the object comes back from a backup: with its annotations, without its status.
    async fn restore(&self) {
        let params = PatchParams::default();
        let saved = self.api.get("it").await.expect("the object is there");
        let free = Patch::Merge(json!({"metadata": {"finalizers": []}}));
        self.api.patch("it", &params, &free).await.expect("finalizers can be removed");
        self.api.delete("it", &DeleteParams::default()).await.expect("it can be deleted");
        let resource = self.start.driver.api_resource();
        let manifest = json!({
            "apiVersion": resource.api_version, "kind": resource.kind, "spec": saved.data["spec"],
            "metadata": {"name": "it", "namespace": "default", "annotations": saved.metadata.annotations},
        });
        self.note("a user restores it");
        create(&self.world.server, &resource, manifest).await;
    }

    /// The credentials are replaced, in the account and in the cluster.
    pub async fn rotate(&mut self) {
        let (secret, grace_ms) = (account::NEXT_SECRET, [0, 600_000][seed::below(2) as usize]);
        self.note(format!("the credentials are replaced; the old ones are good for {grace_ms} ms"));
        self.world.account.rotate_secret(secret, grace_ms);
        let (account, writer) = (&self.world.account, account::writer(&self.world.account, secret));
        self.outside = self.outside.in_account(account, writer);
        let (resource, manifest) = credentials(secret);
        let api: Api<DynamicObject> = Api::default_namespaced_with(self.user.clone(), &resource);
        sleep(Duration::from_secs([0, 90][seed::below(2) as usize])).await;
        let params = PatchParams::default();
        api.patch("databricks", &params, &Patch::Merge(manifest)).await.expect("a Secret can be changed");
    }

    /// Until the object is Ready as it is now.
    pub async fn becomes_ready(&self) -> Result<(), String> {
        self.until("the object is Ready", async |life| life.ready().await).await
    }

    /// Until the operator has taken notice of the spec.
    pub async fn becomes_current(&self) -> Result<(), String> {
        self.until("the spec is observed", async |life| {
            let seen = life.seen("it").await?.ok_or("there is no object")?;
            let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
            if current { Ok(()) } else { Err(seen["status"].to_string()) }
        })
        .await
    }

    /// Until the object says what it says in the end without faults.
    pub async fn settles(&mut self) -> Result<(), String> {
        let Some(known) = self.known.clone() else {
            sleep(SETTLES).await;
            self.verdict = self.says().await?;
            return Ok(());
        };
        self.until("the conditions are as without faults", async |life| {
            let says = life.says().await?;
            // The operator may not have noticed yet that there is something to do.
            let done = oracle::everything(&life.world.account) == known.end;
            if done && says == known.verdict {
                Ok(())
            } else {
                Err(format!("{says} instead of {}", known.verdict))
            }
        })
        .await
    }

    /// What the conditions of the object say.
    async fn says(&self) -> Result<String, String> {
        let seen = self.seen("it").await?.ok_or("there is no object")?;
        let mut said: Vec<String> = vec![];
        for condition in seen["status"]["conditions"].as_array().into_iter().flatten() {
            said.push(format!("{} {} {}", condition["type"], condition["status"], condition["reason"]));
        }
        said.sort_unstable();
        Ok(said.join(", ").replace('"', ""))
    }

    pub async fn seen(&self, name: &str) -> Result<Option<Value>, String> {
        self.seen_as(&self.start.driver.api_resource(), name).await
    }

    async fn seen_as(&self, resource: &ApiResource, name: &str) -> Result<Option<Value>, String> {
        let found = self.api_of(resource).get_opt(name).await.map_err(|error| error.to_string())?;
        Ok(found.map(|object| json!(object)))
    }

    pub async fn ready(&self) -> Result<(), String> {
        self.ready_as(self.start.driver, "it").await
    }

    /// Whether an object of a kind is Ready as it is now.
    pub async fn ready_as(&self, driver: &dyn Driver, name: &str) -> Result<(), String> {
        let seen = self.seen_as(&driver.api_resource(), name).await?.ok_or("there is no object")?;
        let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
        let holds = |name: &str| {
            let all = seen["status"]["conditions"].as_array().into_iter().flatten();
            all.into_iter().any(|one| one["type"] == name && one["status"] == "True")
        };
        let ready = current && holds("Ready") && holds("Synced");
        if ready { Ok(()) } else { Err(format!("{name}: {}", seen["status"])) }
    }

    /// A user changes the spec.
    pub async fn patch(&self, spec: &Value) -> Result<(), String> {
        self.patch_as(self.start.driver, "it", spec).await
    }

    /// A user changes the spec of an object of a kind.
    pub async fn patch_as(&self, driver: &dyn Driver, name: &str, spec: &Value) -> Result<(), String> {
        self.note(format!("a user changes the spec of {name}: {spec}"));
        let (params, patch) = (PatchParams::default(), Patch::Merge(json!({"spec": spec})));
        let patched = self.api_of(&driver.api_resource()).patch(name, &params, &patch).await;
        let patched = patched.map_err(|error| format!("the API server refuses the change: {error}"))?;
        if name == "it" {
            self.honest.expect(&patched, &self.want);
        }
        Ok(())
    }

    /// The one object in the account.
    pub async fn only_one(&self) -> Result<Seen, String> {
        let there = self.outside.objects().await?;
        let [one] = &there[..] else {
            return Err(format!("Ready, and the account has {} objects: {there:?}", there.len()));
        };
        // A LIST does not show all of it.
        self.outside.get(&one.id).await?.ok_or_else(|| format!("listed, and not there: {one:?}"))
    }

    /// Once the object is gone, so is what it managed.
    pub async fn check_gone(&mut self, made: &Seen) -> Result<(), String> {
        let left = self.outside.left(made).await?;
        if !left.is_empty() {
            self.wrong.push(format!("gone, and the account still has {left:?}"));
        }
        Ok(())
    }

    /// At the end, the account is as it is after a life without faults: mostly as before.
    fn check_rest(&mut self) {
        self.end = oracle::everything(&self.world.account);
        let Some(known) = &self.known else { return };
        for (collection, wanted) in &known.end {
            let found = self.end.get(collection);
            // What the story itself leaves behind depends on what is drawn.
            let differs = |before: &End| before.get(collection) != Some(wanted);
            if found != Some(wanted) && !self.before.as_ref().is_some_and(differs) {
                let (found, wanted) = (json!(found), json!(wanted));
                self.wrong.push(format!("at the end, {collection} differ: {found} instead of {wanted}"));
            }
        }
    }

    /// What the statuses claimed, what the account's journal shows, and what was sent.
    fn judge(&mut self) {
        let (world, start) = (self.world.clone(), self.start.clone());
        self.wrong.extend(self.honest.wrong());
        self.wrong.extend(world.leased.wrong());
        let live = [i32::from(start.made.is_some()), self.objects as i32];
        let live = (start.driver.traits().lifecycle == Lifecycle::Object).then_some(live);
        // A secret whose value was lost on the way is deleted at any time, and another one is created.
        let issues = start.kinds.iter().any(|kind| kind.traits().are_secrets());
        let deletes_from_ms = if issues { Some(0) } else { self.deleted_ms };
        self.wrong.extend(oracle::of_account(&world, deletes_from_ms, live));
        self.wrong.extend(oracle::of_calls(&world, self.objects, self.busiest));
    }

    /// Waits until nothing remains to be done, and then for so long: nothing may be written.
    async fn quiet(&mut self, time: Duration) {
        self.note(REST);
        self.at_rest(time).await;
        self.note("it has rested");
    }

    pub async fn at_rest(&mut self, time: Duration) {
        for _ in 0..8 {
            // What a fault makes necessary is no violation.
            if self.struck_within(SETTLED).await {
                continue;
            }
            let writes = self.world.trace.writes();
            if self.struck_within(time).await {
                continue;
            }
            let written = self.world.trace.writes();
            if writes != written {
                self.wrong
                    .push(format!("at rest, and it writes (cluster, account): {writes:?}, then {written:?}"));
            }
            return;
        }
    }

    /// Whether a fault strikes within this time, which passes.
    async fn struck_within(&self, time: Duration) -> bool {
        let before = self.world.trace.strikes();
        sleep(time).await;
        self.world.trace.strikes() > before
    }

    /// Waits for a state, in virtual time.
    pub async fn until(
        &self,
        what: &str,
        there: impl AsyncFn(&Life) -> Result<(), String>,
    ) -> Result<(), String> {
        let (began, mut seen, mut looks) = (Instant::now(), None, 0_u32);
        loop {
            let writes = self.world.trace.writes();
            looks += 1;
            // Without a write nothing has changed, but for what arrives late.
            if seen != Some(writes) || looks.is_multiple_of(60) {
                seen = Some(writes);
                match there(self).await {
                    Ok(()) => return Ok(()),
                    Err(why) if began.elapsed() > SOON => {
                        return Err(format!("not within {SOON:?}: {what}: {why}"));
                    }
                    Err(_) => {}
                }
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    pub fn note(&self, text: impl Into<String>) {
        self.world.trace.note(text);
    }
}
