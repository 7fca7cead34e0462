//! The engine: one reconcile loop for all kinds. It knows neither a kind's fields nor its calls, and kinds know nothing of
//! Kubernetes.
//!
//! A pass over an object takes ten hops (in [`reconcile`]):
//!
//! | hop | does | where |
//! |---|---|---|
//! | watch | event, resync or wake-up → work queue; one run at a time for each object | [`controller`], [`wake`] |
//! | parse | shared fields and status, each on its own | [`spec`], [`status`] |
//! | admit | the DatabricksAuth's session, if a grant holds; the account is the pinned one | [`know`], [`auth`] |
//! | hold | when deleting: nothing may still refer to us | [`leave`], [`wake`] |
//! | resolve | references and names → ids, pinned | [`know`], [`needs`] |
//! | desire | spec + ids → desired state; pure | a kind |
//! | observe | the shared LIST's row, or a read by id | [`observe`], [`snapshot`], [`lag`] |
//! | decide | all of the above → one step; pure | [`decide`], [`changes`] |
//! | act | intent, guard, then at most one call | [`act`], [`access`], [`refusals`] |
//! | conclude | outcome → one status write, events, when to come back; pure plan | [`conclude`], [`pass`] |
//!
//! What all that amounts to in numbers is in [`meter`] and [`census`].

pub mod account;
pub mod cluster;
pub mod crd;
pub mod error;
pub mod kind;
pub mod memory;
pub mod meter;
pub mod pass;
pub mod run;
