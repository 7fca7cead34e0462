//! When a secret is replaced, and when its predecessor is deleted; and whether one that has no successor is lost. Pure: the time is an
//! argument.
//!
//! A secret is replaced after two thirds of its life. The life is the difference of two times of the account, and its start is our
//! own time of the creation, so a difference between the clocks does not matter. If our clock was wrong at the creation, the
//! account's time of it applies too, but not within the first sixth of the life: a clock that is always wrong would otherwise
//! replace each new secret at once.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::engine::cluster::Held;
use crate::engine::crd::{Retired, age};
use crate::engine::kind::{Output, Seen};

/// What is known of a secret and of the Kubernetes Secret that it is in.
#[derive(Clone, Debug)]
pub struct IssuedSecret {
    /// Where it goes, and how it is replaced.
    pub output: Output,
    /// It has no successor: it came with its object, and lasts as long as that.
    pub without_successor: bool,
    /// The Kubernetes Secret; none if it was not read, as nothing depends on it.
    pub held: Option<Held>,
    /// Secrets that were replaced, the oldest first.
    pub retired: Vec<Retired>,
    /// How long ago this process filled the Kubernetes Secret that had lost its secret, if it did.
    pub refilled: Option<Duration>,
    /// The renewal that this process filled it for last.
    pub renewed: Option<String>,
    /// When the operator created the present one, if it did.
    pub created: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// What is to be done about a secret that exists.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Nothing.
    None,
    /// Create its successor.
    Replace,
    /// Delete this former one.
    Discard(String),
    /// Delete this former one before its time, as there is no room for a successor.
    MakeRoom(String),
    /// Create its successor once this former one may be deleted. Decide again after this time.
    Later(String, Duration),
    /// The Kubernetes Secret has lost its secret again, so soon after it was filled: wait before another one is created.
    LostAgain,
    /// The Kubernetes Secret does not hold the secret, and no other takes its place.
    LostForGood,
}

/// No more secrets than this are valid beside the present one. The account has room for five of all users.
const MOST_RETIRED: usize = 1;

/// Something may take the value away each time: the account is asked for another secret this often.
const REFILL: Duration = Duration::from_secs(60);

impl IssuedSecret {
    /// Whether the Kubernetes Secret holds the secret with this id.
    pub fn holds(&self, id: &str) -> bool {
        matches!(&self.held, Some(Held::Own(held)) if held.id.as_deref() == Some(id))
    }

    /// What is to be done about a secret that exists.
    pub fn task(&self, seen: &Seen) -> Task {
        let lost = self.held.is_some() && !self.holds(&seen.id);
        if self.without_successor {
            return if lost { Task::LostForGood } else { Task::None };
        }
        let full = self.retired.len() >= MOST_RETIRED;
        let due_in = self.due_in(seen);
        let due = due_in.is_some_and(|left| left.is_zero());
        if lost && !due && self.refilled.is_some_and(|ago| ago < REFILL) {
            return Task::LostAgain;
        }
        if lost || due {
            // A former one makes room, unless its value is the one that users still find.
            let unused = self.retired.iter().find(|one| full && !self.holds(&one.id));
            return unused.map_or(Task::Replace, |one| Task::MakeRoom(one.id.clone()));
        }
        if let Some(over) = self.retired.iter().find(|one| self.left(one).is_zero()) {
            return Task::Discard(over.id.clone());
        }
        match self.retired.iter().filter(|_| full).min_by_key(|one| self.left(one)) {
            _ if !self.is_renewed() => Task::None,
            Some(next) => {
                let left = self.left(next);
                Task::Later(next.id.clone(), due_in.map_or(left, |due_in| due_in.min(left)))
            }
            None => Task::Replace,
        }
    }

    /// Whether a user requests a new secret. A tool that removes what the Secret notes of the last request does not.
    fn is_renewed(&self) -> bool {
        let Some(Held::Own(held)) = &self.held else { return false };
        let wanted = &self.output.renewal;
        wanted.is_some() && ![&held.renewal, &self.renewed].contains(&wanted)
    }

    /// How long until two thirds of its life are over; none if it does not end, or is not known.
    fn due_in(&self, seen: &Seen) -> Option<Duration> {
        let (begins, ends) = (seen.about.created?, seen.about.expires?);
        let life = Duration::from_secs(u64::try_from(ends.saturating_sub(begins)).ok()?);
        let begins = Timestamp::from_second(begins).ok()?;
        let created = self.created.unwrap_or(begins);
        let after = |time: Duration, since: Timestamp| time.saturating_sub(age(since, self.now));
        // One that was created in the future was created by a wrong clock.
        let not_before = if created > self.now { Duration::ZERO } else { after(life / 6, created) };
        let (ours, theirs) = (after(life * 2 / 3, created), after(life * 2 / 3, begins));
        Some(ours.min(theirs.max(not_before)))
    }

    fn left(&self, retired: &Retired) -> Duration {
        self.output.overlap.saturating_sub(age(retired.since.0, self.now))
    }

    /// How long until something is to be done that nothing else triggers; none if nothing is.
    pub fn next_due(&self, seen: Option<&Seen>) -> Option<Duration> {
        let retired = self.retired.iter().map(|one| self.left(one));
        retired.chain(seen.and_then(|seen| self.due_in(seen))).min()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::{Map, Value};

    use super::*;
    use crate::engine::cluster::Reserved;
    use crate::engine::kind::About;

    const LIFE: i64 = 9_000;
    const OVERLAP: i64 = 600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// The present secret `now`, created at 0 by the account's clock, which is an hour ahead of ours.
    fn seen() -> Seen {
        let about = About { created: Some(3_600), expires: Some(3_600 + LIFE), ..About::default() };
        Seen { id: "now".into(), state: Value::Null, facts: Map::new(), about }
    }

    fn holding(id: &str, renewal: Option<&str>) -> Option<Held> {
        let (id, renewal) = (Some(id.to_owned()), renewal.map(str::to_owned));
        Some(Held::Own(Reserved { id, renewal, ..Reserved::default() }))
    }

    fn issue(now: i64, held: Option<Held>, retired: &[(&str, i64)]) -> IssuedSecret {
        let retired = retired.iter().map(|(id, since)| Retired { id: (*id).into(), since: Time(at(*since)) });
        let overlap = Duration::from_secs(OVERLAP.unsigned_abs());
        let output = Output { overlap, renewal: Some("a".into()), ..Output::default() };
        let created = Some(at(0));
        IssuedSecret {
            output,
            without_successor: false,
            held,
            retired: retired.collect(),
            refilled: None,
            renewed: None,
            created,
            now: at(now),
        }
    }

    fn task(now: i64, held: Option<Held>, retired: &[(&str, i64)]) -> Task {
        issue(now, held, retired).task(&seen())
    }

    #[test]
    fn a_secret_is_replaced_when_two_thirds_of_its_life_are_over() {
        let held = || holding("now", Some("a"));
        assert_eq!(task(5_999, held(), &[]), Task::None);
        assert_eq!(task(6_000, held(), &[]), Task::Replace);
        assert_eq!(issue(5_000, held(), &[]).next_due(Some(&seen())), Some(Duration::from_secs(1_000)));
        let endless = Seen { about: About::default(), ..seen() };
        assert_eq!(issue(1_000_000, held(), &[]).task(&endless), Task::None);
        // One that outlives its successor makes room: it was replaced two thirds of a life ago.
        assert_eq!(task(6_000, held(), &[("old", 5_900)]), Task::MakeRoom("old".into()));
    }

    #[test]
    fn a_lost_kubernetes_secret_is_filled_with_a_new_secret_at_once() {
        for held in [Held::Absent, Held::Foreign, Held::Own(Reserved::default())] {
            assert_eq!(task(1, Some(held.clone()), &[]), Task::Replace, "{held:?}");
            assert_eq!(task(1, Some(held), &[("old", 0)]), Task::MakeRoom("old".into()));
        }
        assert_eq!(task(1, holding("another", Some("a")), &[]), Task::Replace);
        // Restored from a backup: users find it, so it is not deleted before they find another one.
        assert_eq!(task(1, holding("old", Some("a")), &[("old", 0)]), Task::Replace);
        assert_eq!(task(OVERLAP, holding("old", Some("a")), &[("old", 0)]), Task::Replace);
        assert_eq!(task(1, None, &[]), Task::None, "it was not read");
    }

    /// Covers LC-32.
    #[test]
    fn a_secret_that_has_no_successor_is_never_replaced() {
        let once = |held| IssuedSecret { without_successor: true, ..issue(6_000, held, &[]) }.task(&seen());
        assert_eq!(once(holding("now", None)), Task::None, "neither by its age nor by a renewal");
        for held in [Held::Absent, Held::Foreign, Held::Own(Reserved::default())] {
            assert_eq!(once(Some(held.clone())), Task::LostForGood, "{held:?}");
        }
        assert_eq!(once(holding("another", None)), Task::LostForGood);
        assert_eq!(once(None), Task::None, "it was not read");
    }

    #[test]
    fn a_former_secret_is_deleted_after_the_overlap() {
        let held = || holding("now", Some("a"));
        assert_eq!(task(OVERLAP + 99, held(), &[("old", 100)]), Task::None);
        assert_eq!(task(OVERLAP + 100, held(), &[("old", 100)]), Task::Discard("old".into()));
        let left = issue(OVERLAP, held(), &[("old", 100)]).next_due(Some(&seen()));
        assert_eq!(left, Some(Duration::from_secs(100)));
    }

    #[test]
    fn a_new_value_of_renewal_replaces_a_secret_as_soon_as_its_predecessor_may_go() {
        assert_eq!(task(1, holding("now", None), &[]), Task::Replace);
        assert_eq!(task(1, holding("now", Some("b")), &[]), Task::Replace);
        let left = Duration::from_secs(OVERLAP.unsigned_abs() - 1);
        assert_eq!(task(1, holding("now", Some("b")), &[("old", 0)]), Task::Later("old".into(), left));
        let mut removed = issue(1, holding("now", Some("b")), &[]);
        removed.output.renewal = None;
        assert_eq!(removed.task(&seen()), Task::None, "a value that is removed requests nothing");
    }

    /// A long overlap must not hide that the present secret ends before it is over.
    #[test]
    fn a_renewal_that_waits_does_not_hold_up_a_replacement_that_is_due() {
        let waits = |now| task(now, holding("now", Some("b")), &[("old", 5_900)]);
        assert_eq!(waits(5_950), Task::Later("old".into(), Duration::from_secs(50)));
        assert_eq!(waits(6_000), Task::MakeRoom("old".into()));
    }

    /// The clock of the node was ahead when the secret was created, and was corrected since.
    #[test]
    fn a_secret_is_replaced_in_time_though_our_clock_was_wrong_at_its_creation() {
        for ahead in [600, 3_600, 5_000, 8_000, 1_000_000] {
            let mut ahead_by = issue(0, holding("now", Some("a")), &[]);
            ahead_by.created = Some(at(ahead));
            let about = About { created: Some(0), expires: Some(LIFE), ..About::default() };
            let seen = Seen { about, ..seen() };
            let replaced = (0..LIFE).find(|now| {
                let issue = IssuedSecret { now: at(*now), ..ahead_by.clone() };
                assert_eq!(issue.due_in(&seen) == Some(Duration::ZERO), issue.task(&seen) == Task::Replace);
                issue.task(&seen) == Task::Replace
            });
            assert!(replaced.is_some_and(|at| at <= 7_500), "{ahead} s ahead: {replaced:?}");
        }
    }

    /// A clock that is ahead all the time makes the account's times look old, but not each new secret look overdue.
    #[test]
    fn a_wrong_clock_replaces_a_secret_a_few_times_too_often_at_most() {
        let about = About { created: Some(-100_000), expires: Some(-100_000 + LIFE), ..About::default() };
        let seen = Seen { about, ..seen() };
        let first =
            (0..LIFE).find(|now| issue(*now, holding("now", Some("a")), &[]).task(&seen) == Task::Replace);
        assert_eq!(first, Some(LIFE / 6));
    }
}
