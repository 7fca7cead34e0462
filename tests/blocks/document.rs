//! The blocks of a document in Markdown.

use std::path::Path;

/// A block of shell.
#[derive(Clone, Debug)]
pub struct Block {
    /// The document, relative to the root.
    pub document: String,
    /// The line that it begins on.
    pub line: usize,
    /// The heading above it, without its marks.
    pub heading: String,
    pub text: String,
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents for users.
pub fn documents() -> Vec<String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut all: Vec<String> = docs.map(|name| format!("docs/{}", name.to_str().unwrap())).collect();
    all.retain(|name| name.ends_with(".md"));
    all.extend(["README.md".into(), "charts/databricks-operator/README.md".into()]);
    all.sort();
    all
}

/// The pages for who is paged.
pub fn runbooks() -> Vec<String> {
    let pages = std::fs::read_dir(root().join("docs/runbooks")).unwrap();
    let mut all: Vec<String> =
        pages.map(|page| format!("docs/runbooks/{}", page.unwrap().file_name().to_str().unwrap())).collect();
    all.sort();
    all
}

/// The blocks of shell in a document.
pub fn blocks(document: &str) -> Vec<Block> {
    fenced(document).into_iter().filter(|(label, _)| label == "sh").map(|(_, block)| block).collect()
}

/// Commands in the text of a document that show what happens until they are ended.
pub fn watches(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| word.starts_with("kubectl ") && word.contains("--watch"))
        .map(str::to_owned)
        .collect()
}

/// What the blocks of a document are labelled with.
pub fn labels(document: &str) -> Vec<String> {
    fenced(document).into_iter().map(|(label, _)| label).collect()
}

fn fenced(document: &str) -> Vec<(String, Block)> {
    let text = std::fs::read_to_string(root().join(document)).unwrap();
    let (mut found, mut heading, mut open) = (vec![], String::new(), None::<(String, Block)>);
    for (index, line) in text.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(label)) => {
                let block = Block {
                    document: document.into(),
                    line: index + 2,
                    heading: heading.clone(),
                    text: String::new(),
                };
                open = Some((label.to_owned(), block));
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, block)), None) => block.text = format!("{}{line}\n", block.text),
            (None, None) if line.starts_with('#') => heading = line.trim_start_matches('#').trim().to_owned(),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{document}: a block does not end");
    found
}

/// What is typed in a block: each command once, whatever it goes on with, and no assignment.
pub fn commands(text: &str) -> Vec<String> {
    let (mut found, mut goes_on, mut here) = (vec![], false, false);
    for line in text.lines() {
        let blank = line.trim().is_empty() || line.trim_start().starts_with('#');
        let assigns = line
            .split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'));
        if here {
            here = line != "EOF";
        } else {
            if !blank && !assigns && !goes_on {
                found.push(line.to_owned());
            }
            goes_on = line.ends_with('\\');
            here = line.contains("<<EOF");
        }
    }
    found
}
