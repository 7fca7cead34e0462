//! How long this process knows of entries in the account that are not listed, and how many of them it has removed. The record of when one
//! was first seen is in the status, and is a time of the wall clock, which may be set: from the moment that this process knows of an entry,
//! its age does not depend on that clock. The same goes for what else a status records with its time: when a secret was replaced, and when
//! an object was created or changed that a guard must not miss.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::crd::age;

/// The time within which removals are counted.
const WINDOW: Duration = Duration::from_secs(3600);

/// What is remembered of the entries of one object.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    known: HashMap<String, Sighting>,
    removed: Vec<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Sighting {
    /// As the status records it.
    first_seen: Timestamp,
    /// Since when this process has known of it.
    since: Instant,
    /// How old it was then, by the wall clock.
    age: Duration,
}

/// How old something is whose beginning is recorded as a time of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Age {
    /// Since its beginning. What the wall clock was set by before this process knew of it is in here.
    pub whole: Duration,
    /// Since this process has known of it.
    pub here: Duration,
}

impl Sightings {
    /// How old an entry is that was first seen at this time, or something else that happened then.
    pub fn age_of(&mut self, id: &str, first_seen: Timestamp, now: Timestamp) -> Age {
        let known = self.known.get(id).copied().filter(|known| known.first_seen == first_seen);
        let known = known.unwrap_or_else(|| {
            let new = Sighting { first_seen, since: Instant::now(), age: age(first_seen, now) };
            self.known.insert(id.to_owned(), new);
            new
        });
        let here = known.since.elapsed();
        Age { whole: known.age.saturating_add(here), here }
    }

    /// Forgets the entries for which this is false.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.known.retain(|id, _| keep(id));
    }

    /// Whether one more may be removed if `at_most` may be within an hour, and so many are about to be; if not, how long until one may.
    pub fn room(&mut self, at_most: usize, about_to: usize) -> Result<(), Duration> {
        self.removed.retain(|at| at.elapsed() < WINDOW);
        if self.removed.len() + about_to < at_most {
            return Ok(());
        }
        Err(self.removed.first().map_or(WINDOW, |at| WINDOW.saturating_sub(at.elapsed())))
    }

    /// So many are removed now. They count whether or not the account accepts that.
    pub fn count_removed(&mut self, count: usize) {
        self.removed.extend(std::iter::repeat_n(Instant::now(), count));
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Covers LC-34. A restart counts from the record; a clock that is set while the process runs counts for nothing.
    #[tokio::test(start_paused = true)]
    async fn an_entry_is_as_old_as_its_record_and_then_as_this_process_knows() {
        let mut sightings = Sightings::default();
        let first = sightings.age_of("a", at(0), at(3600));
        assert_eq!(first, Age { whole: seconds(3600), here: seconds(0) });
        advance(seconds(60)).await;
        for wall in [-90_000, 0, 90_000] {
            let age = sightings.age_of("a", at(0), at(wall));
            assert_eq!(age, Age { whole: seconds(3660), here: seconds(60) }, "{wall}");
        }
        // It was gone, and another user gave the access again.
        assert_eq!(sightings.age_of("a", at(50), at(50)).whole, seconds(0));
        advance(seconds(5)).await;
        sightings.retain(|id| id != "a");
        assert_eq!(sightings.age_of("a", at(50), at(50)).whole, seconds(0), "it was forgotten");
        assert_eq!(sightings.age_of("b", at(9), at(0)).whole, seconds(0), "the clock was set back");
    }

    /// Covers LC-34.
    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_limit_is_removed_within_any_hour() {
        let mut sightings = Sightings::default();
        assert_eq!((sightings.room(3, 0), sightings.room(3, 2)), (Ok(()), Ok(())));
        assert_eq!(sightings.room(3, 3), Err(seconds(3600)), "those that are about to be removed count");
        sightings.count_removed(2);
        advance(seconds(600)).await;
        assert_eq!((sightings.room(3, 0), sightings.room(3, 1)), (Ok(()), Err(seconds(3000))));
        sightings.count_removed(1);
        assert_eq!(sightings.room(3, 0), Err(seconds(3000)));
        assert_eq!(sightings.room(5, 1), Ok(()), "the limit was raised");
        advance(seconds(3000)).await;
        assert_eq!((sightings.room(3, 1), sightings.room(3, 2)), (Ok(()), Err(seconds(600))));
    }
}
