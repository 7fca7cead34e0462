//! Which file imports which: derived from `use` and from paths in the code. A name counts as imported from the file that
//! defines it, however many doors re-export it on the way.
//!
//! A folder's file is its door if it re-exports something: other folders use the door, not the files behind it.

use std::collections::{BTreeMap, BTreeSet};

/// Source files of one crate: the path below its `src` without `.rs`, and the code without comments, strings and tests.
pub struct Graph {
    files: BTreeMap<String, String>,
    /// What each file imports, itself excepted.
    imports: BTreeMap<String, BTreeSet<String>>,
    doors: Vec<String>,
}

/// A path in the code, such as `crate::a::B`, and whether it only re-exports.
struct Path {
    segments: Vec<String>,
    exports: bool,
}

impl Graph {
    /// Reads the files. `root` is the file of the crate's root, `lib` or `main`.
    pub fn of(files: BTreeMap<String, String>, root: &str) -> Graph {
        let mut graph = Graph { files, imports: BTreeMap::new(), doors: vec![] };
        for (file, code) in &graph.files {
            let (mut imports, mut doors) = (BTreeSet::new(), vec![]);
            for path in paths(code) {
                let Some(mut way) = graph.way(file, root, &path.segments) else { continue };
                let Some(end) = way.pop() else { continue };
                doors.extend(graph.side_door(file, &way, &end));
                let behind = end.strip_prefix(file.as_str()).is_some_and(|rest| rest.starts_with('/'));
                if end != *file && !(path.exports && behind) {
                    imports.insert(end);
                }
            }
            graph.imports.insert(file.clone(), imports);
            graph.doors.extend(doors);
        }
        graph
    }

    /// The files that a path leads through, the one that defines its name last; none if it leads out of the crate.
    fn way(&self, file: &str, root: &str, segments: &[String]) -> Option<Vec<String>> {
        let module = if file == root { "" } else { file };
        let (mut at, mut rest): (String, &[String]) = match segments.first()?.as_str() {
            "crate" => (String::new(), &segments[1..]),
            "self" => (module.to_owned(), &segments[1..]),
            "super" => (module.to_owned(), segments),
            first if self.files.contains_key(&join(module, first)) => (module.to_owned(), segments),
            _ => return None,
        };
        while rest.first().is_some_and(|segment| segment == "super") {
            at = at.rsplit_once('/').map_or(String::new(), |(parent, _)| parent.to_owned());
            rest = &rest[1..];
        }
        let file_of = |module: &str| if module.is_empty() { root.to_owned() } else { module.to_owned() };
        let mut way = vec![];
        for (index, segment) in rest.iter().enumerate() {
            let inner = join(&at, segment);
            if self.files.contains_key(&inner) {
                at = inner;
                way.push(at.clone());
                continue;
            }
            let here = file_of(&at);
            // A name that is imported here is defined elsewhere.
            let elsewhere = paths(self.files.get(&here)?)
                .into_iter()
                .filter(|path| path.exports && path.segments.last() == Some(segment))
                .find_map(|path| self.way(&here, root, &path.segments)?.pop());
            way.push(elsewhere.unwrap_or(here));
            let _ = index;
            return Some(way);
        }
        if way.is_empty() {
            way.push(file_of(&at))
        }
        Some(way)
    }

    /// A file behind a door that is entered past it.
    fn side_door(&self, file: &str, way: &[String], _: &str) -> Option<String> {
        let inner = way.last()?;
        let (folder, _) = inner.rsplit_once('/')?;
        let within = file == folder || file.starts_with(&format!("{folder}/"));
        let is_door = paths(self.files.get(folder)?).iter().any(|path| path.exports);
        (is_door && !within).then(|| {
            format!("{file}.rs enters {inner}.rs past its door: import it from {folder}.rs, and re-export it there")
        })
    }

    /// Imports past a door.
    pub fn side_doors(&self) -> &[String] {
        &self.doors
    }

    /// Imports from a lower stratum of a higher one. `strata` are files or folders, the lowest first.
    pub fn wrong_ways(&self, strata: &[&str]) -> Vec<String> {
        let rank = |file: &str| {
            let of = |stratum: &&str| file == *stratum || file.starts_with(&format!("{stratum}/"));
            strata.iter().position(of)
        };
        let mut wrong = vec![];
        for (file, imports) in &self.imports {
            let Some(own) = rank(file) else {
                wrong.push(format!("{file}.rs is in no stratum: add it to the list"));
                continue;
            };
            let up = imports.iter().filter(|import| rank(import).is_some_and(|other| other > own));
            wrong.extend(up.map(|import| {
                format!("{file}.rs imports {import}.rs, which is above it: move what it needs down")
            }));
        }
        wrong
    }

    /// Files that import each other, directly or through others: for each file at most one such way.
    pub fn circles(&self) -> Vec<String> {
        let mut found: Vec<String> = vec![];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for file in self.files.keys() {
            if seen.contains(file.as_str()) {
                continue;
            }
            if let Some(circle) = self.back_to(file) {
                seen.extend(circle.iter().copied());
                let names: Vec<String> = circle.iter().map(|file| format!("{file}.rs")).collect();
                found.push(format!(
                    "{} -> {file}.rs: move what both need into a third file",
                    names.join(" -> ")
                ));
            }
        }
        found
    }

    /// The shortest way of imports from a file to itself.
    fn back_to(&self, start: &str) -> Option<Vec<&str>> {
        let (start, _) = self.files.get_key_value(start)?;
        let mut ways: Vec<Vec<&str>> = vec![vec![start]];
        let mut visited = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = vec![];
            for way in ways {
                let Some(imports) = way.last().and_then(|last| self.imports.get(*last)) else { continue };
                for import in imports {
                    if import == start {
                        return Some(way);
                    }
                    if visited.insert(import) {
                        longer.push(way.iter().copied().chain([import.as_str()]).collect());
                    }
                }
            }
            ways = longer;
        }
        None
    }
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}/{name}") }
}

/// All paths of a file: each leaf of a `use`, and what begins with `crate::`, `super::` or `self::` elsewhere.
fn paths(code: &str) -> Vec<Path> {
    let mut all = vec![];
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let at = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "].iter().find_map(|word| {
            let found = statement.rfind(&format!("\n{word}")).map(|at| (at + 1, *word));
            found.or_else(|| statement.starts_with(word).then_some((0, *word)))
        });
        match at {
            Some((at, word)) => {
                rest += &statement[..at];
                let tree = statement[at + word.len()..].trim_end_matches(';');
                leaves(tree, &mut vec![], &mut |segments| {
                    all.push(Path { segments: segments.to_vec(), exports: word.starts_with("pub") });
                });
            }
            None => rest += statement,
        }
    }
    for start in ["crate::", "super::", "self::"] {
        for (at, _) in rest.match_indices(start) {
            let before = rest[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let end = rest[at..]
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
                .unwrap_or(rest.len() - at);
            let segments =
                rest[at..at + end].split("::").filter(|s| !s.is_empty()).map(str::to_owned).collect();
            all.push(Path { segments, exports: false });
        }
    }
    all
}

/// The leaves of a `use` tree: `a::{b, c::D}` has `a::b` and `a::c::D`.
fn leaves(tree: &str, before: &mut Vec<String>, found: &mut impl FnMut(&[String])) {
    let (mut depth, mut from) = (0, 0);
    let mut parts = vec![];
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&tree[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&tree[from..]);
    for part in parts.into_iter().map(str::trim).filter(|part| !part.is_empty()) {
        let (path, inner) = part.split_once('{').map_or((part, None), |(path, inner)| (path, Some(inner)));
        let path = path.split(" as ").next().unwrap_or(path);
        let length = before.len();
        before.extend(path.split("::").map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned));
        match inner {
            Some(inner) => leaves(inner.trim_end().trim_end_matches('}'), before, found),
            None => {
                if before.last().is_some_and(|last| last == "self") {
                    before.pop();
                }
                found(before);
            }
        }
        before.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let files = files.iter().map(|(file, code)| ((*file).to_owned(), format!("\n{code}\n")));
        Graph::of(files.chain([("lib".to_owned(), "pub mod a;".to_owned())]).collect(), "lib")
    }

    /// A folder `low` with a door, and a file `high` that uses it as it should.
    const GOOD: [(&str, &str); 4] = [
        ("low", "mod one;\nmod two;\npub use one::One;\npub use two::{Two, two};"),
        ("low/one", "pub struct One;"),
        ("low/two", "use super::one::One;\npub struct Two(One);\npub fn two() {}"),
        ("high", "use crate::low::{One, Two};\nfn f() -> Two { crate::low::two() }"),
    ];

    fn with(more: &[(&str, &str)]) -> Graph {
        let mut files: BTreeMap<&str, &str> = GOOD.into_iter().collect();
        files.extend(more.iter().copied());
        graph(&files.into_iter().collect::<Vec<_>>())
    }

    const STRATA: [&str; 3] = ["low", "high", "lib"];

    #[test]
    fn a_good_house_has_no_fault_and_names_count_where_they_are_defined() {
        let graph = with(&[]);
        let imports: Vec<&str> = graph.imports["high"].iter().map(String::as_str).collect();
        assert_eq!(imports, ["low/one", "low/two"]);
        assert_eq!(graph.imports["low"].len(), 0, "a door imports nothing by re-exporting");
        assert!(graph.circles().is_empty() && graph.side_doors().is_empty());
        assert!(graph.wrong_ways(&STRATA).is_empty());
    }

    #[test]
    fn a_circle_is_refused_by_all_its_files() {
        let two = with(&[("low/one", "use super::two::Two;\npub struct One;")]);
        assert_eq!(two.circles().len(), 1);
        assert!(
            two.circles()[0].starts_with("low/one.rs -> low/two.rs -> low/one.rs: "),
            "{:?}",
            two.circles()
        );
        let through_a_door = with(&[("low/one", "use crate::low::Two;\npub struct One;")]);
        assert_eq!(through_a_door.circles().len(), 1, "a door hides no circle");
        let by_a_path = with(&[("low/one", "pub struct One;\nfn f() { super::two::two() }")]);
        assert_eq!(by_a_path.circles().len(), 1, "without a `use` as well");
        let with_its_door = with(&[
            ("low/one", "use super::shared;\npub struct One;"),
            ("low", "mod one;\nmod two;\nuse one::One;\npub use two::Two;\npub fn shared(_: One) {}"),
        ]);
        assert_eq!(with_its_door.circles().len(), 1);
    }

    #[test]
    fn an_import_of_a_higher_stratum_is_refused() {
        let up =
            with(&[("low/one", "use crate::high::High;\npub struct One;"), ("high", "pub struct High;")]);
        let wrong = up.wrong_ways(&STRATA);
        assert_eq!(wrong, ["low/one.rs imports high.rs, which is above it: move what it needs down"]);
        let lost = with(&[("lost", "")]);
        assert_eq!(lost.wrong_ways(&STRATA), ["lost.rs is in no stratum: add it to the list"]);
    }

    #[test]
    fn a_side_door_is_refused() {
        let past = with(&[("high", "use crate::low::one::One;")]);
        assert_eq!(past.side_doors().len(), 1);
        assert!(
            past.side_doors()[0].starts_with("high.rs enters low/one.rs past its door"),
            "{:?}",
            past.side_doors()
        );
    }
}
