//! Stories of one object.

use std::time::Duration;

use databricks_operator::engine::kind::{Phase, Seen};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::life::Life;
use crate::{oracle, seed};

/// The object that the run begins with.
fn made(life: &Life) -> Result<Seen, String> {
    life.start.made.clone().ok_or_else(|| "there is no object at the start".to_owned())
}

pub async fn created(life: &mut Life) -> Result<Seen, String> {
    life.create("it", &json!({})).await;
    life.becomes_ready().await?;
    let made = life.only_one().await?;
    let want = life.start.want.clone();
    as_wanted(life, &made, &want);
    Ok(made)
}

/// The account has what the spec wants. Where reads are late, a status may be, too.
pub fn as_wanted(life: &mut Life, seen: &Seen, want: &Value) {
    let open = life.outside.differences(want, seen);
    if !open.is_empty() && !life.late {
        life.wrong.push(format!("Ready, and the account differs in {open:?}: {:?}", seen.state));
    }
}

/// A change of the spec, and what the account should have then; nothing if the kind cannot be changed.
fn change(life: &Life) -> Option<(Value, Value)> {
    life.start.change.clone().zip(life.start.changed.clone())
}

/// What takes the change back.
fn back(life: &Life) -> Value {
    let change = life.start.change.clone().unwrap_or_default();
    let before = change.as_object().into_iter().flatten();
    let before: Map<String, Value> =
        before.map(|(name, _)| (name.clone(), life.start.spec[name].clone())).collect();
    Value::Object(before)
}

pub async fn changed(life: &mut Life) -> Result<Option<Seen>, String> {
    let Some((change, want)) = change(life) else { return Ok(None) };
    life.want = want.clone();
    life.patch(&change).await?;
    life.becomes_ready().await?;
    let changed = life.only_one().await?;
    as_wanted(life, &changed, &want);
    Ok(Some(changed))
}

pub async fn whole(life: &mut Life) -> Result<(), String> {
    let made = created(life).await?;
    // The rotation of a secret is not part of a life yet: for its time, there are two.
    let changes = !life.start.driver.traits().are_secrets();
    if changes && let Some(changed) = changed(life).await? {
        life.disturb("another client undoes the change in the account");
        corrected(life, &changed, &made.state, &changed.state).await?;
        // What is not removable is vacant where it is as from the beginning: nothing would be left to delete.
        if changed.about.phase == Phase::Vacant {
            undone(life).await?;
        }
    }
    life.at_rest(Duration::from_secs(1800)).await;
    deleted(life).await
}

/// A user takes back the change.
async fn undone(life: &mut Life) -> Result<(), String> {
    life.want = life.start.want.clone();
    life.patch(&back(life)).await?;
    life.becomes_ready().await
}

/// Another client brings the object into a wrong state, and the operator corrects it.
async fn corrected(life: &Life, seen: &Seen, wrong: &Value, right: &Value) -> Result<(), String> {
    life.outside.change(seen, wrong).await;
    let corrected = async |life: &Life| {
        let now = life.outside.get(&seen.id).await?.ok_or("it is gone")?;
        let open = life.outside.differences(right, &now);
        if open.is_empty() { life.ready().await } else { Err(format!("{open:?} of {:?}", now.state)) }
    };
    life.until("the difference is corrected", corrected).await?;
    life.calm();
    Ok(())
}

pub async fn drifted(life: &mut Life) -> Result<(), String> {
    let (made, Some((_, wrong))) = (made(life)?, change(life)) else { return Ok(()) };
    life.disturb("another client changes it in the account");
    let right = life.start.want.clone();
    corrected(life, &made, &wrong, &right).await
}

pub async fn lost(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.disturb("another client deletes it in the account");
    let writer = life.outside.writer();
    life.start.driver.delete(writer, &made).await.map_err(|error| format!("it cannot be lost: {error}"))?;
    life.settles().await?;
    life.calm();
    // What holds users' data is not created again unasked.
    if life.start.driver.traits().data_bearing {
        return match life.ready().await {
            Ok(()) => Err("what was lost counts as Ready".to_owned()),
            Err(_) => Ok(()),
        };
    }
    life.becomes_ready().await?;
    let (again, want) = (life.only_one().await?, life.start.want.clone());
    if !life.start.driver.traits().are_secrets() {
        as_wanted(life, &again, &want);
    }
    Ok(())
}

pub async fn deleted(life: &mut Life) -> Result<(), String> {
    let made = life.only_one().await?;
    life.delete("it").await?;
    life.check_gone(&made).await?;
    sleep(Duration::from_secs(1800)).await;
    life.check_gone(&made).await
}

/// The account still has the object, as it was.
async fn unchanged(life: &mut Life, made: &Seen) -> Result<(), String> {
    let now = life.outside.get(&made.id).await?;
    let same = now.as_ref().is_some_and(|now| now.state == made.state);
    if !same {
        life.wrong.push(format!("the account has {now:?} in place of {made:?}"));
    }
    Ok(())
}

pub async fn retained(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.patch(&json!({"deletionPolicy": "Retain"})).await?;
    life.delete("it").await?;
    unchanged(life, &made).await
}

pub async fn adopted(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.create("it", &json!({"adoptionPolicy": "IfExists"})).await;
    life.becomes_ready().await?;
    let one = life.only_one().await?;
    if one.id != made.id {
        life.wrong.push(format!("{} is adopted in place of {}", one.id, made.id));
    }
    Ok(())
}

pub async fn observed(life: &mut Life) -> Result<(), String> {
    let (made, Some((_, wrong))) = (made(life)?, change(life)) else { return Ok(()) };
    life.patch(&json!({"managementPolicy": "Observe"})).await?;
    life.becomes_current().await?;
    life.disturb("another client changes it in the account");
    life.outside.change(&made, &wrong).await;
    let drifted = life.outside.get(&made.id).await?.ok_or("it is gone")?;
    sleep(Duration::from_secs(1800)).await;
    unchanged(life, &drifted).await?;
    life.until("the difference is shown", async |life| {
        let status = life.seen("it").await?.ok_or("there is no object")?["status"].take();
        if status["drift"].as_array().is_some_and(|all| !all.is_empty()) {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .await?;
    life.calm();
    life.patch(&json!({"managementPolicy": "Managed"})).await?;
    life.becomes_ready().await?;
    let (now, want) = (life.only_one().await?, life.start.want.clone());
    as_wanted(life, &now, &want);
    Ok(())
}

pub async fn suspended(life: &mut Life) -> Result<(), String> {
    let (made, Some((change, want))) = (made(life)?, change(life)) else { return Ok(()) };
    life.patch(&json!({"suspend": true})).await?;
    sleep(Duration::from_secs(120)).await;
    life.want = want.clone();
    life.patch(&change).await?;
    sleep(Duration::from_secs(1800)).await;
    unchanged(life, &made).await?;
    life.patch(&json!({"suspend": false})).await?;
    life.becomes_ready().await?;
    let now = life.only_one().await?;
    as_wanted(life, &now, &want);
    Ok(())
}

pub async fn restored(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.becomes_ready().await?;
    let one = life.only_one().await?;
    if one.id != made.id || one.state != made.state {
        life.wrong.push(format!("restored as {one:?} in place of {made:?}"));
    }
    deleted(life).await
}

/// The object is not Ready, for this reason.
async fn refused(life: &Life, name: &str, reason: &str) -> Result<(), String> {
    let seen = life.seen(name).await?.ok_or("there is no object")?;
    let shown = |one: &Value| one["type"] == "Ready" && one["status"] == "False" && one["reason"] == reason;
    let shown = seen["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(shown));
    if shown { Ok(()) } else { Err(seen["status"].to_string()) }
}

pub async fn rivals(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.create("rival", &json!({})).await;
    sleep(Duration::from_secs(1800)).await;
    life.becomes_ready().await?;
    unchanged(life, &made).await?;
    let conflict = async |life: &Life| refused(life, "rival", "ManagementConflict").await;
    life.until("the rival shows the conflict", conflict).await?;
    life.delete("rival").await?;
    unchanged(life, &made).await
}

pub async fn rotated(life: &mut Life) -> Result<(), String> {
    life.rotate().await;
    sleep(Duration::from_secs(1800)).await;
    if !life.start.driver.traits().are_secrets() {
        changed(life).await?;
    }
    life.becomes_ready().await
}

/// So many calls to the account one edit may take, reads included.
const CALLS_AN_EDIT: usize = 8;
/// So many writes to the account more than edits there may be.
const A_FEW: usize = 5;
/// So many writes to the account a fault may make necessary.
const WRITES_A_FAULT: usize = 3;

pub async fn edited(life: &mut Life) -> Result<(), String> {
    let Some((change, want)) = change(life) else { return Ok(()) };
    let (back, before) = (back(life), life.start.want.clone());
    // An odd number: it ends with the change.
    let edits = 39 + 2 * seed::below(2) as usize;
    life.busiest += CALLS_AN_EDIT * edits;
    let [_, writes] = life.world.trace.writes();
    for edit in 0..edits {
        let (edit, want) = if edit % 2 == 0 { (&change, &want) } else { (&back, &before) };
        life.want = want.clone();
        life.patch(edit).await?;
        sleep(Duration::from_millis(seed::below(1000))).await;
    }
    life.becomes_ready().await?;
    let last = life.only_one().await?;
    as_wanted(life, &last, &want);
    let [_, written] = life.world.trace.writes();
    // A late read may show the state before an edit that was carried out.
    let each = if life.late { 2 } else { 1 };
    let most = each * edits + A_FEW + WRITES_A_FAULT * life.world.plan.strikes.len();
    if written - writes > most {
        life.wrong.push(format!("{edits} edits, and {} writes to the account", written - writes));
    }
    Ok(())
}

pub async fn foreign(life: &mut Life) -> Result<(), String> {
    let (made, driver) = (made(life)?, life.start.driver);
    let key = |want: &Value| driver.key(want).map_err(|error| error.to_string());
    // It differs from the one in the account, if that leaves it the same key.
    let mut more = json!({});
    if let Some((change, want)) = change(life)
        && key(&want)? == key(&life.start.want)?
    {
        more = change;
    }
    life.create("it", &more).await;
    for _ in 0..2 {
        let exists = async |life: &Life| refused(life, "it", "AlreadyExists").await;
        life.until("the object says that another one exists", exists).await?;
        sleep(Duration::from_secs(1800)).await;
    }
    life.delete("it").await?;
    sleep(Duration::from_secs(1800)).await;
    unchanged(life, &made).await?;
    let changes = oracle::changes_of_the_operator(&life.world);
    if !changes.is_empty() {
        life.wrong.push(format!("a foreign object, and the operator sent {changes:?}"));
    }
    Ok(())
}
