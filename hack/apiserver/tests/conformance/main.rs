//! The API server in memory responds as a real kube-apiserver does: random sequences of requests are sent to both.
//!
//! `SEQUENCES=10000` runs more of them, `SEED=7` runs one and prints it. A difference prints the sequence up to it.
//!
//! What is not compared:
//!
//! | what | why | instead |
//! |---|---|---|
//! | `metadata.resourceVersion` | other writes | equal where the real ones are equal, and in the same order |
//! | `uid` | random | the same object in both |
//! | `creationTimestamp`, `deletionTimestamp` | the clock | set in both or in none |
//! | times of managed fields, and their order, which follows the times | the clock | the entries and their fields |
//! | the version of a list and of a bookmark, `continue` | other writes | set in both or in none |
//! | the order of an invalid object's causes, repetitions, and the message that lists them | random | each cause, with its message |
//! | whether a write of an applied object that changes nothing stores new times of managed fields | the clock | the sequence ends there; at most 1 % of them |
//! | numbers and uids in messages | other writes | the text around them |
//! | messages of the server's JSON, selector and token parsers, of its storage and of rules that cannot be evaluated | Go's | code and reason |
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod compare;
mod kinds;
mod random;
mod side;
mod steps;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apiserver::{ApiServer, Definitions};
use k8s_openapi::jiff::Timestamp;
use world::{Cluster, ControlPlane, fresh_dir};

use crate::compare::Pairs;
use crate::kinds::Kind;
use crate::side::Side;
use crate::steps::Sequence;

/// How many sequences run at a time: the real server is idle while one waits for a watch.
const AT_A_TIME: usize = 128;
/// How many differences are printed before the test ends.
const ENOUGH: usize = 8;

/// A real API server with the committed CRDs.
async fn real() -> Cluster {
    let dir = fresh_dir(Path::new(env!("CARGO_TARGET_TMPDIR")), "conformance-").unwrap();
    let control_plane = ControlPlane::start(&dir).unwrap();
    let cluster = Cluster { control_plane, dir };
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds");
    let mut kubectl: Command = cluster.control_plane.kubectl();
    let applied = kubectl.args(["apply", "--server-side", "-f", crds]).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    cluster.established().await.unwrap();
    cluster
}

struct Stage {
    real: kube::Client,
    definitions: Arc<Definitions>,
    kinds: Vec<Kind>,
    ended_early: AtomicUsize,
}

impl Stage {
    /// Waits until the real server has filled its caches: a watch cannot begin before the revision of that.
    async fn warm(&self) {
        let mut side = Side::new(self.real.clone(), "default");
        for kind in &self.kinds {
            let reply = side.take(&steps::list(kind, "resourceVersion=0")).await;
            assert_eq!(reply.code, 200, "{}", reply.body);
        }
    }

    /// Runs a sequence; returns its story up to the first difference, if there is one.
    async fn run(&self, seed: u64, tell: bool) -> Option<String> {
        let server = ApiServer::with(self.definitions.clone(), Timestamp::now);
        let namespace = format!("sequence-{seed}");
        let mut real = Side::new(self.real.clone(), &namespace);
        let mut ours = Side::new(server.client("admin"), &namespace);
        let mut pairs = Pairs::default();
        let mut story = format!("SEED={seed}\n");
        for (at, step) in Sequence::new(seed, &self.kinds).steps().into_iter().enumerate() {
            let (mut theirs, mut mine) = tokio::join!(real.take(&step), ours.take(&step));
            let mut found = pairs.differences(&theirs, &mine);
            if let Some(patient) = step.patient().filter(|_| !found.is_empty()) {
                // On a busy machine a watch can end before it has sent all events. It is repeated, and sends the same ones.
                (theirs, mine) = tokio::join!(real.take(&patient), ours.take(&patient));
                found = pairs.differences(&theirs, &mine);
            }
            story += &format!("{at:>3} {step}\n    -> {}\n", theirs.code);
            if tell {
                story += &format!("       {}\n", theirs.body);
            }
            if compare::is_time_of_apply(&found, &theirs) {
                // The versions no longer correspond.
                self.ended_early.fetch_add(1, Ordering::Relaxed);
                break;
            }
            if !found.is_empty() {
                let found: String = found.iter().map(|one| format!("    differs: {one}\n")).collect();
                return Some(format!("{story}{found}    real: {}\n    ours: {}\n", theirs.body, mine.body));
            }
        }
        if tell {
            println!("{story}");
        }
        None
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sequences_of_requests_have_the_same_responses_as_a_real_server() {
    let cluster = real().await;
    let stage = Arc::new(Stage {
        real: cluster.client().await.unwrap(),
        definitions: Arc::new(Definitions::new(&kinds::crds())),
        kinds: kinds::kinds(),
        ended_early: AtomicUsize::new(0),
    });
    stage.warm().await;
    let count = number("SEQUENCES").unwrap_or(1000);
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..count,
    };
    let (next, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tell = number("SEED").is_some();
    let workers = (0..AT_A_TIME).map(|_| {
        let (stage, next, failed, seeds) = (stage.clone(), next.clone(), failed.clone(), seeds.clone());
        tokio::spawn(async move {
            while failed.load(Ordering::Relaxed) < ENOUGH {
                let seed = seeds.start + next.fetch_add(1, Ordering::Relaxed) as u64;
                if seed >= seeds.end {
                    break;
                }
                if let Some(story) = stage.run(seed, tell).await {
                    failed.fetch_add(1, Ordering::Relaxed);
                    println!("{story}");
                }
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let (failed, ended_early) = (failed.load(Ordering::Relaxed), stage.ended_early.load(Ordering::Relaxed));
    assert!(ended_early as u64 <= 1 + count / 100, "{ended_early} sequences ended at a write of times alone");
    assert_eq!(failed, 0, "sequences in which the responses differ");
}
