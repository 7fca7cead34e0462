//! What one file says: the modules in it, what they define, what they import and which names are in their code.

use std::collections::{BTreeMap, BTreeSet};

use crate::words::is_name;

/// The path of a module from the root of its crate, or one that is written in code.
pub type Path = Vec<String>;

/// A module: a file, or `mod x { … }` in one.
#[derive(Default)]
pub struct Module {
    pub file: String,
    /// Items defined here, without the modules.
    pub defined: BTreeSet<String>,
    pub children: BTreeSet<String>,
    pub uses: Vec<Use>,
    /// Paths in code.
    pub paths: Vec<Path>,
    /// Names in code, apart from fields and methods.
    pub said: BTreeSet<String>,
    /// By type, the methods in the `impl` blocks here.
    pub methods: BTreeMap<String, Methods>,
}

/// Methods of one type in one module.
#[derive(Default)]
pub struct Methods {
    pub defined: BTreeSet<String>,
    /// What they call on `self`.
    pub called: BTreeSet<String>,
}

/// One name of a `use` declaration; `*` for all.
pub struct Use {
    pub path: Path,
    pub name: String,
    pub public: bool,
}

/// Reads the module `path`, and those in braces within it. Returns those of its children that are files.
pub fn read(path: &Path, file: &str, words: &[String], found: &mut BTreeMap<Path, Module>) -> Vec<Path> {
    let (mut module, mut files) = (Module { file: file.to_owned(), ..Module::default() }, vec![]);
    let (mut at, mut depth) = (0, 0);
    while at < words.len() {
        let (before, next, after) =
            (word(words, at.wrapping_sub(1)), word(words, at + 1), word(words, at + 2));
        at += match word(words, at) {
            "use" if is_name(next) || next == "::" || next == "{" => {
                let public = before == "pub" || before == ")";
                1 + uses(&words[at + 1..], &mut vec![], public, &mut module.uses)
            }
            "mod" if is_name(next) => {
                let child = [path.as_slice(), &[next.to_owned()]].concat();
                module.children.insert(next.to_owned());
                let length = if after == "{" { braces(&words[at + 2..]) } else { 0 };
                if length > 0 {
                    files.extend(read(&child, file, &words[at + 3..at + 1 + length], found));
                } else {
                    files.push(child);
                }
                2 + length
            }
            // pub(in some::module)
            "in" if before == "(" => words[at..].iter().position(|word| word == ")").unwrap_or(1),
            name if is_name(name) => {
                if name == "impl" && ["", "}", ";", "]"].contains(&before) {
                    module.methods(&words[at..]);
                }
                module.name(words, at, depth == 0)
            }
            sign => {
                depth += i32::from(["(", "[", "{"].contains(&sign));
                depth -= i32::from([")", "]", "}"].contains(&sign));
                1
            }
        };
    }
    found.insert(path.clone(), module);
    files
}

impl Module {
    /// Takes in the name, or the path, that begins at a word of the code. Returns how many words it has.
    fn name(&mut self, words: &[String], at: usize, outermost: bool) -> usize {
        let mut end = at + 1;
        while word(words, end) == "::" && is_name(word(words, end + 1)) {
            end += 2;
        }
        let path: Path = words[at..end].iter().step_by(2).cloned().collect();
        if defines(&words[..at]) {
            self.defined.extend(outermost.then(|| path[0].clone()));
        } else if !["::", "."].contains(&word(words, at.wrapping_sub(1))) {
            if word(words, end) != ":" {
                self.said.insert(path[0].clone());
            }
            self.paths.extend((path.len() > 1).then_some(path));
        }
        end - at
    }

    /// Takes in the methods of the `impl` block that begins here. Those of a trait do not count.
    fn methods(&mut self, words: &[String]) {
        let Some(open) = words.iter().position(|word| word == "{") else { return };
        let (mut depth, mut of) = (0, None);
        for word in &words[1..open] {
            match word.as_str() {
                "for" => return,
                "where" => break,
                "<" => depth += 1,
                ">" => depth -= 1,
                name if depth == 0 && is_name(name) => of = Some(name),
                _ => {}
            }
        }
        let Some(of) = of else { return };
        let methods = self.methods.entry(of.to_owned()).or_default();
        let block = &words[open..open + braces(&words[open..])];
        let (mut depth, word) = (0, |at| word(block, at));
        for at in 0..block.len() {
            match word(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "fn" if depth == 1 => {
                    methods.defined.insert(word(at + 1).to_owned());
                }
                "self" if word(at + 1) == "." && ["(", "::"].contains(&word(at + 3)) => {
                    methods.called.insert(word(at + 2).to_owned());
                }
                _ => {}
            }
        }
    }
}

fn word(words: &[String], at: usize) -> &str {
    words.get(at).map_or("", String::as_str)
}

/// Whether what follows these words is the name of an item.
fn defines(before: &[String]) -> bool {
    let last = |n: usize| word(before, before.len().wrapping_sub(n));
    match last(1) {
        "struct" | "enum" | "union" | "trait" | "type" | "static" | "fn" => true,
        "const" => last(2) != "*",
        "!" => last(2) == "macro_rules",
        _ => false,
    }
}

/// How many words there are up to the end of the braces that begin here.
fn braces(words: &[String]) -> usize {
    let mut depth = 0;
    for (at, word) in words.iter().enumerate() {
        depth += i32::from(word == "{");
        depth -= i32::from(word == "}");
        if depth == 0 {
            return at + 1;
        }
    }
    words.len()
}

/// Reads one tree of a `use` declaration, that is one below `path`; returns how many words it has.
fn uses(words: &[String], path: &mut Path, public: bool, found: &mut Vec<Use>) -> usize {
    let (mut at, above) = (0, path.len());
    let mut used = |path: &Path, name: &str| {
        found.push(Use { path: path.clone(), name: name.to_owned(), public });
    };
    loop {
        match word(words, at) {
            "," | "}" | ";" | "" => break,
            "::" => {}
            "{" => {
                while words[at] != "}" {
                    at += 1;
                    at += uses(&words[at..], path, public, found);
                }
                path.truncate(above);
                return at + 1;
            }
            "*" => {
                used(path, "*");
                path.truncate(above);
                return at + 1;
            }
            "as" => {
                used(path, &words[at + 1]);
                path.truncate(above);
                return at + 2;
            }
            // `a::{self}` is `a`.
            "self" if above > 0 => {}
            name => path.push(name.to_owned()),
        }
        at += 1;
    }
    if let Some(name) = path.last().filter(|_| at > 0).cloned() {
        used(path, &name);
    }
    path.truncate(above);
    at
}
