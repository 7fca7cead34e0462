//! The story of an example of `config/examples`: a user applies it in any order, at once or bit by bit, leaves it at rest, and deletes it
//! in any order.

use std::time::Duration;

use databricks_operator::engine::kind::{Phase, Seen};
use serde_json::Value;
use tokio::time::sleep;

use super::several::{become_ready, drawn, uses};
use crate::example;
use crate::life::Life;
use crate::oracle::{self, BUSIEST_MINUTE};
use crate::parts::{Called, Part};
use crate::seed;

/// From one object to the next, milliseconds at most: all at once, or for up to some minutes.
const PAUSES: [u64; 3] = [0, 1000, 20_000];

pub async fn applied(life: &mut Life) -> Result<(), String> {
    let (parts, manifests) = (life.start.parts.to_vec(), example::manifests(&life.world.account));
    (life.objects, life.busiest) = (parts.len(), BUSIEST_MINUTE * parts.len());
    let pause_ms = PAUSES[seed::below(3) as usize];
    for manifest in drawn(&manifests) {
        life.apply(manifest).await;
        sleep(Duration::from_millis(seed::below(pause_ms))).await;
    }
    let made = become_ready(life, &parts, |part| &part.spec).await?;
    life.at_rest(Duration::from_secs(900)).await;
    let (uses, stays) = (uses(&made)?, staying(&made)?);
    let from_ms = deleted(life, &manifests).await?;
    check_left(life, &made, &stays).await;
    sleep(Duration::from_secs(1800)).await;
    check_left(life, &made, &stays).await;
    let wrong = oracle::of_order(&life.world, from_ms, &uses);
    life.wrong.extend(wrong);
    Ok(())
}

/// Until all objects are gone; returns when users began to delete them.
async fn deleted(life: &mut Life, manifests: &[Value]) -> Result<u64, String> {
    let (from_ms, pause_ms) = (life.deletes(), PAUSES[seed::below(3) as usize]);
    for manifest in drawn(manifests) {
        let (resource, name) = example::called(manifest);
        life.delete_as(&resource, &name).await?;
        sleep(Duration::from_millis(seed::below(pause_ms))).await;
    }
    life.until("all objects are gone", async |life| {
        for manifest in manifests {
            let (resource, name) = example::called(manifest);
            life.gone(&resource, &name).await?;
        }
        Ok(())
    })
    .await?;
    life.note("all are gone");
    Ok(from_ms)
}

/// Kind and name of the objects that stay in the account: those that are retained, and what these use there.
fn staying(made: &[(Part, Seen)]) -> Result<Vec<Called>, String> {
    let mut stays: Vec<Called> = vec![];
    // What an object uses comes before it.
    for (part, _) in made.iter().rev() {
        let retained = match part.spec["deletionPolicy"].as_str() {
            Some(policy) => policy == "Retain",
            None => part.driver.traits().retained,
        };
        if retained {
            stays.push((part.driver.kind().into_owned(), part.name.clone()));
        }
        if is_among(&stays, part) {
            stays.extend(part.uses()?);
        }
    }
    Ok(stays)
}

fn is_among(called: &[Called], part: &Part) -> bool {
    called.iter().any(|one| part.is(one))
}

/// Once the objects are gone, the account has what stays, and nothing else that can be taken away.
async fn check_left(life: &mut Life, made: &[(Part, Seen)], stays: &[Called]) {
    for (part, seen) in made {
        let stays = is_among(stays, part);
        // What was in something that is gone cannot be read any more.
        let now = part.driver.get(life.outside.writer(), &seen.id).await.unwrap_or_default();
        let there = now.filter(|now| now.about.phase != Phase::Vacant && !part.leaves(now));
        if there.is_some() != stays && (stays || part.driver.traits().removable) {
            let (kind, name) = (part.driver.kind(), &part.name);
            life.wrong.push(format!("{kind} {name} is gone, stays: {stays}, and the account has {there:?}"));
        }
    }
}
