//! Where a program comes from: `KUBEBUILDER_ASSETS`, else the user's cache, else a Go build into that cache.
//!
//! The Go modules are embedded (most have no code, only requirements), so a built test program needs no source tree. The cache key covers everything that
//! decides what is built; a new key builds beside the old one, so two checkouts of different versions do not fight.
//! Go's own build cache makes such a rebuild cheap.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{BufRead, BufReader},
    path::{self, Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::error::{Error, tail};

/// A build without output for this long seems to hang.
const PROGRESS_EVERY: Duration = Duration::from_secs(15);

/// Where programs are searched, and what builds those that are missing.
pub(crate) struct Sources {
    /// `KUBEBUILDER_ASSETS`.
    pub(crate) assets: Option<PathBuf>,
    /// Each module has a directory of its own in it.
    pub(crate) cache: PathBuf,
    /// The Go command.
    pub(crate) go: OsString,
}

impl Sources {
    pub(crate) fn of_environment() -> Result<Sources, Error> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        let cache = cache.ok_or(Error::NoCacheDir)?.join("databricks-operator/controlplane");
        let cache = path::absolute(&cache).map_err(Error::io("resolving", &cache))?;
        Ok(Sources { assets: set("KUBEBUILDER_ASSETS"), cache, go: "go".into() })
    }
}

/// An embedded Go module of which programs are built.
pub(crate) struct Module {
    /// Its folder in `go/`; also the start of its directory's name in the cache.
    pub(crate) name: &'static str,
    /// What its programs make up, for progress lines.
    pub(crate) what: &'static str,
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
    /// For a program of our own: its `main.go`. Its Go package is then `.`.
    pub(crate) main_go: Option<&'static str>,
    /// The required Go module whose version the programs have.
    pub(crate) version_of: &'static str,
    /// Linker flags with a program's version, with `VERSION`, `MAJOR` and `MINOR` in place of the numbers.
    pub(crate) stamp: &'static str,
    /// Go's build tags, separated by commas.
    pub(crate) tags: &'static str,
    /// Whether `KUBEBUILDER_ASSETS` comes before the cache.
    pub(crate) from_assets: bool,
}

impl Module {
    /// The path of a program, after it is built if it is missing. `package` is the Go package it is built from.
    pub(crate) fn locate(&self, program: &str, package: &str, sources: &Sources) -> Result<PathBuf, Error> {
        let assets = sources.assets.as_deref().filter(|_| self.from_assets);
        let asset = assets.and_then(|assets| path::absolute(assets.join(program)).ok());
        if let Some(asset) = asset.filter(|path| path.is_file()) {
            return Ok(asset);
        }
        let dir = sources.cache.join(format!("{}-{}", self.name, self.key()));
        let path = dir.join(program);
        if !path.is_file() {
            Build { module: self, program, package, dir: &dir, go: &sources.go }.run()?;
        }
        Ok(path)
    }

    /// Where Go keeps the sources of the module whose version the programs have; `program` is one of them. Needs no network
    /// as long as they are still there.
    pub(crate) fn source(&self, program: &Path, sources: &Sources) -> Result<PathBuf, Error> {
        let dir = program.parent().expect("a program is in a directory").join("go");
        let go = |args: &[&str]| {
            let mut command = Command::new(&sources.go);
            command.args(args).arg(self.version_of).current_dir(&dir).env("GOWORK", "off");
            let output = command.output().map_err(Error::io("running", Path::new(&sources.go)))?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
            }
            let (program, status) = (format!("the sources of {}", self.name), output.status.to_string());
            Err(Error::Build { program, status, tail: tail(&String::from_utf8_lossy(&output.stderr)) })
        };
        go(&["mod", "download"])?;
        go(&["list", "-mod=readonly", "-m", "-f", "{{.Dir}}"]).map(PathBuf::from)
    }

    /// The word that follows `start` in `go.mod`, where a line may begin with a directive and end with a comment.
    fn word_after(&self, start: &str) -> &str {
        let mut lines = self.go_mod.lines().map(|line| line.trim().trim_start_matches("require "));
        let rest = lines.find_map(|line| line.strip_prefix(start));
        rest.and_then(|rest| rest.split_whitespace().next()).expect("go.mod has this line")
    }

    /// Without the `v`.
    pub(crate) fn version(&self) -> &str {
        self.word_after(&format!("{} v", self.version_of))
    }

    pub(crate) fn link_flags(&self) -> String {
        let version = self.version();
        let mut numbers = version.split('.');
        let mut next = || numbers.next().unwrap_or_default();
        let stamp = self.stamp.replace("VERSION", version).replace("MAJOR", next()).replace("MINOR", next());
        format!("-s -w {stamp}")
    }

    /// FNV-1a: no protection is needed, only a name that is the same with every compiler.
    fn key(&self) -> String {
        let (main_go, tags) = (self.main_go.unwrap_or_default(), self.tags);
        let text = format!("{}{}{main_go}{}{tags}", self.go_mod, self.go_sum, self.link_flags());
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

/// One build of one program.
struct Build<'a> {
    module: &'a Module,
    program: &'a str,
    package: &'a str,
    dir: &'a Path,
    go: &'a OsString,
}

impl Build<'_> {
    fn run(&self) -> Result<(), Error> {
        let source = self.dir.join("go");
        fs::create_dir_all(&source).map_err(Error::io("making", &source))?;
        let lock = self.lock()?;
        // Another process may have built it while this one waited for the lock.
        if self.dir.join(self.program).is_file() {
            return Ok(());
        }
        let Module { go_mod, go_sum, main_go, .. } = self.module;
        let main_go = main_go.map(|text| ("main.go", text));
        for (name, text) in [("go.mod", *go_mod), ("go.sum", *go_sum)].into_iter().chain(main_go) {
            let file = source.join(name);
            fs::write(&file, text).map_err(Error::io("writing", &file))?;
        }
        self.check_go(&source)?;
        self.compile(&source, &lock)
    }

    fn lock(&self) -> Result<File, Error> {
        let path = self.dir.join("lock");
        let file = File::create(&path).map_err(Error::io("opening", &path))?;
        let start = Instant::now();
        let mut next_line = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(Error::io("locking", &path)(error)),
                Err(TryLockError::WouldBlock) if start.elapsed() >= next_line => {
                    self.say(&format!(
                        "{} is needed and another process builds, waiting ({} s)",
                        self.program,
                        start.elapsed().as_secs()
                    ));
                    next_line += PROGRESS_EVERY;
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn say(&self, line: &str) {
        eprintln!("{}: {line}", self.module.what);
    }

    /// Asked inside the module, so a Go that fetches the toolchain a module wants counts as that toolchain.
    fn check_go(&self, source: &Path) -> Result<(), Error> {
        let (missing, needed) = (self.program.to_owned(), self.module.word_after("go ").to_owned());
        let from_assets = self.module.from_assets;
        let Ok(output) = Command::new(self.go).args(["env", "GOVERSION"]).current_dir(source).output() else {
            return Err(Error::NoGo { missing, needed, from_assets });
        };
        if !output.status.success() {
            return Err(self.failed(output.status, &String::from_utf8_lossy(&output.stderr)));
        }
        let answer = String::from_utf8_lossy(&output.stdout);
        let found = answer.trim().trim_start_matches("go").to_owned();
        if major_minor(&found) < major_minor(&needed) {
            return Err(Error::GoTooOld { missing, found, needed, from_assets });
        }
        Ok(())
    }

    /// Builds under another name and renames, so that a killed build leaves no half program.
    fn compile(&self, source: &Path, lock: &File) -> Result<(), Error> {
        let partial = self.dir.join(format!("{}.partial", self.program));
        let start = Instant::now();
        self.say(&format!("building {}", self.program));
        // The lock as standard output, where a build writes nothing: it stays locked until `go` ends, even if we are killed
        // and `go` is not, so no other process writes the same partial file meanwhile.
        let held = lock.try_clone().map_err(Error::io("sharing the lock of", self.dir))?;
        let child = Command::new(self.go)
            .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags"])
            .arg(self.module.link_flags())
            .args(["-tags", self.module.tags])
            .arg("-o")
            .arg(&partial)
            .arg(self.package)
            .current_dir(source)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(held)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::io("running", Path::new(self.go)))?;
        self.wait_with_progress(child, start)?;
        fs::rename(&partial, self.dir.join(self.program)).map_err(Error::io("renaming", &partial))?;
        self.say(&format!("built {} in {} s", self.program, start.elapsed().as_secs()));
        Ok(())
    }

    fn wait_with_progress(&self, mut child: Child, start: Instant) -> Result<(), Error> {
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
                    let seconds = start.elapsed().as_secs();
                    self.say(&format!("building {}, {seconds} s {last}", self.program));
                    next_line += PROGRESS_EVERY;
                }
            }
        }
        reader.join().expect("the reader does not panic");
        let status = child.wait().map_err(Error::io("waiting for the build of", Path::new(self.program)))?;
        if status.success() { Ok(()) } else { Err(self.failed(status, &output)) }
    }

    fn failed(&self, status: ExitStatus, output: &str) -> Error {
        Error::Build { program: self.program.to_owned(), status: status.to_string(), tail: tail(output) }
    }
}

fn major_minor(version: &str) -> Vec<u32> {
    let number =
        |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    version.split('.').take(2).map(number).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const MODULE: Module = Module {
        name: "example",
        what: "examples",
        go_mod: "module example\n\ngo 1.26.0\n\nrequire example.org/tool v2.3.4 // a comment\n",
        go_sum: "",
        main_go: None,
        version_of: "example.org/tool",
        stamp: "-X main.version=vVERSION-MAJOR-MINOR",
        tags: "",
        from_assets: false,
    };

    /// A stand-in for `go` that says it has this version and runs `build` with the output path in `$out`.
    pub(crate) fn fake_go(dir: &Path, version: &str, build: &str) -> PathBuf {
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

    fn locate(program: &str, dir: &Path, go: PathBuf) -> Result<PathBuf, Error> {
        let sources = Sources { assets: None, cache: dir.to_owned(), go: go.into() };
        MODULE.locate(program, "example.org/tool", &sources)
    }

    #[test]
    fn processes_that_need_the_same_build_do_it_once() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count");
        let go = fake_go(dir.path(), "go1.27", &format!("echo x >>{}; echo built >$out", count.display()));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    locate("one", dir.path(), go.clone()).unwrap();
                    locate("two", dir.path(), go.clone()).unwrap();
                });
            }
        });
        assert_eq!(fs::read_to_string(count).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_failed_build_shows_what_go_said_and_leaves_no_program() {
        let dir = tempfile::tempdir().unwrap();
        let go = fake_go(dir.path(), "go1.26.1", "echo half >$out; echo dial tcp: no such host >&2; exit 1");
        let message = locate("tool", dir.path(), go).unwrap_err().to_string();
        assert!(message.contains("tool") && message.contains("no such host"), "{message}");

        let go = fake_go(dir.path(), "go1.26.1", "echo whole >$out");
        assert_eq!(fs::read_to_string(locate("tool", dir.path(), go).unwrap()).unwrap(), "whole\n");
    }

    #[test]
    fn a_program_is_told_its_version_and_another_version_is_another_program() {
        assert_eq!(MODULE.link_flags(), "-s -w -X main.version=v2.3.4-2-3");
        let newer = Module { go_mod: "require example.org/tool v2.3.5", ..MODULE };
        assert_ne!(MODULE.key(), newer.key());
        let other_sums = Module { go_sum: "example.org/tool h1:", ..MODULE };
        assert_ne!(MODULE.key(), other_sums.key());
        let other_code = Module { main_go: Some("package main"), ..MODULE };
        assert_ne!(MODULE.key(), other_code.key());
    }
}
