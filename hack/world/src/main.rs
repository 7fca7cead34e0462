//! `world demo`, `world up` and `world down`: what `make` calls. Needs the built operator beside it.

/// Prints a line. The reader may be gone, as in `make up | head`: the work continues.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write;
        writeln!(std::io::stdout(), $($line)*).ok();
    }};
}

mod demo;
mod stack;
mod up;

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use world::{Error, Result};

#[derive(Parser)]
#[command(about = "A cluster, a simulated Databricks account and the operator, on this machine")]
struct Arguments {
    /// The operator's program [default: the one beside this program]
    #[arg(long, global = true)]
    operator: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what the operator does, step by step, and leaves nothing behind
    Demo,
    /// Starts it all in the background
    Up,
    /// Ends what `up` started
    Down,
    /// What `up` leaves running
    #[command(hide = true)]
    Hold,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = run(arguments);
    if let Err(error) = result {
        writeln!(std::io::stderr(), "\n{error}").ok();
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(arguments: Arguments) -> Result<()> {
    let cache = cache()?;
    let operator = || find_operator(arguments.operator.clone());
    match arguments.command {
        Command::Demo => demo::run(&cache, &operator()?),
        Command::Up => up::up(&cache, &operator()?),
        Command::Down => up::down(&cache),
        Command::Hold => up::hold(&cache, &operator()?),
    }
}

/// Where everything that is written goes.
fn cache() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    let cache =
        cache.ok_or_else(|| Error::new("set HOME or XDG_CACHE_HOME: files go to a cache directory"))?;
    // What is printed is for shells in any directory.
    let cache = std::path::absolute(&cache).map_err(Error::at(cache.display()))?;
    Ok(cache.join("databricks-operator"))
}

fn find_operator(given: Option<PathBuf>) -> Result<PathBuf> {
    let own = env::current_exe().map_err(Error::at("looking for the operator"))?;
    let path = given.unwrap_or_else(|| own.with_file_name("databricks-operator"));
    let path = std::path::absolute(&path).map_err(Error::at(path.display()))?;
    if path.is_file() {
        return Ok(path);
    }
    let path = Path::display(&path);
    Err(Error::new(format_args!(
        "{path} is missing: cargo build -p databricks-operator -p world, or give --operator"
    )))
}

/// Runs what a signal may interrupt. When this returns, everything that was started in it has ended, also if it was
/// interrupted: values are dropped then, and each ends what it stands for. `Ok(None)`: a signal came.
fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    let runtime = tokio::runtime::Runtime::new().map_err(Error::at("starting"))?;
    runtime.block_on(async {
        let failed = |error| Error::new(format_args!("catching signals: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        tokio::select! {
            result = work => result.map(Some),
            _ = interrupt.recv() => Ok(None),
            _ = terminate.recv() => Ok(None),
        }
    })
}
