//! The bearer token of one client: kept, renewed ahead of time, fetched by one caller at a time.
//!
//! The caller fetches the token (`client.rs`), so this file has no HTTP and its clock is tokio's. A fresh token is renewed
//! in the background while it is still valid, so no call waits for a slow token endpoint. One that the API refuses is
//! replaced at once. If new tokens are refused too, another is requested in growing steps only, whatever the number of
//! calls.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use super::Error;
use crate::clock;

const RENEWAL: Duration = Duration::from_secs(20 * 60);
const RENEWAL_BACKOFF: Duration = Duration::from_secs(60);
/// The minimum time that a refused token is kept, if the replacement of the one before did not help; doubled each time.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// After this long without a refused token the next one is an event of its own.
const QUIET: Duration = Duration::from_secs(120);
/// Some deployments refuse tokens in their last 30 s.
const MARGIN: Duration = Duration::from_secs(40);
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// For an `expires_in` that says nothing: short, and a 401 would correct it anyway.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);

/// A token as the endpoint issued it.
#[derive(Clone)]
pub(super) struct Token {
    value: SecretString,
    /// A token of Google that is sent beside it.
    of_google: Option<SecretString>,
    renew_at: Instant,
    stale_at: Instant,
    expires_at: Instant,
}

impl Token {
    /// `asked_at` is the time before the request was sent: the token cannot be older than that.
    pub(super) fn new(value: SecretString, expires_in: Option<f64>, asked_at: Instant) -> Token {
        let life = match expires_in {
            Some(seconds) if seconds >= 1.0 => {
                Duration::from_secs_f64(seconds.min(LONGEST_LIFE.as_secs_f64()))
            }
            _ => UNKNOWN_LIFE,
        };
        let renew_at = asked_at + (life - RENEWAL.min(life / 2));
        let stale_at = asked_at + (life - MARGIN.min(life / 4));
        Token { value, of_google: None, renew_at, stale_at, expires_at: asked_at + life }
    }

    /// This token and one of Google that is sent beside it: both are renewed as soon as one of them must be.
    pub(super) fn beside(self, of_google: Token) -> Token {
        Token {
            renew_at: self.renew_at.min(of_google.renew_at),
            stale_at: self.stale_at.min(of_google.stale_at),
            expires_at: self.expires_at.min(of_google.expires_at),
            of_google: Some(of_google.value),
            value: self.value,
        }
    }

    pub(super) fn value(&self) -> &str {
        self.value.expose_secret()
    }

    /// The token of Google that is sent beside it, if there is one.
    pub(super) fn of_google(&self) -> Option<&str> {
        self.of_google.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// The one token of a client.
#[derive(Default)]
pub(super) struct Tokens {
    state: Mutex<State>,
    /// Held by the caller that fetches.
    flight: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    token: Option<Token>,
    renewal_allowed_at: Option<Instant>,
    /// Counts finished fetches, so that a caller that waited for a failing one shares its error instead of repeating it.
    fetches: u64,
    failure: Option<Error>,
    /// When a refused token was dropped last, and how long the next one is kept.
    replaced: Option<(Instant, Duration)>,
}

impl Tokens {
    /// A token that is valid for a call now.
    ///
    /// # Errors
    /// Those of `fetch`, if there is no valid token.
    pub(super) async fn get<F, R>(self: &Arc<Self>, fetch: F) -> Result<Token, Error>
    where
        F: FnOnce() -> R,
        R: Future<Output = Result<Token, Error>> + Send + 'static,
    {
        let fetches = {
            let state = self.lock();
            if let Some(token) = state.serving() {
                if state.wants_renewal(&token)
                    && let Ok(flight) = self.flight.clone().try_lock_owned()
                {
                    drop(state);
                    tokio::spawn(self.clone().renew(fetch(), flight));
                }
                return Ok(token);
            }
            state.fetches
        };
        let _flight = self.flight.lock().await;
        {
            let state = self.lock();
            if let Some(token) = state.serving() {
                return Ok(token);
            }
            if let Some(failure) = state.failure.as_ref().filter(|_| state.fetches > fetches) {
                return Err(failure.clone());
            }
        }
        let outcome = fetch().await;
        self.lock().settle(&outcome);
        outcome
    }

    /// When the token expires: the valid one, or the one that could not be renewed in time.
    pub(super) fn expiry(&self) -> Option<SystemTime> {
        let state = self.lock();
        let token = state.token.as_ref()?;
        let (now, wall) = (Instant::now(), SystemTime::from(clock::now()));
        match token.expires_at.checked_duration_since(now) {
            Some(left) => wall.checked_add(left),
            None if state.failure.is_some() => wall.checked_sub(now - token.expires_at),
            None => None,
        }
    }

    /// The API refused this token. Returns whether there is, or will be, another one to try: not if several in a row were
    /// refused a moment ago.
    pub(super) fn refused(&self, token: &Token) -> bool {
        let mut state = self.lock();
        if state.token.as_ref().is_none_or(|current| current.value() != token.value()) {
            return true;
        }
        let now = Instant::now();
        let pause = match state.replaced {
            Some((at, pause)) if now < at + pause => return false,
            Some((at, pause)) if now < at + pause + QUIET => (2 * pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
            _ => Duration::ZERO,
        };
        state.replaced = Some((now, pause));
        state.token = None;
        true
    }

    /// The API accepted a call with the token that replaced a refused one: the replacement was right, and may be so again
    /// soon.
    pub(super) fn helped(&self) {
        if let Some((_, pause)) = &mut self.lock().replaced {
            *pause = Duration::ZERO;
        }
    }

    async fn renew<R>(self: Arc<Self>, fetch: R, _flight: OwnedMutexGuard<()>)
    where
        R: Future<Output = Result<Token, Error>>,
    {
        let outcome = fetch.await;
        if let Err(error) = &outcome {
            tracing::warn!("token not renewed, the old one is still valid: {error}");
        }
        self.lock().settle(&outcome);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, and the state is valid between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn serving(&self) -> Option<Token> {
        self.token.clone().filter(|token| Instant::now() < token.stale_at)
    }

    fn wants_renewal(&self, token: &Token) -> bool {
        let now = Instant::now();
        now >= token.renew_at && self.renewal_allowed_at.is_none_or(|at| now >= at)
    }

    fn settle(&mut self, outcome: &Result<Token, Error>) {
        self.fetches += 1;
        match outcome {
            Ok(token) => {
                self.token = Some(token.clone());
                (self.renewal_allowed_at, self.failure) = (None, None);
            }
            Err(error) => {
                self.renewal_allowed_at = Some(Instant::now() + RENEWAL_BACKOFF);
                self.failure = Some(error.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
