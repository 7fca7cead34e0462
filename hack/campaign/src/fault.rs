//! What can go wrong with one call of the operator, and which calls it happens to.

use std::fmt;

use crate::seed;

/// What happens to a call. `applied` says whether it had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operator ends at this call.
    Crash {
        /// Before the response arrives, but after the effect.
        applied: bool,
    },
    /// There is no connection.
    Unreachable,
    /// The call has its effect, and its response is lost.
    Lost,
    /// There is never a response.
    Silent {
        /// Whether it had its effect.
        applied: bool,
    },
    /// There is never a response, and the effect comes once the caller has given up.
    Late,
    /// There is another response than the server's.
    Says {
        /// Which.
        what: Says,
        /// Whether it had its effect.
        applied: bool,
    },
}

/// A response in place of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// 429, with this `Retry-After`.
    Throttled(Option<&'static str>),
    /// An error of this status in the API's own form.
    Code(u16),
    /// The token is not good; 400 is plain text, as the account says it.
    BadToken(u16),
    /// A page of a gateway with this status.
    Html(u16),
    /// 200 and no body.
    Empty,
    /// 200 and the beginning of a document.
    Truncated,
}

impl Fault {
    /// Every fault.
    pub fn all() -> Vec<Fault> {
        let mut all = vec![
            Fault::Crash { applied: false },
            Fault::Crash { applied: true },
            Fault::Unreachable,
            Fault::Lost,
            Fault::Silent { applied: false },
            Fault::Silent { applied: true },
            Fault::Late,
        ];
        let refused = [None, Some("0"), Some("7"), Some("600"), Some("-5"), Some("soon"), Some(FAR_DATE)];
        let refused = refused.map(Says::Throttled).into_iter();
        let refused =
            refused.chain([Says::Code(409), Says::Code(403), Says::BadToken(401), Says::BadToken(400)]);
        all.extend(refused.map(|what| Fault::Says { what, applied: false }));
        for applied in [false, true] {
            let either = [Says::Code(500), Says::Code(503), Says::Html(502), Says::Empty, Says::Truncated];
            all.extend(either.map(|what| Fault::Says { what, applied }));
        }
        all
    }
}

/// Some minutes after the start of a run, see [`crate::Start`].
const FAR_DATE: &str = "Thu, 01 Jan 2026 00:40:00 GMT";

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = |applied: bool| if applied { "after its effect" } else { "without effect" };
        match self {
            Fault::Crash { applied } => write!(f, "crash {}", effect(*applied)),
            Fault::Unreachable => write!(f, "unreachable"),
            Fault::Lost => write!(f, "response lost"),
            Fault::Silent { applied } => write!(f, "no response, {}", effect(*applied)),
            Fault::Late => write!(f, "no response, and a late effect"),
            Fault::Says { what, applied } => write!(f, "{what:?} {}", effect(*applied)),
        }
    }
}

/// What happens to which calls, by their number.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The number of a call, and its fault.
    pub strikes: Vec<(usize, Fault)>,
}

impl Plan {
    /// The plan of run `index` of a story in which these calls have something to do. Of each four runs three have one fault, until each
    /// fault was at each call once; the others have small swarms, drawn from this thread's randomness.
    pub fn of(index: u64, calls: &[usize]) -> Plan {
        let (all, count) = (Fault::all(), calls.len().max(1) as u64);
        let singles = count * all.len() as u64;
        let (swarm, index) = (index % 4 == 3, index - index / 4);
        if !swarm && index < singles {
            // Scattered, by a prime, so that the first runs are about all of the life.
            let (call, fault) = (index * 7919 % singles % count, index * 7919 % singles / count);
            let call = calls.get(call as usize).copied().unwrap_or(1);
            return Plan { strikes: vec![(call, all[fault as usize])] };
        }
        let last = calls.last().map_or(1, |last| *last as u64);
        let count = 2 + seed::below(4);
        let strike = |_| {
            let busy = calls.get(seed::below(calls.len() as u64) as usize).map_or(1, |call| *call as u64);
            // What follows a fault takes calls of its own.
            let call = if seed::below(2) == 0 { busy } else { seed::below(last) + 1 };
            (call as usize, all[seed::below(all.len() as u64) as usize])
        };
        let mut strikes: Vec<_> = (0..count).map(strike).collect();
        strikes.sort_by_key(|(call, _)| *call);
        strikes.dedup_by_key(|(call, _)| *call);
        Plan { strikes }
    }

    /// What happens to call `n`.
    pub fn at(&self, n: usize) -> Option<Fault> {
        self.strikes.iter().find(|(call, _)| *call == n).map(|(_, fault)| *fault)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let strikes = self.strikes.iter().map(|(call, fault)| format!("call {call}: {fault}"));
        f.write_str(&strikes.collect::<Vec<_>>().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_first_runs_try_every_fault_at_every_call() {
        let calls = [1, 2, 5, 40];
        let singles = calls.len() * Fault::all().len();
        let plans = (0..singles * 4 / 3 + 1).map(|index| Plan::of(index as u64, &calls));
        let (one, swarms): (Vec<Plan>, Vec<Plan>) = plans.partition(|plan| plan.strikes.len() == 1);
        let tried: BTreeSet<String> = one.iter().map(Plan::to_string).collect();
        assert!(tried.len() >= singles, "{} of {singles}", tried.len());
        assert!(swarms.len() >= singles / 4 && swarms.iter().all(|plan| plan.strikes.len() <= 5));
    }
}
