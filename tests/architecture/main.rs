//! Who may import whom, and what pure files may not do, read off the sources.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

mod graph;
mod planted;
mod source;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use graph::Graph;
use words::{count, words};

/// Files and folders of `src`, the lowest stratum first: each may import from its own stratum and from those before it. A file
/// is in the stratum of the longest name that fits it: `engine` is what no other name of a part of it fits.
const SRC: &[&[&str]] = &[
    &["clock"],
    &["databricks"],
    &["engine/crd"],
    &["engine/error"],
    &["engine/kind"],
    &["engine/cluster"],
    &["engine/memory"],
    &["engine/meter"],
    &["engine/account"],
    &["engine/pass"],
    &["engine/run"],
    &["engine"],
    &["apis"],
    &["kinds"],
    &["port"],
    &["telemetry"],
    &["metrics"],
    &["rbac"],
    &["config"],
    &["cli"],
];

/// The same of `simulator/src`.
const SIMULATOR: &[&[&str]] = &[
    &["clock", "connection", "settings", "store", "wire"],
    &["faults", "journal", "schema", "issued"],
    &["world"],
    &["refusals", "etags", "google", "usage_dashboards"],
    &["collections", "workspaces", "ip_access_lists", "account_settings", "settings_v2", "rule_sets"],
    &["assignments", "scim", "tokens"],
    &["workspace_hosts"],
    &["api"],
    &["call", "objects"],
    &["shared"],
    &["control"],
    &["server"],
    &["handle"],
];

/// Folders whose files and folders may be imported from directly, as those of `src` may: `engine::x::Name`. What is in a folder
/// within them is imported from that folder's file: not `engine::x::y::Name`.
const OPEN: &[&str] = &["engine"];

/// The sources below a folder of the repository, by path.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

fn graph(root: &str) -> Graph {
    let graph = Graph::new(root, &sources(root));
    assert!(graph.files().len() > 20, "only {:?}", graph.files());
    graph
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} in all\n\n{}\n", found.len(), found.join("\n\n"));
}

#[test]
fn no_files_import_each_other() {
    assert_none(&[graph("src").circles(), graph("simulator/src").circles()].concat());
}

/// One reconcile is a type whose methods are in many files.
#[test]
fn a_method_counts_as_imported_from_its_file() {
    let graph = graph("src");
    let mut of_act = graph.imports_of("src/engine/pass/hops.rs");
    assert!(of_act.any(|import| import == ("create", "src/engine/pass/create.rs")));
}

/// Beyond these numbers of lines, a file of a kind and one of the engine say why they are longer.
#[test]
fn a_long_file_says_why_it_is_long() {
    let silent = |folder: &str, most: usize| {
        let long = sources(folder).into_iter().filter(move |(_, text)| text.lines().count() > most);
        let says = |text: &str| {
            text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("Longer than"))
        };
        long.filter(move |(_, text)| !says(text)).map(|(path, _)| path).collect::<Vec<_>>()
    };
    assert_none(&[silent("src/kinds", 250), silent("src/engine", 400)].concat());
    assert!(!silent("src/engine", 100).is_empty(), "it finds none");
}

#[test]
fn imports_go_down() {
    assert_none(&[graph("src").against(SRC), graph("simulator/src").against(SIMULATOR)].concat());
}

#[test]
fn a_folder_is_entered_by_its_door() {
    assert_none(&[graph("src").side_doors(OPEN), graph("simulator/src").side_doors(&[])].concat());
}

/// The words of one part by file: of a file and of the folder of the same name.
fn part(name: &str) -> BTreeMap<String, Vec<String>> {
    let (file, folder) = (format!("src/{name}.rs"), format!("src/{name}/"));
    let mut found = sources("src");
    found.retain(|path, _| (*path == file || path.starts_with(&folder)) && !path.ends_with("tests.rs"));
    assert!(!found.is_empty(), "there is no {name}");
    found.into_iter().map(|(path, text)| (path, words(&text))).collect()
}

fn assert_has_none_of(part: &BTreeMap<String, Vec<String>>, patterns: &[&str]) {
    for (file, words) in part {
        for pattern in patterns {
            assert_eq!(count(words, pattern), 0, "{file} may not have {pattern}");
        }
    }
}

#[test]
fn the_client_knows_no_kubernetes() {
    assert_has_none_of(&part("databricks"), &["kube", "k8s_openapi"]);
}

#[test]
fn a_kind_knows_of_other_kinds_only_the_types_it_refers_to() {
    let (graph, mut seen) = (graph("src"), 0);
    for (file, words) in part("kinds").into_iter().filter(|(file, _)| file != "src/kinds.rs") {
        seen += 1;
        let own =
            |path: &str| path.trim_start_matches("src/kinds/").split(['/', '.']).next().unwrap().to_owned();
        for (name, from) in graph.imports_of(&file).filter(|(_, from)| from.starts_with("src/kinds")) {
            let other = own(from);
            if other == own(&file) {
                continue;
            }
            let refers = count(&words, &format!("kinds::{other}::{name};"))
                + count(&words, &format!("Reference::to::<{name}>"))
                + count(&words, &format!("Reference::list::<{name}>"))
                + count(&words, &format!("Need::object::<{name}>"));
            assert_eq!(
                refers,
                count(&words, name),
                "{file} may use {name} to refer to it, Reference::to::<{name}>, and for nothing else"
            );
        }
    }
    assert!(seen >= 3, "only {seen} files of kinds");
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    for (file, text) in sources("src").into_iter().filter(|(file, _)| file != "src/clock.rs") {
        if file.ends_with("tests.rs") || file.contains("/tests/") {
            continue;
        }
        let words = words(&text);
        for clock in [
            "Timestamp::now",
            "Zoned::now",
            "SystemTime::now",
            "UNIX_EPOCH.elapsed",
            "Utc::now",
            "Local::now",
        ] {
            assert_eq!(count(&words, clock), 0, "{file} may not have {clock}: use clock::now()");
        }
        for clock in ["std::time::Instant", "time::Instant::now().into_std"] {
            assert_eq!(count(&words, clock), 0, "{file} may not have {clock}: use tokio::time::Instant");
        }
        // `use std::time::{Duration, Instant}`
        let own = words.windows(3).position(|window| window == ["std", "::", "time"]);
        let of_std = own
            .map(|at| words[at + 3..].iter().take_while(|word| *word != ";").any(|word| word == "Instant"));
        assert_ne!(of_std, Some(true), "{file} may not import std's Instant: use tokio::time::Instant");
    }
}

/// What the process needs today. More is a decision, to be written down here.
#[test]
fn settings_and_logs_need_little_of_us() {
    const CONFIG: &[&str] = &[
        "Collector",
        "Egress",
        "HostPolicy",
        "LogFormat",
        "Pace",
        "Proxy",
        "Settings",
        "parse_duration",
        "roots",
    ];
    let graph = graph("src");
    let mut seen = 0;
    for file in graph.files() {
        let part = file.trim_start_matches("src/").split(['/', '.']).next().unwrap();
        let own = format!("src/{part}");
        for (name, from) in graph.imports_of(file).filter(|(_, from)| !from.starts_with(&own)) {
            let allowed = match part {
                "port" => false,
                "telemetry" => ["now", "plain", "root_cause"].contains(&name),
                "metrics" => {
                    ["src/engine/", "src/databricks/", "src/port"].iter().any(|below| from.starts_with(below))
                }
                "config" => CONFIG.contains(&name),
                _ => continue,
            };
            assert!(allowed, "{file} may not import {name} from {from}");
            seen += 1;
        }
    }
    assert!(seen > CONFIG.len(), "only {seen} imports");
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
        let part = part(&format!("engine/{name}"));
        assert_has_none_of(&part, &["async", "await", "now()", "tokio", "SystemTime", "Instant"]);
        assert_has_none_of(
            &part,
            &["kube::Client", "kube::Api", "kube::api", "kube::runtime", "std::fs", "std::env"],
        );
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
