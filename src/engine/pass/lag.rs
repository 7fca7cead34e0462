//! Reads of the account that lag behind writes. Each kind has a constant for how long. Within that time an object that the
//! operator created is not gone, whatever reads say.
//!
//! Changes that reads do not show yet are in [`super::operation`]. How old a reading may be that served others is decided in
//! [`super::observe`].

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::engine::Settings;
use crate::engine::crd::Reason;
use crate::engine::error::Error;

/// How long reads of a kind may lag behind writes, within what the settings allow.
#[derive(Clone, Copy, Debug)]
pub struct Lag {
    /// As long as the kind says.
    pub read: Duration,
    /// Within this time after its creation an object may be missing from reads: as long as the kind says, and at least as
    /// long as the operator waits for a create with an unknown result.
    pub shown_within: Duration,
    /// How often to read again at least and at most, while waiting.
    pub poll: (Duration, Duration),
}

impl Lag {
    /// For a kind whose reads may lag behind for this long.
    pub fn new(kind: Duration, settings: &Settings) -> Lag {
        let read = kind.min(settings.read_lag);
        Lag {
            read,
            shown_within: read.max(settings.quarantine.min(settings.read_lag)),
            poll: (settings.pace.poll_min, settings.pace.poll_max),
        }
    }

    /// The error to wait with while an object that was created at `created`, which is `age` ago, may be missing from reads; `None` once
    /// it counts as gone. `called` names it, `missing_for` is how long it has been missing: the wait grows with it.
    pub fn wait_until_shown(
        &self,
        called: &str,
        created: Timestamp,
        age: Duration,
        missing_for: Duration,
        deleting: bool,
    ) -> Option<Error> {
        // A clock that was set back does not lengthen the wait.
        let left = self.shown_within.checked_sub(age.max(missing_for)).filter(|left| !left.is_zero())?;
        let until = created.checked_add(self.shown_within).ok()?;
        let next = if deleting {
            "it is deleted as soon as a read shows it, and counts as gone after that time"
        } else {
            "it counts as gone only after that time"
        };
        let (least, most) = self.poll;
        Some(Error::Transient {
            reason: Reason::Retrying,
            message: format!(
                "the account does not show {called}, which was created at {created}: reads may lag behind until {until}; {next}"
            ),
            after: Some(missing_for.clamp(least, most).min(left)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::crd::age;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Covers LC-15.
    #[test]
    fn what_was_just_created_is_not_gone_and_is_read_ever_more_rarely() {
        let lag = Lag { read: seconds(60), shown_within: seconds(100), poll: (seconds(2), seconds(30)) };
        let wait = |now, missing| match lag.wait_until_shown(
            "Thing 1",
            at(1_000),
            age(at(1_000), at(now)),
            seconds(missing),
            false,
        ) {
            Some(Error::Transient { after, message, .. }) => {
                assert!(message.contains("Thing 1, which was created at"), "{message}");
                after
            }
            other => {
                assert_eq!(other, None);
                None
            }
        };
        let cases = [
            (1_000, 0, Some(2)),
            (1_010, 10, Some(10)),
            (1_040, 40, Some(30)),
            (1_095, 90, Some(5)),
            (1_100, 100, None),
            (2_000, 0, None),
        ];
        for (now, missing, after) in cases {
            assert_eq!(wait(now, missing), after.map(seconds), "at {now}");
        }
        // A clock that was set back makes nothing older than it is, and does not lengthen the wait.
        assert_eq!(wait(900, 0), Some(seconds(2)));
        assert_eq!(wait(900, 99), Some(seconds(1)));
        assert_eq!(wait(900, 100), None);
    }

    #[test]
    fn a_kind_may_lag_as_long_as_the_settings_allow() {
        let settings =
            |lag, quarantine| crate::engine::pass::fake::settings(seconds(lag), seconds(quarantine));
        let lag = |kind, lag, quarantine| {
            let lag = Lag::new(seconds(kind), &settings(lag, quarantine));
            (lag.read.as_secs(), lag.shown_within.as_secs())
        };
        assert_eq!(lag(600, 3_600, 60), (600, 600), "the kind says so");
        assert_eq!(lag(600, 30, 60), (30, 30), "the setting allows less");
        assert_eq!(lag(0, 600, 60), (0, 60), "at least as long as the wait for an unknown create");
        assert_eq!(lag(0, 30, 60), (0, 30));
    }
}
