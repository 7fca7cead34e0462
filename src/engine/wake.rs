//! Who depends on whom, and how a change of one object wakes the others: by a reverse index over references, not by a scan
//! and not by polling.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::ResourceExt;
use kube::core::DynamicObject;

/// A Kubernetes object of one of our kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Who {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Who {
    /// The name of an object of this kind.
    pub fn of(kind: &str, object: &DynamicObject) -> Who {
        Who { kind: kind.into(), namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// Objects in the way, as a message says it: how many, what they still do (`use`, `refer to`) with what, and the first few.
pub fn still(all: &[Who], verb: &str, what: &str) -> String {
    let names: Vec<String> = all.iter().take(5).map(Who::to_string).collect();
    let more = if all.len() > names.len() { ", …" } else { "" };
    let (first, rest) = verb.split_once(' ').unwrap_or((verb, ""));
    let does = match all.len() {
        1 => format!("1 object still {first}s {rest}"),
        count => format!("{count} objects still {first} {rest}"),
    };
    format!("{} {what} ({}{more})", does.trim_end(), names.join(", "))
}

type Queue = (String, Option<String>);

/// The index and the way into the work queues.
#[derive(Default)]
pub struct Wake {
    /// By kind, and namespace where only chosen ones are watched.
    queues: Mutex<HashMap<Queue, UnboundedSender<Who>>>,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    dependents: HashMap<Who, BTreeSet<Who>>,
    targets: HashMap<Who, Vec<Who>>,
}

impl Wake {
    /// The wake-ups for a kind, in one namespace or in all; to be called once for each.
    pub fn subscribe(&self, kind: &str, namespace: Option<&str>) -> UnboundedReceiver<Who> {
        let (sender, receiver) = unbounded();
        let key = (kind.to_owned(), namespace.map(str::to_owned));
        self.queues.lock().expect("no panic while held").insert(key, sender);
        receiver
    }

    /// Puts an object into its work queue, if it is one that we watch.
    pub fn wake(&self, who: &Who) {
        let queues = self.queues.lock().expect("no panic while held");
        let own = queues.get(&(who.kind.clone(), Some(who.namespace.clone())));
        if let Some(queue) = own.or_else(|| queues.get(&(who.kind.clone(), None))) {
            // A closed queue means that the process is ending.
            let _ = queue.unbounded_send(who.clone());
        }
    }

    /// Puts everything that refers to an object into the work queues.
    pub fn wake_dependents(&self, of: &Who) {
        for who in self.dependents(of) {
            self.wake(&who);
        }
    }

    /// What refers to an object, in a stable order.
    pub fn dependents(&self, of: &Who) -> Vec<Who> {
        let index = self.index.lock().expect("no panic while held");
        index.dependents.get(of).into_iter().flatten().cloned().collect()
    }

    /// Says what an object refers to now; nothing, if it is gone. Returns what it no longer refers to.
    pub fn refer(&self, who: &Who, targets: Vec<Who>) -> Vec<Who> {
        let mut index = self.index.lock().expect("no panic while held");
        let old = index.targets.remove(who).unwrap_or_default();
        for target in &old {
            if let Some(set) = index.dependents.get_mut(target) {
                set.remove(who);
                if set.is_empty() {
                    index.dependents.remove(target);
                }
            }
        }
        for target in &targets {
            index.dependents.entry(target.clone()).or_default().insert(who.clone());
        }
        let lost = old.into_iter().filter(|t| !targets.contains(t)).collect();
        if !targets.is_empty() {
            index.targets.insert(who.clone(), targets);
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_object_is_not_called_objects() {
        let all: Vec<Who> =
            (1..=7).map(|n| Who { kind: "K".into(), namespace: "ns".into(), name: n.to_string() }).collect();
        assert_eq!(still(&all[..1], "use", "it"), "1 object still uses it (K ns/1)");
        assert_eq!(still(&all[..1], "refer to", "this one"), "1 object still refers to this one (K ns/1)");
        assert_eq!(
            still(&all[..2], "refer to", "this one"),
            "2 objects still refer to this one (K ns/1, K ns/2)"
        );
        let five = "K ns/1, K ns/2, K ns/3, K ns/4, K ns/5";
        assert_eq!(still(&all[..5], "use", "it"), format!("5 objects still use it ({five})"));
        assert_eq!(still(&all, "use", "it"), format!("7 objects still use it ({five}, …)"));
    }
}
