//! Which call is sent when, under a stopped clock.

use std::sync::Arc;

use super::*;

fn seconds(n: f64) -> Duration {
    Duration::from_secs_f64(n)
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
    assert_eq!(rate.close(Class::Scim, Some(seconds(3.0))), seconds(3.0));
    assert_eq!(rate.close(Class::Scim, Some(seconds(1.0))), seconds(1.0));
    assert_eq!(rate.closed_for(), Some(seconds(3.0)), "the later end counts");

    let start = Instant::now();
    rate.turn(Class::Other, Urgency::Routine).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    rate.turn(Class::Scim, Urgency::Urgent).await.unwrap();
    assert_eq!(start.elapsed(), seconds(3.0));
    assert_eq!(rate.closed_for(), None);

    assert_eq!(rate.close(Class::Scim, Some(seconds(1e6))), LONGEST_GATE);
    let again = Instant::now();
    assert_eq!(rate.turn(Class::Scim, Urgency::Urgent).await, Err(LONGEST_GATE));
    assert_eq!(again.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_a_usable_retry_after_the_pause_grows_until_an_answer() {
    let rate = Rate::new(1000.0, 100);
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let pause = rate.close(Class::Other, None);
        assert_eq!(rate.close(Class::Other, None), pause, "a second 429 of the same moment");
        pauses.push(pause.as_secs());
        tokio::time::advance(pause).await;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    rate.answered(Class::Other);
    assert_eq!(rate.close(Class::Other, None), seconds(1.0));
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
