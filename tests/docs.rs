//! What the documents say is what the code says: the tables of the README, the skeleton in CONTRIBUTING, and what no file
//! may have in it. `UPDATE=1 cargo test --test docs` writes the README's table of flags, and
//! `docs/reasons.md`, anew.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use databricks_operator::engine::crd::{About, EventReason, Reason};
use databricks_operator::engine::kind::Ownership;
use databricks_operator::kinds::KINDS;
use databricks_operator::{cli, databricks, engine};

/// The kind that CONTRIBUTING shows. It is compiled as it stands there: `crate::engine` is the library's.
#[path = "docs/storage_configuration.rs"]
mod storage_configuration;

#[path = "docs/metrics.rs"]
mod metrics;

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

Written by `UPDATE=1 cargo test --test docs` from `src/engine/reason.rs`. Do not edit.

`kubectl get databricks -o wide` shows the reason and the message of `Ready`; `kubectl describe` shows all conditions and the
events. The message says what is so in this very case, and what to do about it; here it is said in general.
";

/// Covers UX-06. Every reason of a condition or an event has its meaning, a cause and a remedy in `docs/reasons.md`.
#[test]
fn every_reason_is_documented() {
    let row = |(name, about): (&str, &About)| {
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
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        known,
        "UPDATE=1 cargo test --test docs writes it anew"
    );
}

#[test]
fn the_readme_has_every_flag_with_its_variable_default_and_meaning() {
    let command = cli::command();
    let run = command.find_subcommand("run").unwrap();
    let known: Vec<[String; 4]> = run
        .get_arguments()
        .filter(|arg| arg.get_id() != "help")
        .map(|arg| {
            let quoted = |text: Option<String>| text.map(|t| format!("`{t}`")).unwrap_or_default();
            let defaults = arg.get_default_values().iter().map(|v| v.to_str().unwrap().to_owned());
            // A switch has the default `false`, which goes without saying.
            let default = defaults.reduce(|a, b| a + "," + &b).filter(|d| d != "false");
            [
                format!("`--{}`", arg.get_long().unwrap()),
                quoted(arg.get_env().map(|name| name.to_str().unwrap().to_owned())),
                quoted(default),
                arg.get_help().unwrap().to_string(),
            ]
        })
        .collect();
    let text = read("README.md");
    let told = table(&text, "flag");
    if std::env::var_os("UPDATE").is_some() && told != known {
        let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let head = text.find("| flag |").unwrap();
        let rows = head + text[head..].match_indices('\n').nth(1).unwrap().0 + 1;
        let after = rows + text[rows..].find("\n\n").map_or(0, |end| end + 1);
        let known: String = known.iter().map(|cells| row(cells)).collect();
        std::fs::write(root().join("README.md"), [&text[..rows], &known, &text[after..]].concat()).unwrap();
        return;
    }
    assert_eq!(told, known, "UPDATE=1 cargo test --test docs writes it anew");
}

#[test]
fn the_readme_has_every_kind_with_what_deletion_does_and_what_is_proof() {
    let rows = table(&read("README.md"), "kind");
    let told: BTreeSet<&str> = rows.iter().map(|row| code(&row[0])).collect();
    let crds = cli::crds();
    let known: BTreeSet<&str> = crds.iter().map(|crd| crd.spec.names.kind.as_str()).collect();
    assert_eq!(told, known);
    for crd in &crds {
        let names = &crd.spec.names;
        let row = rows.iter().find(|row| code(&row[0]) == names.kind).unwrap();
        let short = &names.short_names.as_ref().unwrap()[0];
        assert!(row[0].contains(&format!("(`{short}`)")), "{}: its short name is {short}", names.kind);
        let schema = serde_json::to_value(crd).unwrap();
        let spec = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        for field in row[2].split('`').skip(1).step_by(2) {
            assert!(spec["properties"].get(field).is_some(), "{} has no field {field}", names.kind);
        }
    }
    for driver in KINDS {
        let kind = driver.api_resource().kind;
        let row = rows.iter().find(|row| code(&row[0]) == kind).unwrap();
        let deletion = if driver.traits().data_bearing { "Retain" } else { "Delete" };
        assert_eq!(row[3], deletion, "{kind}");
        let marked = driver.traits().ownership == Ownership::Marker;
        assert_eq!(row[4].contains("<installation>/<namespace>/<name>"), marked, "{kind}: {}", row[4]);
    }
}

#[test]
fn the_fields_that_all_kinds_share_are_in_the_readme() {
    let told: BTreeSet<String> =
        table(&read("README.md"), "field").iter().map(|row| code(&row[0]).to_owned()).collect();
    let properties = |kind: &serde_json::Value| -> BTreeSet<String> {
        let schema = &kind["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        schema["properties"]["spec"]["properties"].as_object().unwrap().keys().cloned().collect()
    };
    let all = KINDS.iter().map(|driver| properties(&serde_json::to_value(driver.crd()).unwrap()));
    assert_eq!(Some(told), all.reduce(|a, b| &a & &b));
}

#[test]
fn the_skeleton_of_a_kind_compiles_and_keeps_the_rules() {
    let text = read("tests/docs/storage_configuration.rs");
    assert!(
        read("CONTRIBUTING.md").contains(&format!("```rust\n{text}```\n")),
        "CONTRIBUTING.md does not show tests/docs/storage_configuration.rs as it is"
    );
    assert!(text.lines().count() <= 150, "longer than it says that a kind may be");
    let driver = engine::kind::of::<storage_configuration::StorageConfiguration>();
    let crd = serde_json::to_value(driver.crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    // One rule for each field, and that of externalId.
    assert_eq!(schema["x-kubernetes-validations"].as_array().unwrap().len(), 4, "{schema}");
    // What the skeleton imports of the client is public, too.
    let _: databricks::Pages = databricks::Pages::Whole("storage_configurations");
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
    let docs = ours.filter(|name| name.starts_with("docs/") && name.ends_with(".md"));
    let top = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned);
    for document in top.into_iter().chain(docs).chain(["charts/databricks-operator/README.md".to_owned()]) {
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
fn no_file_tells_where_it_was_written() {
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
