//! Who may import whom, and what pure files may not do, read off the sources.
//!
//! It looks at code only: comments, strings and the tests at the end of a file are left out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod graph;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use graph::Graph;

/// One source file of ours.
struct Source {
    /// Below `src`, such as `engine/pass/decide.rs`.
    name: String,
    /// Its code.
    code: String,
}

/// The code of a text: no comments, no contents of strings, no tests.
fn code(text: &str) -> String {
    let (before, after) = text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((text, ""));
    // The module ends with a brace of its own line; there should be nothing more, but it would be code.
    let text = format!("{before}\n{}", after.split_once("\n}\n").map_or("", |(_, rest)| rest));
    let line = |line: &str| {
        let mut kept = String::new();
        let line = line.replace("\\\"", "");
        // Every second part is within quotes.
        for (i, part) in line.split('"').enumerate().filter(|(i, _)| i % 2 == 0) {
            let end = part.find("//").unwrap_or(part.len());
            kept = kept + if i > 0 { "\"\"" } else { "" } + &part[..end];
            if end < part.len() {
                break;
            }
        }
        kept
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

fn sources() -> Vec<Source> {
    sources_of("src")
}

/// The source files below a folder of the repository.
fn sources_of(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let (mut found, mut folders) = (vec![], vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if !name.ends_with("tests.rs") {
                found.push(Source { name, code: code(&std::fs::read_to_string(&path).unwrap()) });
            }
        }
    }
    assert!(found.len() > 10, "only {} files", found.len());
    found
}

/// The sources of one part: a file and the folder of the same name.
fn part(name: &str) -> Vec<Source> {
    let (file, folder) = (format!("{name}.rs"), format!("{name}/"));
    let found: Vec<Source> =
        sources().into_iter().filter(|s| s.name == file || s.name.starts_with(&folder)).collect();
    assert!(!found.is_empty(), "there is no {name}");
    found
}

impl Source {
    /// What follows `crate::`, each name of a list in braces by itself.
    fn uses(&self) -> Vec<String> {
        let mut all = vec![];
        for rest in self.code.split("crate::").skip(1) {
            let rest: String = rest.chars().take_while(|c| *c != ';').collect();
            match rest.strip_prefix('{') {
                Some(list) => {
                    all.extend(list.trim_end_matches('}').split(',').map(|name| name.trim().to_owned()))
                }
                None => all.push(
                    rest.split(|c: char| !(c.is_alphanumeric() || "_:{}, \n".contains(c)))
                        .next()
                        .unwrap()
                        .into(),
                ),
            }
        }
        all.retain(|name| !name.is_empty());
        all
    }

    /// The modules of the crate's root that it uses.
    fn modules(&self) -> BTreeSet<String> {
        let first = |path: &String| path.split([':', ' ', '{', ',', '\n']).next().unwrap().to_owned();
        self.uses().iter().map(first).collect()
    }

    fn has(&self, word: &str) -> bool {
        let edge = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        self.code.match_indices(word).any(|(at, _)| {
            edge(self.code[..at].chars().next_back()) && edge(self.code[at + word.len()..].chars().next())
        })
    }

    fn assert_uses_only(&self, allowed: &[&str]) {
        for module in self.modules() {
            assert!(allowed.contains(&module.as_str()), "src/{} may not use crate::{module}", self.name);
        }
    }

    fn assert_has_none_of(&self, words: &[&str]) {
        for word in words {
            assert!(!self.has(word), "src/{} may not have {word}", self.name);
        }
    }
}

#[test]
fn the_client_knows_neither_us_nor_kubernetes() {
    for source in part("databricks") {
        source.assert_uses_only(&["databricks"]);
        source.assert_has_none_of(&["kube", "k8s_openapi"]);
        assert!(!source.code.contains("super::super::"), "src/{}", source.name);
    }
}

#[test]
fn the_engine_knows_no_kind() {
    for source in part("engine") {
        source.assert_uses_only(&["engine", "databricks"]);
    }
}

#[test]
fn a_kind_knows_the_engine_the_client_and_the_types_it_refers_to() {
    let kinds = sources().into_iter().filter(|source| source.name.starts_with("kinds/"));
    let mut seen = 0;
    for source in kinds {
        seen += 1;
        source.assert_uses_only(&["engine", "databricks", "kinds"]);
        let own = source.name.trim_start_matches("kinds/").split(['/', '.']).next().unwrap().to_owned();
        for used in source.uses().iter().filter_map(|path| path.strip_prefix("kinds::")) {
            let (other, type_) = used.split_once("::").unwrap_or((used, ""));
            if other == own {
                continue;
            }
            let plain = type_.starts_with(char::is_uppercase) && type_.chars().all(char::is_alphanumeric);
            assert!(plain, "src/{} may use one type of kinds::{other} at a time, not {type_:?}", source.name);
            let rest = source.code.replace(&format!("kinds::{other}::{type_}"), "");
            let rest = rest.replace(&format!("Need::object::<{type_}>"), "");
            let rest = Source { name: source.name.clone(), code: rest };
            assert!(
                !rest.has(type_),
                "src/{} may use {type_} to refer to it, Need::object::<{type_}>, and for nothing else",
                source.name
            );
        }
        // A file in the folder of a kind may name its own kind so, and nothing above that.
        let in_folder = source.name.matches('/').count() == 2;
        assert!(in_folder || !source.code.contains("super::"), "src/{} uses super::", source.name);
        assert!(!source.code.contains("super::super::"), "src/{} uses super::super::", source.name);
    }
    assert!(seen >= 3, "only {seen} files of kinds");
}

/// What the process needs today. More is a decision, to be written down here.
#[test]
fn settings_and_logs_need_little_of_us() {
    for source in part("port") {
        source.assert_uses_only(&[]);
    }
    for source in part("telemetry") {
        for used in source.uses() {
            assert_eq!(used, "databricks::plain", "src/{}", source.name);
        }
    }
    for source in part("metrics") {
        source.assert_uses_only(&["engine", "databricks", "port"]);
    }
    for source in part("config") {
        let allowed = [
            "databricks::{self, Egress, HostPolicy, Proxy, Settings",
            "engine::cluster::LeaseSettings",
            "engine::crd::parse_duration",
            "engine::pass::{Pace, Settings",
            "telemetry::{Collector, LogFormat",
        ];
        for used in source.uses() {
            assert!(allowed.iter().any(|a| used.starts_with(a)), "src/config.rs may not use crate::{used}");
        }
    }
}

/// From below. A file may import what is in its own stratum, without circles, and what is below.
const STRATA: [&str; 20] = [
    "databricks",
    "engine/crd",
    "engine/error",
    "engine/kind",
    "engine/cluster",
    "engine/memory",
    "engine/meter",
    "engine/account",
    "engine/pass",
    "engine/run",
    "engine",
    "kinds",
    "port",
    "telemetry",
    "config",
    "metrics",
    "rbac",
    "cli",
    "lib",
    "main",
];

fn graph_of(folder: &str, root: &str) -> Graph {
    let files = sources_of(folder).into_iter().filter(|source| !source.name.ends_with("fake.rs"));
    let files = files.map(|source| (source.name.trim_end_matches(".rs").to_owned(), source.code));
    Graph::of(files.collect::<BTreeMap<_, _>>(), root)
}

#[test]
fn files_import_each_other_one_way_and_through_doors() {
    let graph = graph_of("src", "lib");
    assert_eq!(graph.circles(), [""; 0]);
    assert_eq!(graph.wrong_ways(&STRATA), [""; 0]);
    assert_eq!(graph.side_doors(), [""; 0]);
}

#[test]
fn the_simulator_has_no_circles_and_no_side_doors() {
    let graph = graph_of("simulator/src", "lib");
    assert_eq!(graph.circles(), [""; 0]);
    assert_eq!(graph.side_doors(), [""; 0]);
}

/// It is an independent reading of the API: what it shared with the operator, no test could find wrong.
#[test]
fn the_simulator_depends_on_nothing_of_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulator");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let dependencies = manifest.split("dependencies]").skip(1).collect::<String>();
    for ours in ["databricks-operator", "databricks_operator", "world", "controlplane", "path ="] {
        assert!(!dependencies.contains(ours), "simulator/Cargo.toml has {ours}");
    }
}

#[test]
fn what_is_pure_does_no_io_and_asks_for_no_time() {
    for name in ["pass/decide", "pass/conclude", "pass/outcome", "kind/changes", "error"] {
        for source in part(&format!("engine/{name}")) {
            source.assert_has_none_of(&["async", "await", "now()", "tokio", "SystemTime", "Instant"]);
            source.assert_has_none_of(&[
                "kube::Client",
                "kube::Api",
                "kube::api",
                "kube::runtime",
                "std::fs",
                "std::env",
            ]);
        }
    }
}

/// The words of `hop("…")`, in order, each once.
fn hops_of(code: &str) -> Vec<&str> {
    let mut words: Vec<&str> =
        code.split("hop(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let mut seen = BTreeSet::new();
    words.retain(|word| seen.insert(*word));
    words
}

#[test]
fn a_reconcile_takes_its_hops_in_the_order_of_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let table = std::fs::read_to_string(root.join("../engine.rs")).unwrap();
    let rows =
        table.lines().filter_map(|line| line.strip_prefix("//! | ")).filter_map(|row| row.split(" |").next());
    let documented: Vec<&str> = rows.skip(1).collect();
    let code = std::fs::read_to_string(root.join("pass/hops.rs")).unwrap();
    let (reconcile, hops) = code.split_once("async fn hops(").unwrap();
    // `watch` is before a reconcile begins; `conclude` is the word of its log lines, see `pass/log.rs`.
    let taken: Vec<&str> =
        ["watch"].into_iter().chain(hops_of(reconcile)).chain(hops_of(hops)).chain(["conclude"]).collect();
    let log = std::fs::read_to_string(root.join("pass/log.rs")).unwrap();
    assert!(log.contains("hop = \"conclude\""));
    assert_eq!(taken, documented);
}

#[test]
fn the_checks_see_code_and_nothing_else() {
    let text = "//! crate::a\nuse crate::{b, c::D}; // crate::e\nlet x = \"crate::f\";\n#[cfg(test)]\nmod tests {\nuse crate::g;\n}\nuse crate::h;";
    let source = Source { name: "x.rs".into(), code: code(text) };
    assert_eq!(source.uses(), ["b", "c::D", "h"]);
    assert_eq!(source.modules(), BTreeSet::from(["b".into(), "c".into(), "h".into()]));
    assert!(source.has("D") && !source.has("E") && !source.has("f"));
    let pure = Source { name: "x.rs".into(), code: code("let a = Timestamp::now();") };
    assert!(pure.has("now()") && !pure.has("no") && !pure.has("w()"));
}
