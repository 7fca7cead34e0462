//! Words that readers stumble over do not come back, in documents, comments and messages. CONTRIBUTING has the words to use
//! instead.

use std::collections::BTreeSet;

use crate::prose::{is_part, prose};
use crate::{files, read, root, table};

/// Words and phrases, each with what to write instead. They are found in any case, over the end of a line, and only as whole words.
pub const WORDS: &[(&[&str], &str)] = &[
    (&["tell", "tells", "told", "telling"], "report, return, say, log, expose"),
    (&["anew"], "again"),
    (&["stranger", "strangers"], "foreign object, another namespace"),
    (&["newcomer", "newcomers"], "new connection"),
    (&["nobody", "nobody's"], "no user, no object, no one"),
    (&["somebody", "somebody's"], "a user, another client"),
    (&["whoever", "who wants", "for who", "by who", "who else holds"], "the caller, the holder, a user who"),
    (&["he", "his", "himself"], "they, their"),
    (&["mend", "mends", "mended", "mending"], "fix, correct"),
    (
        &[
            "take over",
            "takes over",
            "taken over",
            "took over",
            "takes it over",
            "take it over",
            "taking over",
        ],
        "adopt; replace",
    ),
    (&["lets in", "let in", "let nobody in"], "allow"),
    (&["lets go", "let go", "let it go", "letting go", "lets it go"], "release"),
    (&["turned away", "turns away", "turn away"], "rejected"),
    (&["goes on", "go on", "went on", "going on"], "continue"),
    (&["goes by"], "depends on"),
    (&["comes about", "brings about", "bring about", "come about"], "happens"),
    (&["ticks"], "changes while the object does not"),
    (&["apart by", "tells apart", "told apart", "tell apart"], "distinguish"),
    (&["all the same", "ever more"], "anyway; more and more"),
    (&["said in", "as said"], "reported in; as described"),
    (&["on its way", "on their way"], "in transition; not Ready yet"),
    (
        &[
            "a pass",
            "passes over",
            "each pass",
            "next pass",
            "the pass",
            "one pass",
            "this pass",
            "no pass",
            "its pass",
        ],
        "a reconcile",
    ),
    (&["unless told otherwise"], "by default"),
];

/// The same for comments and messages alone.
const IN_CODE: &[(&[&str], &str)] = &[
    (&["no one"], "no object, no caller"),
    (
        &["looked at", "looks at", "looking at", "looking again", "look again", "looked again"],
        "read, check, retry",
    ),
    (
        &["a look", "the look", "last look", "next look", "each look", "one look", "our look"],
        "a read, a GET, a check",
    ),
    (&["was made", "were made", "is made", "being made", "be made", "just made", "made again"], "created"),
];

/// Where a word is right: the file, the word and the reason.
const RIGHT: &[(&str, &str, &str)] =
    &[("hack/controlplane/tests/lifecycle.rs", "nobody", "the name of a ServiceAccount that does not exist")];

/// The folders whose comments and messages are searched. Names of types, functions and variables are not.
const CODE: [&str; 3] = ["src", "simulator/src", "hack"];

/// What is searched: the name of a file and its text.
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
    let ours: Vec<String> = ours.collect();
    names.extend(ours.iter().filter(|name| is_document(name)).cloned());
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
    for folder in CODE {
        let is_code = |name: &&String| {
            name.starts_with(&format!("{folder}/")) && (name.ends_with(".rs") || name.ends_with(".go"))
        };
        let before = all.len();
        all.extend(ours.iter().filter(is_code).map(|name| (name.clone(), prose(&read(name)))));
        assert!(all.len() > before + 10, "{folder} has few files");
    }
    all
}

/// The comments of a file, each on its line, and nothing else.
fn comments(text: &str, mark: &str) -> String {
    let comment = |line: &str| line.trim_start().strip_prefix(mark).unwrap_or_default().to_owned();
    text.lines().map(comment).collect::<Vec<_>>().join("\n")
}

/// Where a text has such words: the line, the word, and what to write instead.
pub fn found(
    text: &str,
    words: &[(&'static [&'static str], &'static str)],
) -> BTreeSet<(usize, &'static str, &'static str)> {
    // Whitespace is one space; each byte keeps its line.
    let (mut plain, mut lines, mut line) = (String::new(), vec![], 1);
    for c in text.to_ascii_lowercase().chars() {
        if !c.is_whitespace() {
            plain.push(c);
        } else if !plain.ends_with(' ') {
            plain.push(' ');
        }
        lines.resize(plain.len(), line);
        line += usize::from(c == '\n');
    }
    let mut all = BTreeSet::new();
    for (words, instead) in words {
        for word in *words {
            for (at, _) in plain.match_indices(word) {
                let before = plain[..at].chars().next_back().is_some_and(is_part);
                let after = plain[at + word.len()..].chars().next().is_some_and(is_part);
                if !before && !after {
                    all.insert((lines[at], *word, *instead));
                }
            }
        }
    }
    all
}

#[test]
fn documents_comments_and_messages_use_the_words_of_the_field() {
    let (mut wrong, mut right) = (vec![], BTreeSet::new());
    for (name, text) in searched() {
        let is_code = CODE.iter().any(|folder| name.starts_with(&format!("{folder}/")));
        let words = if is_code { [WORDS, IN_CODE].concat() } else { WORDS.to_vec() };
        for (line, word, instead) in found(&text, &words) {
            match RIGHT.iter().position(|(file, excepted, _)| *file == name && *excepted == word) {
                Some(exception) => drop(right.insert(exception)),
                None => wrong.push(format!("{name}:{line}: {word:?}: write {instead}")),
            }
        }
    }
    assert!(wrong.is_empty(), "see Words in CONTRIBUTING.md:\n{}", wrong.join("\n"));
    assert_eq!(right.len(), RIGHT.len(), "an exception is not needed any more");
}

#[test]
fn words_are_found_in_any_case_over_the_end_of_a_line_and_only_whole() {
    assert_eq!(found("Nobody\nwas taken\nover.", WORDS).len(), 2);
    assert_eq!(found("a\nHe said", WORDS).iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [2]);
    assert!(found("recommend, the, manifold, retold_by", WORDS).is_empty());
    assert_eq!(comments("a: 1 # b\n  # told\n", "#"), "\n told");
}

#[test]
fn the_glossary_is_a_table() {
    let rows = table(&read("CONTRIBUTING.md"), "write");
    assert!(rows.len() > 30, "only {} rows", rows.len());
    assert!(rows.iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.is_empty())), "{rows:?}");
}
