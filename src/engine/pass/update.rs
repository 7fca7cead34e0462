//! The order of effects of an update: what may be touched is checked, the guard is asked, the change is sent, and what no read has shown
//! yet is recorded in `status.operation`. Taking up what nothing manages is an update too, in place of a create. Nothing here retries.
//!
//! An update is not announced, as a read shows what became of it. What is taken up is bound before it is changed, so that after a crash
//! the record says that it was not managed before.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::decide::{fields_now, words};
use super::operation::paths;
use super::outcome::Outcome;
use super::reading::Reading;
use super::subject::Counted;
use super::work::{Target, Work, missing_observation};
use crate::clock;
use crate::engine::crd::{EventReason, External, Reason, seconds};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Change, Phase, Seen, When};
use crate::engine::meter::Write;

/// A change that was accepted.
struct Sent {
    /// The object in the response.
    shown: Seen,
    /// The state that was sent.
    state: Value,
}

impl Work<'_> {
    /// Checks what may be touched · asks the guard · records the parts that it rests on · checks what it removes once more · sends.
    pub async fn update(
        &mut self,
        target: &Target,
        reading: &Reading,
        fields: &[String],
        changes: &[Change],
    ) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let seen = reading.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        self.same_place(want, seen)?;
        if self.subject.is_carried_out()? && !self.remember(|m| std::mem::replace(&mut m.drifted, true)) {
            self.subject.counted.push(Counted::DriftDetected);
        }
        let _one_at_a_time = self.guard(target, Some(want), Some(seen), &[]).await?;
        self.record_parts().await?;
        self.begin_removals(target).await?;
        let changed = self.change(target, reading, fields, changes).await;
        self.end_removals(target)?;
        changed
    }

    /// Claims the object · asks the guard · binds · sends. Binds before it sends, so that after a crash the record says that no user
    /// had set this object before. Unbinds if the change is certainly refused.
    pub async fn take_up(
        &mut self,
        target: &Target,
        reading: &Reading,
        changes: &[Change],
    ) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let seen = reading.seen().ok_or_else(missing_observation)?;
        self.may_touch(target, seen)?;
        self.same_place(want, seen)?;
        let claim = self.claimant(target).claim_of(&seen.id);
        if let Some(lost) = self.claim(target, Some(&claim), Some(&seen.id))? {
            return Ok(lost);
        }
        self.subject.set_finalizer(self.engine).await?;
        let _one_at_a_time = self.guard(target, Some(want), Some(seen), &[]).await?;
        let before = self.subject.status()?.external.clone();
        let (engine, bind) = (self.engine, self.record_of(target, seen, false));
        self.subject.put_bound(bind, self.deletion_policy(false))?;
        if let Err(error) = self.subject.write_status(engine).await {
            self.subject.put_back(before)?;
            return Err(error);
        }
        let fields = fields_now(changes);
        let done = if fields.is_empty() {
            self.respond(target, seen.clone(), Some(reading))
        } else {
            self.change(target, reading, &fields, changes).await
        };
        match &done {
            Err(error) if refuses(error) || matches!(error, Error::Conflict(_)) => {
                self.subject.put_back(before)?;
            }
            Err(_) => {}
            Ok(_) => {
                let text =
                    format!("manages the object {}, which was in the account and not managed", seen.id);
                self.subject.note(false, EventReason::Created, text);
            }
        }
        done
    }

    /// Sends an update that was checked · records what no read shows yet.
    async fn change(
        &mut self,
        target: &Target,
        reading: &Reading,
        fields: &[String],
        changes: &[Change],
    ) -> Result<Outcome> {
        let want = target.want.as_ref().ok_or_else(missing_observation)?;
        let seen = reading.seen().ok_or_else(missing_observation)?;
        // The spec was carried out before, so what differs has changed in the account.
        let drifted = self.subject.is_carried_out()?;
        let former = self.remember(|m| m.change.begin());
        let answered = self.send_update(target, seen, want, fields).await;
        self.remember(|m| m.change.ended());
        let mut sent = match answered {
            Err(error) if refuses(&error) => {
                self.remember(|m| m.change.refused(former));
                return Err(self.not_found(target, seen, fields, error).await?);
            }
            Err(error) => {
                self.remember(|m| m.change.in_doubt());
                return Err(self.overtaken(target, seen, error).await?);
            }
            Ok(sent) => sent,
        };
        if let Some(error) = sent.shown.about.refused.take() {
            if sent.shown.state == seen.state {
                self.remember(|m| m.change.refused(former));
            }
            self.in_part(target, seen, fields, sent.shown).await?;
            return Err(self.not_found(target, seen, fields, error).await?);
        }
        self.remember(|m| {
            m.not_found = false;
            m.change.accepted(sent.state == *want);
        });
        self.subject.counted.push(Counted::Wrote(Write::Update));
        let within = self.driver.key(want)?.within;
        sent.shown = target.session().snapshots.amend(self.driver, &within, sent.shown).await;
        let differs = changes.iter().any(|c| c.when == When::Now);
        let tried_again = matches!(seen.about.phase, Phase::Failed(_)) && !differs;
        let since = self.open_since(fields)?;
        self.note_accepted(fields, drifted, tried_again)?;
        self.changed(target, reading, sent, fields, since).await
    }

    /// The update itself. If objects exchange their names, each refused because another has the name, one of them steps
    /// aside: it gets everything except its name, under which the next comparison finds it different.
    async fn send_update(
        &self,
        target: &Target,
        seen: &Seen,
        want: &Value,
        fields: &[String],
    ) -> Result<Sent> {
        let now: Vec<&str> = fields.iter().map(String::as_str).collect();
        if self.driver.key(want)? != self.driver.key(&seen.state)? {
            // Before the response, as the name may be free again before a refusal arrives.
            self.record_name_taken(target, Some(seen), want)?;
        }
        let updated = self.driver.update(&target.place.writer, seen, want, &now).await;
        let refusal = match &updated {
            Ok(shown) => shown.about.refused.as_ref(),
            Err(error) => Some(error),
        };
        let taken = refusal.is_some_and(|error| error.is_rejected(Reason::AlreadyExists));
        let sent = updated.map(|shown| Sent { shown, state: want.clone() });
        if !taken {
            self.engine.memory.taken_names.remove(&self.subject.who);
            return sent;
        }
        if !self.record_name_taken(target, Some(seen), want)? {
            return sent;
        }
        let Some(aside) = self.driver.aside(want, &seen.id)? else { return sent };
        let differs = fields_now(&self.driver.changes(&aside, seen)?);
        let fields: Vec<&str> = differs.iter().map(String::as_str).collect();
        let shown = self.driver.update(&target.place.writer, seen, &aside, &fields).await?;
        Ok(Sent { shown, state: aside })
    }

    /// Records a change that was carried out, and reads its response. The change is open since `since`.
    async fn changed(
        &mut self,
        target: &Target,
        reading: &Reading,
        sent: Sent,
        fields: &[String],
        since: Time,
    ) -> Result<Outcome> {
        let seen = reading.seen().ok_or_else(missing_observation)?;
        if sent.shown.id != seen.id
            && let Some(lost) = self.follow(target, seen, &sent.shown).await?
        {
            return Ok(lost);
        }
        // It may have given up the name that they want.
        self.trigger_losers();
        self.name_freed(target, seen)?;
        self.open_unless_shown(fields, since, &sent.state, &sent.shown)?;
        if self.subject.status()?.external.is_none() {
            // As it was before: our mark on it may come from this very update.
            self.bind_annotated(target, seen)?;
        }
        self.respond(target, sent.shown, Some(reading))
    }

    /// Notes an accepted change: its event, the count of corrected drift, and that it was accepted. A new change starts its attempts
    /// again; one that is sent again gets no event.
    fn note_accepted(&mut self, fields: &[String], drifted: bool, tried_again: bool) -> Result<()> {
        let paths = paths(fields);
        if self.operation_of(&paths)?.is_none_or(|before| before.paths != paths) {
            // What was waited for before is no reason to read this change late. The same one again, as it was not recorded, is not new.
            let generation = self.subject.object.metadata.generation.unwrap_or_default();
            self.remember(|m| m.attempts = if m.unwritten == Some(generation) { m.attempts } else { 0 });
            let reason = if drifted { EventReason::DriftCorrected } else { EventReason::Updated };
            let text = paths.join(", ");
            let text = if tried_again { format!("sent again, as requested: {text}") } else { text };
            self.subject.note(false, reason, text);
        }
        if drifted {
            self.subject.counted.push(Counted::DriftCorrected);
        }
        self.subject.change_accepted = true;
        Ok(())
    }

    /// Binds the object to the one that an update has put in place of the old one, as its response shows by another id. It must have
    /// the name that the object wants: otherwise the response is about a foreign object. The old one must be proven gone: otherwise no
    /// object would ever delete it. Returns why it is not bound, if another object comes first.
    async fn follow(&mut self, target: &Target, old: &Seen, new: &Seen) -> Result<Option<Outcome>> {
        let key = self.driver.key(&new.state)?;
        self.list_again(target, &key.within).await;
        let wanted = target.want.as_ref().map(|want| self.driver.key(want)).transpose()?;
        if wanted.is_some_and(|wanted| wanted != key) {
            return Err(Error::retry(format!(
                "Databricks reported an object of another name, {}, in response to the change of {}: reading again",
                new.id, old.id
            )));
        }
        if self.driver.get(&target.place.reader, &old.id).await?.is_some() {
            return Err(Error::retry(format!(
                "Databricks reported another object, {}, in response to the change of {}, which still exists: reading again; if both \
                 stay, delete in the account console the one that is not intended",
                new.id, old.id
            )));
        }
        if let Some(holder) = self.claimant(target).hold(&new.id) {
            return Ok(Some(self.conflict(&holder)));
        }
        let adopted = self.bound().adopted(self.read_only());
        let created_at = Some(seconds(clock::now()));
        let external = External { created_at, ..self.record_of(target, new, adopted) };
        self.subject.put_bound(external, self.deletion_policy(adopted))?;
        self.subject.must_record = true;
        let text = format!("the account replaced the object {} by {}", old.id, new.id);
        self.subject.note(false, EventReason::Updated, text);
        Ok(None)
    }

    /// The account refused a part of an update, or all of it: shows what it has now, and what is missing.
    async fn in_part(&mut self, target: &Target, seen: &Seen, fields: &[String], now: Seen) -> Result<()> {
        let within = self.driver.key(&now.state)?.within;
        let now = &target.session().snapshots.amend(self.driver, &within, now).await;
        self.may_touch(target, now)?;
        if now.state != seen.state {
            self.subject.counted.push(Counted::Wrote(Write::Update));
            let text = format!("{}, in part: the account refused the rest", words(fields));
            self.subject.note(false, EventReason::Updated, text);
            self.trigger_losers();
            self.name_freed(target, seen)?;
        }
        let changes = match &target.want {
            Some(want) => self.driver.changes(want, now)?,
            None => vec![],
        };
        self.subject.put_shown(self.shown(target, now, &changes, true)?)
    }

    /// A change does not find what a read shows. The object is gone, or a replica lags: a new read decides. If that shows it and
    /// a change still does not find it, this is a refusal like any other. It is not final while reads may lag.
    /// Other errors stay what they are.
    async fn not_found(
        &self,
        target: &Target,
        seen: &Seen,
        fields: &[String],
        error: Error,
    ) -> Result<Error> {
        if !error.is_rejected(Reason::ExternalResourceMissing) {
            return Ok(error);
        }
        let within = self.driver.key(&seen.state)?.within;
        self.list_again(target, &within).await;
        if !self.remember(|m| std::mem::replace(&mut m.not_found, true)) {
            return Ok(Error::Conflict(error.to_string()));
        }
        let fields = words(fields);
        let text = format!(
            "the account shows the object {}, but rejects the change of {fields} because it does not find the object: {error}. The \
             operator retries. If this lasts, make the change in the account console or undo it in the spec, and contact Databricks \
             support",
            seen.id
        );
        Ok(Error::rejected(Reason::ApplyFailed, text).patient(self.lag().read))
    }
}

/// Whether an update, or a deletion, certainly changed nothing. The response to it is read too, which may fail after it changed something.
pub fn refuses(error: &Error) -> bool {
    match error {
        // Nothing was sent.
        Error::Fenced | Error::Later(_) => true,
        // One that is not about the object may be of the read after the change.
        Error::Rejected { about_object, .. } => *about_object,
        Error::Waiting { reason, .. } => *reason != Reason::CredentialsInvalid,
        _ => false,
    }
}
