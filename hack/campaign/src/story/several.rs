//! Stories of several objects: created at once, in any order, and deleted at once.

use std::collections::BTreeSet;
use std::time::Duration;

use databricks_operator::engine::error::Error;
use databricks_operator::engine::kind::{Lifecycle, Phase, Seen};
use serde_json::Value;
use tokio::time::sleep;

use crate::life::Life;
use crate::oracle::{self, BUSIEST_MINUTE};
use crate::parts::Part;
use crate::seed;
use crate::world::managed;

/// Objects, each with the one in the account.
type Made = Vec<(Part, Seen)>;

pub async fn chain(life: &mut Life) -> Result<(), String> {
    let parts = life.start.parts.to_vec();
    let made = created(life, &parts).await?;
    life.at_rest(Duration::from_secs(900)).await;
    let uses = uses(&made)?;
    let from_ms = deleted(life, &made).await?;
    let wrong = oracle::of_order(&life.world, from_ms, &uses);
    life.wrong.extend(wrong);
    Ok(())
}

pub async fn crowd(life: &mut Life) -> Result<(), String> {
    life.before = Some(oracle::everything(&life.world.account));
    let most = life.start.parts.len() as u64;
    let count = 2 + seed::below(most.saturating_sub(1)) as usize;
    let parts: Vec<Part> = life.start.parts.iter().take(count).cloned().collect();
    let mut made = created(life, &parts).await?;
    if parts.iter().all(|part| part.changed.is_some()) {
        made = changed(life, &parts).await?;
    }
    only(life, count).await?;
    deleted(life, &made).await?;
    let left = life.outside.managed().await?;
    if !left.is_empty() {
        life.wrong.push(format!("all are gone, and the account still has {left:?}"));
    }
    Ok(())
}

/// The ids of each object in the account and of each that it uses there.
pub fn uses(made: &[(Part, Seen)]) -> Result<Vec<(String, String)>, String> {
    let mut uses = vec![];
    // What is always there is put back by a call to another path than that of its id.
    let ends = |(part, _): &&(Part, Seen)| part.driver.traits().lifecycle != Lifecycle::Standing;
    for (part, seen) in made.iter().filter(ends) {
        for wanted in part.uses()? {
            let used = made.iter().find(|(other, _)| other.is(&wanted));
            uses.extend(used.map(|(_, used)| (seen.id.clone(), used.id.clone())));
        }
    }
    Ok(uses)
}

/// In any order.
pub fn drawn<T>(all: &[T]) -> Vec<&T> {
    let mut all: Vec<&T> = all.iter().collect();
    all.sort_by_cached_key(|_| seed::draw());
    all
}

async fn created(life: &mut Life, parts: &[Part]) -> Result<Made, String> {
    (life.objects, life.busiest) = (parts.len(), BUSIEST_MINUTE * parts.len());
    for part in drawn(parts) {
        life.create_as(part.driver, &part.name, part.spec.clone()).await;
    }
    become_ready(life, parts, |part| &part.spec).await
}

async fn changed(life: &mut Life, parts: &[Part]) -> Result<Made, String> {
    life.want = life.start.changed.clone().unwrap_or_default();
    for part in drawn(parts) {
        if let Some(changed) = &part.changed {
            let spec = managed(part.driver, &part.name, changed.clone())["spec"].take();
            life.patch_as(part.driver, &part.name, &spec).await?;
        }
    }
    become_ready(life, parts, |part| part.changed.as_ref().unwrap_or(&part.spec)).await
}

/// Until all objects are Ready, and the account has what their specs want.
pub async fn become_ready(
    life: &mut Life,
    parts: &[Part],
    spec: impl Fn(&Part) -> &Value,
) -> Result<Made, String> {
    life.until("all objects are Ready", async |life| {
        for part in parts {
            life.ready_as(part.driver, &part.name).await?;
        }
        Ok(())
    })
    .await?;
    let mut made: Made = vec![];
    for part in parts {
        let want = part.want(spec(part), &made, &life.world.account)?;
        let seen = found(life, part, &want).await?;
        let changes = part.driver.changes(&want, &seen).map_err(|error| error.to_string())?;
        let open: BTreeSet<&str> = changes.iter().map(|change| change.field()).collect();
        if !open.is_empty() {
            life.wrong.push(format!(
                "{} is Ready, and the account differs in {open:?}: {:?}",
                part.name, seen.state
            ));
        }
        made.push((part.clone(), seen));
    }
    Ok(made)
}

/// The one object in the account that is found as one of ours is.
async fn found(life: &Life, part: &Part, want: &Value) -> Result<Seen, String> {
    let said = |error: Error| format!("{}: {error}", part.name);
    let (driver, key) = (part.driver, part.driver.key(want).map_err(said)?);
    let writer = life.outside.writer();
    let mut there = driver.list(writer, &key.within).await.map_err(said)?;
    there.retain(|seen| driver.matches(&key, seen).unwrap_or(false) && !part.leaves(seen));
    let [one] = &there[..] else {
        let count = there.len();
        return Err(format!("{} is Ready, and the account has {count} objects: {there:?}", part.name));
    };
    // A LIST does not show all of it.
    let one = driver.get(writer, &one.id).await.map_err(said)?;
    one.ok_or_else(|| format!("{} is listed, and not there", part.name))
}

/// The account has so many objects.
async fn only(life: &Life, count: usize) -> Result<(), String> {
    let there = life.outside.objects().await?;
    if there.len() == count {
        return Ok(());
    }
    Err(format!("{count} objects are Ready, and the account has {}: {there:?}", there.len()))
}

/// Until all objects are gone; returns when users began to delete them.
async fn deleted(life: &mut Life, made: &[(Part, Seen)]) -> Result<u64, String> {
    let from_ms = life.deletes();
    for (part, _) in drawn(made) {
        life.delete_as(&part.driver.api_resource(), &part.name).await?;
    }
    life.until("all objects are gone", async |life| {
        for (part, _) in made {
            life.gone(&part.driver.api_resource(), &part.name).await?;
        }
        Ok(())
    })
    .await?;
    life.note("all are gone");
    check_gone(life, made).await;
    sleep(Duration::from_secs(1800)).await;
    check_gone(life, made).await;
    Ok(from_ms)
}

/// Once the objects are gone, so is what they managed.
async fn check_gone(life: &mut Life, made: &[(Part, Seen)]) {
    for (part, seen) in made.iter().filter(|(part, _)| part.driver.traits().removable) {
        // What was in something that is gone cannot be read any more.
        let now = part.driver.get(life.outside.writer(), &seen.id).await.unwrap_or_default();
        let left = now.filter(|now| now.about.phase != Phase::Vacant && !part.leaves(now));
        if let Some(left) = left {
            life.wrong.push(format!("{} is gone, and the account still has {left:?}", part.name));
        }
    }
}
