//! What can go wrong, each with what to do about it. No error holds a token: log tails come from programs that are
//! given only the name of the token file, and of a failed `kubectl create token` only standard error is shown.

use std::{fs, io, path::Path, path::PathBuf};

/// Why the control plane could not be built, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither `XDG_CACHE_HOME` nor `HOME` says where a cache may be kept.
    #[error("no place for the built programs: set XDG_CACHE_HOME or HOME")]
    NoCacheDir,
    /// A program is missing and there is no Go to build it.
    #[error(
        "{missing} not found and no Go toolchain to build it with: install Go {needed} or newer{}",
        or_assets(*from_assets)
    )]
    NoGo {
        /// Name of the missing program.
        missing: String,
        /// Oldest Go that can build it.
        needed: String,
        /// Whether `KUBEBUILDER_ASSETS` is a way out too.
        from_assets: bool,
    },
    /// A program is missing and the Go at hand is too old to build it.
    #[error(
        "{missing} not found and Go {found} is too old to build it: install Go {needed} or newer{}",
        or_assets(*from_assets)
    )]
    GoTooOld {
        /// Name of the missing program.
        missing: String,
        /// Version of the Go that was found.
        found: String,
        /// Oldest Go that can build it.
        needed: String,
        /// Whether `KUBEBUILDER_ASSETS` is a way out too.
        from_assets: bool,
    },
    /// `go` failed, for example because no module proxy could be reached (`GOPROXY`).
    #[error("building {program}: go failed ({status}); its last lines:\n{tail}")]
    Build {
        /// What was being built.
        program: String,
        /// How `go` ended.
        status: String,
        /// The last lines `go` wrote.
        tail: String,
    },
    /// A file or process operation failed.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done to `path`.
        doing: &'static str,
        /// The file or program.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The API server's certificate could not be issued.
    #[error("issuing the API server's certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Another control plane runs in the directory.
    #[error("a control plane already runs in {}: stop it or use another directory", dir.display())]
    InUse {
        /// The run directory.
        dir: PathBuf,
    },
    /// A program ended while it was starting.
    #[error("{program} ended at start; the end of {}:\n{tail}", log.display())]
    Died {
        /// Name of the program.
        program: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// The API server did not become ready in time.
    #[error("not ready after {seconds} s: {reason}\nthe end of {}:\n{tail}", log.display())]
    NotReady {
        /// How long the caller waited.
        seconds: u64,
        /// The last answer of the API server.
        reason: String,
        /// Log of the API server.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A token could not be created, for example because there is no such ServiceAccount.
    #[error("no token for the ServiceAccount {name} in namespace {namespace}: {reason}")]
    Token {
        /// The ServiceAccount's namespace.
        namespace: String,
        /// The ServiceAccount's name.
        name: String,
        /// What kubectl said.
        reason: String,
    },
    /// etcd refused a request or answered something else than expected.
    #[error("etcd, POST {path}: {answer}")]
    Etcd {
        /// Path of the request.
        path: &'static str,
        /// What etcd answered.
        answer: String,
    },
    /// The supervisor did not end well, so a program may be left.
    #[error("stopping failed ({status}); the end of {}:\n{tail}", log.display())]
    Stop {
        /// How the supervisor ended.
        status: String,
        /// Log of the supervisor.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
}

impl Error {
    /// For `map_err` of an I/O call: `doing` is what was being done to `path`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { doing, path, source }
    }

    /// Whether a program ended because another process had its port.
    pub(crate) fn is_port_taken(&self) -> bool {
        matches!(self, Error::Died { tail, .. } if tail.contains("address already in use"))
    }
}

fn or_assets(from_assets: bool) -> &'static str {
    if !from_assets {
        return "";
    }
    ", or set KUBEBUILDER_ASSETS to a directory with etcd, kube-apiserver, kube-controller-manager and kubectl"
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// The last lines of a log, or why it cannot be read: this goes into another error, which must not be lost.
pub(crate) fn tail_of(log: &Path) -> String {
    match fs::read(log) {
        Ok(bytes) => tail(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("(cannot be read: {error})"),
    }
}
