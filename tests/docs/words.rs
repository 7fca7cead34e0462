//! Words that readers stumble over do not come back. CONTRIBUTING has the words to use instead.

use std::collections::BTreeSet;

use crate::{files, read, root, table};

/// Words and phrases, each with what to write instead. They are found in any case, over the end of a line, and only as whole words.
const WORDS: &[(&[&str], &str)] = &[
    (&["tell", "tells", "told", "telling"], "report, return, say, log, expose"),
    (&["anew"], "again"),
    (&["stranger", "strangers"], "foreign object"),
    (&["newcomer", "newcomers"], "new connection"),
    (&["nobody", "nobody's"], "no user, no object, no one"),
    (&["somebody", "somebody's"], "a user, a person, another tool"),
    (&["whoever", "who wants", "for who", "by who"], "a user who, a caller that"),
    (&["he", "his", "himself"], "they, their"),
    (&["mend", "mends", "mended", "mending"], "fix, correct"),
    (
        &["take over", "takes over", "taken over", "took over", "takes it over", "taking over"],
        "adopt; replace",
    ),
    (&["lets in", "let in", "let nobody in"], "allow"),
    (&["lets go", "let go", "let it go"], "release"),
    (&["turned away", "turns away"], "rejected"),
    (&["goes on", "go on", "went on", "going on"], "continue"),
    (&["comes about", "brings about", "bring about", "come about"], "happens"),
    (&["ticks"], "changes while the object does not"),
    (&["apart by", "tells apart", "told apart", "tell apart"], "distinguish"),
    (&["all the same", "ever more"], "anyway; more and more"),
    (&["said in", "as said"], "reported in; as described"),
    (&["on its way", "on their way"], "in transition; not Ready yet"),
    (&["a pass", "passes over", "each pass", "next pass", "the pass", "one pass"], "a reconcile"),
    (&["unless told otherwise"], "by default"),
];

/// What is searched: the name of a file and its text. `src` and `simulator` follow when their comments and messages are rewritten:
/// add their comments here, as [`comments`] returns them.
fn searched() -> Vec<(String, String)> {
    let mut names: Vec<String> = ["README.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned).into();
    let ours = files().into_iter().map(|path| path.strip_prefix(root()).unwrap().display().to_string());
    let is_document = |name: &String| {
        let ends = |folder: &str, end: &str| name.starts_with(folder) && name.ends_with(end);
        ends("docs/", ".md")
            || ends("crds/", ".yaml")
            || ends("config/samples/", ".yaml")
            || ends("config/demo/", ".yaml")
    };
    names.extend(ours.filter(is_document));
    let chart = ["README.md", "files/alerts.yaml", "files/dashboard.json", "templates/NOTES.txt"];
    names.extend(chart.map(|name| format!("charts/databricks-operator/{name}")));
    let mut all: Vec<(String, String)> = names.into_iter().map(|name| (name.clone(), read(&name))).collect();
    let contributing = read("CONTRIBUTING.md");
    // But the rows of the glossary, which name the words.
    let (before, rest) = contributing.split_once("\n## Words\n").unwrap();
    let (glossary, after) = rest.split_once("\n## ").unwrap();
    let glossary = glossary.lines().map(|line| if line.starts_with('|') { "" } else { line });
    let glossary = glossary.collect::<Vec<_>>().join("\n");
    all.push(("CONTRIBUTING.md".into(), [before, "## Words", &glossary, after].join("\n")));
    let values = "charts/databricks-operator/values.yaml";
    all.push((values.into(), comments(&read(values), "#")));
    all
}

/// The comments of a file, each on its line, and nothing else.
fn comments(text: &str, mark: &str) -> String {
    let comment = |line: &str| line.trim_start().strip_prefix(mark).unwrap_or_default().to_owned();
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

/// Where a text has such words: the line, the word, and what to write instead.
fn found(text: &str) -> BTreeSet<(usize, &'static str, &'static str)> {
    // With the same length, so that a place in it is one in the text.
    let plain = text.to_ascii_lowercase().replace('\n', " ");
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut all = BTreeSet::new();
    for (words, instead) in WORDS {
        for word in *words {
            for (at, _) in plain.match_indices(word) {
                let before = plain[..at].chars().next_back().is_some_and(is_part);
                let after = plain[at + word.len()..].chars().next().is_some_and(is_part);
                if !before && !after {
                    let line = text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                    all.insert((line, *word, *instead));
                }
            }
        }
    }
    all
}

#[test]
fn documents_use_the_words_of_the_field() {
    let mut wrong = vec![];
    for (name, text) in searched() {
        for (line, word, instead) in found(&text) {
            wrong.push(format!("{name}:{line}: {word:?}: write {instead}"));
        }
    }
    assert!(wrong.is_empty(), "see Words in CONTRIBUTING.md:\n{}", wrong.join("\n"));
}

#[test]
fn words_are_found_in_any_case_over_the_end_of_a_line_and_only_whole() {
    assert_eq!(found("Nobody\nwas taken\nover.").len(), 2);
    assert_eq!(found("a\nHe said").iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [2]);
    assert!(found("recommend, the, manifold, retold_by").is_empty());
    assert_eq!(comments("a: 1 # b\n  # told\n", "#"), "\n told");
}

#[test]
fn the_glossary_is_a_table() {
    let rows = table(&read("CONTRIBUTING.md"), "write");
    assert!(rows.len() > 30, "only {} rows", rows.len());
    assert!(rows.iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.is_empty())), "{rows:?}");
}
