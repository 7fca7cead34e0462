//! The stack in the background.
//!
//! `up` starts this program once more as the holder, which has the stack as its children and keeps a lock for as long as
//! it lives. The lock, not a number in a file, says whether it runs: it cannot be stale, and a process that got the
//! number of one that died is never taken for it.
//!
//! The holder starts again what ends. `up` on a stack that runs removes the guide; the holder checks all parts, restarts
//! what does not work, and writes the guide once more.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use world::{ControlPlane, Error, Result, eventually};

use crate::interruptible;
use crate::stack::{Stack, is_ready};

const END_WITHIN: Duration = Duration::from_secs(60);
/// A process that only checks whether the lock is taken has it for a moment.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// Everything is checked, and perhaps started again.
const MENDED_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The files of the holder.
struct Files {
    /// Locked while the holder lives; holds its number.
    lock: PathBuf,
    /// What it prints.
    log: PathBuf,
    /// What `up` prints; there once everything runs.
    guide: PathBuf,
    /// The cluster's directory.
    cluster: PathBuf,
}

impl Files {
    fn new(cache: &Path) -> Result<Files> {
        let dir = cache.join("up");
        fs::create_dir_all(&dir).map_err(Error::at(dir.display()))?;
        let [lock, log, guide, cluster] = ["lock", "log", "guide", "cluster"].map(|name| dir.join(name));
        Ok(Files { lock, log, guide, cluster })
    }

    /// The lock if it is free.
    fn try_lock(&self) -> Result<Option<File>> {
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.lock);
        let file = file.map_err(Error::at(self.lock.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(Error::at(self.lock.display())(error)),
        }
    }

    /// Whether a holder lives.
    fn held(&self) -> Result<bool> {
        Ok(self.try_lock()?.is_none())
    }

    /// Removes the guide; returns whether there was one.
    fn remove_guide(&self) -> Result<bool> {
        match fs::remove_file(&self.guide) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::at(self.guide.display())(error)),
        }
    }

    /// Removes what a stack has written, once nothing of it runs any more.
    fn clear(&self) -> Result<()> {
        ControlPlane::wait_until_free(&self.cluster).map_err(Error::new)?;
        for path in [&self.guide, &self.cluster] {
            let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::at(path.display())(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Starts everything in the background and says how to use it; only says so if it runs already.
pub fn up(cache: &Path, operator: &Path) -> Result<()> {
    let files = Files::new(cache)?;
    let was_ready = files.remove_guide()?;
    if files.held()? {
        say!("It is running already. What has ended is started again.");
        // Another `up` may be in progress, which can take minutes; what was ready is so again soon.
        if print_guide(&files, None, was_ready.then_some(MENDED_WITHIN))? {
            return Ok(());
        }
        // A process that is killed has its locks for a moment after the signal.
    }
    if was_ready {
        say!("What ran before was killed. A new one is started, with a new account and no objects.");
    }
    let log = File::create(&files.log).map_err(Error::at(files.log.display()))?;
    let errors = log.try_clone().map_err(Error::at(files.log.display()))?;
    let own = std::env::current_exe().map_err(Error::at("looking for this program"))?;
    let mut command = Command::new(own);
    command.arg("hold").arg("--operator").arg(operator);
    // A group of its own: Ctrl-C in this terminal is not for it.
    let holder = command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors).spawn();
    let holder = holder.map_err(Error::at("starting in the background"))?;
    if print_guide(&files, Some(holder), None)? {
        return Ok(());
    }
    Err(Error::new(format_args!("It ended before it was ready; {} says why", files.log.display())))
}

/// Shows what a holder prints until it has written its guide, then that. False: it ended before.
fn print_guide(files: &Files, mut holder: Option<Child>, within: Option<Duration>) -> Result<bool> {
    let begin = Instant::now();
    let mut log = File::open(&files.log).map_err(Error::at(files.log.display()))?;
    if holder.is_none() {
        log.seek(SeekFrom::End(0)).map_err(Error::at(files.log.display()))?;
    }
    let mut gone = false;
    loop {
        let mut news = String::new();
        log.read_to_string(&mut news).map_err(Error::at(files.log.display()))?;
        // As in `say!`.
        std::io::stdout().write_all(news.as_bytes()).ok();
        if let Ok(guide) = fs::read_to_string(&files.guide)
            && files.held()?
        {
            say!("{guide}");
            return Ok(true);
        }
        if gone {
            return Ok(false);
        }
        if within.is_some_and(|within| begin.elapsed() > within) {
            return Err(Error::new(
                "It does not answer: `make down` ends it, then `make up` starts a new one",
            ));
        }
        let ended = holder.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
        // Once more round: to print its last words, or those of another holder that was faster.
        gone = (ended || holder.is_none()) && !files.held()?;
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Ends what `up` started, and waits until it is gone.
pub fn down(cache: &Path) -> Result<()> {
    let files = Files::new(cache)?;
    let deadline = Instant::now() + LOCK_WITHIN;
    let pid = loop {
        if let Some(_lock) = files.try_lock()? {
            // What a holder that was killed has left.
            files.clear()?;
            say!("Nothing is running.");
            return Ok(());
        }
        let pid = fs::read_to_string(&files.lock).map_err(Error::at(files.lock.display()))?;
        let pid = pid.trim().to_owned();
        let ps = Command::new("ps").args(["-o", "args=", "-p", &pid]).output().map_err(Error::at("ps"))?;
        if String::from_utf8_lossy(&ps.stdout).contains("world hold") {
            break pid;
        }
        // A holder that was killed releases the lock in a moment, and a new one writes its number in a moment.
        if Instant::now() > deadline {
            return Err(Error::new(format_args!(
                "process {pid} is not what `up` started; try again in a moment"
            )));
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    // A process that is frozen takes the first signal once it has the second; one that hangs is killed, and its parts end.
    for signals in [&["TERM", "CONT"][..], &["KILL"]] {
        for signal in signals {
            Command::new("kill").args([&format!("-{signal}"), &pid]).status().map_err(Error::at("kill"))?;
        }
        let deadline = Instant::now() + END_WITHIN;
        while Instant::now() < deadline {
            if let Some(_lock) = files.try_lock()? {
                files.clear()?;
                say!("Everything is stopped.");
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Err(Error::new(format_args!("process {pid} does not end; see {}", files.log.display())))
}

/// Holds the stack until a signal ends it.
pub fn hold(cache: &Path, operator: &Path) -> Result<()> {
    let files = Files::new(cache)?;
    let deadline = Instant::now() + LOCK_WITHIN;
    let mut lock = loop {
        match files.try_lock()? {
            Some(lock) => break lock,
            None if Instant::now() > deadline => return Err(Error::new("another one is running")),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    files.clear()?;
    lock.set_len(0).map_err(Error::at(files.lock.display()))?;
    writeln!(lock, "{}", std::process::id()).map_err(Error::at(files.lock.display()))?;
    let ended = interruptible(serve(&files, operator));
    files.clear()?;
    ended.map(|_| ())
}

async fn serve(files: &Files, operator: &Path) -> Result<std::convert::Infallible> {
    let mut stack = Stack::start(&files.cluster, operator, true).await?;
    stack.apply(&stack.access()).await?;
    eventually("DatabricksAuth/account is Ready", Duration::from_secs(120), async || {
        let objects = stack.objects().await.map_err(|e| e.to_string())?;
        if objects.iter().any(is_ready) { Ok(()) } else { Err(format!("{objects:?}")) }
    })
    .await?;
    write_guide(files, &stack)?;
    loop {
        if !files.guide.exists() || stack.has_ended() {
            files.remove_guide()?;
            stack = stack.repaired().await?;
            write_guide(files, &stack)?;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn write_guide(files: &Files, stack: &Stack) -> Result<()> {
    // Renamed, so that no reader gets half of it.
    let draft = files.guide.with_extension("draft");
    fs::write(&draft, guide(stack)).map_err(Error::at(draft.display()))?;
    fs::rename(&draft, &files.guide).map_err(Error::at(files.guide.display()))
}

/// A path as a shell reads it, whatever is in it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn guide(stack: &Stack) -> String {
    let (account, url) = (&stack.account, stack.account.url());
    let kubectl = stack.cluster.control_plane.kubectl();
    let programs = Path::new(kubectl.get_program()).parent().unwrap_or(Path::new("/"));
    let rows = |collection: &str, id: &str, name: &str| -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let objects = account.objects(collection);
        objects.iter().map(|o| format!("  {:<20}{}\n", text(&o[id]), text(&o[name]))).collect()
    };
    format!(
        "
A cluster, a simulated Databricks account and the operator are running. For your shell:

  export KUBECONFIG={kubeconfig}
  export PATH=\"$PATH\":{programs}   # has a kubectl, if you have none

The account is at {url}:

  account id      {account_id}
  client id       {client_id}
  client secret   {client_secret}

It has these workspaces, users, groups and service principals:

{workspaces}{users}{groups}{service_principals}
The DatabricksAuth `account` in namespace default has its credentials. Try, in the repository:

  kubectl apply -f config/demo
  kubectl get databricks
  kubectl get workspaces --watch     # one kind: kubectl cannot watch several
  curl -s {url}/_simulator/objects     # simulator/README.md has what else it can do
  tail -f {log}

`make down` ends it.",
        kubeconfig = quoted(stack.cluster.kubeconfig()),
        programs = quoted(programs),
        account_id = account.account_id,
        client_id = account.client_id,
        client_secret = account.client_secret,
        workspaces = rows("workspaces", "workspace_id", "workspace_name"),
        users = rows("Users", "id", "userName"),
        groups = rows("Groups", "id", "displayName"),
        service_principals = rows("ServicePrincipals", "id", "displayName"),
        log = quoted(&stack.operator.log),
    )
}
