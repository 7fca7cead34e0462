//! The bugs that `controls/run` seeds are still bugs of the present sources.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use databricks_operator::kinds::KINDS;

/// The file that a patch changes, and the lines that it replaces with their surroundings, a hunk each.
fn replaced(patch: &str) -> (String, Vec<String>) {
    let file = patch.lines().find_map(|line| line.strip_prefix("--- a/")).unwrap();
    let hunks = patch.split("\n@@").skip(1).map(|hunk| {
        let old = hunk.lines().skip(1).filter_map(|line| line.strip_prefix([' ', '-']));
        old.map(|line| format!("{line}\n")).collect()
    });
    (file.to_owned(), hunks.collect())
}

#[test]
fn each_seeded_bug_fits_the_sources_and_names_its_kinds() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = std::fs::read_dir(here.join("controls")).unwrap().map(|entry| entry.unwrap().path());
    let patches: Vec<_> = patches.filter(|path| path.extension().is_some_and(|end| end == "patch")).collect();
    assert!(patches.len() >= 40, "{} bugs", patches.len());
    for path in patches {
        let (name, patch) = (path.file_name().unwrap(), std::fs::read_to_string(&path).unwrap());
        let kinds = patch.lines().find_map(|line| line.strip_prefix("Kinds: "));
        let kinds = kinds.unwrap_or_else(|| panic!("{name:?} names no kinds"));
        for kind in kinds.split(',') {
            assert!(KINDS.iter().any(|known| known.kind() == kind), "{name:?}: there is no kind {kind}");
        }
        let (file, hunks) = replaced(&patch);
        let source = std::fs::read_to_string(here.join("../..").join(&file)).unwrap();
        for hunk in hunks {
            let found = source.matches(&hunk).count();
            assert_eq!(found, 1, "{name:?} does not fit {file} any more: correct its lines\n{hunk}");
        }
    }
}
