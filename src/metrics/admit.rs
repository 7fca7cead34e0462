//! Who may scrape, if not everyone may: a caller with a token of the cluster and the right to `get` the nonResourceURL
//! `/metrics`. The API server checks both, as for `kubectl auth`.
//!
//! A positive result is valid for a minute, so that scrapes cost no calls. Unknown tokens are checked one at a time, and at
//! most ten a second: a flood of bad tokens causes no flood of calls, and delays no caller whose token was good before.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep, timeout};

use crate::engine::error::chain;

const GOOD_FOR: Duration = Duration::from_secs(60);
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a token that was good is checked without waiting in line.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// How long a bad token delays those that wait behind it.
const PENALTY: Duration = Duration::from_millis(100);
/// No token of a cluster is longer; limits what is sent on.
const LONGEST_TOKEN: usize = 16 << 10;

/// Asks the API server.
pub struct Authorizer {
    client: Client,
    /// Tokens that were good, and until when that is valid. In memory only; never shown.
    good: Mutex<HashMap<String, Instant>>,
    reviewing: tokio::sync::Mutex<()>,
    logged: AtomicBool,
}

/// Why a caller may not scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no token, or none that is good.
    Unauthenticated,
    /// The token's user lacks the right.
    Forbidden,
    /// The API server cannot be asked.
    Unknown,
}

impl Authorizer {
    /// An authorizer that asks the API server with this client.
    pub fn new(client: Client) -> Authorizer {
        Authorizer {
            client,
            good: Mutex::default(),
            reviewing: tokio::sync::Mutex::default(),
            logged: AtomicBool::default(),
        }
    }

    /// Whether the sender of these headers may scrape.
    pub async fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let token = bearer(headers).ok_or(Refused::Unauthenticated)?;
        if self.is_good(token) {
            return Ok(());
        }
        let known = self.good.lock().expect("no panic while held").contains_key(token);
        let _in_line = match known {
            true => None,
            false => {
                Some(timeout(REVIEW_TIMEOUT, self.reviewing.lock()).await.map_err(|_| Refused::Unknown)?)
            }
        };
        // Another scrape may have checked the same token meanwhile.
        if self.is_good(token) {
            return Ok(());
        }
        match timeout(REVIEW_TIMEOUT, self.review(token)).await {
            Ok(Ok(result)) => {
                self.logged.store(false, Ordering::Relaxed);
                if let Err(refused) = result {
                    self.good.lock().expect("no panic while held").remove(token);
                    sleep(PENALTY).await;
                    return Err(refused);
                }
            }
            Ok(Err(error)) => return Err(self.log_failure(&chain(&error))),
            Err(_) => return Err(self.log_failure("it did not answer in time")),
        }
        let (now, mut good) = (Instant::now(), self.good.lock().expect("no panic while held"));
        good.retain(|_, until| *until + KNOWN_FOR > now);
        good.insert(token.to_owned(), now + GOOD_FOR);
        Ok(())
    }

    fn is_good(&self, token: &str) -> bool {
        let good = self.good.lock().expect("no panic while held");
        good.get(token).is_some_and(|until| *until > Instant::now())
    }

    async fn review(&self, token: &str) -> kube::Result<Result<(), Refused>> {
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        let user = match status.user {
            Some(user) if status.authenticated == Some(true) => user,
            _ => return Ok(Err(Refused::Unauthenticated)),
        };
        let reviews: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let review = SubjectAccessReview { spec: access(user), ..SubjectAccessReview::default() };
        let status = reviews.create(&PostParams::default(), &review).await?.status.unwrap_or_default();
        Ok(if status.allowed { Ok(()) } else { Err(Refused::Forbidden) })
    }

    /// Logs the failure once, until it works again.
    fn log_failure(&self, error: &str) -> Refused {
        if !self.logged.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the API server cannot be asked who may scrape metrics: {error}; if it refuses, grant the operator the \
                 rules metricsAuth of `databricks-operator rbac`"
            );
        }
        Refused::Unknown
    }
}

/// The token of the headers.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let fits = !token.is_empty() && token.len() <= LONGEST_TOKEN;
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}

/// May this user scrape?
fn access(user: UserInfo) -> SubjectAccessReviewSpec {
    SubjectAccessReviewSpec {
        user: user.username,
        uid: user.uid,
        groups: user.groups,
        extra: user.extra,
        non_resource_attributes: Some(NonResourceAttributes {
            path: Some("/metrics".into()),
            verb: Some("get".into()),
        }),
        resource_attributes: None,
    }
}
