//! Where the programs come from: `KUBEBUILDER_ASSETS`, else the user's cache, else a Go build into that cache.
//!
//! The Go module is embedded, so a built test program needs no source tree. The cache key covers everything that
//! decides what is built; a new key builds beside the old one, so two checkouts of different versions do not fight.
//! Go's own build cache makes such a rebuild cheap.

use std::{
    env,
    ffi::OsStr,
    fs::{self, File, TryLockError},
    io::{BufRead, BufReader},
    path::{self, Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::error::{Error, tail};

const GO_MOD: &str = include_str!("../go/go.mod");
const GO_SUM: &str = include_str!("../go/go.sum");

/// Name and Go package, in the order they are built: the small one first, so that a broken set-up shows early.
const PROGRAMS: [(&str, &str); 4] = [
    ("etcd", "go.etcd.io/etcd/server/v3"),
    ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
    ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
];

/// A build that says nothing for this long looks hung.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// Paths of the programs of a control plane.
#[derive(Debug)]
pub struct Binaries {
    /// The store of the API server.
    pub etcd: PathBuf,
    /// The API server.
    pub kube_apiserver: PathBuf,
    /// Finalises namespaces, collects garbage, makes default ServiceAccounts.
    pub kube_controller_manager: PathBuf,
    /// The command line client.
    pub kubectl: PathBuf,
}

impl Binaries {
    /// Finds each program in the directory `KUBEBUILDER_ASSETS` names (which need not hold all of them), else in the
    /// cache below `XDG_CACHE_HOME` or `~/.cache`, else builds it there with Go: some five minutes on two cores,
    /// with progress on standard error. Processes that need the same build wait for the first one.
    ///
    /// # Errors
    /// No cache directory; a program is missing and Go is too, is too old, or fails.
    pub fn locate() -> Result<Binaries, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME")
            .or_else(|| set("HOME").map(|home| home.join(".cache")))
            .ok_or(Error::NoCacheDir)?;
        locate_in(set("KUBEBUILDER_ASSETS").as_deref(), &cache, OsStr::new("go"))
    }
}

fn locate_in(assets: Option<&Path>, cache: &Path, go: &OsStr) -> Result<Binaries, Error> {
    let dir = cache.join("databricks-operator/controlplane").join(cache_key());
    let dir = path::absolute(&dir).map_err(Error::io("resolving", &dir))?;
    let place = |name: &str| {
        let asset = assets.and_then(|assets| path::absolute(assets.join(name)).ok());
        asset.filter(|path| path.is_file()).unwrap_or_else(|| dir.join(name))
    };
    let missing: Vec<_> = PROGRAMS.into_iter().filter(|(name, _)| !place(name).is_file()).collect();
    if !missing.is_empty() {
        build(&dir, &missing, go)?;
    }
    Ok(Binaries {
        etcd: place("etcd"),
        kube_apiserver: place("kube-apiserver"),
        kube_controller_manager: place("kube-controller-manager"),
        kubectl: place("kubectl"),
    })
}

/// The word that follows `start` in `go.mod`, where a line may begin with a directive and end with a comment.
fn from_go_mod(start: &str) -> &'static str {
    let rest = GO_MOD.lines().find_map(|line| line.trim().trim_start_matches("require ").strip_prefix(start));
    rest.and_then(|rest| rest.split_whitespace().next()).expect("go.mod has this line")
}

/// Without the version the API server calls itself `v0.0.0-master+$Format:%H$`, which clients cannot parse.
fn link_flags() -> String {
    let version = from_go_mod("k8s.io/kubernetes v");
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    format!(
        "-s -w -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
    )
}

/// FNV-1a: no protection is needed, only a name that is the same with every compiler.
fn cache_key() -> String {
    let text = format!("{GO_SUM}{PROGRAMS:?}{}", link_flags());
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn build(dir: &Path, missing: &[(&str, &str)], go: &OsStr) -> Result<(), Error> {
    let source = dir.join("go");
    fs::create_dir_all(&source).map_err(Error::io("making", &source))?;
    let lock = lock(&dir.join("lock"))?;
    for (name, text) in [("go.mod", GO_MOD), ("go.sum", GO_SUM)] {
        let file = source.join(name);
        fs::write(&file, text).map_err(Error::io("writing", &file))?;
    }
    let mut go_checked = false;
    for (name, package) in missing {
        // Another process may have built it while this one waited for the lock.
        if dir.join(name).is_file() {
            continue;
        }
        if !go_checked {
            check_go(go, &source, missing)?;
            go_checked = true;
        }
        build_one(dir, name, package, go, &lock)?;
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::io("opening", path))?;
    let start = Instant::now();
    let mut next_line = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(Error::io("locking", path)(error)),
            Err(TryLockError::WouldBlock) if start.elapsed() >= next_line => {
                eprintln!(
                    "control plane: another process builds it, waiting ({} s)",
                    start.elapsed().as_secs()
                );
                next_line += PROGRESS_EVERY;
            }
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// Asked inside the module, so a Go that fetches the toolchain a module wants counts as that toolchain.
fn check_go(go: &OsStr, source: &Path, missing: &[(&str, &str)]) -> Result<(), Error> {
    let missing = missing.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let needed = from_go_mod("go ").to_owned();
    let Ok(output) = Command::new(go).args(["env", "GOVERSION"]).current_dir(source).output() else {
        return Err(Error::NoGo { missing, needed });
    };
    if !output.status.success() {
        let (program, status) = ("the control plane".to_owned(), output.status.to_string());
        return Err(Error::Build { program, status, tail: tail(&String::from_utf8_lossy(&output.stderr)) });
    }
    let answer = String::from_utf8_lossy(&output.stdout);
    let found = answer.trim().trim_start_matches("go").to_owned();
    if major_minor(&found) < major_minor(&needed) {
        return Err(Error::GoTooOld { missing, found, needed });
    }
    Ok(())
}

fn major_minor(version: &str) -> Vec<u32> {
    let number =
        |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    version.split('.').take(2).map(number).collect()
}

/// Builds under another name and renames, so that a killed build leaves no half program.
fn build_one(dir: &Path, name: &str, package: &str, go: &OsStr, lock: &File) -> Result<(), Error> {
    let partial = dir.join(format!("{name}.partial"));
    let start = Instant::now();
    eprintln!("control plane: building {name}");
    // The lock as standard output, where a build writes nothing: it stays locked until `go` ends, even if we are killed
    // and `go` is not, so nobody else writes the same partial file meanwhile.
    let held = lock.try_clone().map_err(Error::io("sharing the lock of", dir))?;
    let child = Command::new(go)
        .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", &link_flags(), "-o"])
        .arg(&partial)
        .arg(package)
        .current_dir(dir.join("go"))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .stdout(held)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io("running", Path::new(go)))?;
    wait_with_progress(child, name, start)?;
    fs::rename(&partial, dir.join(name)).map_err(Error::io("renaming", &partial))?;
    eprintln!("control plane: built {name} in {} s", start.elapsed().as_secs());
    Ok(())
}

fn wait_with_progress(mut child: Child, name: &str, start: Instant) -> Result<(), Error> {
    let stderr = child.stderr.take().expect("stderr is piped");
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        // A receiver that has gone needs no more lines.
        BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
    });
    let mut output = String::new();
    let mut next_line = start + PROGRESS_EVERY;
    loop {
        match lines.recv_timeout(next_line.saturating_duration_since(Instant::now())) {
            Ok(line) => output = tail(format!("{output}\n{line}").trim_start()),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let last = output.lines().last().unwrap_or_default();
                eprintln!("control plane: building {name}, {} s {last}", start.elapsed().as_secs());
                next_line += PROGRESS_EVERY;
            }
        }
    }
    reader.join().expect("the reader does not panic");
    let status = child.wait().map_err(Error::io("waiting for the build of", Path::new(name)))?;
    if status.success() {
        return Ok(());
    }
    Err(Error::Build { program: name.to_owned(), status: status.to_string(), tail: output })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for `go` that says it has this version and runs `build` with the output path in `$out`.
    fn fake_go(dir: &Path, version: &str, build: &str) -> PathBuf {
        let go = dir.join("fake-go");
        let find_out = "while [ $# -gt 0 ]; do [ \"$1\" = -o ] && out=$2; shift; done";
        let script = format!("#!/bin/sh\n[ $1 = env ] && {{ echo {version}; exit; }}\n{find_out}\n{build}\n");
        // Written by a child: a program started by another thread could inherit our open file, and a file that is open
        // for writing cannot be executed.
        let write = "printf %s \"$1\" >\"$0\" && chmod +x \"$0\"";
        let status = Command::new("sh").args(["-c", write]).arg(&go).arg(script).status().unwrap();
        assert!(status.success());
        go
    }

    #[test]
    fn assets_come_first_and_only_the_missing_program_is_built_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kube-apiserver", "kubectl"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let go = fake_go(dir.path(), "go1.26.0", "echo built >$out");
        let found = locate_in(Some(dir.path()), dir.path(), go.as_os_str()).unwrap();
        assert_eq!(found.etcd, dir.path().join("etcd"));
        assert_eq!(fs::read_to_string(&found.kube_controller_manager).unwrap(), "built\n");

        let again = locate_in(Some(dir.path()), dir.path(), OsStr::new("/no/go/needed")).unwrap();
        assert_eq!(again.kube_controller_manager, found.kube_controller_manager);
    }

    #[test]
    fn processes_that_need_the_same_build_do_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count");
        let go = fake_go(dir.path(), "go1.27", &format!("echo x >>{}; echo built >$out", count.display()));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| locate_in(None, dir.path(), go.as_os_str()).unwrap());
            }
        });
        assert_eq!(fs::read_to_string(count).unwrap().lines().count(), PROGRAMS.len());
    }

    #[test]
    fn without_a_usable_go_the_error_names_both_ways_out() {
        let dir = tempfile::tempdir().unwrap();
        let old = fake_go(dir.path(), "go1.9.7", "exit 1");
        for (go, problem) in
            [(OsStr::new("/no/go"), "no Go toolchain"), (old.as_os_str(), "Go 1.9.7 is too old")]
        {
            let message = locate_in(None, dir.path(), go).unwrap_err().to_string();
            for part in [problem, "install Go 1.26.0", "KUBEBUILDER_ASSETS", "kube-controller-manager"] {
                assert!(message.contains(part), "{part} is not in: {message}");
            }
        }
    }

    #[test]
    fn a_failed_build_shows_what_go_said_and_leaves_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let go = fake_go(dir.path(), "go1.26.1", "echo half >$out; echo dial tcp: no such host >&2; exit 1");
        let message = locate_in(None, dir.path(), go.as_os_str()).unwrap_err().to_string();
        assert!(message.contains("etcd") && message.contains("no such host"), "{message}");

        let go = fake_go(dir.path(), "go1.26.1", "echo whole >$out");
        let found = locate_in(None, dir.path(), go.as_os_str()).unwrap();
        assert_eq!(fs::read_to_string(found.etcd).unwrap(), "whole\n");
    }

    #[test]
    fn the_version_is_the_one_of_the_module() {
        let minor = from_go_mod("k8s.io/api => k8s.io/api v0.").split('.').next().unwrap();
        let flags = link_flags();
        let values: Vec<_> = flags.split(" -X k8s.io/component-base/version.").skip(1).collect();
        assert!(values[0].starts_with(&format!("gitVersion=v1.{minor}.")), "{flags}");
        assert_eq!(values[1..], ["gitMajor=1".to_owned(), format!("gitMinor={minor}")]);
    }
}
