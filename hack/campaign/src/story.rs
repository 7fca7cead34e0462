//! What happens in a run besides faults: a table of stories, each with what it begins with. How they go is beside it: those of `one`
//! object, of `several`, of an `example`, and of two replicas (`handover`).

mod example;
mod handover;
mod one;
mod several;

use databricks_operator::engine::kind::{Driver, Lifecycle};

use crate::example::KIND;
use crate::life::Life;

/// A story of an object, or of several. Each takes the time that the operator needs, and then a rest.
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
    /// It and all that it refers to are created at once, and deleted at once.
    Chain,
    /// Several of its kind are created, changed and deleted at once.
    Crowd,
    /// Its spec is changed and changed back, again and again.
    Edits,
    /// The account has the object as another installation created it.
    Foreign,
    /// Of two replicas the one with the lease loses it, and the other one continues.
    Handover,
    /// All objects of an example of `config/examples` are applied, and deleted.
    Example,
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
    /// There is no object, and there will be several of the kind.
    Crowd,
    /// There is no object, and none of those that it refers to.
    Chain,
    /// There is no object of an example.
    Example,
}

impl Story {
    /// All of them.
    pub const ALL: [Story; 19] = [
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
        Story::Chain,
        Story::Crowd,
        Story::Edits,
        Story::Foreign,
        Story::Handover,
        Story::Example,
    ];

    /// To one run of it there are so many of another story. A story of several objects, or of many changes, takes long: all of its runs
    /// together take half as long as those of another. That of an example is one for all kinds, and has as many runs as one of them.
    pub fn weight(self) -> u64 {
        match self {
            Story::Edits => 16,
            Story::Chain | Story::Crowd => 8,
            Story::Handover => 4,
            _ => 1,
        }
    }

    /// What it begins with.
    pub fn begins(self) -> Begins {
        match self {
            Story::Life | Story::Create | Story::Handover => Begins::Bare,
            Story::Adopt | Story::Foreign => Begins::Present,
            Story::Crowd => Begins::Crowd,
            Story::Chain => Begins::Chain,
            Story::Example => Begins::Example,
            _ => Begins::Settled,
        }
    }

    /// Whether it is about a change of the object.
    pub fn changes(self) -> bool {
        matches!(self, Story::Change | Story::Drift | Story::Observe | Story::Suspend | Story::Edits)
    }

    /// Whether it can happen to a kind, by its traits. Whether its sample can be changed, refers to others, and can be varied is known
    /// to [`crate::Starts::fit`].
    pub fn fits(self, driver: &dyn Driver) -> bool {
        let traits = driver.traits();
        let comes_and_goes = traits.lifecycle == Lifecycle::Object && traits.removable;
        match self {
            // What is in the account beyond a list is reported, and not as drift.
            Story::Observe if traits.roster.is_some() => false,
            _ if self.changes() => !traits.are_secrets(),
            Story::Loss => comes_and_goes,
            Story::Adopt | Story::Restore | Story::Rival => comes_and_goes && !traits.are_secrets(),
            Story::Foreign => !traits.are_secrets(),
            Story::Example => driver.kind() == KIND,
            _ => true,
        }
    }

    /// Follows it.
    ///
    /// # Errors
    /// What should happen does not.
    pub async fn follow(self, life: &mut Life) -> Result<(), String> {
        match self {
            Story::Life => one::whole(life).await,
            Story::Create => one::created(life).await.map(drop),
            Story::Change => one::changed(life).await.map(drop),
            Story::Drift => one::drifted(life).await,
            Story::Loss => one::lost(life).await,
            Story::Delete => one::deleted(life).await,
            Story::Retain => one::retained(life).await,
            Story::Adopt => one::adopted(life).await,
            Story::Observe => one::observed(life).await,
            Story::Suspend => one::suspended(life).await,
            Story::Restore => one::restored(life).await,
            Story::Rival => one::rivals(life).await,
            Story::Rotate => one::rotated(life).await,
            Story::Chain => several::chain(life).await,
            Story::Crowd => several::crowd(life).await,
            Story::Edits => one::edited(life).await,
            Story::Foreign => one::foreign(life).await,
            Story::Handover => handover::handed_over(life).await,
            Story::Example => example::applied(life).await,
        }
    }
}
