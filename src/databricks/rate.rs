//! When a call may be sent: a token bucket and a gate for each class of endpoints.
//!
//! Limits at Databricks differ by endpoint and are mostly unpublished, hence the classes, the gate and a rate
//! that adapts: after a 429 all calls of the class wait as long as the host asks, and are sent more slowly;
//! accepted calls raise the rate again, up to the configured one. No call waits here for long: a worker is
//! worth more elsewhere. Time is tokio's, so that a test can stop it.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Method, Urgency};

/// A call that would wait longer than this returns instead.
const LONGEST_TURN: Duration = Duration::from_secs(5);
/// Calls ahead may give up their places, so a waiting call checks its own this often.
const RECHECK: Duration = Duration::from_millis(250);
const LONGEST_GATE: Duration = Duration::from_secs(600);

// How a rate adapts. To halve it at each 429 and to raise it evenly would use three quarters of a limit. So the
// rate at the last 429 is remembered, as CUBIC does for TCP: the rate falls a little below it, approaches it
// slowly, and moves fast where it is far from it on either side. Where the limit is 2, 5 or 10 calls a second,
// 15 are configured and each 429 asks for a second, 96 % of the limit or more is used, and fewer than 1 % of
// the calls are refused.

/// The lowest rate is this share of the configured one, but not below [`SLOWEST`].
const LOWEST: f64 = 1.0 / 20.0;
/// At this rate a call still gets its turn within [`LONGEST_TURN`].
const SLOWEST: f64 = 0.25;
/// After a 429 the rate is this share of the one at which it came.
const BELOW: f64 = 0.92;
/// A 429 below this share of the remembered rate means that the limit is lower than that: the rate is halved.
const NEAR: f64 = 0.95;
/// With each accepted call the rate moves by its distance to the remembered one, divided by this many calls, or
/// by the calls of this many seconds if those are more. The former keeps 429s rare at low rates, the latter at
/// high rates, where the pause after each costs more calls.
const CALLS: f64 = 80.0;
const SECONDS: f64 = 25.0;
/// How much faster it moves where it is far from the remembered one. Once the host accepts the configured rate,
/// it is reached after one and a half to three minutes of full use, or five where less than ten are configured. Faster would mean
/// more 429s.
const FAST: f64 = 8.0;
/// By what share of the remembered rate it moves in addition, so that it does not stay there.
const DRIFT: f64 = 0.0075;
/// A 429 is forgotten after this long without another one. Until then there are no bursts.
const FORGOTTEN: Duration = Duration::from_secs(3600);

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

/// A call that may be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    class: Class,
    at: Instant,
    /// The call had to wait, so the rate is in full use.
    held_back: bool,
}

struct Lane {
    configured: f64,
    /// The present rate.
    per_second: f64,
    /// The rate at the last 429; before the first, the configured one.
    refused: f64,
    refused_at: Option<Instant>,
    burst: f64,
    /// What was in the bucket at `filled_at`.
    tokens: f64,
    filled_at: Instant,
    closed_until: Instant,
    /// 429s in a row.
    strikes: u32,
    /// Tickets in the order in which they are served; the number keeps first come, first served.
    waiting: BTreeSet<(Urgency, u64)>,
    next_ticket: u64,
}

impl Rate {
    pub(super) fn new(per_second: f64, burst: u32) -> Rate {
        let lane = |class: Class| {
            let now = Instant::now();
            let configured = per_second.max(0.1) / class.share();
            let burst = (f64::from(burst) / class.share()).max(1.0);
            Mutex::new(Lane {
                configured,
                per_second: configured,
                refused: configured,
                refused_at: None,
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
    pub(super) async fn turn(&self, class: Class, urgency: Urgency) -> Result<Turn, Duration> {
        let place = Place::take(self, class, urgency);
        let deadline = Instant::now() + LONGEST_TURN;
        let mut held_back = false;
        loop {
            let wait = match self.lane(class).try_take(place.ticket) {
                None => return Ok(Turn { class, at: Instant::now(), held_back }),
                Some(wait) => wait,
            };
            if Instant::now() + wait > deadline {
                return Err(wait);
            }
            held_back = true;
            sleep(wait.min(RECHECK)).await;
        }
    }

    /// The response was a 429. Lowers the rate, and closes the gate for as long as the host asked, or a growing
    /// time if it said nothing usable; returns that time.
    pub(super) fn close(&self, turn: Turn, asked: Option<Duration>) -> Duration {
        let mut lane = self.lane(turn.class);
        let now = Instant::now();
        // Responses to calls that were in flight when the gate closed are the same event.
        if lane.is_news(turn) {
            // Without an accepted call in between, the gate opened too early: that says nothing about the rate.
            if lane.strikes == 0 {
                lane.lower();
            }
            lane.strikes = (lane.strikes + 1).min(7);
            lane.refused_at = Some(now);
        }
        let growing = Duration::from_secs(1 << lane.strikes.saturating_sub(1));
        let pause = asked.unwrap_or(growing).min(LONGEST_GATE);
        lane.closed_until = lane.closed_until.max(now + pause);
        pause
    }

    /// The response was something else than a 429.
    pub(super) fn answered(&self, turn: Turn) {
        let mut lane = self.lane(turn.class);
        if !lane.is_news(turn) {
            return;
        }
        lane.strikes = 0;
        // A rate that is not in full use proves nothing about a higher one.
        if turn.held_back {
            lane.raise();
        }
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
        if self.refused_at.is_some_and(|at| now - at >= FORGOTTEN) {
            (self.per_second, self.refused, self.refused_at) = (self.configured, self.configured, None);
        }
        let filled = self.tokens + (now - self.filled_at).as_secs_f64() * self.per_second;
        (self.tokens, self.filled_at) = (filled.min(self.capacity()), now);

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

    /// How many calls may be sent at once: limits that count the calls of short windows refuse bursts.
    fn capacity(&self) -> f64 {
        if self.refused_at.is_some() { 1.0 } else { self.burst }
    }

    /// Whether a call was sent after the last 429 arrived.
    fn is_news(&self, turn: Turn) -> bool {
        self.refused_at.is_none_or(|at| turn.at > at)
    }

    fn lower(&mut self) {
        let share = if self.per_second < NEAR * self.refused { 0.5 } else { BELOW };
        self.refused = self.per_second;
        let lowest = (LOWEST * self.configured).max(SLOWEST).min(self.configured);
        self.per_second = (share * self.refused).max(lowest);
    }

    fn raise(&mut self) {
        let distance = (self.per_second - self.refused).abs();
        let is_near = (BELOW * self.refused..=self.refused).contains(&self.per_second);
        let pull = if is_near { distance } else { FAST * distance };
        let step = (pull + DRIFT * self.refused) / CALLS.max(SECONDS * self.per_second);
        self.per_second = (self.per_second + step).min(self.configured);
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
