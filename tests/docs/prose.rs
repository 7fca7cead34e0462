//! The comments and strings of sources in Rust or Go, without the code around them.

/// In place of code, so that no phrase is found across it.
const CODE: char = '\u{1}';

/// The comments and strings of Rust or Go, of the same number of characters and lines: code is [`CODE`], and the marks of
/// comments and what a string escapes are spaces.
pub fn prose(text: &str) -> String {
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

/// Whether a word continues with this character.
pub fn is_part(c: char) -> bool {
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
    let words: Vec<_> = crate::words::found(&prose(planted), crate::words::WORDS)
        .into_iter()
        .map(|(line, word, _)| (line, word))
        .collect();
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
