//! `make demo` prints what the recording in `docs/demo.txt` says, and README shows lines of the recording.
//!
//! Times, ports, processes and ids differ from run to run, and so does the order in which objects become Ready.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::path::Path;
use std::process::{Command, Stdio};

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A line without what differs from run to run: each UUID is `ID`, each number is `0`, and columns are one space apart.
fn plain(line: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let is_uuid = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut plain = String::new();
    for word in words.split_inclusive(|c| !is_part(c)) {
        let end = word.strip_suffix(|c| !is_part(c)).map_or(word.len(), str::len);
        if is_uuid(&word[..end]) {
            plain += "ID";
        } else {
            for c in word[..end].chars() {
                let c = if c.is_ascii_digit() { '0' } else { c };
                if c != '0' || !plain.ends_with('0') {
                    plain.push(c);
                }
            }
        }
        plain += &word[end..];
    }
    // Kubernetes shows an age of minutes and seconds from two minutes on.
    plain.replace("0m0s", "0s")
}

/// The lines of a run, each run of lines that show when an object became Ready in alphabetical order.
fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(plain).collect();
    let is_ready = |line: &String| line.ends_with(" is Ready");
    lines.chunk_by_mut(|a, b| is_ready(a) && is_ready(b)).for_each(|chunk| chunk.sort());
    lines
}

#[test]
fn the_demo_prints_what_its_recording_says() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(std::path::PathBuf::from);
    let real = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))).unwrap();
    let cache = dir.path().join("databricks-operator");
    std::fs::create_dir_all(&cache).unwrap();
    std::fs::create_dir_all(real.join("databricks-operator/controlplane")).unwrap();
    std::os::unix::fs::symlink(real.join("databricks-operator/controlplane"), cache.join("controlplane"))
        .unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_world"));
    let output = demo.arg("demo").env("XDG_CACHE_HOME", dir.path()).stdin(Stdio::null()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(&printed), lines(&read("docs/demo.txt")), "`make recording` records the demo");
}

#[test]
fn the_readme_shows_lines_of_the_recording() {
    let (recording, readme) = (lines(&read("docs/demo.txt")), read("README.md"));
    let mut shown = 0;
    for block in readme.split("```text\n").skip(1) {
        for line in block.split("\n```").next().unwrap().lines().filter(|line| !line.is_empty()) {
            let known =
                line.strip_prefix("$ ").map_or_else(|| plain(line), |command| format!("== {command}"));
            assert!(recording.contains(&known), "README shows {line:?}, which is not in docs/demo.txt");
            shown += 1;
        }
    }
    assert!(shown > 4, "only {shown} lines");
}

#[test]
fn a_plain_line_has_nothing_that_differs_from_run_to_run() {
    for (line, expected) in [
        ("account     http://127.0.0.1:46123 (simulated)", "account http://0.0.0.0:0 (simulated)"),
        ("  12.7 s  Workspace/analytics is Ready", "0.0 s Workspace/analytics is Ready"),
        ("True   814d8578-e895-406d-b0b8-277876a97b37   13s", "True ID 0s"),
        ("True   2m13s", "True 0s"),
        ("PUT /api/2.0/accounts/abcdefab-abcd-abcd-abcd-abcdefabcdef/x", "PUT /api/0.0/accounts/ID/x"),
    ] {
        assert_eq!(plain(line), expected);
    }
}
