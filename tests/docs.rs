//! What the documents say is what the code says: the tables of flags, kinds, reasons and metrics, the skeleton in CONTRIBUTING, the
//! links, and what no file may contain. `UPDATE=1 cargo test --test docs` writes the tables.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use databricks_operator::cli;
use databricks_operator::engine::crd::{EventReason, Reason, ReasonTexts};
use databricks_operator::engine::kind::of;
use databricks_operator::kinds::storage_configuration::StorageConfiguration;

#[path = "docs/kinds.rs"]
mod kinds;

#[path = "docs/metrics.rs"]
mod metrics;

#[path = "docs/prose.rs"]
mod prose;

#[path = "account/samples.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod samples;

#[path = "docs/words.rs"]
mod words;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The rows of the table whose first column has this title, without the two lines of its head.
fn table(text: &str, title: &str) -> Vec<Vec<String>> {
    let head = format!("| {title} |");
    let lines = text.lines().skip_while(|line| !line.starts_with(&head));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "there is no table with the column {title}");
    rows
}

/// Text in backquotes, the first of a cell.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("{cell:?} has nothing in backquotes"))
}

/// Tests run at the same time, and several of them write parts of one document.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Holds the rows of a document's table against what they have to be; with `UPDATE` it writes them instead.
fn in_step(document: &str, title: &str, known: &[Vec<String>]) {
    let _guard = ONE_AT_A_TIME.lock();
    let text = read(document);
    if std::env::var_os("UPDATE").is_some() {
        let head = text.find(&format!("| {title} |")).unwrap();
        let rows = head + text[head..].match_indices('\n').nth(1).unwrap().0 + 1;
        let after = rows
            + text[rows..]
                .split_inclusive('\n')
                .take_while(|l| l.starts_with('|'))
                .map(str::len)
                .sum::<usize>();
        let known: String = known.iter().map(|cells| format!("| {} |\n", cells.join(" | "))).collect();
        std::fs::write(root().join(document), [&text[..rows], &known, &text[after..]].concat()).unwrap();
        return;
    }
    assert_eq!(table(&text, title), known, "UPDATE=1 cargo test --test docs writes {document}");
}

/// Every file of the repository but what is built, and the lists of checksums.
fn files() -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if [".git", "target", "Cargo.lock", "go.sum"].contains(&name) {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    assert!(found.len() > 50, "only {} files", found.len());
    found
}

/// What `docs/reasons.md` says before its two tables.
const REASONS: &str = "# Reasons

Written by `UPDATE=1 cargo test --test docs` from `src/engine/crd/reason.rs`. Do not edit.

`kubectl get databricks -o wide` shows the reason and the message of `Ready`; `kubectl describe` shows all conditions and the
events. The message describes the specific case, and says what to do; these tables describe each reason in general.
";

/// Covers UX-06. Every reason of a condition or an event has its meaning, a cause and a remedy in `docs/reasons.md`.
#[test]
fn every_reason_is_documented() {
    let row = |(name, about): (&str, &ReasonTexts)| {
        for text in [about.meaning, about.cause, about.remedy] {
            let text = text.trim();
            assert!(text.ends_with('.') && !text.contains('|'), "{name}: {text:?} is no sentence of a table");
        }
        format!("| `{name}` | {} | {} | {} |\n", about.meaning.trim(), about.cause, about.remedy)
    };
    let table = |title: &str, rows: String| {
        format!("\n## {title}\n\n| reason | meaning | usual cause | what to do |\n|---|---|---|---|\n{rows}")
    };
    let conditions = Reason::ALL.iter().map(|(reason, about)| row((reason.name(), about))).collect();
    let events = EventReason::ALL.iter().map(|(reason, about)| row((reason.name(), about))).collect();
    let known = [REASONS, &table("Of conditions", conditions), &table("Of events", events)].concat();
    let path = root().join("docs/reasons.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, known).unwrap();
        return;
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), known, "UPDATE=1 cargo test --test docs writes it");
}

#[test]
fn every_flag_is_documented_with_its_variable_default_and_meaning() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    let rows = run.get_arguments().filter(|arg| arg.get_id() != "help").map(|arg| {
        let quoted = |text: Option<String>| text.map(|t| format!("`{t}`")).unwrap_or_default();
        let defaults = arg.get_default_values().iter().map(|v| v.to_str().unwrap().to_owned());
        // A switch has the default `false`, which goes without saying.
        let default = defaults.reduce(|a, b| a + "," + &b).filter(|d| d != "false");
        vec![
            format!("`--{}`", arg.get_long().unwrap()),
            quoted(arg.get_env().map(|name| name.to_str().unwrap().to_owned())),
            quoted(default),
            arg.get_help().unwrap().to_string(),
        ]
    });
    in_step("docs/configuration.md", "flag", &rows.collect::<Vec<_>>());
}

#[test]
fn the_skeleton_of_a_kind_is_one_and_keeps_the_rules() {
    let name = "src/kinds/storage_configuration.rs";
    let text = read(name);
    assert!(
        read("CONTRIBUTING.md").contains(&format!("```rust\n{text}```\n")),
        "CONTRIBUTING.md does not show {name} as it is: copy it there"
    );
    assert!(text.lines().count() <= 150, "longer than it says that a kind may be");
    let crd = serde_json::to_value(of::<StorageConfiguration>().crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    // One rule for each field, those of what it needs, and that of externalId.
    assert_eq!(schema["x-kubernetes-validations"].as_array().unwrap().len(), 6, "{schema}");
}

/// Also objects of kinds that are added later.
#[test]
fn the_uninstallation_retains_objects_of_every_kind() {
    let text = read("docs/uninstall.md");
    let retains = |block: &&str| block.contains(r#""deletionPolicy":"Retain""#);
    let block = text.split("```").find(retains).expect("docs/uninstall.md has no such block");
    assert!(block.contains("kubectl get databricks --all-namespaces"), "it names kinds: {block}");
}

/// `make` alone shows the targets.
#[test]
fn make_help_names_every_target_that_documents_name() {
    let mut make = std::process::Command::new("make");
    let output = make.args(["--no-print-directory", "help"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let help = String::from_utf8(output.stdout).unwrap();
    for document in ["README.md", "CONTRIBUTING.md"] {
        for rest in read(document).split("`make ").skip(1) {
            let target: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
            assert!(help.contains(&format!("make {target} ")), "{document} names `make {target}`: {help}");
        }
    }
}

/// Without server-side apply, each CRD is copied into an annotation, which the API server limits.
#[test]
fn the_copies_of_crds_are_as_small_as_the_documents_say() {
    let sizes = cli::crds().into_iter().map(|crd| serde_json::to_string(&crd).unwrap().len());
    let largest = sizes.max().unwrap();
    assert!(largest < 60_000, "the largest has {largest} bytes: correct the documents");
    for document in ["docs/argocd.md", "charts/databricks-operator/README.md"] {
        assert!(read(document).contains("each copy is smaller than 60 kB"), "{document}");
    }
}

/// The name of a heading in links, as GitHub makes it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn documents_lead_to_files_and_headings_that_exist() {
    let ours = files().into_iter().map(|path| path.strip_prefix(root()).unwrap().display().to_string());
    for document in ours.filter(|name| name.ends_with(".md")) {
        let text = read(&document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let file = root().join(&document).parent().unwrap().join(file);
            let target = if file.is_dir() { root().join(&document) } else { file };
            assert!(target.exists(), "{document} leads to {link}");
            if let Some(anchor) = anchor {
                let text = std::fs::read_to_string(&target).unwrap();
                let headings = text.lines().filter(|line| line.starts_with('#'));
                let known = headings.map(slug).any(|slug| slug == anchor);
                assert!(known, "{document} leads to {link}: there is no such heading");
            }
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for path in files() {
        let ours = path.strip_prefix(root()).unwrap();
        if path.extension().is_none_or(|end| end != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//! "), "{}: does not open with `//!`", ours.display());
        assert!(path.file_name().unwrap() != "mod.rs", "{}: no mod.rs", ours.display());
    }
}

/// Words that a file would only have by mistake, put together here so that this one has them neither.
fn forbidden() -> Vec<String> {
    let folders = ["home", "root", "work"].map(|folder| format!("/{folder}/"));
    let hosts = [
        ["crates", "io"],
        ["docker", "io"],
        ["ghcr", "io"],
        ["quay", "io"],
        ["pypi", "org"],
        ["npmjs", "org"],
        ["proxy.golang", "org"],
    ];
    let hosts = hosts.map(|host| host.join("."));
    folders.into_iter().chain(hosts).chain([["..", "shared"].join("/")]).collect()
}

/// No path of somebody's machine, and no place that packages come from, which is the reader's to choose.
#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let words = forbidden();
    let mut found = vec![];
    for path in files() {
        let ours = path.strip_prefix(root()).unwrap().display().to_string();
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(*word)) {
                found.push(format!("{ours}:{}: {word}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
