//! Starting, steering and stopping a simulator from Rust.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::clock::Clock;
use crate::faults::{Fault, Held, glob};
use crate::google;
use crate::journal::Call;
use crate::objects::{self, Served};
use crate::server;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::world::World;

/// How long a call that is to be held may take to come.
const HELD_WITHIN: Duration = Duration::from_secs(60);

/// How a simulator starts. The default listens on a free port of the loopback address, with ids and a secret of its
/// own.
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// The account's UUID, in lower case.
    pub account_id: String,
    /// The one OAuth client: the application id of the calling service principal.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// First settings.
    pub settings: Settings,
    /// Puts a workspace, its credentials and an IP access list into the account for the demo to find; ids are then small.
    pub seed_demo: bool,
    /// The time at the start, in epoch milliseconds; the machine's if not given.
    pub start_ms: Option<u64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            account_id: Uuid::new_v4().to_string(),
            client_id: Uuid::new_v4().to_string(),
            client_secret: Uuid::new_v4().simple().to_string(),
            settings: Settings::default(),
            seed_demo: false,
            start_ms: None,
        }
    }
}

/// A running simulator; clones steer the same one.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// The account's UUID.
    pub account_id: String,
    /// The OAuth client's id.
    pub client_id: String,
    /// The secret it started with; see [`Simulator::rotate_secret`].
    pub client_secret: String,
}

impl Simulator {
    /// Listens, and serves until stopped. Fails if the address cannot be bound.
    pub async fn start(config: Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        let simulator = Self::new(config, listener.local_addr()?)?;
        let shared = simulator.shared.clone();
        shared.tasks.spawn(server::serve(shared.clone(), listener));
        Ok(simulator)
    }

    /// The same without a socket: the account responds to [`Simulator::answer`] alone, and nothing listens at its address.
    ///
    /// # Errors
    /// If the demo's objects cannot be created.
    pub fn in_process(config: Config) -> io::Result<Self> {
        let address = config.listen;
        Self::new(config, address)
    }

    fn new(config: Config, address: SocketAddr) -> io::Result<Self> {
        let Config { account_id, client_id, client_secret, mut settings, seed_demo, start_ms, .. } = config;
        settings.small_ids |= seed_demo;
        let mut world = World::new(account_id.clone(), client_id.clone(), client_secret.clone(), settings);
        if let Some(start_ms) = start_ms {
            world.clock = Clock::at(start_ms);
        }
        objects::seed(&mut world);
        if seed_demo {
            objects::seed_demo(&mut world).map_err(io::Error::other)?;
        }
        Ok(Self { shared: Shared::new(world), address, account_id, client_id, client_secret })
    }

    /// An account in process that begins like this one and goes its own way, without a journal and without faults. It is `now_ms`
    /// there, in epoch milliseconds, and from then on the clock of the runtime that this is called in counts.
    #[must_use]
    pub fn fork(&self, now_ms: u64) -> Self {
        Self { shared: Shared::new(self.shared.world().fork(now_ms)), ..self.clone() }
    }

    /// Carries out one call in process: faults, holds and delays are those of a call over a socket. The request has the header
    /// `Host`. What a caller gives up on is carried out nevertheless.
    ///
    /// # Errors
    /// If the response was lost: by a fault that drops or truncates it, or because the simulator is stopped.
    pub async fn answer(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        server::in_process(self.shared.clone(), request).await
    }

    /// `http://host:port`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections and frees the port. Calls that are held or delayed are abandoned.
    pub async fn stop(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Every call since the start or the last [`Simulator::clear_journal`].
    pub fn journal(&self) -> Vec<Call> {
        self.shared.world().journal.calls().to_vec()
    }

    /// Forgets the calls so far.
    pub fn clear_journal(&self) {
        self.shared.world().journal.clear();
    }

    /// How many calls had this method (`*`: any) and a path that fits the pattern (`*`: any run of characters).
    pub fn calls(&self, method: &str, path: &str) -> usize {
        let fits = |call: &&Call| (method == "*" || method == call.method) && glob(path, &call.path);
        self.shared.world().journal.calls().iter().filter(fits).count()
    }

    /// Calls for a change, successful or not; not those for a token.
    pub fn writes(&self) -> Vec<Call> {
        let writes = |call: &Call| call.method != "GET" && call.class != "token";
        self.journal().into_iter().filter(writes).collect()
    }

    /// Sets a fault; its id is for [`Simulator::held`].
    pub fn fault(&self, fault: Fault) -> u64 {
        self.shared.world().faults.arm(fault)
    }

    /// Removes all faults. Calls that are held stay so.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Waits until the fault holds a call.
    ///
    /// # Panics
    /// If it holds none within a minute: the expected caller did not call.
    pub async fn held(&self, fault_id: u64) -> Held {
        let waiting = async {
            loop {
                let mut holding = std::pin::pin!(self.shared.holding.notified());
                // From here on no call that begins to be held is missed.
                holding.as_mut().enable();
                let held = self.shared.world().faults.held().into_iter().find(|h| h.fault_id == fault_id);
                match held {
                    Some(held) => return held,
                    None => holding.await,
                }
            }
        };
        match tokio::time::timeout(HELD_WITHIN, waiting).await {
            Ok(held) => held,
            Err(_) => panic!("fault {fault_id} held no call within {HELD_WITHIN:?}"),
        }
    }

    /// Releases a held call, by its number in the journal; returns whether there was one.
    pub fn release(&self, n: u64) -> bool {
        self.shared.world().faults.release(Some(n)) > 0
    }

    /// Releases all held calls.
    pub fn release_all(&self) {
        self.shared.world().faults.release(None);
    }

    /// Changes settings.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.world().settings);
    }

    /// The time on the simulator's clock, in epoch milliseconds.
    pub fn now_ms(&self) -> u64 {
        self.shared.world().now()
    }

    /// Moves the simulator's clock forward.
    pub fn advance_ms(&self, ms: u64) {
        self.shared.world().clock.advance(ms);
    }

    /// Gives the client a new secret. The old one, and the tokens issued for it, are good for `grace_ms` more.
    pub fn rotate_secret(&self, client_secret: &str, grace_ms: u64) {
        let mut world = self.shared.world();
        let until_ms = world.now() + grace_ms;
        world.tokens.rotate(client_secret.to_owned(), until_ms);
    }

    /// The key of the Google service account of an account on Google Cloud, as the file that Google writes. The account of it is
    /// [`crate::GOOGLE_EMAIL`].
    pub fn google_key(&self) -> String {
        google::key_file(&self.url())
    }

    /// Makes all tokens issued so far invalid.
    pub fn revoke_tokens(&self) {
        self.shared.world().tokens.revoke_all();
    }

    /// The collections that the simulator serves, each with the methods of its API.
    pub fn served(&self) -> Vec<Served> {
        objects::served()
    }

    /// The objects of a collection as they are now, whatever lag is set: `credentials`, `workspaces`,
    /// `ip-access-lists`, `permissionassignments`, `Users`, `Groups`, `ServicePrincipals`, `settings`, `rule-sets` and those
    /// of the table in `collections`.
    pub fn objects(&self, collection: &str) -> Vec<Value> {
        objects::list(&mut self.shared.world(), collection)
    }

    /// Creates an object without a call of the API; missing fields are filled in. Fails if there is no such collection, or
    /// the value is no object.
    pub fn insert(&self, collection: &str, object: Value) -> Result<Value, String> {
        objects::insert(&mut self.shared.world(), collection, object)
    }

    /// Merges changes into an object without a call of the API; null removes a field. Fails if it does not exist. The id of
    /// an assignment is `<workspace_id>/<principal_id>`, that of any object with a parent `<parent>/<id>`.
    pub fn edit(&self, collection: &str, id: &str, changes: Value) -> Result<Value, String> {
        objects::edit(&mut self.shared.world(), collection, id, changes)
    }

    /// Removes an object without a call of the API; returns whether it existed.
    pub fn remove(&self, collection: &str, id: &str) -> bool {
        objects::remove(&mut self.shared.world(), collection, id)
    }
}
