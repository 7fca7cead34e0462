//! Little crates, a good one and some with one fault each: the checks of [`crate::graph`] accept and refuse them.

use std::collections::BTreeMap;

use crate::graph::Graph;

/// Two folders, one above the other, with a door each.
const GOOD: [(&str, &str); 6] = [
    ("lib", "mod low; pub mod high;"),
    // A door is no import: a child may import its sibling through it.
    ("low", "mod inner; mod other; pub use inner::{Inner, make as made}; pub(crate) use other::*;"),
    ("low/inner", "use super::Other; pub struct Inner(Other); pub fn make() {} fn own() { self::make() }"),
    ("low/other", "pub struct Other; #[cfg(test)] mod tests { use crate::high::High; }"),
    (
        "high",
        "//! [`crate::low::inner::Inner`]
         mod part;
         use crate::low::{self, Inner};
         use part::Part;
         use serde::high;
         pub struct High(Inner, low::Other, Part);
         fn f() { low::made(\"crate::low::inner\") }",
    ),
    ("high/part", "use crate::low::made; pub type Part = ();"),
];

const STRATA: &[&[&str]] = &[&["low"], &["high"]];

/// All that is wrong with the good crate when some of its files are replaced.
fn wrong(changes: &[(&str, &str)]) -> Vec<String> {
    let files = GOOD.iter().chain(changes);
    let texts: BTreeMap<_, _> =
        files.map(|(name, text)| (format!("src/{name}.rs"), (*text).to_owned())).collect();
    let graph = Graph::new("src", &texts);
    [graph.circles(), graph.against(STRATA), graph.side_doors(&[])].concat()
}

#[test]
fn a_good_crate_is_accepted() {
    assert_eq!(wrong(&[]), [""; 0]);
    let texts = GOOD.map(|(name, text)| (format!("src/{name}.rs"), text.to_owned())).into();
    let graph = Graph::new("src", &texts);
    let imports: Vec<_> = graph.imports_of("src/high.rs").collect();
    let expected = [
        ("Part", "src/high/part.rs"),
        ("Inner", "src/low/inner.rs"),
        ("make", "src/low/inner.rs"),
        ("Other", "src/low/other.rs"),
    ];
    assert_eq!(imports, expected, "each name is followed to the file that defines it");
}

#[test]
fn a_circle_is_refused() {
    let others = "mod inner; mod other; mod third; pub use inner::Inner; pub use other::Other;";
    let cases: [(&[_], &str); 5] = [
        // Siblings through the door of their parent.
        (
            &[("low/other", "use super::Inner; pub struct Other;")],
            "a circle of 2 files:
  src/low/inner.rs imports Other from src/low/other.rs
  src/low/other.rs imports Inner from src/low/inner.rs
 Move",
        ),
        // A child and its parent, whose own code uses what it re-exports.
        (
            &[
                ("high", "mod part; pub use part::Part; pub struct High(Part);"),
                ("high/part", "use super::High; pub struct Part(High);"),
            ],
            "a circle of 2 files:
  src/high.rs imports Part from src/high/part.rs
  src/high/part.rs imports High from src/high.rs
 Move",
        ),
        // Paths in code, one of them to what a macro makes.
        (
            &[
                ("high", "mod part; fn f() { let x = part::g(); }"),
                ("high/part", "pub fn g() { <super::Made as Default>::default(); }"),
            ],
            "src/high/part.rs imports Made from src/high.rs",
        ),
        // Methods of a type that lies in neither.
        (
            &[
                (
                    "low",
                    "mod inner; mod other; mod work; pub use inner::{Inner, make as made}; pub use other::Other;",
                ),
                ("low/work", "pub struct Work<'a>(&'a str);"),
                (
                    "low/inner",
                    "use super::work::Work; pub struct Inner; pub fn make() {}
                     impl Work<'_> { pub fn first(&self) { self.second(1) } fn own(&self) { self.first() } }",
                ),
                (
                    "low/other",
                    "use super::work::Work; pub struct Other;
                     impl<'a> Work<'a> { pub fn second(&self, n: u8) { f(|| self.first()); } }",
                ),
            ],
            "a circle of 2 files:
  src/low/inner.rs imports second from src/low/other.rs
  src/low/other.rs imports first from src/low/inner.rs
 Move",
        ),
        // Three files, and the shortest way around.
        (
            &[
                ("low", others),
                (
                    "low/inner",
                    "use super::other::Other; use super::third; pub struct Inner; fn f() { third::g() }",
                ),
                ("low/other", "use super::third::g; pub struct Other;"),
                ("low/third", "use super::inner::Inner; pub fn g() {}"),
            ],
            "a circle of 3 files:
  src/low/inner.rs imports g from src/low/third.rs
  src/low/third.rs imports Inner from src/low/inner.rs
 the shortest of several; all imports among these files:
  src/low/inner.rs imports Other from src/low/other.rs
  src/low/inner.rs imports g from src/low/third.rs
  src/low/other.rs imports g from src/low/third.rs
  src/low/third.rs imports Inner from src/low/inner.rs
 Move",
        ),
    ];
    for (changes, message) in cases {
        let found = wrong(changes);
        assert!(found.len() == 1 && found[0].contains(message), "{found:#?} is not {message}");
    }
}

#[test]
fn a_file_may_leave_methods_to_its_folder() {
    let high = "mod part; pub struct High; impl High { fn first(&self) { self.second() } }";
    let part = "use super::High; impl High { pub fn second(&self) {} }";
    assert_eq!(wrong(&[("high", high), ("high/part", part)]), [""; 0]);
}

#[test]
fn an_import_upwards_is_refused() {
    let high = ("high", "pub struct High;");
    for other in [
        "use crate::high::High; pub struct Other;",
        "use super::super::high::{self, High as H}; pub struct Other;",
        "pub struct Other; fn f(x: &crate::high::High) {}",
        "use crate::high::*; pub struct Other(High);",
    ] {
        let found = wrong(&[high, ("low/other", other)]);
        let message = "an import upwards, by low (stratum 0) from high (stratum 1):
  src/low/other.rs imports High from src/high.rs
 Move High down";
        assert!(found.len() == 1 && found[0].contains(message), "{other}: {found:#?}");
    }
    let found = wrong(&[("lib", "mod low; mod high; mod new;"), ("new", "")]);
    assert_eq!(found, ["src/new.rs is in no stratum: name it, or its folder, in the list of strata"]);
    let found = wrong(&[("lib", "mod low; use low::made;")]);
    assert_eq!(found, ["there is no high: take it out of the list of strata"]);
}

#[test]
fn a_side_door_is_refused() {
    for part in [
        "use crate::low::inner::Inner; pub type Part = ();",
        "use crate::low::{inner, made}; pub type Part = inner::Inner;",
        "use crate::low; pub type Part = low::inner::Inner;",
        "pub type Part = super::super::low::inner::Inner;",
    ] {
        let found = wrong(&[("high/part", part)]);
        let message = "past src/low.rs
 In src/low.rs write `mod inner;` and `pub use inner::…;`. In src/high/part.rs import it from low in place of low::inner.";
        assert!(found.len() == 1 && found[0].contains(message), "{part}: {found:#?}");
        assert!(found[0].starts_with("a side door: src/high/part.rs imports "), "{found:#?}");
    }
}

#[test]
fn an_open_folder_has_rooms_with_doors_of_their_own() {
    let files = [
        ("lib", "mod house; mod street;"),
        ("house", "pub mod room;"),
        ("house/room", "mod chest; pub use chest::Chest;"),
        ("house/room/chest", "pub struct Chest;"),
        ("street", "use crate::house::room::Chest; use crate::house::room::chest::Chest as Stolen;"),
    ];
    let texts = files.map(|(name, text)| (format!("src/{name}.rs"), text.to_owned())).into();
    let graph = Graph::new("src", &texts);
    let found = graph.side_doors(&["house"]);
    let message =
        "a side door: src/street.rs imports crate::house::room::chest::Chest past src/house/room.rs\n";
    assert!(found.len() == 1 && found[0].starts_with(message), "{found:#?}");
    assert_eq!(graph.side_doors(&[]).len(), 3);
}
