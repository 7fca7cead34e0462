//! Which call is sent when, and how the rate adapts, under a stopped clock.

use std::sync::Arc;

use super::*;

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

/// A call that waits for its turn.
async fn turn(rate: &Rate, class: Class) -> Turn {
    rate.turn(class, Urgency::Urgent).await.unwrap()
}

/// The present rate.
fn present(rate: &Rate) -> f64 {
    rate.lane(Class::Other).per_second
}

#[test]
fn endpoints_have_their_classes() {
    for (path, class) in [
        ("/oidc/accounts/a/v1/token", Class::Token),
        ("/.well-known/databricks-config", Class::Token),
        ("/api/2.0/accounts/a/scim/v2/Groups", Class::Scim),
        ("/api/2.0/accounts/a/workspaces/1", Class::Workspaces),
        ("/api/2.0/accounts/a/networks", Class::Other),
        ("/api/2.0/accounts/scim/networks", Class::Other),
        ("/", Class::Other),
    ] {
        assert_eq!(Class::of(Method::Get, path), class, "{path}");
    }
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete] {
        assert_eq!(Class::of(method, "/api/2.0/accounts/a/scim/v2/Groups/1"), Class::ScimWrites);
        assert_eq!(Class::of(method, "/api/2.0/accounts/a/workspaces/1"), Class::Workspaces);
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_burst_calls_go_at_the_rate() {
    let rate = Rate::new(10.0, 5);
    let start = Instant::now();
    for _ in 0..5 {
        rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    for _ in 0..10 {
        rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    }
    let took = start.elapsed();
    assert!((seconds(0.99)..seconds(1.02)).contains(&took), "{took:?}");
    rate.turn(Class::Scim, Urgency::Routine).await.unwrap();
    assert_eq!(start.elapsed(), took, "another class has its own bucket");
}

#[tokio::test(start_paused = true)]
async fn urgent_calls_overtake_and_each_kind_keeps_its_order() {
    let rate = Arc::new(Rate::new(10.0, 1));
    rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut calls = tokio::task::JoinSet::new();
    for (name, urgency) in [
        ("r1", Urgency::Routine),
        ("r2", Urgency::Routine),
        ("u1", Urgency::Urgent),
        ("r3", Urgency::Routine),
        ("u2", Urgency::Urgent),
    ] {
        let (rate, order) = (rate.clone(), order.clone());
        calls.spawn(async move {
            rate.turn(Class::Other, urgency).await.unwrap();
            order.lock().unwrap().push(name);
        });
        tokio::task::yield_now().await;
    }
    while calls.join_next().await.is_some() {}
    assert_eq!(*order.lock().unwrap(), ["u1", "u2", "r1", "r2", "r3"]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_up_its_place() {
    let rate = Rate::new(1.0, 1);
    rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    let gone = tokio::time::timeout(seconds(0.5), rate.turn(Class::Other, Urgency::Urgent)).await;
    assert!(gone.is_err());
    let start = Instant::now();
    rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    assert!(start.elapsed() < seconds(0.6), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_holds_its_class_only_and_no_call_for_long() {
    let rate = Rate::new(1000.0, 100);
    assert_eq!(rate.closed_for(), None);
    let sent = turn(&rate, Class::Scim).await;
    assert_eq!(rate.close(sent, Some(seconds(3.0))), seconds(3.0));
    assert_eq!(rate.close(sent, Some(seconds(1.0))), seconds(1.0));
    assert_eq!(rate.closed_for(), Some(seconds(3.0)), "the later end counts");

    let start = Instant::now();
    rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let sent = turn(&rate, Class::Scim).await;
    assert_eq!(start.elapsed(), seconds(3.0));
    assert_eq!(rate.closed_for(), None);

    assert_eq!(rate.close(sent, Some(seconds(1e6))), LONGEST_GATE);
    let again = Instant::now();
    assert_eq!(rate.turn(Class::Scim, Urgency::Urgent).await.unwrap_err(), LONGEST_GATE);
    assert_eq!(again.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_retry_after_the_pause_grows_until_an_answer() {
    let rate = Rate::new(1000.0, 100);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let sent = turn(&rate, Class::Other).await;
        let pause = rate.close(sent, None);
        assert_eq!(rate.close(sent, None), pause, "a second 429 of the same moment");
        pauses.push(pause.as_secs());
        tokio::time::advance(pause).await;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    let accepted = turn(&rate, Class::Other).await;
    rate.answered(accepted);
    tokio::time::advance(seconds(0.1)).await;
    let sent = turn(&rate, Class::Other).await;
    assert_eq!(rate.close(sent, None), seconds(1.0));
}

/// Of calls in flight, the first 429 lowers the rate, and the responses after it say nothing new.
#[tokio::test(start_paused = true)]
async fn the_429s_of_calls_in_flight_lower_the_rate_once() {
    let rate = Rate::new(10.0, 5);
    let mut sent = vec![];
    for _ in 0..5 {
        sent.push(turn(&rate, Class::Other).await);
    }
    tokio::time::advance(seconds(0.1)).await;
    rate.close(sent[0], Some(Duration::ZERO));
    let lower = present(&rate);
    assert!(lower < 9.5, "{lower}");
    tokio::time::advance(seconds(3.0)).await;
    rate.close(sent[1], Some(seconds(1.0)));
    rate.answered(sent[2]);
    rate.close(sent[3], None);
    assert!((present(&rate) - lower).abs() < 1e-9, "{}", present(&rate));
    assert!(rate.lane(Class::Scim).per_second > 9.9, "another class has its own rate");
}

/// A host that refuses for a while and then accepts everything: the gate is what keeps calls from it, and the
/// rate stays.
#[tokio::test(start_paused = true)]
async fn refusals_without_an_accepted_call_in_between_lower_the_rate_once() {
    let rate = Rate::new(10.0, 5);
    for _ in 0..20 {
        let sent = turn(&rate, Class::Other).await;
        rate.close(sent, Some(seconds(1.0)));
    }
    assert!(present(&rate) > 9.0, "{}", present(&rate));
}

#[tokio::test(start_paused = true)]
async fn after_a_429_calls_are_spaced_evenly() {
    let rate = Rate::new(10.0, 5);
    let sent = turn(&rate, Class::Other).await;
    rate.close(sent, Some(seconds(1.0)));
    for quiet in [10.0, 3500.0] {
        tokio::time::advance(seconds(quiet)).await;
        let start = Instant::now();
        turn(&rate, Class::Other).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        turn(&rate, Class::Other).await;
        assert!(
            start.elapsed() > seconds(0.1),
            "the rate is below the configured one: {:?}",
            start.elapsed()
        );
    }
    while present(&rate) < 10.0 {
        let accepted = turn(&rate, Class::Other).await;
        rate.answered(accepted);
    }
    tokio::time::advance(seconds(3600.0)).await;
    let start = Instant::now();
    for _ in 0..5 {
        turn(&rate, Class::Other).await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "bursts are back");
}

/// Also by a rate that is not in full use.
#[tokio::test(start_paused = true)]
async fn a_429_is_forgotten_after_an_hour() {
    let rate = Rate::new(10.0, 5);
    let sent = turn(&rate, Class::Other).await;
    rate.close(sent, Some(seconds(1.0)));
    assert!(present(&rate) < 10.0);
    tokio::time::advance(seconds(3600.0)).await;
    turn(&rate, Class::Other).await;
    assert!(present(&rate) >= 10.0);
}

/// Far more accepted calls than it takes, but none of them waited: a higher rate was not needed, and may be
/// refused.
#[tokio::test(start_paused = true)]
async fn a_rate_that_is_not_in_full_use_stays() {
    let rate = Rate::new(10.0, 5);
    let sent = turn(&rate, Class::Other).await;
    rate.close(sent, Some(seconds(1.0)));
    let lower = present(&rate);
    for _ in 0..1000 {
        tokio::time::advance(seconds(1.0)).await;
        let accepted = turn(&rate, Class::Other).await;
        rate.answered(accepted);
    }
    assert!((present(&rate) - lower).abs() < 1e-9, "{}", present(&rate));
}

/// The host allows next to nothing for a while, then everything: the rate falls to a floor, and returns within
/// minutes.
#[tokio::test(start_paused = true)]
async fn the_rate_falls_to_a_floor_and_returns() {
    let rate = Rate::new(15.0, 15);
    for _ in 0..50 {
        let sent = turn(&rate, Class::Other).await;
        rate.answered(sent);
        tokio::time::advance(seconds(0.1)).await;
        let sent = turn(&rate, Class::Other).await;
        rate.close(sent, Some(seconds(1.0)));
    }
    assert!((present(&rate) - 0.75).abs() < 0.05, "{}", present(&rate));
    let start = Instant::now();
    while present(&rate) < 15.0 {
        let accepted = turn(&rate, Class::Other).await;
        rate.answered(accepted);
    }
    let took = start.elapsed();
    assert!((seconds(60.0)..seconds(180.0)).contains(&took), "{took:?}");
}

/// What a host allows in a second.
struct Host {
    limit: f64,
    /// Counts whole seconds by the clock; otherwise the host has a token bucket.
    windows: bool,
    left: f64,
    since: Instant,
    accepted: f64,
    refused: f64,
}

impl Host {
    fn admits(&mut self) -> bool {
        let elapsed = self.since.elapsed();
        if !self.windows {
            self.left = (self.left + elapsed.as_secs_f64() * self.limit).min(self.limit);
            self.since += elapsed;
        } else if elapsed.as_secs() > 0 {
            self.left = self.limit;
            self.since += Duration::from_secs(elapsed.as_secs());
        }
        let admits = self.left >= 1.0;
        if admits {
            self.left -= 1.0;
            self.accepted += 1.0;
        } else {
            self.refused += 1.0;
        }
        admits
    }
}

/// One of several workers that always have another call to send; a response takes a tenth of a second.
async fn work(rate: Arc<Rate>, host: Arc<Mutex<Host>>, end: Instant) {
    while Instant::now() < end {
        match rate.turn(Class::Other, Urgency::Routine).await {
            Ok(turn) => {
                let admitted = host.lock().unwrap().admits();
                sleep(seconds(0.1)).await;
                if admitted {
                    rate.answered(turn);
                } else {
                    rate.close(turn, Some(seconds(1.0)));
                }
            }
            Err(wait) => sleep(wait).await,
        }
    }
}

/// What an hour of calls uses of a limit, and which share of them is refused, where 15 calls a second are
/// configured.
async fn an_hour(limit: f64, windows: bool, workers: usize) -> (f64, f64) {
    let rate = Arc::new(Rate::new(15.0, 15));
    let start = Instant::now();
    let host = Host { limit, windows, left: limit, since: start, accepted: 0.0, refused: 0.0 };
    let host = Arc::new(Mutex::new(host));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..workers {
        calls.spawn(work(rate.clone(), host.clone(), start + seconds(3600.0)));
    }
    while calls.join_next().await.is_some() {}
    let host = host.lock().unwrap();
    (host.accepted / (limit * start.elapsed().as_secs_f64()), host.refused / (host.accepted + host.refused))
}

/// With 30 workers at 2 calls a second most calls are sent away and return.
#[tokio::test(start_paused = true)]
async fn an_unknown_limit_is_used_and_few_calls_are_refused() {
    let mut wrong = vec![];
    for windows in [true, false] {
        for (limit, workers) in [(2.0, 8), (2.0, 30), (5.0, 8), (10.0, 8)] {
            let (used, refused) = an_hour(limit, windows, workers).await;
            if used < 0.95 || refused > 0.01 {
                wrong.push((limit, windows, workers, used, refused));
            }
        }
    }
    assert!(wrong.is_empty(), "limit, windows, workers, used, refused: {wrong:?}");
}

#[tokio::test(start_paused = true)]
async fn senseless_settings_still_let_calls_through() {
    for per_second in [0.0, -1.0, f64::NAN] {
        let rate = Rate::new(per_second, 0);
        rate.turn(Class::Other, Urgency::Routine).await.unwrap();
        let wait = rate.turn(Class::Other, Urgency::Routine).await.unwrap_err();
        assert_eq!(wait, seconds(10.0));
    }
}

/// Changes of principals have the tightest limits of the API.
#[tokio::test(start_paused = true)]
async fn changes_of_principals_go_at_a_tenth_of_the_rate_and_hold_up_no_read() {
    let rate = Rate::new(20.0, 40);
    let start = Instant::now();
    for _ in 0..4 {
        rate.turn(Class::ScimWrites, Urgency::Urgent).await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "a burst");
    for _ in 0..6 {
        rate.turn(Class::ScimWrites, Urgency::Urgent).await.unwrap();
    }
    let took = start.elapsed();
    assert!((seconds(2.99)..seconds(3.02)).contains(&took), "{took:?}");
    rate.turn(Class::Scim, Urgency::Routine).await.unwrap();
    assert_eq!(start.elapsed(), took, "a read need not wait");
}
