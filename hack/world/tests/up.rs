//! `make up` and `make down` as a person uses them who tries things out, and what happens to a stack of which parts are killed.
//!
//! The operator's program is the one beside `world`, as for `make`: `cargo test --workspace` builds both.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SOON: Duration = Duration::from_secs(300);
/// What the control plane runs, and what runs it.
const PROGRAMS: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "supervisor"];

/// A user of the machine, with a cache directory of their own in which what is built once exists already.
struct User {
    cache: PathBuf,
    _dir: tempfile::TempDir,
}

/// What `up` prints.
struct Guide(String);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command prints; fails if it does.
fn printed(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}: {}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

impl User {
    fn new(name: &str) -> User {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let real = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).unwrap();
        let built = real.join("databricks-operator/controlplane");
        fs::create_dir_all(&built).unwrap();
        let dir = tempfile::Builder::new().prefix("up-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let cache = dir.path().join(name);
        fs::create_dir_all(cache.join("databricks-operator")).unwrap();
        std::os::unix::fs::symlink(built, cache.join("databricks-operator/controlplane")).unwrap();
        User { cache, _dir: dir }
    }

    fn world(&self, subcommand: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_world"));
        command.arg(subcommand).env("XDG_CACHE_HOME", &self.cache).stdin(Stdio::null());
        command
    }

    fn run(&self, subcommand: &str) -> String {
        printed(subcommand, &self.world(subcommand).output().unwrap())
    }

    fn up(&self) -> Guide {
        Guide(self.run("up"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.cache.join("databricks-operator/up").join(name)
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// The process of the operator that was started last.
    fn operator(&self) -> String {
        let log = self.file("log");
        let last = log.lines().rev().find_map(|line| line.strip_prefix("operator    process "));
        last.unwrap_or_else(|| panic!("{log}")).to_owned()
    }

    /// The process of a part.
    fn part(&self, name: &str) -> String {
        match name {
            "operator" => self.operator(),
            "holder" => self.file("lock").trim().to_owned(),
            program => self.file(&format!("cluster/{program}.pid")).trim().to_owned(),
        }
    }

    fn kill(&self, name: &str) {
        let pid = self.part(name);
        signal("KILL", &pid);
        eventually("what was killed is gone", || !is_running(&pid));
    }

    /// Kills the holder with what would have stopped the rest. The holder is frozen first, as it starts again what ends.
    fn kill_all_but_the_programs(&self) {
        signal("STOP", &self.part("holder"));
        self.kill("supervisor");
        self.kill("holder");
    }
}

impl Drop for User {
    fn drop(&mut self) {
        self.world("down").stdout(Stdio::null()).status().ok();
    }
}

impl Guide {
    /// What stands behind this in a line.
    fn value(&self, name: &str) -> String {
        let value = self.0.lines().find_map(|line| line.trim().strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name}: {}", self.0)).trim().trim_end_matches(':').to_owned()
    }

    fn account(&self) -> BTreeMap<&'static str, String> {
        ["account id", "client id", "client secret", "The account is at"].map(|n| (n, self.value(n))).into()
    }

    /// The lines that a reader types into a shell: those for its environment, and those to try.
    fn typed(&self) -> (String, Vec<String>) {
        let indented = self.0.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_owned);
        let (exports, rest): (Vec<String>, Vec<String>) =
            indented.partition(|line| line.starts_with("export "));
        let known = ["kubectl ", "curl ", "tail "];
        let tried = rest.into_iter().filter(|line| known.iter().any(|start| line.starts_with(start)));
        (exports.join("\n"), tried.collect())
    }

    /// A shell in the repository with the environment of the guide.
    fn shell(&self, line: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{}\nexec {line}", self.typed().0)]);
        shell.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).stdin(Stdio::null());
        shell
    }

    fn run(&self, line: &str) -> String {
        printed(line, &self.shell(line).output().unwrap())
    }

    /// Runs a line that shows something and continues.
    fn follow(&self, line: &str) {
        let mut shell = self.shell(line).stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut shown).unwrap();
        assert!(!shown.is_empty(), "{line} shows nothing");
        shell.kill().unwrap();
        shell.wait().unwrap();
    }

    fn auth(&self) -> Value {
        serde_json::from_str(&self.run("kubectl get databricksauth account -o json")).unwrap()
    }

    /// Fails unless the operator carries out an edit.
    fn works(&self, tag: &str) {
        let patch = format!(r#"'{{"spec":{{"customTags":{{"it":"{tag}"}}}}}}'"#);
        self.run(&format!("kubectl patch workspace analytics --type=merge --patch {patch}"));
        let objects = format!("curl -s {}/_simulator/objects", self.value("The account is at"));
        let tag = format!(r#""it":"{tag}""#);
        eventually("the edit is in the account", || self.run(&objects).contains(&tag));
    }
}

fn eventually(what: &str, mut look: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !look() {
        assert!(begin.elapsed() < SOON, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap();
    assert!(sent.success(), "{name} to {pid}");
}

fn is_running(pid: &str) -> bool {
    let ps = Command::new("ps").args(["-o", "stat=", "-p", pid]).output().unwrap();
    let state = text(&ps.stdout);
    !state.trim().is_empty() && !state.starts_with('Z')
}

/// Covers UX-08. What `up` prints can be typed as it stands, even if it is not read to its end, and the demo's manifests
/// fit the stack. Whatever part of it is killed, `up` starts it again, with the objects and the account of before; `down`
/// leaves nothing.
#[test]
fn a_stack_outlives_its_parts() {
    let user = User::new("with a space");
    // As `make up | head -1` does.
    let mut up = user.world("up").stdout(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(up.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.starts_with("account "), "{first}");
    assert!(up.wait().unwrap().success());

    let guide = user.up();
    assert!(guide.0.starts_with("It is running already."), "{}", guide.0);
    let account = guide.account();
    let (_, tried) = guide.typed();
    assert!(tried.len() > 4, "{}", guide.0);
    for line in &tried {
        let follows = ["--watch", "tail -f"].iter().any(|word| line.contains(word));
        if follows { guide.follow(line) } else { drop(guide.run(line)) }
    }
    let all = "ipaccesslists,workspaces,permissionassignments,databricksauths";
    guide.run(&format!("kubectl wait --for=condition=Ready --timeout=5m --all {all}"));
    let auth = guide.auth();
    assert_eq!(auth["spec"]["accountId"], account["account id"].as_str());

    let pids = || PROGRAMS.iter().chain(&["operator"]).map(|name| user.part(name)).collect::<Vec<_>>();
    for part in ["operator", "kube-apiserver", "supervisor"] {
        let before = pids();
        user.kill(part);
        let guide = user.up();
        assert!(is_running(&user.operator()), "{part}");
        assert_eq!(guide.account(), account, "{part}");
        assert_eq!(guide.auth()["metadata"]["uid"], auth["metadata"]["uid"], "{part}");
        guide.works(part);
        let now = pids();
        let left = |pid: &&String| !now.contains(pid) && is_running(pid);
        assert_eq!(before.iter().find(left), None, "{part}: of {before:?} now {now:?}");
    }
    // Also without an `up`.
    let operator = user.operator();
    user.kill("operator");
    eventually("the operator is started again", || user.operator() != operator);

    let pids = pids();
    assert!(user.run("down").contains("Everything is stopped."));
    assert_eq!(pids.iter().find(|pid| is_running(pid)), None);
    assert!(!user.path("cluster").exists());
    assert!(user.run("down").contains("Nothing is running."));
}

/// Covers UX-08. Two stacks of one machine have no account, id or secret in common, and neither have a stack and the one that is
/// started after it was killed: what is left of one is refused by the other.
#[test]
fn no_two_stacks_share_an_account() {
    let (one, other) = (User::new("one"), User::new("other"));
    let mut accounts = vec![one.up().account(), other.up().account()];
    let etcd = one.part("etcd");
    one.kill_all_but_the_programs();
    let again = one.up();
    assert!(again.0.contains("with a new account and no objects"), "{}", again.0);
    assert!(!is_running(&etcd));
    accounts.push(again.account());
    // One that is killed while `up` waits for it is replaced as well.
    let holder = one.part("holder");
    signal("STOP", &holder);
    let mut up = one.world("up").stdout(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(up.stdout.take().unwrap());
    let mut first = String::new();
    shown.read_line(&mut first).unwrap();
    assert!(first.starts_with("It is running already."), "{first}");
    signal("KILL", &holder);
    let mut guide = String::new();
    shown.read_to_string(&mut guide).unwrap();
    assert!(up.wait().unwrap().success(), "{guide}");
    assert!(guide.contains("with a new account and no objects"), "{guide}");
    accounts.push(Guide(guide).account());
    for (n, account) in accounts.iter().enumerate() {
        for earlier in &accounts[..n] {
            let same = account.iter().find(|(name, value)| earlier[*name] == **value);
            assert_eq!(same, None);
        }
    }
    let etcd = one.part("etcd");
    one.kill_all_but_the_programs();
    assert!(one.run("down").contains("Nothing is running."));
    assert!(!is_running(&etcd));
    assert!(!one.path("cluster").exists());
}
