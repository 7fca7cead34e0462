//! A program that must not outlive a test that is killed.
//!
//! A watchdog, `sh` at the other end of a pipe that only we hold, kills it when the pipe closes; that works after `kill -9`
//! of us too, and needs no unsafe code. What it kills is our child, or an orphan that we have not waited for, so its number
//! means no other process (but for the instant between our waiting for one that ended and our ending its watchdog).

use std::io::{Result, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

const WATCHDOG: &str = "read -r pid && while read -r _; do :; done; kill -KILL $pid";

/// A running program. It is killed when this value is dropped or this process ends, however it ends.
pub struct Process {
    child: Child,
    watchdog: Child,
}

impl Process {
    /// Starts a program, in a process group of its own: Ctrl-C goes to ours, and we end it in our own order.
    ///
    /// # Errors
    /// It, or `sh`, cannot be started.
    pub fn start(command: &mut Command) -> Result<Process> {
        let mut sh = Command::new("sh");
        sh.args(["-c", WATCHDOG]).process_group(0).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut watchdog = sh.stderr(Stdio::null()).spawn()?;
        let child = command.process_group(0).spawn()?;
        let pipe = watchdog.stdin.as_mut().expect("stdin is piped");
        writeln!(pipe, "{}", child.id())?;
        Ok(Process { child, watchdog })
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; none while it runs.
    ///
    /// # Errors
    /// The system cannot say.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills it and waits for its end.
    ///
    /// # Errors
    /// It was ended already.
    pub fn end(&mut self) -> Result<()> {
        // Before the program is waited for, after which its number may be given to another process.
        self.watchdog.kill()?;
        self.watchdog.wait()?;
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only for a process that was ended already.
        self.end().ok();
    }
}
