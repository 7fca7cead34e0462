//! The engine: one reconcile loop for all kinds. It knows neither a kind's fields nor its calls, and kinds know nothing of
//! Kubernetes.
//!
//! A reconcile takes ten hops (`hops` in `pass/hops.rs` reads in this order):
//!
//! | hop | does | where |
//! |---|---|---|
//! | watch | event, resync or trigger → work queue; one reconcile at a time for each object | [`run`], [`memory`] |
//! | parse | shared fields and status, each on its own | [`crd`], `pass/subject.rs` |
//! | admit | the DatabricksAuth's session, if a grant holds; the account is the pinned one | `pass/prepare.rs`, [`account`] |
//! | hold | when deleting: nothing may still refer to this object | `pass/prepare.rs`, [`memory`] |
//! | resolve | references and names → ids, pinned | `pass/resolve.rs`, [`kind`] |
//! | desire | spec + ids → desired state; pure | `pass/prepare.rs`, a kind |
//! | observe | the shared LIST's row, or a read by id | `pass/observe.rs`, with what `pass/inputs.rs` gathers for it, [`account`] |
//! | decide | all of the above → one step; pure | `pass/decide.rs`, with what `pass/inputs.rs` gathers for it |
//! | act | intent, guard, then at most one call | one of `pass/create.rs`, `pass/update.rs`, `pass/delete.rs`, `pass/rotate.rs`, `pass/bind.rs` and `pass/report.rs`, [`kind`] |
//! | conclude | outcome → one status write, events, the next reconcile; pure plan | `pass/end.rs`, with the plan of `pass/conclude.rs` |
//!
//! [`pass`] says which of its files answers which question.
//!
//! The folders are strata. A file may use what is below it, and another folder only through its door, the file of the
//! folder's name; `tests/architecture` holds them to that. From below: [`crd`], [`error`], [`kind`], [`cluster`] and
//! [`memory`], [`meter`], [`account`], [`pass`], [`run`]. Kinds import [`prelude`].

pub mod account;
pub mod cluster;
pub mod crd;
pub mod error;
pub mod kind;
pub mod memory;
pub mod meter;
pub mod pass;
pub mod prelude;
pub mod run;
