//! What must never be, read from the account, its journal and the calls of the operator.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use simulator::Simulator;
use uuid::Uuid;

use crate::account;
use crate::fault::{Fault, Says};
use crate::trace::{Api, What};
use crate::world::World;

/// All objects of an account, by collection.
pub type End = BTreeMap<String, Vec<String>>;

/// So many calls to the account an operator for one object may send within a minute.
const BUSIEST_MINUTE: usize = 80;

/// What the account's journal must not show: a second object, and a deletion before the user's. `live`: how many objects there are
/// at the start, for kinds whose objects are created by a POST and deleted by a DELETE.
pub fn of_account(world: &World, deleted_ms: Option<u64>, live: Option<i32>) -> Vec<String> {
    let (mut wrong, whole, mut live) = (vec![], live.is_some(), live.unwrap_or_default());
    for call in world.account.writes().iter().filter(|call| call.applied) {
        let others = call.traceparent.as_deref() == Some(account::OTHERS);
        if whole {
            live += i32::from(call.method == "POST") - i32::from(call.method == "DELETE");
            if live > 1 {
                wrong.push(format!(
                    "a second object: {} {} (call {} of the account)",
                    call.method, call.path, call.n
                ));
                live = 1;
            }
        }
        if call.method == "DELETE" && !others && deleted_ms.is_none_or(|deleted| call.at_ms < deleted) {
            wrong.push(format!("deleted in the account before the user deleted it: {}", call.path));
        }
    }
    wrong
}

/// What the operator must not send: the secret, too much, and what it was asked to delay.
pub fn of_calls(world: &World) -> Vec<String> {
    let (mut wrong, mut sent) = (vec![], vec![]);
    // Until when which calls must wait.
    let mut gates: Vec<(u64, String)> = vec![];
    let crashes = world.plan.strikes.iter().any(|(_, fault)| matches!(fault, Fault::Crash { .. }));
    for line in world.trace.lines() {
        let What::Call { n, api, method, path, body, .. } = line.what else { continue };
        if !path.ends_with("/v1/token")
            && [account::SECRET, account::NEXT_SECRET].iter().any(|secret| body.contains(secret))
        {
            wrong.push(format!("the secret is in {method} {path}"));
        }
        if api == Api::Cluster {
            continue;
        }
        let what = format!("{method} {}", path.split('?').next().unwrap_or_default());
        // A new operator does not know of it.
        if !crashes
            && let Some((until, _)) =
                gates.iter().find(|(until, gated)| *gated == what && line.at_ms < *until)
        {
            wrong.push(format!("{what} was sent {} ms too early (call {n})", until - line.at_ms));
        }
        if let Some(Fault::Says { what: Says::Throttled(Some(after)), .. }) = world.plan.at(n) {
            gates.extend(after.parse::<u64>().ok().map(|seconds| (line.at_ms + seconds * 1000, what)));
        }
        sent.push(line.at_ms);
    }
    let busiest = sent.windows(BUSIEST_MINUTE).find(|window| window[BUSIEST_MINUTE - 1] - window[0] < 60_000);
    wrong.extend(
        busiest.map(|window| {
            format!("{BUSIEST_MINUTE} calls to the account within a minute, at {} ms", window[0])
        }),
    );
    wrong
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
