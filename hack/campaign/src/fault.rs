//! What can go wrong with one call of the operator, and which calls it happens to.

use std::fmt;
use std::str::FromStr;

use crate::lane::WORLDS;
use crate::seed;

/// What happens to a call, or begins with it. `applied` says whether the call had its effect.
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
    /// The call has its effect, and something in its response is wrong. Nothing happens to a response without that.
    Garbled(Garble),
    /// The call is as it should be, and something happens to the next event of a watch: of the first that has one.
    Watch(Watch),
    /// The call is as it should be, and the wall clock of the operator's machine is set by so many hours.
    Clock(i8),
}

/// A response in place of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// 429, with this `Retry-After`.
    Throttled(Option<&'static str>),
    /// 429, with a date as its `Retry-After`: in so many minutes.
    ThrottledUntil(u8),
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

/// What is wrong in a response of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garble {
    /// It is about another object: it has other ids and names. Only where the account returns one object to a GET: what it
    /// returns to a POST is all that says which object was created.
    OtherObject,
    /// It has texts in place of numbers.
    TextForNumber,
    /// It has null in place of the rows of its lists. Elsewhere null says that there is no value.
    NullForRow,
}

/// What happens to the next event of a watch. Only what an API server, or the connection to it, can do: within a watch the order is
/// kept, and a LIST is not older than what a watch has shown, as the operator asks for the newest state. A bookmark is as good as an event, but for the first two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It arrives so many seconds late, and so do those after it.
    Late(u8),
    /// It arrives twice.
    Twice,
    /// The watch ends in its place, as that of a server that stops.
    Cut,
    /// The watch ends in its place with 410: the client lists again.
    Expired,
    /// Nothing arrives any more, nor does the watch end.
    Silent,
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
        let refused = refused.chain([Says::ThrottledUntil(5), Says::Code(409), Says::Code(403)]);
        let refused = refused.chain([Says::BadToken(401), Says::BadToken(400)]);
        all.extend(refused.map(|what| Fault::Says { what, applied: false }));
        for applied in [false, true] {
            let either = [Says::Code(500), Says::Code(503), Says::Html(502), Says::Empty, Says::Truncated];
            all.extend(either.map(|what| Fault::Says { what, applied }));
        }
        all.extend([Garble::OtherObject, Garble::TextForNumber, Garble::NullForRow].map(Fault::Garbled));
        let lost = [Watch::Cut, Watch::Expired, Watch::Silent];
        all.extend([Watch::Late(5), Watch::Late(60), Watch::Twice].into_iter().chain(lost).map(Fault::Watch));
        all.extend([1, -1, 24, -24].map(Fault::Clock));
        all
    }

    /// How many seconds the response asks to wait, if it says so.
    pub fn asks_to_wait(self) -> Option<u64> {
        match self {
            Fault::Says { what: Says::Throttled(Some(after)), .. } => after.parse().ok(),
            // A date has no fractions of a second.
            Fault::Says { what: Says::ThrottledUntil(minutes), .. } => Some(60 * u64::from(minutes) - 1),
            _ => None,
        }
    }
}

/// Some minutes after the start of a run, see [`crate::Start`].
const FAR_DATE: &str = "Thu, 01 Jan 2026 00:40:00 GMT";

/// A plan is read as it is printed: each fault has a text of its own, without a semicolon.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effect = |applied: bool| if applied { "after its effect" } else { "without effect" };
        match self {
            Fault::Crash { applied } => write!(f, "crash {}", effect(*applied)),
            Fault::Unreachable => write!(f, "unreachable"),
            Fault::Lost => write!(f, "response lost"),
            Fault::Silent { applied } => write!(f, "no response, {}", effect(*applied)),
            Fault::Late => write!(f, "no response, and a late effect"),
            Fault::Says { what, applied } => write!(f, "{what} {}", effect(*applied)),
            Fault::Garbled(Garble::OtherObject) => write!(f, "response about another object"),
            Fault::Garbled(Garble::TextForNumber) => write!(f, "response with text for numbers"),
            Fault::Garbled(Garble::NullForRow) => write!(f, "response with null for rows"),
            Fault::Watch(what) => write!(f, "next event {what}"),
            Fault::Clock(hours) => write!(f, "clock set by {hours:+} h"),
        }
    }
}

impl fmt::Display for Says {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Says::Throttled(None) => write!(f, "429"),
            Says::Throttled(Some(after)) => write!(f, "429 (Retry-After: {after})"),
            Says::ThrottledUntil(minutes) => write!(f, "429 (Retry-After: the date in {minutes} min)"),
            Says::Code(code) => write!(f, "{code}"),
            Says::BadToken(code) => write!(f, "{code} for the token"),
            Says::Html(code) => write!(f, "{code} as a page"),
            Says::Empty => write!(f, "empty body"),
            Says::Truncated => write!(f, "half a document"),
        }
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Watch::Late(seconds) => write!(f, "{seconds} s late"),
            Watch::Twice => write!(f, "twice"),
            Watch::Cut => write!(f, "lost, the watch ends"),
            Watch::Expired => write!(f, "lost, the watch ends with 410"),
            Watch::Silent => write!(f, "lost, the watch is silent"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let found = Fault::all().into_iter().find(|fault| fault.to_string() == text);
        found.ok_or_else(|| format!("there is no fault {text:?}"))
    }
}

/// What happens to which calls, by their number.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The number of a call, and its fault.
    pub strikes: Vec<(usize, Fault)>,
}

impl Plan {
    /// The plan of this run of a story in which, in the run without faults, these calls have something to do. Of each four runs three have
    /// one fault, until each fault was at each call once in each world; the others have small swarms, drawn from this thread's randomness,
    /// in a world of their own.
    pub fn of(seed: u64, calls: &[usize]) -> Plan {
        let (all, count) = (Fault::all(), calls.len().max(1) as u64);
        let singles = count * all.len() as u64;
        let (world, number) = (seed % WORLDS, seed / WORLDS);
        let (swarm, number) = (number % 4 == 3, number - number / 4);
        if !swarm && number < singles {
            // Scattered, by a prime, so that the first runs are about all of the life, and those of each world are others.
            let at = (number + world * singles / WORLDS) * 7919 % singles;
            let call = calls.get((at % count) as usize).copied().unwrap_or(1);
            return Plan { strikes: vec![(call, all[(at / count) as usize])] };
        }
        let last = calls.last().map_or(1, |last| *last as u64);
        let count = 2 + seed::below(4);
        // A clock that is set while the operator restarts, or while a create is in doubt, may need a person.
        let together: Vec<Fault> =
            all.into_iter().filter(|fault| !matches!(fault, Fault::Clock(_))).collect();
        let strike = |_| {
            let busy = calls.get(seed::below(calls.len() as u64) as usize).map_or(1, |call| *call as u64);
            // What follows a fault takes calls of its own.
            let call = if seed::below(2) == 0 { busy } else { seed::below(last) + 1 };
            (call as usize, together[seed::below(together.len() as u64) as usize])
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

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Plan, String> {
        let strike = |text: &str| -> Result<(usize, Fault), String> {
            let parts = text.strip_prefix("call ").and_then(|rest| rest.split_once(": "));
            let (call, fault) = parts.ok_or_else(|| format!("{text:?} is not `call NUMBER: FAULT`"))?;
            let call = call.parse().map_err(|_| format!("{call:?} is not the number of a call"))?;
            Ok((call, fault.parse()?))
        };
        let strikes = text.split("; ").filter(|text| !text.is_empty()).map(strike);
        Ok(Plan { strikes: strikes.collect::<Result<_, String>>()? })
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
        let plans = (0..singles * 4 / 3 + 1).map(|number| Plan::of(number as u64 * WORLDS + 5, &calls));
        let (one, swarms): (Vec<Plan>, Vec<Plan>) = plans.partition(|plan| plan.strikes.len() == 1);
        let tried: BTreeSet<String> = one.iter().map(Plan::to_string).collect();
        assert!(tried.len() >= singles, "{} of {singles}", tried.len());
        assert!(swarms.len() >= singles / 4 && swarms.iter().all(|plan| plan.strikes.len() <= 5));
    }

    #[test]
    fn a_plan_is_read_as_it_is_printed() {
        let faults = Fault::all().into_iter().enumerate();
        let plan = Plan { strikes: faults.map(|(before, fault)| (before + 1, fault)).collect() };
        let read: Plan = plan.to_string().parse().unwrap();
        assert_eq!(read.strikes, plan.strikes);
        assert!("".parse::<Plan>().unwrap().strikes.is_empty());
        for wrong in ["call 1", "1: unreachable", "call x: unreachable", "call 1: unheard of"] {
            assert!(wrong.parse::<Plan>().is_err(), "{wrong}");
        }
    }
}
