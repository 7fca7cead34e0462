//! Which file imports what from which other file, read off `use` declarations and paths.
//!
//! A name is followed to the file that defines it, through re-exports. So a parent may declare and re-export its children
//! (a door) and its children may import each other through it: only what the parent's own code says is an import of the
//! parent. What a macro makes counts as defined where it is called. What only tests compile does not count.
//!
//! A type may have `impl` blocks in several files. A method that one of them calls on `self` is imported from the file that defines
//! it; but a file may leave methods to the files of its own folder. A call on another value is hidden from it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::slice::from_ref;

use crate::source::{Module, Path, read};
use crate::words::words;

/// Where a path leads: to a module, or to an item of one by its name there.
enum Place {
    Module(Path),
    Item(Path, String),
}

/// How many steps a search takes at most: a name may lead to itself.
const FUEL: u8 = 16;

/// By file, by the file that it imports from: the names.
type Imports = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// A name that was imported from within a folder in place of the folder's own file.
struct SideDoor {
    by: String,
    /// As it is written.
    path: Path,
    folder: Path,
    inner: String,
}

/// The files of a crate and what they import of each other.
pub struct Graph {
    /// The folder of the crate's sources.
    root: String,
    modules: BTreeMap<Path, Module>,
    imports: Imports,
    side_doors: Vec<SideDoor>,
}

impl Graph {
    /// Reads a crate from its texts by path; `root` is the folder with `lib.rs`. What `lib.rs` does not lead to is left out.
    pub fn new(root: &str, texts: &BTreeMap<String, String>) -> Self {
        let mut graph = Self {
            root: root.to_owned(),
            modules: BTreeMap::new(),
            imports: Imports::new(),
            side_doors: vec![],
        };
        let mut waiting = vec![(vec![], format!("{root}/lib.rs"))];
        while let Some((path, file)) = waiting.pop() {
            let text = texts.get(&file).unwrap_or_else(|| panic!("{file} is not there"));
            for child in read(&path, &file, &words(text), &mut graph.modules) {
                waiting.push((child.clone(), format!("{root}/{}.rs", child.join("/"))));
            }
        }
        graph.follow();
        graph
    }

    /// The files but for the crate's root.
    pub fn files(&self) -> BTreeSet<&str> {
        let modules = self.modules.iter().filter(|(path, _)| !path.is_empty());
        modules
            .map(|(_, module)| module.file.as_str())
            .filter(|file| *file != self.modules[&vec![]].file)
            .collect()
    }

    /// What a file imports, with the file that defines it.
    pub fn imports_of(&self, file: &str) -> impl Iterator<Item = (&str, &str)> {
        let from = self.imports.get(file).into_iter().flatten();
        from.flat_map(|(from, names)| names.iter().map(|name| (name.as_str(), from.as_str())))
    }

    /// Follows all that is imported to where it is defined.
    fn follow(&mut self) {
        let (mut imports, mut side_doors) = (Imports::new(), vec![]);
        for (at, module) in &self.modules {
            let mut import = |home: Path, name: String| {
                add(&mut imports, &module.file, &self.modules[&home].file, name);
            };
            let uses = module.uses.iter().map(|used| (&used.path, Some(used)));
            for (path, used) in uses.chain(module.paths.iter().map(|path| (path, None))) {
                let mut entered = vec![];
                let place = self.find(at, path, &mut entered, FUEL);
                side_doors.extend(past_doors(at, &entered).map(|(folder, inner)| SideDoor {
                    by: module.file.clone(),
                    path: path.clone(),
                    folder,
                    inner,
                }));
                match (place, used) {
                    // Of all that a module has, the names in the code are imported.
                    (Some(Place::Module(all)), Some(used)) if used.name == "*" => {
                        for name in module.said.iter().filter(|name| self.knows(&all, name, FUEL)) {
                            if let Some(Place::Item(home, name)) =
                                self.walk(all.clone(), from_ref(name), &mut vec![], FUEL)
                            {
                                import(home, name);
                            }
                        }
                    }
                    // A door to something within is no import, unless the code uses the name itself.
                    (Some(Place::Item(home, _)), Some(used))
                        if used.public && home.starts_with(at) && !module.said.contains(&used.name) => {}
                    (Some(Place::Item(home, name)), _) => import(home, name),
                    _ => {}
                }
            }
        }
        self.follow_methods(&mut imports);
        (self.imports, self.side_doors) = (imports, side_doors);
    }

    /// Follows the methods that are called on `self`.
    fn follow_methods(&self, imports: &mut Imports) {
        let modules = self.modules.iter();
        let of_each = modules.flat_map(|(at, module)| {
            module.methods.iter().filter_map(move |(of, methods)| {
                match self.find(at, from_ref(of), &mut vec![], FUEL)? {
                    Place::Item(home, of) => Some((at, (home, of), methods)),
                    Place::Module(_) => None,
                }
            })
        });
        let (all, mut homes) = (of_each.collect::<Vec<_>>(), BTreeMap::new());
        for (at, of, methods) in &all {
            homes.extend(methods.defined.iter().map(|name| ((of, name), *at)));
        }
        for (at, of, methods) in &all {
            for name in &methods.called {
                if let Some(home) = homes.get(&(of, name)).filter(|home| !home.starts_with(at)) {
                    add(imports, &self.modules[*at].file, &self.modules[*home].file, name.clone());
                }
            }
        }
    }

    /// Where a path leads that is written in module `at`: nowhere if it is not of this crate. Notes the modules that the
    /// path itself enters on the way.
    fn find(&self, at: &Path, path: &[String], entered: &mut Vec<Path>, fuel: u8) -> Option<Place> {
        let fuel = fuel.checked_sub(1)?;
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.walk(vec![], rest, entered, fuel),
            "self" | "super" => self.walk(at.clone(), path, entered, fuel),
            name if self.knows(at, name, fuel) => self.walk(at.clone(), path, entered, fuel),
            _ => None,
        }
    }

    fn walk(&self, mut at: Path, path: &[String], entered: &mut Vec<Path>, fuel: u8) -> Option<Place> {
        let Some((name, rest)) = path.split_first() else { return Some(Place::Module(at)) };
        if name == "self" || name == "super" {
            at.truncate(at.len() - usize::from(name == "super"));
            return self.walk(at, rest, entered, fuel);
        }
        let module = &self.modules[&at];
        let used = module.uses.iter().find(|used| used.name == *name && used.path != [name.as_str()]);
        let is_item = module.defined.contains(name) || used.is_some();
        if module.children.contains(name) && !(rest.is_empty() && is_item) {
            at.push(name.clone());
            entered.push(at.clone());
            return self.walk(at, rest, entered, fuel);
        }
        if module.defined.contains(name) {
            return Some(Place::Item(at, name.clone()));
        }
        if let Some(used) = used {
            return match self.find(&at, &used.path, &mut vec![], fuel)? {
                Place::Module(module) => self.walk(module, rest, entered, fuel),
                item => Some(item),
            };
        }
        match self.all_of(&at, fuel).into_iter().find(|module| self.knows(module, name, fuel)) {
            Some(module) => self.walk(module, path, &mut vec![], fuel),
            None => Some(Place::Item(at, name.clone())),
        }
    }

    fn knows(&self, at: &Path, name: &str, fuel: u8) -> bool {
        let module = &self.modules[at];
        module.children.contains(name)
            || module.defined.contains(name)
            || module.uses.iter().any(|used| used.name == name)
            || self.all_of(at, fuel).iter().any(|module| self.knows(module, name, fuel))
    }

    /// The modules of which a module imports everything.
    fn all_of(&self, at: &Path, fuel: u8) -> Vec<Path> {
        let Some(fuel) = fuel.checked_sub(1) else { return vec![] };
        let all = self.modules[at].uses.iter().filter(|used| used.name == "*");
        let places = all.filter_map(|used| self.find(at, &used.path, &mut vec![], fuel));
        places
            .filter_map(|place| if let Place::Module(module) = place { Some(module) } else { None })
            .collect()
    }

    /// Circles of files that import each other: each whole, with the shortest way around.
    pub fn circles(&self) -> Vec<String> {
        let (mut found, mut seen) = (vec![], BTreeSet::new());
        for file in self.files() {
            let reached = self.reached(file);
            if seen.contains(file) || !reached.contains_key(file) {
                continue;
            }
            let circle: BTreeSet<&str> =
                reached.keys().copied().filter(|other| self.reached(other).contains_key(file)).collect();
            seen.extend(circle.iter().copied());
            let ways = circle.iter().map(|start| way(&self.reached(start), start));
            let shortest = ways.min_by_key(Vec::len).expect("a circle has files");
            let mut message = format!("a circle of {} files:\n", circle.len());
            for pair in shortest.windows(2) {
                message += &self.line(pair[0], pair[1]);
            }
            if circle.len() >= shortest.len() {
                message += " the shortest of several; all imports among these files:\n";
                for by in &circle {
                    for from in self.direct(by).filter(|from| circle.contains(from)) {
                        message += &self.line(by, from);
                    }
                }
            }
            message += " Move what they need of each other into a file that imports none of them, or pass in a value.";
            found.push(message);
        }
        found
    }

    /// The files that a file imports from.
    fn direct(&self, file: &str) -> impl Iterator<Item = &str> {
        self.imports.get(file).into_iter().flat_map(|from| from.keys()).map(String::as_str)
    }

    /// All that a file imports, at first or second hand, each with the file before it on the shortest way.
    fn reached<'a>(&'a self, file: &'a str) -> BTreeMap<&'a str, &'a str> {
        let (mut reached, mut waiting) = (BTreeMap::new(), VecDeque::from([file]));
        while let Some(by) = waiting.pop_front() {
            for from in self.direct(by) {
                if !reached.contains_key(from) {
                    reached.insert(from, by);
                    waiting.push_back(from);
                }
            }
        }
        reached
    }

    fn line(&self, by: &str, from: &str) -> String {
        format!("  {by} imports {} from {from}\n", self.names(by, from))
    }

    fn names(&self, by: &str, from: &str) -> String {
        self.imports[by][from].iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Imports against the order of `strata`, the lowest first, and files that are in none of them. A stratum names files
    /// and folders below the root; within a stratum all may import each other.
    pub fn against(&self, strata: &[&[&str]]) -> Vec<String> {
        let holds = |name: &str, file: &str| {
            let rest = file.strip_prefix(&format!("{}/{name}", self.root));
            rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
        };
        // Of a folder and a file in it, both named, the longer name counts.
        let of = |file: &str| {
            let named = strata.iter().enumerate().flat_map(|(n, row)| row.iter().map(move |name| (n, name)));
            named.filter(|(_, name)| holds(name, file)).max_by_key(|(_, name)| name.len())
        };
        let gone = strata
            .iter()
            .copied()
            .flatten()
            .filter(|name| !self.files().iter().any(|file| holds(name, file)));
        let mut found: Vec<String> =
            gone.map(|name| format!("there is no {name}: take it out of the list of strata")).collect();
        for by in self.files() {
            let Some((own, own_name)) = of(by) else {
                found.push(format!("{by} is in no stratum: name it, or its folder, in the list of strata"));
                continue;
            };
            for from in self.direct(by) {
                if let Some((other, other_name)) = of(from).filter(|(other, _)| *other > own) {
                    let mut message = format!(
                        "an import upwards, by {own_name} (stratum {own}) from {other_name} (stratum {other}):\n"
                    );
                    message += &self.line(by, from);
                    let names = self.names(by, from);
                    message += &format!(" Move {names} down to stratum {own} or below, or pass in a value.");
                    found.push(message);
                }
            }
        }
        found
    }

    /// Imports from within a folder by a file outside of it, but for the folders in `open`.
    pub fn side_doors(&self, open: &[&str]) -> Vec<String> {
        let mut found = vec![];
        for SideDoor { by, path, folder, inner } in &self.side_doors {
            if open.contains(&folder.join("/").as_str()) {
                continue;
            }
            let (door, room) = (&self.modules[folder].file, [folder.as_slice(), from_ref(inner)].concat());
            let mut message = format!("a side door: {by} imports {} past {door}\n", path.join("::"));
            let (outer, inside) = (folder.join("::"), room.join("::"));
            message += &format!(" In {door} write `mod {inner};` and `pub use {inner}::…;`.");
            message += &format!(" In {by} import it from {outer} in place of {inside}.");
            found.push(message);
        }
        found
    }
}

/// Adds that a file imports a name from another one.
fn add(imports: &mut Imports, by: &str, from: &str, name: String) {
    if by != from {
        let imports = imports.entry(by.to_owned()).or_default();
        imports.entry(from.to_owned()).or_default().insert(name);
    }
}

/// The folders that a module goes into past their doors, each with what it enters there.
fn past_doors(at: &Path, entered: &[Path]) -> impl Iterator<Item = (Path, String)> {
    let parts = entered.iter().filter_map(|path| path.split_last());
    let past = parts.filter(|(_, folder)| !folder.is_empty() && !at.starts_with(folder));
    past.map(|(inner, folder)| (folder.to_vec(), inner.clone()))
}

/// The way from a file back to itself.
fn way<'a>(reached: &BTreeMap<&'a str, &'a str>, file: &'a str) -> Vec<&'a str> {
    let mut way = vec![file];
    while way.len() < 2 || way[way.len() - 1] != file {
        way.push(reached[way[way.len() - 1]]);
    }
    way.reverse();
    way
}
