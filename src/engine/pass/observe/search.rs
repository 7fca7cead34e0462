//! The search of an object without a record for what matches its spec in the account.

use tokio::time::Instant;

use super::{CREATE_FRESH, Observer, recent};
use crate::engine::account::Rows;
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Key, Ownership, Phase, Seen};
use crate::engine::pass::reading::{Found, Freshness, Reading};

impl Observer<'_> {
    /// No record: does something match the spec?
    pub(super) async fn by_key(&self, freshness: Freshness) -> Result<Reading> {
        if self.driver.traits().are_secrets() {
            return Ok(Reading::from(Found::Nothing { settled: true }));
        }
        let key = self.key()?.ok_or_else(|| {
            Error::terminal(Reason::InternalError, "an object without a record cannot be searched for")
        })?;
        let upsert = self.repeatable();
        let fresh = match freshness {
            _ if upsert => self.snapshots.join_burst(self.driver, &key.within).await,
            _ if self.claimant.observing => self.not_before,
            Freshness::Routine | Freshness::BeforeWrite => recent(CREATE_FRESH),
        };
        let mut hits = self.matching(&key, fresh).await?;
        let mut renamed = vec![];
        for at in (0..hits.len()).rev() {
            if !self.driver.matches(&key, &hits[at])? {
                renamed.push(hits.remove(at));
            }
        }
        let before: Vec<String> = hits.iter().map(|seen| seen.id.clone()).collect();
        // An object that is being deleted is not adopted, and prevents no create.
        hits.retain(|seen| !matches!(seen.about.phase, Phase::Leaving(_)));
        only_one_vacant(&mut hits);
        if let Some(marked) = hits.iter().position(|seen| self.recognise.marked(seen)) {
            let seen = self.confirmed(hits.swap_remove(marked), freshness).await?;
            let found = self.unless_held(self.claimant.watch_holder(&seen.id), Found::Ours(seen));
            return Ok(Reading { may_be_stale: freshness == Freshness::Routine, ..Reading::from(found) });
        }
        renamed.retain(|seen| !matches!(seen.about.phase, Phase::Leaving(_)));
        let found = match hits.len() {
            0 if !renamed.is_empty() && !self.claimant.observing && !self.deleting => {
                Found::Renamed(renamed.into_iter().map(|seen| seen.id).collect())
            }
            0 => Found::Nothing { settled: true },
            1 => {
                let seen = self.confirmed(hits.remove(0), freshness).await?;
                let holder = self.claimant.watch_holder(&seen.id);
                let found = match &self.bound.intent {
                    // After a crash between our record and its confirmation an upsert finds its own row.
                    Some(intent) if upsert => self.of_announced(intent, seen),
                    _ => Found::Foreign(seen),
                };
                self.unless_held(holder, found)
            }
            _ => Found::Several(hits.into_iter().map(|seen| seen.id).collect()),
        };
        let may_be_stale = !upsert && !before.is_empty() && freshness == Freshness::Routine;
        Ok(Reading { may_be_stale, before, ..Reading::from(found) })
    }

    /// What matches a key, and what carries our mark under another one: it was renamed in the account, or the spec has another name
    /// since the object was retained. Which of them is meant is for a person to say.
    async fn matching(&self, key: &Key, not_before: Instant) -> Result<Vec<Seen>> {
        let matching = |rows: &Rows<'_>| -> Result<Vec<Seen>> {
            // The id of an upsert is its key.
            if self.repeatable() {
                return Ok(rows.row(&format!("{}/{}", key.within, key.name)).cloned().into_iter().collect());
            }
            if self.driver.traits().ownership == Ownership::RecordedId {
                return Ok(rows.matching(self.driver, key)?.into_iter().cloned().collect());
            }
            let mut all = vec![];
            for seen in rows.all() {
                if self.recognise.marked(seen) || self.driver.matches(key, seen)? {
                    all.push(seen.clone());
                }
            }
            all.sort_by(|a, b| a.id.cmp(&b.id));
            Ok(all)
        };
        self.snapshots.read(self.driver, self.reader, &key.within, not_before, matching).await?
    }

    /// An object in a LIST, as it is now: before it is adopted, it is read by its id. So is one that a row does not show whole.
    async fn confirmed(&self, seen: Seen, freshness: Freshness) -> Result<Seen> {
        if self.repeatable() || (freshness == Freshness::Routine && !self.rows_are_partial()) {
            return Ok(seen);
        }
        let within = self.driver.key(&seen.state)?.within;
        match self.driver.get(self.reader, &seen.id).await? {
            Some(now) if now.id == seen.id && !matches!(now.about.phase, Phase::Leaving(_)) => {
                Ok(self.snapshots.amend(self.driver, &within, now).await)
            }
            _ => {
                self.snapshots.make_stale(self.driver, &within).await;
                Err(Error::retry(format!(
                    "{} existed a moment ago and is being deleted; reading again",
                    seen.id
                )))
            }
        }
    }
}

/// If nothing manages any of the hits, keeps one, as they are interchangeable. Otherwise drops those that nothing manages.
fn only_one_vacant(hits: &mut Vec<Seen>) {
    let vacant = |seen: &Seen| seen.about.phase == Phase::Vacant;
    if hits.iter().all(vacant) {
        hits.truncate(1);
    } else {
        hits.retain(|seen| !vacant(seen));
    }
}
