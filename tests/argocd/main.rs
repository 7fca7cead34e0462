//! Argo CD keeps our objects as Git says: the built operator, a real API server, a real Argo CD and a simulated account, with
//! health checks and actions as `config/argocd` gives them to users.
//!
//! Not part of `cargo test` (`test = false` in `Cargo.toml`): Argo CD takes Go minutes to build, and nobody should have to wait
//! for that who has changed something else. `make test-argocd` runs it, and CI does. Each story is told as it happens, a
//! line a step; its steps follow from each other, as days in the life of an application do.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod application;
mod audit;
mod day;
mod git;
mod parts;
#[path = "../account/resource.rs"]
mod resource;
mod stage;

use application::{Application, View};
use day::Day;
use stage::{Apply, IDLE, OPERATOR, Story};
use world::eventually;

async fn life(namespace: &str, apply: Apply) {
    let mut day = Day::begin(Story::start(namespace, apply).await).await;
    day.came_in_waves().await;
    day.a_commit_is_carried_out().await;
    day.a_manual_edit_is_healed().await;
    day.drift_in_the_account_is_no_difference().await;
    day.what_leaves_the_manifest_is_left_alone().await;
    day.a_spec_that_cannot_be_carried_out_is_degraded().await;
    day.nonsense_is_refused_and_holds_up_nothing_else().await;
    day.a_broken_check_is_named_and_ours_are_kept().await;
    day.suspend_is_suspended().await;
    day.actions_change_one_field_each().await;
    day.argo_cds_marks_stay_where_they_are().await;
    day.nothing_happens_at_rest().await;
    day.replace_makes_no_second_object().await;
    day.what_leaves_git_waits_for_a_person().await;
    day.everything_goes_in_reverse_order().await;
}

/// Covers GO-05, GO-07, GO-10, GO-11, GO-12. The life of an application whose manifests are applied on the client's side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_side() {
    life("client-side", Apply::Client).await;
}

/// Covers GO-05, GO-07, GO-10, GO-11, GO-12. The same with server-side apply and server-side diff.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_side() {
    life("server-side", Apply::Server).await;
}

/// The chart, installed by Argo CD, shows no difference while the operator works.
#[tokio::test]
async fn the_chart_shows_no_difference() {
    let site = stage::site().await;
    let application = Application::find(&site.cluster.client().await.unwrap(), OPERATOR).await;
    let is_synced = |view: &View| view.sync == "Synced";
    let differs = eventually("a difference", IDLE, async || {
        application.since(0).into_iter().find(|view| !is_synced(view)).ok_or_else(String::new)
    });
    if let Ok(view) = differs.await {
        panic!("{view:#?}");
    }
    application.looked().await;
    assert!(application.since(0).iter().all(is_synced), "{:#?}", application.since(0));
}
