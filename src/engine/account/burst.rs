//! When objects that come one after the other have the account read, if each of them needs a reading newer than its own deletion or
//! request. Pure: the time is an argument.
//!
//! A reading for each object would double the calls of a thousand deletions. So the first object of a burst has the account read at
//! once, as it may be alone, and a second after the last one the burst is over for all that still wait. In a burst that lasts, the
//! pauses between two readings grow with it: after 5 s, 20 s and 80 s, and then each minute. So a thousand objects need a handful of
//! readings for each parent, whatever the rate of calls is, and no object waits longer than a minute.

use std::time::Duration;

use tokio::time::Instant;

/// A burst is over when nothing came for this long.
const GAP: Duration = Duration::from_secs(1);

/// The shortest pause between two readings in a burst.
const SHORTEST: Duration = Duration::from_secs(5);

/// The longest one.
const LONGEST: Duration = Duration::from_secs(60);

/// Each reading comes when the burst is so many times as old as at the last one.
const GROWTH: u32 = 4;

/// A burst of objects of one kind.
#[derive(Debug, Default)]
pub struct Burst {
    /// What the first and the last object need a reading to be newer than.
    needed: Option<(Instant, Instant)>,
    /// When an object last had its turn. The readings of many parents take a while, and delay the calls that come next.
    read: Option<Instant>,
}

impl Burst {
    /// When an object has its turn to read the account, if it needs a reading that began at `since` or later, and the last one under
    /// its parent began at `read_at`. `None` is now.
    pub fn turn(&mut self, since: Instant, read_at: Option<Instant>, now: Instant) -> Option<Instant> {
        let (first, last) = match (self.needed, self.ends()) {
            (Some((first, last)), Some(ends)) if since < ends => (first, last.max(since)),
            _ => (since, since),
        };
        self.needed = Some((first, last));
        if self.is_over(now) {
            return None;
        }
        // Parents share the burst, and each has its own readings.
        let age = read_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(first));
        let grown = first + (age + SHORTEST).max(age * GROWTH).min(age + LONGEST);
        // The last one comes to end the burst.
        let due = self.ends().filter(|_| since == last).map_or(grown, |ends| grown.min(ends));
        if since > first && due > now {
            return Some(due);
        }
        self.read = Some(now);
        None
    }

    /// Whether nothing came for a while: who still waits need not wait any longer.
    pub fn is_over(&self, now: Instant) -> bool {
        self.ends().is_some_and(|ends| now >= ends)
    }

    /// When the burst is over, if nothing comes until then.
    fn ends(&self) -> Option<Instant> {
        let (_, last) = self.needed?;
        Some(self.read.map_or(last, |read| read.max(last)) + GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    /// The turns of objects that each need a reading newer than these times, in seconds; each comes again at its turn, or once another
    /// one has had the account read. Returns when the account was read.
    fn readings(needs: &[f64]) -> Vec<f64> {
        let begin = Instant::now();
        let (mut burst, mut read, mut at) = (Burst::default(), vec![], None);
        let mut waiting: Vec<(Instant, Instant)> =
            needs.iter().map(|s| begin + seconds(*s)).map(|at| (at, at)).collect();
        while let Some((now, since)) = waiting.iter().copied().min() {
            waiting.retain(|object| *object != (now, since));
            if at.is_some_and(|at| at >= since) {
                continue;
            }
            match burst.turn(since, at, now) {
                Some(due) => waiting.push((due, since)),
                None => {
                    at = Some(now);
                    read.push((now - begin).as_secs_f64());
                }
            }
        }
        read
    }

    #[test]
    fn a_single_object_does_not_wait() {
        assert_eq!(readings(&[0.0]), [0.0]);
        assert_eq!(readings(&[0.0, 3.0, 6.5]), [0.0, 3.0, 6.5]);
    }

    #[test]
    fn a_few_at_once_are_read_for_by_the_first_and_by_the_last() {
        assert_eq!(readings(&[0.0, 0.1, 0.2, 0.3]), [0.0, 1.3]);
    }

    /// A thousand deletions, 15 each second.
    #[test]
    fn a_burst_that_lasts_needs_few_readings() {
        let needs: Vec<f64> = (0..1000).map(|n| f64::from(n) / 15.0).collect();
        let read = readings(&needs);
        assert_eq!(read.len(), 4, "{read:?}");
        let again: Vec<f64> = (0..10_000).map(|n| f64::from(n) / 15.0).collect();
        assert!(readings(&again).len() <= 16);
    }

    /// Each parent has readings of its own; at the end of the burst none of them waits until it is due.
    #[test]
    fn when_a_burst_is_over_all_parents_are_read() {
        let begin = Instant::now();
        let (mut burst, at) = (Burst::default(), |s| begin + seconds(s));
        for n in 0..300 {
            burst.turn(at(f64::from(n) / 10.0), Some(at(20.0)), at(f64::from(n) / 10.0));
        }
        for since in [21.0, 25.0, 29.9] {
            assert!(burst.turn(at(since), Some(at(20.0)), at(30.8)).is_some(), "{since}");
        }
        for since in [21.0, 25.0, 29.9] {
            assert_eq!(burst.turn(at(since), Some(at(20.0)), at(30.9)), None, "{since}");
        }
    }

    /// The one that came last may be gone by its turn.
    #[test]
    fn no_object_waits_longer_than_a_minute() {
        let begin = Instant::now();
        let mut burst = Burst::default();
        for n in 0..3000 {
            let now = begin + seconds(f64::from(n) / 10.0);
            // Under this parent the account was read when the burst began.
            if let Some(due) = burst.turn(now, Some(begin), now) {
                assert!(due <= now + LONGEST, "{n}");
            }
        }
    }
}
