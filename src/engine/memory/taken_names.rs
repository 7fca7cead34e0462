//! Objects whose name is taken in the account, or may be: each waits until another object gives up that name. Two objects that
//! exchange their names, or more of them in a circle, would wait for each other for ever, so such a circle is found here.
//!
//! This is about names that the account refuses. Which of two Kubernetes objects may manage one object is in `claims.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use crate::engine::crd::ObjectName;
use crate::engine::kind::Key;

/// All objects that wait for a name.
#[derive(Default)]
pub struct TakenNames(Mutex<All>);

/// By account and kind.
type All = HashMap<(String, String), BTreeMap<ObjectName, Waiting>>;

/// An object whose name is taken.
struct Waiting {
    /// The key that it has, if it exists.
    has: Option<Key>,
    /// The key that it needs.
    wants: Key,
}

impl TakenNames {
    /// The account refuses the key that an object needs because it is taken, or may refuse it. Returns whether the objects that
    /// wait for each other's keys form a circle through this object, so that none can proceed unless one steps aside.
    pub fn record(&self, account_id: &str, who: &ObjectName, has: Option<&Key>, wants: &Key) -> bool {
        let mut all = self.all();
        let waiting = all.entry((account_id.to_owned(), who.kind.clone())).or_default();
        waiting.insert(who.clone(), Waiting { has: has.cloned(), wants: wants.clone() });
        let Some(has) = has else { return false };
        let mut next = wants;
        for _ in 0..waiting.len() {
            match waiting.values().find(|other| other.has.as_ref() == Some(next)) {
                Some(holder) if holder.wants == *has => return true,
                Some(holder) => next = &holder.wants,
                None => return false,
            }
        }
        false
    }

    /// An object gave up its key, or may have. Returns the others of its kind that wait for it, and removes them: each is added
    /// again if the key turns out to be taken still.
    pub fn freed(&self, account_id: &str, who: &ObjectName, had: &Key) -> Vec<ObjectName> {
        let mut all = self.all();
        let Some(waiting) = all.get_mut(&(account_id.to_owned(), who.kind.clone())) else { return vec![] };
        let freed = waiting.extract_if(.., |other, waits| other != who && waits.wants == *had);
        freed.map(|(other, _)| other).collect()
    }

    /// Removes an object from those that wait.
    pub fn remove(&self, who: &ObjectName) {
        self.all().values_mut().for_each(|waiting| drop(waiting.remove(who)));
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().expect("no panic while held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> ObjectName {
        ObjectName { kind: "IpAccessList".into(), namespace: "a".into(), name: name.into() }
    }

    #[test]
    fn objects_without_a_name_are_triggered_once_when_one_is_freed() {
        let names = TakenNames::default();
        let key = |name: &str| Key { within: String::new(), name: name.into() };
        let taken = |name, has: &str, wants| names.record("acc", &who(name), Some(&key(has)), &key(wants));
        assert!(!taken("second", "b", "c"));
        assert!(!taken("third", "a", "b"), "second is not after a");
        assert!(taken("first", "c", "a"), "c → a → b → c");
        assert!(!names.record("acc", &who("new"), None, &key("a")), "it has no key that another could need");
        assert_eq!(names.freed("acc", &who("old"), &key("x")), []);
        assert_eq!(names.freed("acc", &who("old"), &key("a")), [who("first"), who("new")]);
        names.remove(&who("second"));
        names.remove(&who("third"));
        names.record("acc", &who("fourth"), None, &key("c"));
        names.remove(&who("fourth"));
        names.record("acc", &who("second"), None, &key("c"));
        names.record("acc", &who("third"), None, &key("c"));
        assert_eq!(names.freed("other", &who("first"), &key("c")), []);
        assert_eq!(names.freed("acc", &who("second"), &key("c")), [who("third")]);
        assert_eq!(names.freed("acc", &who("first"), &key("c")), [who("second")]);
    }
}
