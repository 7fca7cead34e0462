//! What runs begin with: made once for a kind, without faults, and copied by each run.

use std::sync::{Arc, OnceLock};

use apiserver::ApiServer;
use databricks_operator::clock;
use databricks_operator::config::Run;
use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Driver, Seen, Wanted};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use simulator::Simulator;

use crate::edits::edit;
use crate::example;
use crate::fault::Plan;
use crate::lane::alone;
use crate::life::{HOUR_MS, Life, SETTLED};
use crate::outside::Outside;
use crate::parts::{self, Part};
use crate::referents::{bring_about, prepare, principal};
use crate::story::{Begins, Story};
use crate::trace::Trace;
use crate::world::{INSTALLATION, World};
use crate::{account, world};

/// The time at the very start: 2026-01-01T00:00:00Z.
const START_MS: u64 = 1_767_225_600_000;

/// A cluster and an account at some time, for one kind. Both have what the sample of the kind needs: the objects that it refers
/// to, and a DatabricksAuth. That of a chain has the DatabricksAuth alone, and `parts` instead of a spec; that of an example has only a
/// Secret.
pub struct Start {
    /// The kind whose sample lives.
    pub driver: &'static dyn Driver,
    /// The kinds that the operator runs.
    pub kinds: &'static [&'static dyn Driver],
    /// The operator's flags, see [`crate::operator`].
    pub operator: Arc<Run>,
    /// The spec of the sample, with an id of the account in place of each reference.
    pub spec: Value,
    /// What the account should have.
    pub want: Value,
    /// A change of the spec (a merge patch), if the kind can be changed.
    pub change: Option<Value>,
    /// What the account should have after the change.
    pub changed: Option<Value>,
    /// The object in the account, if it is there.
    pub made: Option<Seen>,
    /// The objects of a story that has several.
    pub parts: Arc<[Part]>,
    server: ApiServer,
    account: Simulator,
    outside: Outside,
    now_ms: u64,
}

impl Start {
    /// There is no object yet.
    ///
    /// # Errors
    /// The account does not take the samples.
    fn bare(driver: &'static dyn Driver, operator: Arc<Run>) -> Result<Start, String> {
        alone(0, async move || {
            follow(START_MS);
            let (server, account) = (world::server(), account::account(START_MS));
            let writer = account::writer(&account, account::SECRET);
            let ground = prepare(driver, &account, &writer, HOUR_MS).await;
            let outside = Outside::begin(driver, &account, writer, &ground.key.within).await;
            let kinds = world::only(driver);
            world::sign_in(&server, &account, kinds).await;
            let mut got = ground.got.clone();
            got.marker = format!("{INSTALLATION}/default/it");
            let said = |error: Error| error.to_string();
            let want = driver.desired(&ground.spec, &got).map_err(said)?;
            let change = edit(driver, &want);
            let mut changed = None;
            if let Some(change) = &change {
                let mut spec = ground.spec.clone();
                json_patch::merge(&mut spec, change);
                for need in driver.needs(&spec).map_err(said)? {
                    if let Wanted::Principal(name) = &need.what {
                        got.ids.insert(need.field.to_owned(), principal(&account, name));
                    }
                }
                changed = Some(driver.desired(&spec, &got).map_err(said)?);
            }
            Ok(Start {
                driver,
                kinds,
                operator,
                spec: ground.with_ids(driver),
                change,
                want,
                changed,
                made: None,
                parts: Arc::default(),
                now_ms: account.now_ms(),
                server,
                account,
                outside,
            })
        })
    }

    /// There is nothing yet of the sample and of what it refers to.
    ///
    /// # Errors
    /// The driver cannot read its own sample.
    fn chain(driver: &'static dyn Driver, operator: Arc<Run>) -> Result<Start, String> {
        alone(0, async move || {
            let start = Start::without(parts::chain(driver)?, driver, operator).await;
            world::sign_in(&start.server, &start.account, start.kinds).await;
            Ok(start)
        })
    }

    /// There is nothing yet of an example, but the Secret that its DatabricksAuth refers to.
    ///
    /// # Errors
    /// The objects of the example do not refer to each other as they should.
    fn example(driver: &'static dyn Driver, operator: Arc<Run>) -> Result<Start, String> {
        alone(0, async move || {
            let start = Start::without(example::parts()?, driver, operator).await;
            example::create_secret(&start.server).await;
            Ok(start)
        })
    }

    /// There is nothing yet of these objects, but the principals that their specs name.
    async fn without(parts: Vec<Part>, driver: &'static dyn Driver, operator: Arc<Run>) -> Start {
        follow(START_MS);
        let (server, account) = (world::server(), account::account(START_MS));
        for need in parts.iter().flat_map(|part| part.driver.needs(&part.spec).unwrap_or_default()) {
            if let Wanted::Principal(name) = &need.what
                && !parts.iter().any(|part| part.is_principal(name))
            {
                principal(&account, name);
            }
        }
        let mut drivers: Vec<&'static dyn Driver> = vec![];
        for part in &parts {
            if !drivers.iter().any(|known| known.kind() == part.driver.kind()) {
                drivers.push(part.driver);
            }
        }
        let first = drivers.first().copied().unwrap_or(driver);
        let kinds: &'static [&'static dyn Driver] = drivers.leak();
        // The first one refers to nothing, so the account itself is its parent.
        let writer = account::writer(&account, account::SECRET);
        let outside = Outside::begin(first, &account, writer, "").await;
        Start {
            driver,
            kinds,
            operator,
            spec: Value::Null,
            change: None,
            want: Value::Null,
            changed: None,
            made: None,
            parts: parts.into(),
            now_ms: account.now_ms(),
            server,
            account,
            outside,
        }
    }

    /// There is no object yet, and there will be several.
    ///
    /// # Errors
    /// It panics.
    fn crowd(self: &Arc<Start>) -> Result<Start, String> {
        let bare = self.clone();
        alone(0, async move || {
            let copy = bare.copy();
            let changed = copy.change.as_ref().map(|change| {
                let mut spec = copy.spec.clone();
                json_patch::merge(&mut spec, change);
                spec
            });
            let parts = parts::crowd(copy.driver, &copy.spec, changed.as_ref(), &copy.server, &copy.account);
            let parts = parts.await.into();
            Ok(Start { parts, now_ms: copy.account.now_ms(), ..copy })
        })
    }

    /// The account has the object, made by another client, and the cluster does not.
    ///
    /// # Errors
    /// The account does not take the sample.
    fn present(self: &Arc<Start>) -> Result<Start, String> {
        let bare = self.clone();
        alone(0, async move || {
            let copy = bare.copy();
            let made = bring_about(copy.driver, copy.outside.writer(), &copy.want).await;
            let made = made.map_err(|error| error.to_string())?;
            copy.account.advance_ms(HOUR_MS);
            let made = copy.outside.get(&made.id).await?;
            Ok(Start { made, now_ms: copy.account.now_ms(), ..copy })
        })
    }

    /// The object is Ready, and the operator is stopped.
    ///
    /// # Errors
    /// It does not become Ready.
    fn settled(self: &Arc<Start>) -> Result<Start, String> {
        let bare = self.clone();
        alone(0, async move || {
            let (world, outside) = bare.begin(Plan::default(), Arc::default(), INSTALLATION);
            let running = tokio::spawn(world.clone().operate());
            let life = Life::new(bare.clone(), world.clone(), outside);
            life.create("it", &json!({})).await;
            life.becomes_ready().await?;
            tokio::time::sleep(SETTLED).await;
            let made = life.only_one().await?;
            world.stop.cancel();
            running.await.map_err(|panic| panic.to_string())??;
            let (server, account) = (world.server.fork(clock::now), world.account.clone());
            let now_ms = account.now_ms();
            Ok(Start { made: Some(made), server, account, now_ms, ..bare.copy() })
        })
    }

    /// What a run happens in, and the account as the driver reads it. To be called first in the run's runtime.
    pub fn begin(&self, plan: Plan, trace: Arc<Trace>, installation: &'static str) -> (Arc<World>, Outside) {
        let Start { operator, kinds, server, account, outside, .. } = self.copy();
        trace.start();
        (Arc::new(World::new(operator, kinds, installation, plan, trace, (server, account))), outside)
    }

    /// The same for another runtime.
    fn copy(&self) -> Start {
        follow(self.now_ms);
        let account = self.account.fork(self.now_ms);
        Start {
            operator: self.operator.clone(),
            spec: self.spec.clone(),
            change: self.change.clone(),
            want: self.want.clone(),
            changed: self.changed.clone(),
            made: self.made.clone(),
            parts: self.parts.clone(),
            server: self.server.fork(clock::now),
            outside: self.outside.in_account(&account, account::writer(&account, account::SECRET)),
            account,
            ..*self
        }
    }
}

/// What the stories of a kind begin with, each made once it is needed.
pub struct Starts {
    /// The kind.
    pub driver: &'static dyn Driver,
    bare: LazyStart,
    present: LazyStart,
    settled: LazyStart,
    crowd: LazyStart,
    chain: LazyStart,
    example: LazyStart,
    operator: Arc<Run>,
}

type LazyStart = OnceLock<Result<Arc<Start>, String>>;

impl Starts {
    /// Those of a kind.
    pub fn new(driver: &'static dyn Driver, operator: Arc<Run>) -> Starts {
        let (bare, present, settled) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let (crowd, chain, example) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Starts { driver, bare, present, settled, crowd, chain, example, operator }
    }

    /// Whether a story can happen to the kind.
    pub fn fit(&self, story: Story) -> bool {
        let changes = || self.of(Story::Create).is_ok_and(|start| start.change.is_some());
        // If it cannot begin, its first run says so.
        let crowd = || self.of(story).is_ok_and(|start| start.parts.len() < 2);
        let single = match story.begins() {
            Begins::Chain => parts::chain(self.driver).is_ok_and(|parts| parts.len() < 2),
            Begins::Crowd => crowd(),
            Begins::Bare | Begins::Present | Begins::Settled | Begins::Example => false,
        };
        story.fits(self.driver) && (!story.changes() || changes()) && !single
    }

    /// What a story begins with.
    ///
    /// # Errors
    /// It cannot be created, as the operator or a sample does not do without faults what it should.
    pub fn of(&self, story: Story) -> Result<Arc<Start>, String> {
        let made = |lazy: &LazyStart, make: &dyn Fn() -> Result<Start, String>| {
            lazy.get_or_init(|| make().map(Arc::new)).clone()
        };
        let bare = || made(&self.bare, &|| Start::bare(self.driver, self.operator.clone()));
        match story.begins() {
            Begins::Bare => bare(),
            Begins::Present => made(&self.present, &|| bare()?.present()),
            Begins::Settled => made(&self.settled, &|| bare()?.settled()),
            Begins::Crowd => made(&self.crowd, &|| bare()?.crowd()),
            Begins::Chain => made(&self.chain, &|| Start::chain(self.driver, self.operator.clone())),
            Begins::Example => made(&self.example, &|| Start::example(self.driver, self.operator.clone())),
        }
    }
}

/// From here on this thread has this time.
fn follow(now_ms: u64) {
    clock::follow_tokio(Timestamp::from_millisecond(now_ms.cast_signed()).unwrap_or(Timestamp::MIN));
}
