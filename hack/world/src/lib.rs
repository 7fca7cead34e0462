//! The whole stack on one machine: an API server with our CRDs, a simulated account, the operator as a process. For tests
//! of the built program, `make demo` and `make up`.
//!
//! Three values, each of which is up when its constructor returns and gone when it is dropped or this process ends,
//! however it ends: [`Cluster`], [`Simulator`], [`Operator`]. They do not know each other: a test starts two operators on
//! one cluster, an operator without an account, or kills one and starts the next. What ties them together is a
//! kubeconfig and manifests, as for a user; there is no second way into the operator.
//!
//! [`fast`] and [`eventually`] are how stories stay short without sleeping.

#![cfg(unix)]

mod account;
mod cluster;
mod operator;
mod process;

use std::fmt;
use std::time::Duration;

pub use account::access;
pub use cluster::{Cluster, fresh_dir};
pub use controlplane::{ControlPlane, Release, Tool, argo_cd_source};
pub use operator::{INSTALLATION, Operator, fast};
pub use process::Process;
pub use simulator::{self, Simulator};
use tokio::time::{Instant, sleep};

/// What went wrong, for people. `Debug` is the text too, as `unwrap` prints that.
pub struct Error(String);

/// The result of what this crate does.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this text.
    pub fn new(text: impl fmt::Display) -> Error {
        Error(text.to_string())
    }

    /// The same with what was being done in front, for `map_err`.
    pub fn at<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> Error {
        move |error| Error(format!("{what}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

/// Polls every 50 ms until `look` succeeds. `Err` is what `look` saw instead; the last such text is in the error when the
/// time is over.
pub async fn eventually<T>(
    what: impl fmt::Display,
    within: Duration,
    mut look: impl AsyncFnMut() -> std::result::Result<T, String>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() >= deadline => {
                return Err(Error(format!("not within {within:?}: {what}; last seen: {seen}")));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Runs what blocks beside the runtime's own threads, which may have a simulator to serve.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("blocking work does not panic")
}
