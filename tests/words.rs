//! Words that readers stumble over do not come back in the comments and messages of the code. CONTRIBUTING has the words to use
//! instead. Names of types, functions and variables are not searched.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its set-up too")]

use std::collections::BTreeSet;
use std::path::Path;

/// Words and phrases, each with what to write instead. They are found in any case, over the end of a line, and only as whole words.
const WORDS: &[(&[&str], &str)] = &[
    (&["tell", "tells", "told", "telling"], "report, return, say, log, expose"),
    (&["anew"], "again"),
    (&["stranger", "strangers"], "foreign object, another namespace"),
    (&["newcomer", "newcomers"], "new connection"),
    (&["nobody", "nobody's", "no one"], "no user, no object, no caller"),
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
    (
        &["a look", "the look", "last look", "next look", "each look", "one look", "our look"],
        "a read, a GET, a check",
    ),
    (
        &["looked at", "looks at", "looking at", "looking again", "look again", "looked again"],
        "read, check, retry",
    ),
    (&["was made", "were made", "is made", "being made", "be made", "just made", "made again"], "created"),
    (&["unless told otherwise"], "by default"),
];

/// Where a word is right: the file, the word and the reason.
const RIGHT: &[(&str, &str, &str)] =
    &[("hack/controlplane/tests/lifecycle.rs", "nobody", "the name of a ServiceAccount that does not exist")];

/// The folders that are searched.
const FOLDERS: [&str; 3] = ["src", "simulator/src", "hack"];

/// In place of code, so that no phrase is found across it.
const CODE: char = '\u{1}';

/// The comments and strings of Rust or Go, of the same number of characters and lines: code is [`CODE`], and the marks of
/// comments and what a string escapes are spaces.
fn prose(text: &str) -> String {
    let all: Vec<char> = text.chars().collect();
    let mut kept = String::new();
    let mut at = 0;
    while at < all.len() {
        let end = match all[at] {
            '/' if all.get(at + 1) == Some(&'/') => {
                let end = until(&all, at, |rest| rest[0] == '\n');
                let mark = all[at..end].iter().take_while(|c| "/!".contains(**c)).count();
                kept.extend(all[at..end].iter().enumerate().map(|(i, c)| if i < mark { ' ' } else { *c }));
                end
            }
            'r' if at == 0 || !is_part(all[at - 1]) || all[at - 1] == 'b' => match raw(&all, at) {
                Some((begin, end)) => {
                    kept.extend(
                        all[at..end].iter().enumerate().map(|(i, c)| if at + i < begin { CODE } else { *c }),
                    );
                    end
                }
                None => keep_code(&mut kept, &all, at, at + 1),
            },
            '"' => string(&mut kept, &all, at),
            // A character; else it begins a lifetime.
            '\'' if all.get(at + 1) == Some(&'\\') => {
                let end = until(&all, at + 3, |rest| rest[0] == '\'') + 1;
                keep_code(&mut kept, &all, at, end)
            }
            '\'' if all.get(at + 2) == Some(&'\'') => keep_code(&mut kept, &all, at, at + 3),
            _ => keep_code(&mut kept, &all, at, at + 1),
        };
        at = end;
    }
    kept
}

/// The next place from `at` where this holds, or the end.
fn until(all: &[char], at: usize, holds: impl Fn(&[char]) -> bool) -> usize {
    (at..all.len()).find(|at| holds(&all[*at..])).unwrap_or(all.len())
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Keeps no more of some code than its whitespace. Returns its end.
fn keep_code(kept: &mut String, all: &[char], begin: usize, end: usize) -> usize {
    kept.extend(all[begin..end].iter().map(|c| if c.is_whitespace() { *c } else { CODE }));
    end
}

/// Begin of the text and end of a raw string at this place, if it is one.
fn raw(all: &[char], at: usize) -> Option<(usize, usize)> {
    let marks = all[at + 1..].iter().take_while(|c| **c == '#').count();
    let begin = at + 1 + marks + 1;
    if all.get(begin - 1) != Some(&'"') {
        return None;
    }
    let closes = |rest: &[char]| {
        rest[0] == '"' && rest[1..].iter().take(marks).filter(|c| **c == '#').count() == marks
    };
    Some((begin, (until(all, begin, closes) + 1 + marks).min(all.len())))
}

/// Keeps a string, without its escapes and the names of variables in it. Returns its end.
fn string(kept: &mut String, all: &[char], begin: usize) -> usize {
    kept.push(CODE);
    let mut at = begin + 1;
    while at < all.len() && all[at] != '"' {
        let end = match all[at] {
            '\\' => (at + 2).min(all.len()),
            '{' => {
                let end = until(all, at + 1, |rest| !is_part(rest[0]) && !".:?#$<>^*".contains(rest[0]));
                if all.get(end) == Some(&'}') { end + 1 } else { at + 1 }
            }
            _ => {
                kept.push(all[at]);
                at += 1;
                continue;
            }
        };
        let other = if all[at] == '{' { CODE } else { ' ' };
        kept.extend(all[at..end].iter().map(|c| if *c == '\n' { '\n' } else { other }));
        at = end;
    }
    kept.push(CODE);
    at + 1
}

/// Where a text has such words: the line, the word, and what to write instead.
fn found(text: &str) -> BTreeSet<(usize, &'static str, &'static str)> {
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
    for (words, instead) in WORDS {
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

/// All sources in Rust and Go of a folder: the name and the text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut found, mut folders) = (vec![], vec![root.join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs" || end == "go") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 10, "{folder} has only {} files", found.len());
    found
}

#[test]
fn comments_and_messages_use_the_words_of_the_field() {
    let (mut wrong, mut right) = (vec![], BTreeSet::new());
    for (name, text) in FOLDERS.into_iter().flat_map(sources) {
        for (line, word, instead) in found(&prose(&text)) {
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
fn planted_words_are_found_in_comments_and_messages_and_nowhere_else() {
    let planted = r##"
//! The user is told
/// what was taken
/// over. Nobody's, for the next pass.
fn told(nobody: &'static str) -> char {
    let anew = "anew"; // mended
    let he = ['"', '\'', 'h'];
    let also = format!("{told:?} {} it \
        goes on", r#"a "stranger""#);
    let across = ["let", "go"];
    let recommended = "the manifold retold_by";
}
"##;
    let words: Vec<_> = found(&prose(planted)).into_iter().map(|(line, word, _)| (line, word)).collect();
    let expected = [
        (2, "told"),
        (3, "taken over"),
        (4, "next pass"),
        (4, "nobody"),
        (4, "nobody's"),
        (6, "anew"),
        (6, "mended"),
        (9, "goes on"),
        (9, "stranger"),
    ];
    assert_eq!(words, expected);
}
