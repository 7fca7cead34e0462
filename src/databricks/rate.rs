//! When a call may be sent: a token bucket and a gate for each class of endpoints.
//!
//! Limits at Databricks differ by endpoint and are mostly unpublished, hence the classes and the gate: after a 429 all
//! calls of the class wait as long as the host asks. No call waits here for long: a worker is worth more elsewhere.
//! Time is tokio's, so that a test can stop it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Method, Urgency};

/// A call that would wait longer than this returns instead.
const LONGEST_TURN: Duration = Duration::from_secs(5);
const LONGEST_GATE: Duration = Duration::from_secs(600);

/// Endpoints that share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Token,
    Scim,
    ScimWrites,
    Workspaces,
    Other,
}

impl Class {
    pub(super) const ALL: [Class; 5] =
        [Class::Token, Class::Scim, Class::ScimWrites, Class::Workspaces, Class::Other];

    /// The word in metrics and traces.
    pub(super) fn name(self) -> &'static str {
        match self {
            Class::Token => "token",
            Class::Scim => "scim",
            Class::ScimWrites => "scim_writes",
            Class::Workspaces => "workspaces",
            Class::Other => "other",
        }
    }

    pub(super) fn of(method: Method, path: &str) -> Class {
        let mut segments = path.split('/').skip(1);
        match (segments.next(), segments.nth(3), path) {
            (Some("oidc" | ".well-known"), ..) => Class::Token,
            (_, Some("scim"), _) if method != Method::Get => Class::ScimWrites,
            (_, Some("scim"), _) => Class::Scim,
            (_, Some("workspaces"), _) => Class::Workspaces,
            _ => Class::Other,
        }
    }

    /// Of how many calls of another class one may be sent. Databricks publishes 2 to 5 changes of principals where it allows 20
    /// reads of one.
    fn share(self) -> f64 {
        match self {
            Class::ScimWrites => 10.0,
            Class::Token | Class::Scim | Class::Workspaces | Class::Other => 1.0,
        }
    }
}

pub(super) struct Rate {
    lanes: [Mutex<Lane>; Class::ALL.len()],
}

struct Lane {
    per_second: f64,
    burst: f64,
    /// What was in the bucket at `filled_at`.
    tokens: f64,
    filled_at: Instant,
    closed_until: Instant,
    /// 429s in a row without a usable `Retry-After`.
    strikes: u32,
    /// Tickets in the order in which they are served; the number keeps first come, first served.
    waiting: BTreeSet<(Urgency, u64)>,
    next_ticket: u64,
}

impl Rate {
    pub(super) fn new(per_second: f64, burst: u32) -> Rate {
        let lane = |class: Class| {
            let now = Instant::now();
            let burst = (f64::from(burst) / class.share()).max(1.0);
            Mutex::new(Lane {
                per_second: per_second.max(0.1) / class.share(),
                burst,
                tokens: burst,
                filled_at: now,
                closed_until: now,
                strikes: 0,
                waiting: BTreeSet::new(),
                next_ticket: 0,
            })
        };
        Rate { lanes: Class::ALL.map(lane) }
    }

    /// Waits for this call's turn; `Err` is the time after which to retry.
    pub(super) async fn turn(&self, class: Class, urgency: Urgency) -> Result<(), Duration> {
        let place = Place::take(self, class, urgency);
        let deadline = Instant::now() + LONGEST_TURN;
        loop {
            let wait = match self.lane(class).try_take(place.ticket) {
                None => return Ok(()),
                Some(wait) => wait,
            };
            if Instant::now() + wait > deadline {
                return Err(wait);
            }
            sleep(wait).await;
        }
    }

    /// Closes the gate for as long as the host asked, or a growing time if it said nothing usable; returns that time.
    pub(super) fn close(&self, class: Class, asked: Option<Duration>) -> Duration {
        let mut lane = self.lane(class);
        let now = Instant::now();
        // Responses to calls that were in flight when the gate closed are the same event.
        if asked.is_none() && lane.closed_until <= now {
            lane.strikes = (lane.strikes + 1).min(7);
        }
        let growing = Duration::from_secs(1 << lane.strikes.saturating_sub(1));
        let pause = asked.unwrap_or(growing).min(LONGEST_GATE);
        lane.closed_until = lane.closed_until.max(now + pause);
        pause
    }

    /// The response to a call of this class was something else than a 429.
    pub(super) fn answered(&self, class: Class) {
        self.lane(class).strikes = 0;
    }

    /// The longest time for which a gate is still closed.
    pub(super) fn closed_for(&self) -> Option<Duration> {
        let now = Instant::now();
        let left = self.lanes.iter().map(|lane| lock(lane).closed_until.saturating_duration_since(now));
        left.max().filter(|left| !left.is_zero())
    }

    fn lane(&self, class: Class) -> MutexGuard<'_, Lane> {
        lock(&self.lanes[class as usize])
    }
}

impl Lane {
    /// Takes a token if there are enough for all waiting calls ahead too; otherwise returns how long that will take.
    fn try_take(&mut self, ticket: (Urgency, u64)) -> Option<Duration> {
        let now = Instant::now();
        let filled = self.tokens + (now - self.filled_at).as_secs_f64() * self.per_second;
        (self.tokens, self.filled_at) = (filled.min(self.burst), now);

        let needed = 1.0 + self.waiting.range(..ticket).count() as f64;
        let gate = self.closed_until.saturating_duration_since(now);
        if gate.is_zero() && self.tokens >= needed {
            self.tokens -= 1.0;
            return None;
        }
        let missing = ((needed - self.tokens) / self.per_second).max(0.0);
        // A millisecond is the timer's resolution: less would make this a busy loop.
        Some(gate.max(Duration::from_secs_f64(missing)).max(Duration::from_millis(1)))
    }
}

/// A place in the queue, given up when the call is sent, returns or is dropped.
struct Place<'a> {
    rate: &'a Rate,
    class: Class,
    ticket: (Urgency, u64),
}

impl<'a> Place<'a> {
    fn take(rate: &'a Rate, class: Class, urgency: Urgency) -> Place<'a> {
        let mut lane = rate.lane(class);
        let ticket = (urgency, lane.next_ticket);
        lane.next_ticket += 1;
        lane.waiting.insert(ticket);
        Place { rate, class, ticket }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.rate.lane(self.class).waiting.remove(&self.ticket);
    }
}

fn lock(lane: &Mutex<Lane>) -> MutexGuard<'_, Lane> {
    // No code panics while it holds the lock, and a lane is valid between any two statements.
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
