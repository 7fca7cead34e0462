//! The lease against an API server of one record, under a stopped clock.

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse;
use serde_json::json;
use tokio::time::advance;

use super::*;

fn settings(duration: u64, renew: u64, write: u64) -> Settings {
    Settings {
        namespace: "ns".into(),
        name: "lease".into(),
        identity: "me".into(),
        duration: Duration::from_secs(duration),
        renew: Duration::from_secs(renew),
        write_timeout: Duration::from_secs(write),
    }
}

/// An API server with one lease, which takes this long to respond.
#[derive(Clone, Default)]
struct Server {
    record: Arc<Mutex<Option<api::Lease>>>,
    delay: Arc<Mutex<Duration>>,
}

impl Server {
    fn lease(&self, identity: &str) -> Lease {
        let server = self.clone();
        let respond = move |method: Method, body: Bytes| server.clone().respond(method, body);
        let client = Client::new(Router::new().fallback(respond), "ns");
        Lease::new(client, Settings { identity: identity.into(), ..settings(30, 5, 10) })
    }

    async fn respond(self, method: Method, body: Bytes) -> axum::response::Response {
        let kept = || self.record.lock().unwrap().clone();
        if method != Method::GET {
            let mut record: api::Lease = serde_json::from_slice(&body).unwrap();
            let before = kept().and_then(|kept| kept.resource_version());
            if record.resource_version() != before {
                return refusal(409, "Conflict");
            }
            let next = before.map_or(1, |version| version.parse::<u32>().unwrap() + 1);
            record.metadata.resource_version = Some(next.to_string());
            *self.record.lock().unwrap() = Some(record);
        }
        let delay = *self.delay.lock().unwrap();
        sleep(delay).await;
        kept().map_or_else(|| refusal(404, "NotFound"), |record| axum::Json(record).into_response())
    }

    fn takes(&self, seconds: u64) {
        *self.delay.lock().unwrap() = Duration::from_secs(seconds);
    }
}

fn refusal(code: u16, reason: &str) -> axum::response::Response {
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason});
    (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
}

/// Whether a change may be sent now, and whether it may a moment before and after so many seconds from now.
async fn ends_in(permit: &Permit, seconds: u64) -> bool {
    let moment = Duration::from_millis(100);
    advance(Duration::from_secs(seconds) - moment).await;
    let before = permit.holds();
    advance(moment * 2).await;
    before && !permit.holds()
}

// The clock of these tests is the runtime's, which they move; no other clock does.

#[tokio::test(start_paused = true)]
async fn the_right_to_write_ends_in_time_by_the_moment_of_the_send() {
    let server = Server::default();
    let mut lease = server.lease("me");
    let permit = lease.permit();
    assert!(!permit.holds());
    server.takes(2);
    assert!(lease.try_acquire().await.unwrap());
    // 30 s from the send, less the 10 s of a change, its margin of 1 s, and the 2 s that the response took.
    assert!(ends_in(&permit, 17).await);
}

/// Covers HA-02. The clock of the runtime does not move meanwhile, and another replica may lead.
#[tokio::test(start_paused = true)]
async fn a_machine_that_was_suspended_sends_nothing_before_the_lease_is_renewed() {
    let (server, begin) = (Server::default(), 1_800_000_000);
    let set = |second: i64| clock::follow_tokio(Timestamp::from_second(begin + second).unwrap());
    let mut lease = server.lease("me");
    let permit = lease.permit();
    set(0);
    assert!(lease.try_acquire().await.unwrap());
    for (suspended_for, holds) in [(0, true), (17, true), (20, false), (86_400, false)] {
        set(suspended_for);
        assert_eq!(permit.holds(), holds, "{suspended_for} s");
    }
    assert!(lease.try_renew().await.is_ok());
    assert!(permit.holds(), "it was the clock that was set");
    set(0);
    assert!(ends_in(&permit, 19).await, "one that is set back lengthens nothing");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_renewed_is_taken_when_it_was_seen_for_its_time() {
    let server = Server::default();
    let (mut first, mut second) = (server.lease("first"), server.lease("second"));
    assert!(first.try_acquire().await.unwrap());
    assert!(!second.try_acquire().await.unwrap());
    advance(Duration::from_millis(29_900)).await;
    assert!(!second.try_acquire().await.unwrap());
    advance(Duration::from_millis(200)).await;
    assert!(second.try_acquire().await.unwrap());
    let Err(NotRenewed::Taken(by)) = first.try_renew().await else { panic!("it renewed what it lost") };
    assert_eq!(by, "second");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_whose_response_is_late_counts_from_its_send() {
    let server = Server::default();
    let mut lease = server.lease("me");
    let permit = lease.permit();
    assert!(lease.try_acquire().await.unwrap());
    advance(Duration::from_secs(5)).await;
    server.takes(60);
    let soon_quick = async {
        sleep(Duration::from_millis(4_900)).await;
        server.takes(0);
    };
    // The write succeeds and is given up after 5 s; the read that follows shows its result.
    let (renewed, ()) = tokio::join!(lease.try_renew(), soon_quick);
    assert!(renewed.is_ok(), "{renewed:?}");
    assert!(ends_in(&permit, 14).await);
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_of_the_api_server_is_reported_at_once() {
    for (code, reason) in [(400, "BadRequest"), (403, "Forbidden"), (404, "NotFound"), (422, "Invalid")] {
        let respond = move || async move { refusal(code, reason) };
        let client = Client::new(Router::new().fallback(respond), "ns");
        let error = Lease::new(client, settings(30, 5, 10)).acquire().await.unwrap_err();
        assert!(error.starts_with("the lease ns/lease cannot be used"), "{error}");
    }
}

#[test]
fn times_that_contradict_each_other_are_refused_by_their_names() {
    assert_eq!(settings(30, 5, 10).check(), Ok(()));
    assert_eq!(settings(21, 5, 10).check(), Ok(()));
    for (bad, says) in [
        (settings(20, 5, 10), "at least twice --lease-renew-interval"),
        (settings(30, 0, 10), "--lease-renew-interval"),
        (settings(30, 5, 0), "--write-timeout"),
        (Settings { duration: Duration::from_millis(30_500), ..settings(0, 5, 10) }, "whole seconds"),
        (settings(0, 5, 10), "whole seconds"),
    ] {
        let error = bad.check().unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn a_record_has_expired_when_it_was_seen_unchanged_for_its_own_duration() {
    let record = |holder: Option<&str>, seconds| api::Lease {
        metadata: ObjectMeta::default(),
        spec: Some(api::LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            // Whatever the holder's clock says.
            renew_time: Some(MicroTime(Timestamp::UNIX_EPOCH)),
            ..api::LeaseSpec::default()
        }),
    };
    let since = Instant::now();
    let after = |seconds| since + Duration::from_secs(seconds);
    assert!(!expired(&record(Some("a"), Some(30)), since, after(29)));
    assert!(expired(&record(Some("a"), Some(30)), since, after(30)));
    // Ours may be shorter: theirs counts.
    assert!(!expired(&record(Some("a"), Some(300)), since, after(299)));
    assert!(expired(&record(Some(""), Some(30)), since, after(0)));
    assert!(expired(&record(None, Some(30)), since, after(0)));
    assert!(expired(&api::Lease::default(), since, after(0)));
}
