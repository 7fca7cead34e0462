//! A list in the account that an object determines as a whole, while objects of another kind manage single entries of it: who has access to
//! a workspace. What neither lists nor manages is reported, or removed after a while. Values only; which entries are removed, and when, is
//! decided by the engine, for any such kind.

use std::collections::BTreeSet;
use std::time::Duration;

/// How a kind reads its list.
pub struct Roster<State> {
    /// The kind of which an object manages one entry alone. The id of an entry is the id that such an object has, `<within>/<name>`.
    pub by: &'static str,
    /// What the desired state lists, and what else the account has. Pure.
    pub entries: fn(want: &State, seen: &State) -> Entries,
    /// The desired state without what is not touched, and with what is to be removed. Pure.
    pub settle: fn(want: State, settled: &Settled) -> State,
}

/// The entries of a list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// Those that the desired state has.
    pub listed: Vec<Entry>,
    /// Those that only the account has, or has with more than the desired state lists, or may have: what it has is not known.
    pub unlisted: Vec<Entry>,
    /// How those are removed, if they are.
    pub removal: Option<Removal>,
    /// The account returned the whole list, with the contents of each entry. Nothing is removed by another one.
    pub complete: bool,
}

impl Entries {
    /// What is decided if other objects manage those, and these are removed.
    pub fn settled(&self, managed: &BTreeSet<String>, removed: BTreeSet<String>) -> Settled {
        let stays = self.unlisted.iter().map(|one| &one.id).filter(|id| !removed.contains(*id));
        Settled { held: managed.iter().chain(stays).cloned().collect(), removed }
    }

    /// Whether nothing would administer the list if this entry were removed after those.
    pub fn is_last(&self, id: &str, removed: &BTreeSet<String>) -> bool {
        let mut administrators = self.listed.iter().chain(&self.unlisted).filter(|one| one.administers);
        let is_one = self.unlisted.iter().any(|one| one.id == id && one.administers);
        is_one && administrators.all(|one| one.id == id || removed.contains(&one.id))
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// What it is, for people.
    pub name: String,
    /// Its state in the account.
    pub state: String,
    /// In the account it administers what the list is about. One such entry stays.
    pub administers: bool,
}

/// How entries that are not listed are removed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Removal {
    /// After they were seen for so long.
    pub after: Duration,
    /// So many within an hour at most.
    pub at_most: usize,
}

/// What the engine decided about the entries, by their ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settled {
    /// Not touched, whether listed or not: other objects manage them, or what is not listed of them stays for now.
    pub held: BTreeSet<String>,
    /// What is not listed of these is to be removed now.
    pub removed: BTreeSet<String>,
}
