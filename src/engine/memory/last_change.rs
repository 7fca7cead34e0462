//! The last change that was sent to an object that exists, until a read shows it. Reads lag behind writes, so one that agrees with the
//! spec may be from before it. A start of the operator forgets it; `status.operation` outlives that.

use std::time::Duration;

use tokio::time::Instant;

/// The last change that was sent to an object in the account.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastChange {
    /// When it was sent, or its response arrived, if no read has shown it since.
    unshown_since: Option<Instant>,
    /// When the last change ended that was not refused.
    ended_at: Option<Instant>,
    /// When the last change ended whose result is unknown: what was read before says nothing about the object as it is.
    in_doubt_since: Option<Instant>,
    /// It was all that is wanted; otherwise the object stepped aside, see
    /// [`aside`](crate::engine::kind::ExternalResource::aside).
    whole: bool,
}

impl LastChange {
    /// A change is about to be sent. Returns the former one, for [`LastChange::refused`].
    pub fn begin(&mut self) -> LastChange {
        let former = *self;
        self.unshown_since = Some(Instant::now());
        former
    }

    /// The call ended. The effect may be as late as the response, and reads lag behind the effect.
    pub fn ended(&mut self) {
        let now = Some(Instant::now());
        (self.unshown_since, self.ended_at) = (now, now);
    }

    /// It certainly changed nothing: the former one is the last that a read may not have shown.
    pub fn refused(&mut self, former: LastChange) {
        (self.unshown_since, self.ended_at) = (former.unshown_since, former.ended_at);
    }

    /// Its result is unknown.
    pub fn in_doubt(&mut self) {
        self.in_doubt_since = Some(Instant::now());
    }

    /// It was carried out; `whole` if it was all that is wanted.
    pub fn accepted(&mut self, whole: bool) {
        self.whole = whole;
    }

    /// A read shows it. Returns whether none had before.
    pub fn shown(&mut self) -> bool {
        self.unshown_since.take().is_some()
    }

    /// A read differs in nothing, and may be from before the change: it counts as shown once reads cannot lag behind it any longer.
    /// Returns whether it counts as shown from now on.
    pub fn shown_after(&mut self, lag: Duration) -> bool {
        self.unshown_since.take_if(|at| at.elapsed() >= lag).is_some()
    }

    /// Whether a read may be from before it.
    pub fn may_be_unseen(&self, lag: Duration) -> bool {
        self.unshown_since.is_some_and(|at| at.elapsed() < lag)
    }

    /// For how long no read has shown it; `None` if one has, or nothing is known of a change.
    pub fn unshown_for(&self) -> Option<Duration> {
        self.unshown_since.map(|at| at.elapsed())
    }

    /// When it ended, if there was one.
    pub fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    /// A read that began before this instant says nothing about the object as it is.
    pub fn read_not_before(&self) -> Option<Instant> {
        self.in_doubt_since
    }

    /// Whether it was all that is wanted. After a start of the operator that is not known, so the rest is sent.
    pub fn is_whole(&self) -> bool {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LAG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_refused_change_leaves_the_former_one_as_it_was() {
        let mut change = LastChange::default();
        change.begin();
        change.ended();
        advance(Duration::from_secs(40)).await;
        let (former, ended_at) = (change.begin(), change.ended_at());
        change.ended();
        assert_eq!(change.unshown_for(), Some(Duration::ZERO));
        assert_ne!(change.ended_at(), ended_at);
        change.refused(former);
        assert_eq!((change.unshown_for(), change.ended_at()), (Some(Duration::from_secs(40)), ended_at));
        advance(Duration::from_secs(19)).await;
        assert!(change.may_be_unseen(LAG) && !change.shown_after(LAG));
        advance(Duration::from_secs(1)).await;
        assert!(!change.may_be_unseen(LAG) && change.shown_after(LAG));
        assert!(!change.shown_after(LAG) && !change.shown(), "it is shown already");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_in_doubt_stays_in_doubt_for_reads_from_before() {
        let mut change = LastChange::default();
        assert_eq!(change.read_not_before(), None);
        change.begin();
        change.in_doubt();
        let doubted = Instant::now();
        advance(LAG).await;
        assert!(change.shown());
        assert_eq!(change.read_not_before(), Some(doubted));
    }
}
