//! Reads of the account that lag behind writes. Each kind has a constant for how long. Within that time an object that the
//! operator created is not gone, whatever reads say, and a change that reads do not show yet is not sent again.
//!
//! How old a reading may be that served others is decided in [`super::observe`].

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::engine::Settings;
use crate::engine::crd::{Operation, Reason, age, camel};
use crate::engine::error::Error;
use crate::engine::kind::{Change, When};

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

/// What was sent for an earlier generation and no read has shown since, of the fields that `changes` does not name. A read
/// that agrees with the present spec may be from before that change, so the present values are sent.
pub fn unconfirmed(
    want: &Value,
    changes: &[Change],
    sent: &Operation,
    generation: i64,
    lag: Duration,
    now: Timestamp,
) -> Vec<Change> {
    if sent.generation == generation || age(sent.since.0, now) >= lag {
        return vec![];
    }
    let fields = want.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let unseen = fields.map(|(field, _)| field).filter(|field| {
        sent.paths.contains(&camel(field)) && !changes.iter().any(|change| change.field() == *field)
    });
    unseen.map(|field| Change { path: field.clone(), when: When::Now }).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

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
    fn what_no_read_has_shown_is_sent_again_for_a_new_generation_until_reads_cannot_lag() {
        let sent = Operation {
            paths: vec!["awsRegion".into(), "tags".into()],
            generation: 1,
            since: Time(at(1_000)),
        };
        let want = json!({"aws_region": "eu", "tags": null, "name": "a"});
        let fields = |changes: &[Change], generation, now| -> Vec<String> {
            let all = unconfirmed(&want, changes, &sent, generation, seconds(60), at(now));
            all.into_iter().map(|change| change.path).collect()
        };
        assert_eq!(fields(&[], 2, 1_010), ["aws_region"], "only what is wanted, and was sent");
        assert_eq!(fields(&[], 1, 1_010), [""; 0], "the read is compared with the same spec");
        assert_eq!(fields(&[], 2, 1_060), [""; 0], "reads cannot lag any longer");
        let differs = Change { path: "aws_region".into(), when: When::Now };
        assert_eq!(fields(&[differs], 2, 1_010), [""; 0], "it is sent anyway");
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
