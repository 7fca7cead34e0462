//! The line of new objects: those that are not bound to anything in the account yet. A create waits for the rate of calls, and if all
//! workers waited so, no change and no deletion of an object that exists would be reconciled before a thousand creates. So only some of
//! the workers of a kind are for new objects; the others wait here, outside of the work queue, and are woken one by one.
//!
//! First come, first served within a namespace, and each namespace in its turn: one that applies a thousand objects delays another by
//! no more than one object each. What is woken has a place kept for it, until it comes, leaves or is gone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::triggers::Triggers;
use crate::engine::crd::ObjectName;

/// How long a place is kept for an object that was woken. It comes as soon as a worker is free, unless it never comes.
const KEPT: Duration = Duration::from_secs(600);

/// The lines of all kinds. One for the process.
pub struct Line {
    /// So many new objects of a kind are reconciled at a time.
    places: usize,
    triggers: Arc<Triggers>,
    kinds: Mutex<HashMap<String, Waiting>>,
}

/// The line of one kind.
#[derive(Default)]
struct Waiting {
    /// How many are under work.
    inside: usize,
    /// Those that were woken, and when.
    woken: HashMap<ObjectName, Instant>,
    /// Those that wait, and since when.
    waiting: HashMap<ObjectName, Instant>,
    /// The order in which they came; it may name some that do not wait any more.
    order: BTreeMap<String, VecDeque<ObjectName>>,
    /// The namespace that was served last.
    served: String,
}

/// A worker that a new object occupies. Once dropped, the next one in the line is triggered.
pub struct WorkerSlot<'a> {
    line: &'a Line,
    kind: String,
}

impl Line {
    /// Lines for kinds that have so many workers each. A quarter of them, but not the only one, is for objects that are bound already.
    pub fn new(workers: usize, triggers: Arc<Triggers>) -> Line {
        Line { places: (workers - workers.div_ceil(4)).max(1), triggers, kinds: Mutex::default() }
    }

    /// Takes a worker for a new object. If there is none it is triggered when there is; returns how long it has waited.
    ///
    /// # Errors
    /// All workers for new objects are taken.
    pub fn enter(&self, who: &ObjectName) -> Result<WorkerSlot<'_>, Duration> {
        let mut kinds = self.kinds();
        let line = kinds.entry(who.kind.clone()).or_default();
        if line.woken.remove(who).is_none() {
            self.call(line);
            if line.woken.remove(who).is_none() && line.taken() >= self.places {
                return Err(line.push(who));
            }
        }
        line.waiting.remove(who);
        line.inside += 1;
        Ok(WorkerSlot { line: self, kind: who.kind.clone() })
    }

    /// An object is gone, or is not new any more.
    pub fn leave(&self, who: &ObjectName) {
        let mut kinds = self.kinds();
        let Some(line) = kinds.get_mut(&who.kind) else { return };
        line.waiting.remove(who);
        if line.woken.remove(who).is_some() {
            self.call(line);
        }
    }

    /// Wakes as many as there are free places.
    fn call(&self, line: &mut Waiting) {
        line.woken.retain(|_, since| since.elapsed() < KEPT);
        while line.taken() < self.places
            && let Some(next) = line.pop()
        {
            self.triggers.trigger(&next);
            line.woken.insert(next, Instant::now());
        }
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.kinds.lock().expect("no panic while held")
    }
}

impl Waiting {
    /// The places that are taken or kept.
    fn taken(&self) -> usize {
        self.inside + self.woken.len()
    }

    /// Adds an object at the end, unless it waits already. Returns how long it has waited.
    fn push(&mut self, who: &ObjectName) -> Duration {
        if let Some(since) = self.waiting.get(who) {
            return since.elapsed();
        }
        self.waiting.insert(who.clone(), Instant::now());
        self.order.entry(who.namespace.clone()).or_default().push_back(who.clone());
        Duration::ZERO
    }

    /// The next one: of the namespace after the one that was served last.
    fn pop(&mut self) -> Option<ObjectName> {
        while !self.waiting.is_empty() {
            let later = self.order.range((Excluded(self.served.clone()), Unbounded)).next();
            let (namespace, _) = later.or_else(|| self.order.iter().next())?;
            let namespace = namespace.clone();
            let next = self.order.get_mut(&namespace).and_then(VecDeque::pop_front);
            match next {
                None => drop(self.order.remove(&namespace)),
                Some(next) if self.waiting.remove(&next).is_some() => {
                    self.served = namespace;
                    return Some(next);
                }
                Some(_) => {}
            }
        }
        self.order.clear();
        None
    }
}

impl Drop for WorkerSlot<'_> {
    fn drop(&mut self) {
        let mut kinds = self.line.kinds();
        let Some(line) = kinds.get_mut(&self.kind) else { return };
        line.inside = line.inside.saturating_sub(1);
        self.line.call(line);
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use futures::channel::mpsc::UnboundedReceiver;
    use tokio::time::advance;

    use super::*;

    fn who(namespace: &str, name: &str) -> ObjectName {
        ObjectName { kind: "Fake".into(), namespace: namespace.into(), name: name.into() }
    }

    /// A line with three places, and what is woken.
    fn line() -> (Line, UnboundedReceiver<ObjectName>) {
        let triggers = Arc::new(Triggers::default());
        let woken = triggers.subscribe("Fake", None);
        (Line::new(4, triggers), woken)
    }

    fn names(woken: &mut UnboundedReceiver<ObjectName>) -> Vec<String> {
        std::iter::from_fn(|| woken.try_recv().ok()).map(|who| who.name).collect()
    }

    #[test]
    fn a_quarter_of_the_workers_takes_no_new_objects_unless_there_is_only_one() {
        for (workers, places) in [(1, 1), (2, 1), (4, 3), (8, 6), (16, 12)] {
            assert_eq!(Line::new(workers, Arc::default()).places, places, "{workers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_objects_are_triggered_in_order_and_namespaces_take_turns() {
        let (line, mut woken) = line();
        let mut inside: Vec<_> =
            ["a", "b", "c"].iter().filter_map(|name| line.enter(&who("one", name)).ok()).collect();
        assert_eq!(inside.len(), 3);
        for name in ["d", "e", "f", "d"] {
            assert!(line.enter(&who("one", name)).is_err());
        }
        for name in ["x", "y"] {
            assert!(line.enter(&who("two", name)).is_err());
        }
        assert_eq!(names(&mut woken), [""; 0]);
        let mut order = vec![];
        for _ in 0..5 {
            inside.remove(0);
            let next = woken.next().await.unwrap();
            inside.extend(line.enter(&next));
            order.push(next.name);
        }
        assert_eq!(order, ["d", "x", "e", "y", "f"]);
        assert!(line.enter(&who("one", "g")).is_err());
        inside.remove(0);
        assert!(line.enter(&who("two", "z")).is_err(), "the place is kept for the one that was woken");
        assert!(line.enter(&who("one", "g")).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_gone_keeps_no_place() {
        let (line, mut woken) = line();
        let mut inside: Vec<_> =
            ["a", "b", "c"].iter().filter_map(|name| line.enter(&who("one", name)).ok()).collect();
        for name in ["d", "e", "f", "g"] {
            assert!(line.enter(&who("one", name)).is_err());
        }
        line.leave(&who("one", "d"));
        inside.remove(0);
        assert_eq!(names(&mut woken), ["e"], "one that left before it was woken");
        line.leave(&who("one", "e"));
        assert_eq!(names(&mut woken), ["f"], "one that left after it was woken");
        advance(KEPT).await;
        inside.remove(0);
        assert_eq!(names(&mut woken), ["g"], "one that does not come");
    }

    /// However many wait, an object costs as much as if there were few.
    #[tokio::test(start_paused = true)]
    async fn a_waiting_object_is_triggered_once() {
        for count in [30, 300, 3000] {
            let (line, mut woken) = line();
            let mut inside: Vec<_> =
                ["a", "b", "c"].iter().filter_map(|name| line.enter(&who("one", name)).ok()).collect();
            for n in 0..count {
                assert!(line.enter(&who("one", &n.to_string())).is_err());
            }
            let mut triggers = 0;
            while inside.pop().is_some() {
                for name in names(&mut woken) {
                    triggers += 1;
                    inside.extend(line.enter(&who("one", &name)));
                }
            }
            assert_eq!(triggers, count);
        }
    }

    /// All workers may be busy for a while.
    #[tokio::test(start_paused = true)]
    async fn an_object_that_enters_late_keeps_its_place() {
        let (line, mut woken) = line();
        let mut inside: Vec<_> =
            ["a", "b", "c"].iter().filter_map(|name| line.enter(&who("one", name)).ok()).collect();
        for name in ["d", "e"] {
            assert!(line.enter(&who("one", name)).is_err());
        }
        inside.remove(0);
        advance(KEPT * 2).await;
        let late = line.enter(&who("one", "d"));
        assert!(late.is_ok());
        assert_eq!(names(&mut woken), ["d"]);
        assert_eq!(line.enter(&who("one", "e")).err(), Some(KEPT * 2), "how long it has waited");
    }
}
