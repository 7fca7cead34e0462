//! Which Kubernetes object manages which object in the account, so that two never manage one.
//!
//! The recorded holder wins, then the older, then the one with the smaller UID. Records are taken from the watch and from
//! our own writes; claims of objects that are not recorded yet are made when a pass is about to create.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use super::wake::Who;

/// What can be claimed: an id that exists, or a natural key that is about to be created.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The account.
    pub account_id: String,
    /// The kind.
    pub kind: String,
    /// `id:<id>` or `key:<parent>/<name>`.
    pub what: String,
}

impl Claim {
    /// The claim of an existing object.
    pub fn id(account_id: &str, kind: &str, id: &str) -> Claim {
        Claim { account_id: account_id.into(), kind: kind.into(), what: format!("id:{id}") }
    }

    /// The claim of an object that is to be made.
    pub fn key(account_id: &str, kind: &str, key: &super::resource::Key) -> Claim {
        Claim {
            account_id: account_id.into(),
            kind: kind.into(),
            what: format!("key:{}/{}", key.within, key.name),
        }
    }
}

/// Order among claimants: recorded first (`false` sorts first), then older, then smaller UID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// Not recorded.
    pub unrecorded: bool,
    /// `metadata.creationTimestamp` in seconds.
    pub created: i64,
    /// `metadata.uid`.
    pub uid: String,
}

/// All claims.
#[derive(Default)]
pub struct Claims {
    all: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    by_claim: HashMap<Claim, BTreeMap<Rank, Who>>,
    by_who: HashMap<Who, Vec<(Claim, Rank)>>,
}

impl Claims {
    /// Claims something; `Some` names the one who holds it if that is not `who`.
    pub fn claim(&self, claim: Claim, rank: Rank, who: &Who) -> Option<Who> {
        let mut table = self.all.lock().expect("no panic while held");
        let claimants = table.by_claim.entry(claim.clone()).or_default();
        claimants.retain(|r, w| w != who || *r == rank);
        claimants.insert(rank.clone(), who.clone());
        let holder = claimants.values().next().filter(|w| *w != who).cloned();
        let mine = table.by_who.entry(who.clone()).or_default();
        mine.retain(|(c, r)| *c != claim || *r == rank);
        if !mine.iter().any(|(c, _)| *c == claim) {
            mine.push((claim, rank));
        }
        holder
    }

    /// Who holds something, if anybody.
    pub fn holder(&self, claim: &Claim) -> Option<Who> {
        let table = self.all.lock().expect("no panic while held");
        table.by_claim.get(claim)?.values().next().cloned()
    }

    /// Drops all claims of an object, and tells who else had claimed the same: they may have a chance now.
    pub fn release(&self, who: &Who) -> Vec<Who> {
        let mut table = self.all.lock().expect("no panic while held");
        let mut others = vec![];
        for (claim, rank) in table.by_who.remove(who).unwrap_or_default() {
            let Some(claimants) = table.by_claim.get_mut(&claim) else { continue };
            claimants.remove(&rank);
            others.extend(claimants.values().cloned());
            if claimants.is_empty() {
                table.by_claim.remove(&claim);
            }
        }
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(name: &str) -> Who {
        Who { kind: "IpAccessList".into(), namespace: "a".into(), name: name.into() }
    }

    fn rank(unrecorded: bool, created: i64) -> Rank {
        Rank { unrecorded, created, uid: format!("u{created}") }
    }

    #[test]
    fn the_recorded_holder_wins_then_the_older() {
        let claims = Claims::default();
        let office = Claim::id("acc", "IpAccessList", "1");
        assert_eq!(claims.claim(office.clone(), rank(true, 2), &who("newer")), None);
        assert_eq!(claims.claim(office.clone(), rank(true, 1), &who("older")), None, "older wins over newer");
        assert_eq!(claims.claim(office.clone(), rank(true, 2), &who("newer")), Some(who("older")));
        assert_eq!(claims.claim(office.clone(), rank(false, 2), &who("newer")), None, "a record beats age");
        assert_eq!(claims.holder(&office), Some(who("newer")));
        assert_eq!(claims.release(&who("newer")), [who("older")]);
        assert_eq!(claims.holder(&office), Some(who("older")));
    }
}
