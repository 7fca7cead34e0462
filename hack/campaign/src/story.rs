//! What happens in a run besides faults: a table of stories, each with what it begins with and how it goes.

use std::time::Duration;

use databricks_operator::engine::kind::{Driver, Lifecycle, Phase, Seen};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use crate::life::Life;

/// A story of an object. Each takes the time that the operator needs, and then a rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Story {
    /// It is created, changed, corrected and deleted.
    Life,
    /// It is created.
    Create,
    /// Its spec is changed.
    Change,
    /// Another client changes it in the account.
    Drift,
    /// Another client deletes it in the account.
    Loss,
    /// It is deleted.
    Delete,
    /// It is deleted, and stays in the account.
    Retain,
    /// It is in the account before it is created.
    Adopt,
    /// It is only observed, and then managed again.
    Observe,
    /// It is suspended while its spec is changed.
    Suspend,
    /// It comes back from a backup, without its status, and is deleted.
    Restore,
    /// A second object means the same one in the account.
    Rival,
    /// The credentials are replaced.
    Rotate,
}

/// What a story begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    /// There is no object.
    Bare,
    /// The account has the object, and the cluster does not.
    Present,
    /// The object is Ready.
    Settled,
}

impl Story {
    /// All of them.
    pub const ALL: [Story; 13] = [
        Story::Life,
        Story::Create,
        Story::Change,
        Story::Drift,
        Story::Loss,
        Story::Delete,
        Story::Retain,
        Story::Adopt,
        Story::Observe,
        Story::Suspend,
        Story::Restore,
        Story::Rival,
        Story::Rotate,
    ];

    /// What it begins with.
    pub fn begins(self) -> Begins {
        match self {
            Story::Life | Story::Create => Begins::Bare,
            Story::Adopt => Begins::Present,
            _ => Begins::Settled,
        }
    }

    /// Whether it is about a change of the object.
    pub fn changes(self) -> bool {
        matches!(self, Story::Change | Story::Drift | Story::Observe | Story::Suspend)
    }

    /// Whether it can happen to a kind whose objects can be changed, and to others if it is not about a change.
    pub fn fits(self, driver: &dyn Driver) -> bool {
        let traits = driver.traits();
        let comes_and_goes = traits.lifecycle == Lifecycle::Object && traits.removable;
        match self {
            _ if self.changes() => !traits.issues,
            Story::Loss => comes_and_goes,
            Story::Adopt | Story::Restore | Story::Rival => comes_and_goes && !traits.issues,
            _ => true,
        }
    }

    /// Follows it.
    ///
    /// # Errors
    /// What should happen does not.
    pub async fn follow(self, life: &mut Life) -> Result<(), String> {
        match self {
            Story::Life => whole(life).await,
            Story::Create => created(life).await.map(drop),
            Story::Change => changed(life).await.map(drop),
            Story::Drift => drifted(life).await,
            Story::Loss => lost(life).await,
            Story::Delete => deleted(life).await,
            Story::Retain => retained(life).await,
            Story::Adopt => adopted(life).await,
            Story::Observe => observed(life).await,
            Story::Suspend => suspended(life).await,
            Story::Restore => restored(life).await,
            Story::Rival => rivals(life).await,
            Story::Rotate => rotated(life).await,
        }
    }
}

/// The object that the run begins with.
fn made(life: &Life) -> Result<Seen, String> {
    life.start.made.clone().ok_or_else(|| "there is no object at the start".to_owned())
}

async fn created(life: &mut Life) -> Result<Seen, String> {
    life.create("it", &json!({})).await;
    life.becomes_ready().await?;
    let made = life.only_one().await?;
    let want = life.start.want.clone();
    as_wanted(life, &made, &want);
    Ok(made)
}

/// The account has what the spec wants.
fn as_wanted(life: &mut Life, seen: &Seen, want: &Value) {
    let open = life.outside.differences(want, seen);
    if !open.is_empty() {
        life.wrong.push(format!("Ready, and the account differs in {open:?}: {:?}", seen.state));
    }
}

/// A change of the spec, and what the account should have then; nothing if the kind cannot be changed.
fn change(life: &Life) -> Option<(Value, Value)> {
    life.start.change.clone().zip(life.start.changed.clone())
}

async fn changed(life: &mut Life) -> Result<Option<Seen>, String> {
    let Some((change, want)) = change(life) else { return Ok(None) };
    life.want = want.clone();
    life.patch(&change).await?;
    life.becomes_ready().await?;
    let changed = life.only_one().await?;
    as_wanted(life, &changed, &want);
    Ok(Some(changed))
}

async fn whole(life: &mut Life) -> Result<(), String> {
    let made = created(life).await?;
    // The rotation of a secret is not part of a life yet: for its time, there are two.
    let changes = !life.start.driver.traits().issues;
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
    let change = life.start.change.clone().unwrap_or_default();
    let before = change.as_object().into_iter().flatten();
    let before: Map<String, Value> =
        before.map(|(name, _)| (name.clone(), life.start.spec[name].clone())).collect();
    life.want = life.start.want.clone();
    life.patch(&Value::Object(before)).await?;
    life.becomes_ready().await
}

/// Another client brings the object into a wrong state, and the operator corrects it.
async fn corrected(life: &Life, seen: &Seen, wrong: &Value, right: &Value) -> Result<(), String> {
    life.outside.change(seen, wrong).await;
    let corrected = async |life: &Life| {
        let now = life.at_once(async |outside| outside.get(&seen.id).await).await?.ok_or("it is gone")?;
        let open = life.outside.differences(right, &now);
        if open.is_empty() { life.ready().await } else { Err(format!("{open:?} of {:?}", now.state)) }
    };
    life.until("the difference is corrected", corrected).await?;
    life.calm();
    Ok(())
}

async fn drifted(life: &mut Life) -> Result<(), String> {
    let (made, Some((_, wrong))) = (made(life)?, change(life)) else { return Ok(()) };
    life.disturb("another client changes it in the account");
    let right = life.start.want.clone();
    corrected(life, &made, &wrong, &right).await
}

async fn lost(life: &mut Life) -> Result<(), String> {
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
    if !life.start.driver.traits().issues {
        as_wanted(life, &again, &want);
    }
    Ok(())
}

async fn deleted(life: &mut Life) -> Result<(), String> {
    let made = life.only_one().await?;
    life.delete("it").await?;
    life.check_gone(&made).await?;
    sleep(Duration::from_secs(1800)).await;
    life.check_gone(&made).await
}

/// The account still has the object, as it was.
async fn unchanged(life: &mut Life, made: &Seen) -> Result<(), String> {
    let now = life.at_once(async |outside| outside.get(&made.id).await).await?;
    let same = now.as_ref().is_some_and(|now| now.state == made.state);
    if !same {
        life.wrong.push(format!("the account has {now:?} in place of {made:?}"));
    }
    Ok(())
}

async fn retained(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.patch(&json!({"deletionPolicy": "Retain"})).await?;
    life.delete("it").await?;
    unchanged(life, &made).await
}

async fn adopted(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.create("it", &json!({"adoptionPolicy": "IfExists"})).await;
    life.becomes_ready().await?;
    let one = life.only_one().await?;
    if one.id != made.id {
        life.wrong.push(format!("{} is adopted in place of {}", one.id, made.id));
    }
    Ok(())
}

async fn observed(life: &mut Life) -> Result<(), String> {
    let (made, Some((_, wrong))) = (made(life)?, change(life)) else { return Ok(()) };
    life.patch(&json!({"managementPolicy": "Observe"})).await?;
    life.becomes_current().await?;
    life.disturb("another client changes it in the account");
    life.outside.change(&made, &wrong).await;
    let drifted = life.at_once(async |outside| outside.get(&made.id).await).await?.ok_or("it is gone")?;
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

async fn suspended(life: &mut Life) -> Result<(), String> {
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

async fn restored(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.becomes_ready().await?;
    let one = life.only_one().await?;
    if one.id != made.id || one.state != made.state {
        life.wrong.push(format!("restored as {one:?} in place of {made:?}"));
    }
    deleted(life).await
}

async fn rivals(life: &mut Life) -> Result<(), String> {
    let made = made(life)?;
    life.create("rival", &json!({})).await;
    sleep(Duration::from_secs(1800)).await;
    life.becomes_ready().await?;
    unchanged(life, &made).await?;
    life.until("the rival shows the conflict", async |life| {
        let rival = life.seen("rival").await?.ok_or("there is no rival")?;
        let conflict = |one: &Value| one["type"] == "Ready" && one["reason"] == "ManagementConflict";
        let shown = rival["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(conflict));
        if shown { Ok(()) } else { Err(rival["status"].to_string()) }
    })
    .await?;
    life.delete("rival").await?;
    unchanged(life, &made).await
}

async fn rotated(life: &mut Life) -> Result<(), String> {
    life.rotate().await;
    sleep(Duration::from_secs(1800)).await;
    if !life.start.driver.traits().issues {
        changed(life).await?;
    }
    life.becomes_ready().await
}
