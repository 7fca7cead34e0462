//! The words of a Rust source, one by one. Comments, contents of strings and what only tests compile are left out.
//!
//! It is no parser: what the checks need can be seen from the order of words.

/// Words, signs and `::`; a string is `""`. Lifetimes and single characters are left out.
pub fn words(text: &str) -> Vec<String> {
    let (mut found, mut rest) = (vec![], text);
    while !rest.is_empty() {
        let (length, word) = first(rest);
        found.extend(word.map(str::to_owned));
        rest = &rest[length..];
    }
    without_tests(&found)
}

/// How often the words of a pattern follow each other.
pub fn count(words: &[String], pattern: &str) -> usize {
    let pattern = self::words(pattern);
    words.windows(pattern.len()).filter(|window| **window == pattern).count()
}

/// Whether a word is a name or a keyword.
pub fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// How far the next piece of a text goes, and what it is if it counts.
fn first(rest: &str) -> (usize, Option<&str>) {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
    if word > 0 {
        let (word, after) = (&rest[..word], &rest[word..]);
        return match raw_string(after) {
            Some(length) if ["r", "br", "cr"].contains(&word) => (word.len() + length, Some("\"\"")),
            _ if word == "r" && after.starts_with('#') => (2, None),
            _ => (word.len(), Some(word)),
        };
    }
    match rest.chars().next().unwrap() {
        '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
        '/' if rest.starts_with("/*") => (comment(rest), None),
        '"' => (quoted(rest, '"'), Some("\"\"")),
        // A character, or a lifetime.
        '\'' if rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'') => {
            (quoted(rest, '\''), None)
        }
        '\'' => (1 + rest[1..].find(|c| !in_word(c)).unwrap_or(rest.len() - 1), None),
        ':' if rest.starts_with("::") => (2, Some("::")),
        c if c.is_whitespace() => (c.len_utf8(), None),
        c => (c.len_utf8(), Some(&rest[..c.len_utf8()])),
    }
}

/// The length of a text in quotes, with them.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of a raw string after its `r`.
fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inner = rest[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + inner.find(&end)? + end.len())
}

/// The length of a block comment, with those inside of it.
fn comment(rest: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(next) = rest[at..].find(['*', '/']).map(|found| at + found) else { return rest.len() };
        at = next + 1;
        match rest.get(next..next + 2) {
            Some("*/") => (at, depth) = (next + 2, depth - 1),
            Some("/*") => (at, depth) = (next + 2, depth + 1),
            _ => {}
        }
    }
    at
}

/// Leaves out each item under `#[cfg(test)]`.
fn without_tests(words: &[String]) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut at) = (vec![], 0);
    while at < words.len() {
        if words[at..].iter().take(MARK.len()).eq(MARK.iter()) {
            at += MARK.len();
            at += item(&words[at..]);
        } else {
            kept.push(words[at].clone());
            at += 1;
        }
    }
    kept
}

/// How many words an item has, with its attributes: to its `;`, or to the end of its braces.
fn item(words: &[String]) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate() {
        match word.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => return at,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (word == ";" || word == "}") {
            return at + 1;
        }
    }
    words.len()
}

#[test]
fn comments_strings_and_tests_are_no_words() {
    let cases = [
        ("//! crate::a\nuse b; // c", "use b ;"),
        ("a /* b /* c */ d */ e", "a e"),
        (r#"let x = "crate::f \" g"; y"#, "let x = \"\" ; y"),
        ("let x = \"one\n// two\n three\"; y", "let x = \"\" ; y"),
        ("f(r#\"a \" b\"#, br\"c\", b\"d\", r#type)", "f ( \"\" , \"\" , b \"\" , type )"),
        (r"fn f<'a>(x: &'a str) { ['\'', '{', '\u{7d}', b'}'] }", "fn f < > ( x : & str ) { [ , , , b ] }"),
        ("a::b::<C>(1..2)", "a :: b :: < C > ( 1 . . 2 )"),
        ("#[cfg(test)]\nmod tests {\n use a; fn f() {} }\nuse b;", "use b ;"),
        ("#[cfg(test)]\nmod tests;\nuse b;", "use b ;"),
        ("#[cfg(test)]\n#[allow(x)]\nfn f(a: [u8; 2]) -> B { c; }\nuse b;", "use b ;"),
        ("struct A { b: B, #[cfg(test)] c: C }", "struct A { b : B , }"),
    ];
    for (text, expected) in cases {
        assert_eq!(words(text).join(" "), expected, "{text}");
    }
    assert_eq!(count(&words("a::now(); know(); b.now()"), "now()"), 2);
}
