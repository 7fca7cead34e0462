//! What users do in a run, and what must hold: an object is created, becomes Ready, is changed, rests, is deleted and is gone.
//!
//! What must hold is read from the account and its journal, not from what the operator says of itself.

use std::sync::Arc;
use std::time::Duration;

use databricks_operator::clock;
use databricks_operator::engine::kind::{Lifecycle, Phase, Resolved, Seen};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};

use crate::edits::edit;
use crate::fault::Plan;
use crate::lane::Case;
use crate::oracle::{self, End};
use crate::outside::Outside;
use crate::referents::prepare;
use crate::trace::Trace;
use crate::world::World;
use crate::{account, seed};

/// An hour of the account's clock.
pub const HOUR_MS: u64 = 3_600_000;
/// The time at the start of each run: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;
/// Within this time an object is as its spec says, and gone once it is deleted, whatever went wrong before.
const SOON: Duration = Duration::from_secs(6 * 3600);
/// The note from which on nothing is to be done.
pub const REST: &str = "it rests";
/// How long after a change the operator may still write about it.
const SETTLED: Duration = Duration::from_secs(20 * 60);

/// Lives one life; returns what must not be, and what is in the account at the end.
pub async fn live(case: &Case, plan: Plan, trace: Arc<Trace>) -> (Vec<String>, End) {
    let start = Timestamp::from_millisecond(START_MS.cast_signed()).unwrap_or(Timestamp::MIN);
    clock::follow_tokio(start);
    trace.start();
    let world = Arc::new(World::new(case.operator.clone(), plan, trace, START_MS));
    // In the others, watches end and begin again as often as those of a real API server.
    if !case.seed.is_multiple_of(8) {
        world.server.calm();
    }
    let mut life = Life::begin(case.clone(), world.clone()).await;
    let operator = tokio::spawn(world.clone().operate(case.driver));
    if let Err(stuck) = life.whole().await {
        life.wrong.push(stuck);
    }
    let traits = life.case.driver.traits();
    let whole = traits.lifecycle == Lifecycle::Object;
    // A secret whose value was lost on the way is deleted at any time, and another one is created.
    let deletes_from_ms = if traits.issues { Some(0) } else { life.deleted_ms };
    life.wrong.extend(oracle::of_account(&world, deletes_from_ms, whole));
    life.wrong.extend(oracle::of_calls(&world));
    world.stop.cancel();
    let ended = operator.await.map_err(|panic| panic.to_string());
    life.wrong.extend(ended.and_then(std::convert::identity).err());
    (life.wrong, life.end)
}

struct Life {
    case: Case,
    world: Arc<World>,
    user: kube::Client,
    api: Api<DynamicObject>,
    outside: Outside,
    /// The spec of the sample, with an id of the account in place of each reference.
    spec: Value,
    want: Value,
    /// All objects of the account at the end.
    end: End,
    /// When the user has deleted the object.
    deleted_ms: Option<u64>,
    wrong: Vec<String>,
}

impl Life {
    /// An account that has what the object refers to, and a DatabricksAuth for it.
    async fn begin(case: Case, world: Arc<World>) -> Life {
        let (account, driver) = (&world.account, case.driver);
        let writer = account::writer(account);
        let ground = prepare(driver, account, &writer, HOUR_MS).await;
        let outside = Outside::begin(driver, account, writer, &ground.key.within).await;
        account::take(account, 1000 * [0, 5, 90][seed::below(3) as usize]);
        let lag_ms = 1000 * [0, 0, 2, 8][seed::below(4) as usize];
        account.set(|settings| settings.list_lag_ms = lag_ms);
        account.clear_journal();
        let user = world.server.client("user");
        let owned = Resolved { marker: "campaign/default/it".to_owned(), ..ground.got.clone() };
        let life = Life {
            api: Api::default_namespaced_with(user.clone(), &driver.api_resource()),
            spec: ground.with_ids(driver),
            want: driver.desired(&ground.spec, &owned).expect("the sample can be desired"),
            end: End::new(),
            deleted_ms: None,
            wrong: vec![],
            outside,
            case,
            user,
            world,
        };
        life.sign_in().await;
        life
    }

    async fn sign_in(&self) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "databricks", "namespace": "default"},
            "stringData": {"secret": account::SECRET},
        });
        let gvk = kube::core::GroupVersionKind::gvk("", "v1", "Secret");
        self.create(&ApiResource::from_gvk_with_plural(&gvk, "secrets"), secret).await;
        let spec = json!({
            "cloud": "AWS", "accountId": account::ACCOUNT, "host": self.world.account.url(), "authType": "OAUTH_M2M",
            "clientId": account::CLIENT, "clientSecretRef": {"name": "databricks", "key": "secret"},
            "grants": [{"namespaces": {"from": "Same"}, "kinds": [self.case.driver.kind()]}],
        });
        let auth = ApiResource::erase::<databricks_operator::engine::crd::DatabricksAuth>(&());
        self.create(&auth, object("DatabricksAuth", "account", spec)).await;
    }

    async fn create(&self, resource: &ApiResource, manifest: Value) {
        let what = format!("a user creates {} {}", manifest["kind"], manifest["metadata"]["name"]);
        self.note(what.replace('"', ""));
        let api: Api<DynamicObject> = Api::default_namespaced_with(self.user.clone(), resource);
        let object = serde_json::from_value(manifest).expect("a manifest is an object");
        if let Err(error) = api.create(&PostParams::default(), &object).await {
            panic!("the API server refuses it: {error}");
        }
    }

    async fn whole(&mut self) -> Result<(), String> {
        let mut spec = self.spec.clone();
        spec["authRef"] = json!({"name": "account"});
        if self.outside.removable() {
            spec["deletionPolicy"] = json!("Delete");
        }
        let kind = self.case.driver.kind().into_owned();
        self.create(&self.case.driver.api_resource(), object(&kind, "it", spec)).await;
        self.until("the object is Ready", async |life| life.ready().await).await?;
        let made = self.only_one().await?;
        let open = self.outside.differences(&self.want, &made);
        if !open.is_empty() {
            self.wrong.push(format!("Ready, and the account differs in {open:?}: {:?}", made.state));
        }
        let made = self.update(made).await?;
        self.quiet(Duration::from_secs(self.case.quiet_hours * 3600)).await;
        self.note("a user deletes it");
        self.deleted_ms = Some(self.world.account.now_ms());
        if let Err(error) = self.api.delete("it", &DeleteParams::default()).await {
            return Err(format!("the API server refuses the deletion: {error}"));
        }
        self.until("the object is gone", async |life| life.gone().await).await?;
        self.note("it is gone");
        self.check_gone(&made).await?;
        self.quiet(Duration::from_secs(1800)).await;
        self.check_gone(&made).await?;
        self.check_rest();
        Ok(())
    }

    async fn seen(&self) -> Result<Option<Value>, String> {
        let found = self.api.get_opt("it").await.map_err(|error| error.to_string())?;
        Ok(found.map(|object| json!(object)))
    }

    async fn ready(&self) -> Result<(), String> {
        let seen = self.seen().await?.ok_or("there is no object")?;
        let current = seen["status"]["observedGeneration"] == seen["metadata"]["generation"];
        let holds = |name: &str| {
            let all = seen["status"]["conditions"].as_array().into_iter().flatten();
            all.into_iter().any(|one| one["type"] == name && one["status"] == "True")
        };
        let ready = current && holds("Ready") && holds("Synced");
        if ready { Ok(()) } else { Err(seen["status"].to_string()) }
    }

    async fn gone(&self) -> Result<(), String> {
        self.seen().await?.map_or(Ok(()), |seen| Err(seen["status"].to_string()))
    }

    /// A user changes the spec, if the kind can be changed; and back, where the change leaves nothing to delete.
    async fn update(&mut self, made: Seen) -> Result<Seen, String> {
        // The rotation of a secret is not part of a life yet: for its time, there are two.
        if self.case.driver.traits().issues {
            return Ok(made);
        }
        let Some(change) = edit(self.case.driver, &self.want) else { return Ok(made) };
        self.patch(&change).await?;
        self.until("the change is carried out", async |life| life.ready().await).await?;
        let changed = self.only_one().await?;
        if changed.state == made.state {
            self.wrong.push(format!("Ready after a change, and the account is unchanged: {:?}", made.state));
        }
        self.drift(&changed, &made).await?;
        if changed.about.phase != Phase::Vacant {
            return self.only_one().await;
        }
        let before = change.as_object().into_iter().flatten();
        let before: Map<String, Value> =
            before.map(|(name, _)| (name.clone(), self.spec[name].clone())).collect();
        self.patch(&Value::Object(before)).await?;
        self.until("the change is undone", async |life| life.ready().await).await?;
        self.only_one().await
    }

    /// Another client undoes the change in the account.
    async fn drift(&self, changed: &Seen, made: &Seen) -> Result<(), String> {
        self.note("another client undoes the change in the account");
        self.outside.change(changed, &made.state).await;
        self.until("the difference is corrected", async |life| {
            let now = life.outside.get(&changed.id).await?.ok_or("it is gone")?;
            let open = life.outside.differences(&changed.state, &now);
            if !open.is_empty() {
                return Err(format!("{open:?} of {:?}", now.state));
            }
            life.ready().await
        })
        .await
    }

    async fn patch(&self, spec: &Value) -> Result<(), String> {
        self.note(format!("a user changes its spec: {spec}"));
        let patched =
            self.api.patch("it", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
        patched.map(drop).map_err(|error| format!("the API server refuses the change: {error}"))
    }

    /// The one object in the account.
    async fn only_one(&self) -> Result<Seen, String> {
        self.at_once(async |outside| {
            let there = outside.objects().await?;
            let [one] = &there[..] else {
                return Err(format!("Ready, and the account has {} objects: {there:?}", there.len()));
            };
            // A LIST does not show all of it.
            outside.get(&one.id).await?.ok_or_else(|| format!("listed, and not there: {one:?}"))
        })
        .await
    }

    /// Reads of the account that are not late.
    async fn at_once<T>(&self, read: impl AsyncFnOnce(&Outside) -> Result<T, String>) -> Result<T, String> {
        let account = &self.world.account;
        let mut lag_ms = 0;
        account.set(|settings| lag_ms = std::mem::take(&mut settings.list_lag_ms));
        let found = read(&self.outside).await;
        account.set(|settings| settings.list_lag_ms = lag_ms);
        found
    }

    /// Once the object is gone, so is what it managed.
    async fn check_gone(&mut self, made: &Seen) -> Result<(), String> {
        let left = self.at_once(async |outside| outside.left(made).await).await?;
        if !left.is_empty() {
            self.wrong.push(format!("gone, and the account still has {left:?}"));
        }
        Ok(())
    }

    /// At the end, the account is as it is after a life without faults: mostly as before.
    fn check_rest(&mut self) {
        self.end = oracle::everything(&self.world.account);
        let Some(wanted) = &self.case.end else { return };
        for (collection, wanted) in wanted.iter() {
            let found = self.end.get(collection);
            if found != Some(wanted) {
                let (found, wanted) = (json!(found), json!(wanted));
                self.wrong.push(format!("at the end, {collection} differ: {found} instead of {wanted}"));
            }
        }
    }

    /// Waits until nothing remains to be done, and then for so long: nothing may be written.
    async fn quiet(&mut self, time: Duration) {
        self.note(REST);
        self.at_rest(time).await;
        self.note("it has rested");
    }

    async fn at_rest(&mut self, time: Duration) {
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
        let before = self.world.trace.calls();
        sleep(time).await;
        let within = before + 1..=self.world.trace.calls();
        self.world.plan.strikes.iter().any(|(n, _)| within.contains(n))
    }

    /// Waits for a state, in virtual time.
    async fn until(
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

    fn note(&self, text: impl Into<String>) {
        self.world.trace.note(text);
    }
}

/// An object of one of our kinds, as a manifest.
fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "databricks-operator.io/v1alpha1", "kind": kind,
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    })
}
