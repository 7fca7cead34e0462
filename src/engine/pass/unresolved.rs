//! What a spec names, is not known, and is left out; and what must not be removed because of that. Values only; [`super::resolve`]
//! finds them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::engine::crd::{Reason, camel};
use crate::engine::kind::Seen;

/// So many are named in a message.
const NAMED: usize = 5;

/// What a spec names and nothing is known of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unresolved {
    /// Why the first is not known.
    reason: Option<Reason>,
    /// Which, why, and what to write.
    messages: Vec<String>,
    /// The fields of the spec from which nothing may be removed.
    kept: BTreeSet<String>,
}

impl Unresolved {
    /// Adds something that is not known.
    pub fn add(&mut self, reason: Reason, message: String) {
        self.reason.get_or_insert(reason);
        self.messages.push(message);
    }

    /// It may be any entry of this list.
    pub fn keep_all_of(&mut self, field: &str) {
        self.kept.insert(field.to_owned());
    }

    /// What the conditions show, if something is not known.
    pub fn shown(&self) -> Option<(Reason, String)> {
        let mut text = self.messages.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
        if let more @ 1.. = self.messages.len().saturating_sub(NAMED) {
            text += &format!("; and {more} more");
        }
        for field in &self.kept {
            text += &format!("; until then nothing is removed from spec.{field}");
        }
        Some((self.reason?, text))
    }

    /// What is wanted, with all that was read in the fields from which nothing may be removed.
    pub fn with_kept_entries(&self, want: Option<&Value>, seen: Option<&Seen>) -> Option<Value> {
        let mut want = want?.clone();
        for (field, list) in want.as_object_mut().into_iter().flatten() {
            let there = seen.and_then(|seen| seen.state[field].as_array());
            if let (true, Some(list), Some(there)) =
                (self.kept.contains(&camel(field)), list.as_array_mut(), there)
            {
                let more: Vec<Value> = there.iter().filter(|item| !list.contains(item)).cloned().collect();
                list.extend(more);
            }
        }
        Some(want)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::engine::kind::About;

    fn unresolved(kept: &[&str]) -> Unresolved {
        Unresolved { kept: kept.iter().map(|field| (*field).to_owned()).collect(), ..Unresolved::default() }
    }

    #[test]
    fn nothing_is_removed_from_a_list_of_which_a_part_is_not_known() {
        let state = json!({"members": [1, 2], "roles": ["a"], "display_name": "x"});
        let seen = Seen { id: "1".into(), state, facts: Map::new(), about: About::default() };
        let want = json!({"members": [2, 3], "roles": [], "display_name": "y"});
        let kept = unresolved(&["members"]).with_kept_entries(Some(&want), Some(&seen)).unwrap();
        assert_eq!(kept, json!({"members": [2, 3, 1], "roles": [], "display_name": "y"}));
        assert_eq!(unresolved(&[]).with_kept_entries(Some(&want), Some(&seen)), Some(want.clone()));
        assert_eq!(unresolved(&["members"]).with_kept_entries(Some(&want), None), Some(want));
    }

    #[test]
    fn a_message_names_the_first_and_counts_the_rest() {
        let mut unresolved = unresolved(&["members"]);
        assert_eq!(unresolved.shown(), None);
        (1..=7).for_each(|n| unresolved.add(Reason::ReferenceNotFound, format!("no user {n}")));
        let (reason, text) = unresolved.shown().unwrap();
        assert_eq!(reason, Reason::ReferenceNotFound);
        let expected = "no user 1; no user 2; no user 3; no user 4; no user 5; and 2 more; until then nothing is removed from \
                        spec.members";
        assert_eq!(text, expected);
    }
}
