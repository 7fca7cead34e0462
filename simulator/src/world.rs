//! The account: everything a call can see or change, behind one lock.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Clock;
use crate::faults::Faults;
use crate::issued::Tokens;
use crate::journal::Journal;
use crate::settings::Settings;
use crate::store::{Store, shown};
use crate::wire::Reply;

/// The collection whose reads may be late by themselves.
pub(crate) const IP_ACCESS_LISTS: &str = "ip-access-lists";

/// The lists of workspaces; the key is `<workspace>/<list>`.
pub(crate) const WORKSPACE_IP_ACCESS_LISTS: &str = "workspace-ip-access-lists";

const LARGE_IDS: i64 = (1 << 53) - 1;
const SMALL_IDS: i64 = 4_000_000_000_000_001;

pub(crate) struct World {
    pub account_id: String,
    pub client_id: String,
    /// SCIM id of the calling service principal.
    pub caller_id: i64,
    pub clock: Clock,
    pub settings: Settings,
    pub store: Store,
    pub tokens: Tokens,
    pub faults: Faults,
    pub journal: Journal,
    /// Times of the calls that counted, per class of a rate limit.
    counted: BTreeMap<String, VecDeque<u64>>,
    /// The last number of an id.
    numbers: i64,
    /// How often each reply was sent of those that take turns.
    turns: BTreeMap<&'static str, usize>,
}

impl World {
    pub fn new(account_id: String, client_id: String, client_secret: String, settings: Settings) -> Self {
        let mut world = Self {
            account_id,
            client_id,
            caller_id: 0,
            clock: Clock::new(),
            settings,
            store: Store::default(),
            tokens: Tokens::new(client_secret),
            faults: Faults::default(),
            journal: Journal::default(),
            counted: BTreeMap::new(),
            numbers: 0,
            turns: BTreeMap::new(),
        };
        world.caller_id = world.new_number();
        world
    }

    /// The same account, at this time on a clock of the runtime that this is called in, without a journal and without faults.
    pub fn fork(&self, now_ms: u64) -> World {
        World {
            account_id: self.account_id.clone(),
            client_id: self.client_id.clone(),
            caller_id: self.caller_id,
            clock: Clock::at(now_ms),
            settings: self.settings.clone(),
            store: self.store.clone(),
            tokens: self.tokens.clone(),
            faults: Faults::default(),
            journal: Journal::default(),
            counted: self.counted.clone(),
            numbers: self.numbers,
            turns: self.turns.clone(),
        }
    }

    pub fn now(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A new id beyond 2^53 and odd, so that a client that reads it as a float gets another one; or, by a setting, one
    /// that every client can read.
    pub fn new_number(&mut self) -> i64 {
        self.numbers += 2;
        let start = if self.settings.small_ids { SMALL_IDS } else { LARGE_IDS };
        start + self.numbers
    }

    /// The next turn of refusals that have several wordings.
    pub fn next_turn(&mut self) -> usize {
        let turn = self.turns.entry("wording").or_default();
        *turn += 1;
        *turn - 1
    }

    pub fn new_uuid(&self) -> String {
        Uuid::new_v4().to_string()
    }

    /// The next of the statuses that take turns for `what`; none if there is none.
    pub fn next_status(&mut self, what: &'static str, statuses: &[u16]) -> Option<u16> {
        let turn = self.turns.entry(what).or_default();
        let status = statuses.get(*turn % statuses.len().max(1)).copied();
        *turn += 1;
        status
    }

    /// How late reads of a collection are, if they would be `lag_ms` late otherwise.
    fn lag_ms(&self, collection: &str, lag_ms: u64) -> u64 {
        if collection == IP_ACCESS_LISTS { lag_ms.max(self.settings.ip_list_lag_ms) } else { lag_ms }
    }

    /// A collection as a list call shows it: late, and in any order, if the settings say so.
    pub fn list(&self, collection: &str) -> Vec<Value> {
        let mut found: Vec<Value> = self.rows(collection).into_iter().map(|(_, value)| value).collect();
        self.shuffle(&mut found);
        found
    }

    /// The same in order of creation, each object with its key.
    pub fn rows(&self, collection: &str) -> Vec<(String, Value)> {
        let lag_ms = self.lag_ms(collection, self.settings.list_lag_ms);
        let as_of_ms = self.now().saturating_sub(lag_ms);
        let found = self.store.list_at(collection, as_of_ms).into_iter();
        found.map(|(key, value)| (key.to_owned(), shown(value))).collect()
    }

    /// Puts a list into any order, if the settings say so.
    pub fn shuffle<T>(&self, list: &mut [T]) {
        if self.settings.shuffle {
            list.sort_by_cached_key(|_| Uuid::new_v4());
        }
    }

    /// An object as a read of it shows it: late, if the settings say so.
    pub fn read(&self, collection: &str, id: &str) -> Option<Value> {
        let lag_ms = self.lag_ms(collection, self.settings.get_lag_ms);
        let as_of_ms = self.now().saturating_sub(lag_ms);
        self.store.get_at(collection, id, as_of_ms).map(shown)
    }

    pub fn put(&mut self, collection: &str, id: &str, value: Value) {
        let now = self.now();
        self.store.put(collection, id, value, now);
    }

    pub fn remove(&mut self, collection: &str, id: &str) {
        let now = self.now();
        self.store.remove(collection, id, now);
    }

    /// Refuses a call that one of the limits on its class has no room for.
    pub fn count(&mut self, class: &str) -> Result<(), Reply> {
        let now = self.now();
        let limits =
            self.settings.rate_limits.iter().filter(|limit| limit.class == class || limit.class == "*");
        for limit in limits.clone() {
            let counted = self.counted.entry(limit.class.clone()).or_default();
            while counted.front().is_some_and(|at_ms| at_ms + limit.window_ms <= now) {
                counted.pop_front();
            }
            if counted.len() >= limit.limit {
                return Err(too_many(class, limit.retry_after.as_deref()));
            }
        }
        for limit in limits {
            self.counted.entry(limit.class.clone()).or_default().push_back(now);
        }
        Ok(())
    }
}

fn too_many(class: &str, retry_after: Option<&str>) -> Reply {
    let message = "Current request has to be retried later: too many requests";
    let mut reply = match class {
        "scim" => Reply::scim_error(429, None, message),
        "token" => Reply::json(429, json!({"error": "too_many_requests", "error_description": message})),
        _ => Reply::error(429, "REQUEST_LIMIT_EXCEEDED", message),
    };
    reply.headers.extend(retry_after.map(|value| ("Retry-After".to_owned(), value.to_owned())));
    reply
}
