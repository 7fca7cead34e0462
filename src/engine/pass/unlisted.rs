//! What a list in the account has and its object does not list: the record of it, and what is said of it. Pure; [`super::roster`] decides
//! what is removed.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::engine::crd::{Listing, Unlisted, seconds, shorten};
use crate::engine::kind::Entry;

/// So many entries are recorded. Others get a record, and so a first day, once there is room.
const RECORDED: usize = 100;

/// So many are named in a message.
const NAMED: usize = 5;

/// What a reconcile found out about the list of its object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The list as the spec has it.
    pub list: Option<Value>,
    /// Why entries stay whose time has come, by id; `None` if nothing keeps one.
    pub kept: BTreeMap<String, Option<String>>,
    /// What is removed, by id: what it is.
    pub removed: BTreeMap<String, String>,
    /// Why nothing is removed at present, whatever its time.
    pub waits: Option<String>,
    /// How long until the next one may be removed.
    pub next: Option<Duration>,
}

impl Findings {
    /// One may be removed in this time, or earlier.
    pub fn within(&mut self, time: Duration) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }
}

/// What the status has recorded. A record that cannot be read is none: each delay begins again.
pub fn recorded(facts: &Map<String, Value>) -> Listing {
    Listing::deserialize(&Value::Object(facts.clone())).unwrap_or_default()
}

/// The record after one more read. An entry keeps the time at which it was first seen for as long as the account has it, but for one that
/// something kept until now: it begins again. What keeps one stays on record until that is checked once more.
pub fn recorded_after(
    before: &Listing,
    (listed, unlisted): (usize, &[Entry]),
    enforced: bool,
    findings: &Findings,
    now: Timestamp,
) -> Listing {
    let known = |entry: &Entry| before.unlisted.iter().find(|known| known.id == entry.id);
    let (mut old, new): (Vec<&Entry>, Vec<&Entry>) =
        unlisted.iter().partition(|entry| known(entry).is_some());
    old.extend(new);
    let record = |entry: &Entry| {
        let before = known(entry);
        let kept = before.and_then(|known| known.kept.as_ref());
        let keeps = findings.kept.get(&entry.id).map_or(kept, Option::as_ref).filter(|_| enforced);
        let since = before.filter(|_| kept.is_none() || keeps.is_some() || !enforced);
        Unlisted {
            id: entry.id.clone(),
            name: shorten(&entry.name, 256),
            state: shorten(&entry.state, 64),
            first_seen: since.map_or_else(|| seconds(now), |known| known.first_seen.clone()),
            kept: keeps.map(|why| shorten(why, 512)),
        }
    };
    let mut recorded: Vec<Unlisted> = old.into_iter().take(RECORDED).map(record).collect();
    recorded.sort_by(|one, other| (one.first_seen.0, &one.id).cmp(&(other.first_seen.0, &other.id)));
    let count = |count: usize| Some(i64::try_from(count).unwrap_or(i64::MAX));
    Listing {
        listed_count: count(listed),
        unlisted_count: count(unlisted.len()),
        enforced_since: enforced.then(|| before.enforced_since.clone().unwrap_or_else(|| seconds(now))),
        unlisted: recorded,
    }
}

/// What a user has to know of what is not listed. `waits` is why nothing is removed at present.
pub fn remark(listing: &Listing, waits: Option<&str>) -> Option<String> {
    let count = listing.unlisted_count.filter(|count| *count > 0)?;
    let named = |one: &Unlisted| format!("{} ({})", one.name, one.state);
    let mut text: Vec<String> = listing.unlisted.iter().take(NAMED).map(named).collect();
    let more = count.saturating_sub(i64::try_from(text.len()).unwrap_or(i64::MAX));
    if more > 0 {
        text.push(format!("and {more} more"));
    }
    let what = match (&listing.enforced_since, waits) {
        (Some(_), Some(why)) => format!("nothing is removed at present: {why}"),
        (Some(_), None) => "the operator removes what is not listed, each after the time in the spec".into(),
        (None, _) => "nothing is removed: list what is intended, and remove the rest".into(),
    };
    Some(format!("{count} not listed in the spec: {}; {what}", text.join(", ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(id: &str) -> Entry {
        Entry { id: id.to_owned(), name: format!("user {id}"), state: "ADMIN".to_owned(), administers: true }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn after(before: &Listing, ids: &[&str], enforced: bool, second: i64) -> Listing {
        found(before, ids, enforced, &Findings::default(), second)
    }

    fn found(before: &Listing, ids: &[&str], enforced: bool, findings: &Findings, second: i64) -> Listing {
        let entries: Vec<Entry> = ids.iter().map(|id| entry(id)).collect();
        recorded_after(before, (2, &entries), enforced, findings, at(second))
    }

    fn times(listing: &Listing) -> Vec<(&str, i64)> {
        listing.unlisted.iter().map(|one| (&*one.id, one.first_seen.0.as_second())).collect()
    }

    /// Covers LC-34. What went and came back is new; the record survives as the status has it.
    #[test]
    fn an_entry_keeps_its_first_time_as_long_as_it_is_there() {
        let first = after(&Listing::default(), &["b", "a"], false, 10);
        assert_eq!(times(&first), [("a", 10), ("b", 10)]);
        let Value::Object(facts) = json!(first) else { panic!("a listing is an object") };
        assert_eq!(recorded(&facts), first);
        let second = after(&recorded(&facts), &["a", "c"], false, 20);
        assert_eq!(times(&second), [("a", 10), ("c", 20)]);
        assert_eq!(times(&after(&second, &["b", "a"], false, 30)), [("a", 10), ("b", 30)]);
        let broken = json!({"unlisted": [{"id": "a"}]}).as_object().cloned().unwrap();
        assert_eq!(times(&after(&recorded(&broken), &["a"], false, 40)), [("a", 40)], "it cannot be read");
    }

    /// Covers LC-34. Time as a report does not count as time of grace.
    #[test]
    fn the_record_says_since_when_entries_are_removed() {
        let reported = after(&Listing::default(), &["a"], false, 10);
        assert_eq!(reported.enforced_since, None);
        let enforced = after(&reported, &["a"], true, 20);
        let again = after(&enforced, &["a"], true, 30);
        assert_eq!(again.enforced_since.map(|time| time.0), Some(at(20)));
        assert_eq!(after(&enforced, &["a"], false, 40).enforced_since, None);
    }

    /// Covers LC-34. An object was for it and is gone: there is as much time to notice as for any other. A start of the operator, or a
    /// reconcile that does not check, changes nothing.
    #[test]
    fn what_was_kept_begins_again_once_nothing_keeps_it() {
        let found = |before: &Listing, enforced, checked: &[Option<&str>], second| {
            let kept = checked.iter().map(|why| ("a".to_owned(), why.map(str::to_owned))).collect();
            let listing = found(before, &["a"], enforced, &Findings { kept, ..Findings::default() }, second);
            let kept = listing.unlisted[0].kept.clone();
            (listing, kept.unwrap_or_default())
        };
        let first = after(&Listing::default(), &["a"], true, 10);
        let (kept, why) = found(&first, true, &[Some("of use")], 20);
        assert_eq!((times(&kept), &*why), (vec![("a", 10)], "of use"));
        let (same, why) = found(&kept, true, &[], 30);
        assert_eq!((times(&same), &*why), (vec![("a", 10)], "of use"), "not checked");
        let (reported, why) = found(&same, false, &[], 40);
        assert_eq!((times(&reported), &*why), (vec![("a", 10)], ""), "nothing is removed at all");
        let (again, why) = found(&same, true, &[None], 50);
        assert_eq!((times(&again), &*why), (vec![("a", 50)], ""));
        let (due, why) = found(&again, true, &[None], 60);
        assert_eq!((times(&due), &*why), (vec![("a", 50)], ""));
    }

    /// Covers LC-34. Of many, those that were recorded first stay recorded.
    #[test]
    fn the_record_has_a_limit_and_the_count_has_none() {
        let ids: Vec<String> = (0..150).map(|n| format!("{n:03}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let first = after(&Listing::default(), &ids[20..], false, 10);
        let second = after(&first, &ids, false, 20);
        assert_eq!((second.unlisted.len(), second.unlisted_count), (RECORDED, Some(150)));
        assert_eq!(times(&second), times(&first));
    }

    #[test]
    fn a_message_names_the_first_and_counts_all() {
        let remark = |listing: &Listing| remark(listing, Some("one is not known"));
        assert_eq!(remark(&after(&Listing::default(), &[], false, 1)), None);
        let text = remark(&after(&Listing::default(), &["a", "b"], false, 1)).unwrap();
        assert_eq!(
            text,
            "2 not listed in the spec: user a (ADMIN), user b (ADMIN); nothing is removed: list what is intended, and remove the rest"
        );
        let many =
            remark(&after(&Listing::default(), &["a", "b", "c", "d", "e", "f", "g"], true, 1)).unwrap();
        assert!(many.starts_with("7 not listed in the spec: ") && many.contains("and 2 more"), "{many}");
        assert!(many.ends_with("; nothing is removed at present: one is not known"), "{many}");
    }
}
