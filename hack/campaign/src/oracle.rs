//! What must never be, read from the account, its journal and the calls of the operator.

use std::collections::BTreeMap;
use std::ops::Range;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use simulator::{Call, Simulator};
use uuid::Uuid;

use crate::account;
use crate::fault::Fault;
use crate::trace::{Api, What};
use crate::world::World;

/// All objects of an account, by collection.
pub type End = BTreeMap<String, Vec<String>>;

/// So many calls to the account an operator for one object may send within a minute.
pub const BUSIEST_MINUTE: usize = 80;
/// So long after a call was sent the operator has seen its response, unless something goes wrong.
const IN_FLIGHT_MS: u64 = 10;

/// What the account's journal must not show: a second object for one, and a deletion before the user's. `live`: how many objects there
/// are at the start, and at most, for kinds whose objects are created by a POST and deleted by a DELETE.
pub fn of_account(world: &World, deleted_ms: Option<u64>, live: Option<[i32; 2]>) -> Vec<String> {
    let (mut wrong, whole, [mut live, most]) = (vec![], live.is_some(), live.unwrap_or_default());
    for call in world.account.writes().iter().filter(|call| call.applied) {
        if whole {
            live += i32::from(call.method == "POST") - i32::from(call.method == "DELETE");
            if live > most {
                wrong.push(format!(
                    "a second object: {} {} (call {} of the account)",
                    call.method, call.path, call.n
                ));
                live = most;
            }
        }
        let ours = is_ours(call);
        if call.method == "DELETE" && ours && deleted_ms.is_none_or(|deleted| call.at_ms < deleted) {
            wrong.push(format!("deleted in the account before the user deleted it: {}", call.path));
        }
    }
    wrong
}

/// Whether the operator sent a call.
fn is_ours(call: &Call) -> bool {
    call.traceparent.as_deref() != Some(account::OTHERS)
}

/// What the operator has changed in the account.
pub fn changes_of_the_operator(world: &World) -> Vec<String> {
    let writes = world.account.writes().into_iter().filter(|call| call.applied && is_ours(call));
    writes.map(|call| format!("{} {}", call.method, call.path)).collect()
}

/// What must not be deleted: an object of the account that another one uses. `uses`: the ids of both, of objects whose deletion users
/// requested from then on. What goes with its parent, without a call of its own, is not judged.
pub fn of_order(world: &World, from_ms: u64, uses: &[(String, String)]) -> Vec<String> {
    let writes = world.account.writes();
    let first = |id: &str, deletes: bool| {
        let its = |call: &&Call| {
            let (own, called) = (id.rsplit('/').next(), call.path.rsplit('/').next());
            call.applied && call.at_ms >= from_ms && own == called && (!deletes || call.method == "DELETE")
        };
        writes.iter().find(its).map(|call| call.n)
    };
    let early = uses.iter().filter(|(user, used)| match (first(user, false), first(used, true)) {
        (Some(user), Some(used)) => used < user,
        _ => false,
    });
    early
        .map(|(user, used)| format!("{used} was deleted in the account before {user}, which uses it"))
        .collect()
}

/// What the operator must not send: its secret, one that the account issued, too much, and what it was asked to delay. `objects`: how
/// many objects it manages; `busiest`: so many calls within a minute are too many.
pub fn of_calls(world: &World, objects: usize, busiest: usize) -> Vec<String> {
    let (mut wrong, mut sent) = (vec![], vec![]);
    // From when until when which calls must wait.
    let mut gates: Vec<(Range<u64>, String)> = vec![];
    let crashes = world.plan.strikes.iter().any(|(_, fault)| matches!(fault, Fault::Crash { .. }));
    let replaced = crashes || world.leased.holder().is_some();
    for line in world.trace.lines() {
        let What::Call { n, api, method, path, body, .. } = line.what else { continue };
        if !path.ends_with("/v1/token")
            && [account::SECRET, account::NEXT_SECRET].iter().any(|secret| body.contains(secret))
        {
            wrong.push(format!("the secret is in {method} {path}"));
        }
        let keeps = api == Api::Cluster && path.contains("/secrets");
        if !keeps && has_issued(&body) {
            wrong.push(format!("a secret that the account issued is in {method} {path}"));
        }
        if api == Api::Cluster {
            continue;
        }
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        // A new operator does not know of it.
        if !replaced
            && let Some((wait, _)) =
                gates.iter().find(|(wait, gated)| *gated == what && wait.contains(&line.at_ms))
        {
            wrong.push(format!("{what} was sent {} ms too early (call {n})", wait.end - line.at_ms));
        }
        if let Some(seconds) = world.plan.at(n).and_then(Fault::asks_to_wait) {
            // Calls for other objects may be in flight.
            let from_ms = line.at_ms + if objects > 1 { IN_FLIGHT_MS } else { 0 };
            gates.push((from_ms..line.at_ms + seconds * 1000, what));
        }
        sent.push(line.at_ms);
    }
    let found = sent.windows(busiest).find(|window| window[busiest - 1] - window[0] < 60_000);
    wrong.extend(
        found.map(|window| format!("{busiest} calls to the account within a minute, at {} ms", window[0])),
    );
    wrong
}

/// Whether a text has a secret that the account issued, to whatever kind of object: only the write of its Kubernetes Secret may.
fn has_issued(text: &str) -> bool {
    let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_hexdigit).count();
    text.split("dose").skip(1).any(|rest| digits(rest) >= 32)
}

/// All objects of an account, by collection, without what differs from run to run.
pub fn everything(account: &Simulator) -> End {
    let all = account.served().into_iter().map(|served| served.name);
    let objects = all.map(|name| {
        let mut objects: Vec<String> =
            account.objects(&name).iter().map(|one| masked(one).to_string()).collect();
        objects.sort_unstable();
        (name, objects)
    });
    objects.collect()
}

/// A value without ids and times.
fn masked(value: &Value) -> Value {
    match value {
        Value::Object(all) => all.iter().map(|(name, value)| (name.clone(), masked(value))).collect(),
        Value::Array(all) => all.iter().map(masked).collect(),
        Value::Number(number) if number.as_f64().is_some_and(|number| number > 1e9) => json!("~"),
        Value::String(text) => {
            let chosen = |word: &str| {
                let long = word.len() >= 10 && word.bytes().all(|byte| byte.is_ascii_digit());
                long || word.starts_with("dbc-") || Uuid::try_parse(word).is_ok()
            };
            if text.parse::<Timestamp>().is_ok() {
                return json!("~");
            }
            let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-');
            let words = words.map(|word| {
                let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
                if chosen(bare) { "~" } else { word }
            });
            Value::String(words.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers ST-12.
    #[test]
    fn an_issued_secret_is_recognised_in_any_text() {
        let secret = format!("dose{}", Uuid::new_v4().simple());
        assert!(has_issued(&secret) && has_issued(&json!({"status": {"message": secret}}).to_string()));
        assert!(!has_issued(account::SECRET) && !has_issued(account::NEXT_SECRET));
        assert!(!has_issued(&Uuid::new_v4().to_string()));
    }
}
