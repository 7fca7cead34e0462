//! Runs of the operator with faults, by the thousand: its engine, kube's controllers, an API server in memory and the simulated
//! account in one thread under virtual time. A seed determines a run completely, so that each can be replayed.
//!
//! What differs from the process: no lease but in one story, no ports, no logs, no traces, no bytes of HTTP, DNS or TLS. `tests/crash`
//! and the stories run those. The map: [`run`] is one run (`lane`); it follows a `story` of an object, or of several `parts`, as an
//! [`example`] has them, and its account (`life`) from a `start` that all runs of a kind share; `world`, with `replica`, is what it happens
//! in, `oracle` what must never be; `gate`, with `account`, `cluster` and `stream`, is the operator's way out, where each `fault` strikes;
//! `trace` is what happened; `seed` is where all randomness comes from.

mod account;
mod cluster;
#[path = "../../../tests/account/edits.rs"]
#[allow(missing_docs, reason = "it is part of a test")]
mod edits;
pub mod example;
mod fault;
mod garble;
mod gate;
mod honest;
mod lane;
mod life;
mod oracle;
#[path = "../../../tests/crash/outside.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    missing_docs,
    reason = "it is part of a test, which needs more of it"
)]
mod outside;
mod parts;
#[path = "../../../tests/account/referents.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    missing_docs,
    reason = "it is part of a test, which needs more of it"
)]
mod referents;
mod replica;
#[path = "../../../tests/account/samples.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    missing_docs,
    reason = "it is part of a test, which needs more of it"
)]
mod samples;
mod seed;
mod start;
mod story;
mod stream;
mod trace;
mod world;

pub use fault::{Fault, Garble, Plan, Says, Watch};
pub use lane::{Case, Known, Outcome, WORLDS, alone, run};
pub use oracle::End;
pub use start::{Start, Starts};
pub use story::Story;
pub use trace::{Api, Line, Trace, What};
pub use world::{World, managed, operator};
