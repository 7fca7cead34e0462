//! A story of two replicas of the operator.

use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use super::one;
use crate::life::Life;
use crate::{oracle, seed};

/// The replica that has the lease is cut off from it, or from all, while the object is created and changed: until the lease has expired,
/// and a while longer.
pub async fn handed_over(life: &mut Life) -> Result<(), String> {
    // What is left of it in the end depends on whether it was created before it was changed.
    life.before = Some(oracle::everything(&life.world.account));
    life.create("it", &json!({})).await;
    life.until("a replica has the lease", async |life| led_by_another_than(life, None)).await?;
    sleep(Duration::from_millis(seed::below(20_000))).await;
    let first = life.world.leased.holder();
    life.world.cut_off(seed::below(2) == 0);
    sleep(Duration::from_millis(seed::below(150_000))).await;
    let changes = !life.start.driver.traits().are_secrets();
    if changes {
        one::changed(life).await?;
    }
    life.until("another replica has the lease", async |life| led_by_another_than(life, first.as_ref()))
        .await?;
    life.world.reconnect();
    life.becomes_ready().await?;
    let (one, want) = (life.only_one().await?, life.want.clone());
    if changes {
        one::as_wanted(life, &one, &want);
    }
    Ok(())
}

fn led_by_another_than(life: &Life, first: Option<&String>) -> Result<(), String> {
    let holder = life.world.leased.holder();
    if holder.is_some() && holder.as_ref() != first { Ok(()) } else { Err(format!("{holder:?} has it")) }
}
