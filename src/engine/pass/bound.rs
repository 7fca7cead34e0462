//! What binds a Kubernetes object to one in the account, parsed once: the record in the status, its copy in annotations,
//! and the id in the spec; and whether an object in the account is the one that they mean. Pure.

use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::engine::crd::{AdoptionPolicy, EXTERNAL_ID, External, Intent, ObjectName, Reason};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Driver, Ownership, Seen};

/// What a status has room for, in characters. Only an annotation can have more.
pub const LONGEST_ID: usize = 256;

/// What binds an object, as far as it is recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bound {
    /// `status.external`.
    pub external: Option<External>,
    /// `status.intent`: a create whose result is not known.
    pub intent: Option<Intent>,
    /// The id in the annotation. Users can edit it: it is no proof by itself.
    pub annotated: Option<String>,
    /// An annotation says that this very object created the one in the account. No proof by itself either.
    pub created_here: bool,
    /// `spec.externalId`.
    pub spec_id: Option<String>,
    /// When the Kubernetes object was created.
    pub born: Option<Timestamp>,
}

/// In which way an object is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoundAs {
    /// Not at all.
    Nothing,
    /// The spec asks for one object by id.
    NamedBySpec,
    /// It was only observed: nothing was adopted.
    Observed,
    /// A record, an intent or an annotation says that the operator created or adopted it, whatever the policy is.
    Managed,
}

impl Bound {
    /// In which way the object is bound.
    pub fn bound_as(&self) -> BoundAs {
        match &self.external {
            Some(external) if external.observed => BoundAs::Observed,
            Some(_) => BoundAs::Managed,
            None if self.intent.is_some() || self.annotated.is_some() => BoundAs::Managed,
            None if self.spec_id.is_some() => BoundAs::NamedBySpec,
            None => BoundAs::Nothing,
        }
    }

    /// The id to read by: the recorded one, else the annotated one, else the one that the spec asks for.
    pub fn id(&self) -> Option<&str> {
        let recorded = self.external.as_ref().map(|external| &external.id);
        recorded.or(self.annotated.as_ref()).or(self.spec_id.as_ref()).map(String::as_str)
    }

    /// The id to read by, and the parent of what it names. The error for a text that is no id says where that is written.
    pub fn place(&self, driver: &dyn Driver) -> Result<Option<(&str, String)>> {
        let Some(id) = self.id() else { return Ok(None) };
        let wrong = |why: &str| {
            // Without its record, an object could be created once more.
            let remedy = if self.external.is_some() { "restore it" } else { "correct it, or remove it" };
            Error::terminal(Reason::InvalidSpec, format!("{} {why}: {remedy}", self.written_in()))
        };
        // A call with such an id would have another meaning, or none. What the operator has recorded comes from the account.
        if self.external.is_none() {
            if id.is_empty() {
                return Err(wrong("is empty"));
            }
            if id.trim() != id {
                return Err(wrong("begins or ends with white space"));
            }
        }
        // It would be kept in memory, as a parent whose objects were listed, long after the annotation is another.
        if id.chars().count() > LONGEST_ID {
            return Err(wrong(&format!("has more than {LONGEST_ID} characters, which no id has")));
        }
        let within = driver.within(id).map_err(|error| wrong(&format!("is no id ({error})")))?;
        Ok(Some((id, within)))
    }

    /// Where the id is written.
    pub fn written_in(&self) -> String {
        match (&self.external, &self.annotated) {
            (Some(_), _) => "status.external.id".into(),
            (None, Some(_)) => format!("the annotation {EXTERNAL_ID}"),
            (None, None) => "spec.externalId".into(),
        }
    }

    /// Whether the only record is an annotation, which came with a backup or a copy.
    pub fn copied(&self) -> bool {
        self.external.is_none() && self.intent.is_none() && self.annotated.is_some()
    }

    /// Whether the object in the account existed before this one, as far as a record says: then it stays by default.
    pub fn adopted(&self, observing: bool) -> bool {
        // What was only observed until now may still be created.
        let external = self.external.as_ref().filter(|external| observing || !external.observed);
        external.map_or(self.annotated.is_some() && !self.created_here, |external| external.adopted)
    }

    /// When the object in the account was created, if the operator created it. An object that was restored without its
    /// status lacks that time; but it is younger than what it created.
    pub fn created_at(&self) -> Option<Timestamp> {
        match &self.external {
            Some(external) => external.created_at.as_ref().map(|time| time.0),
            None => self.born.filter(|_| self.annotated.is_some() && self.created_here),
        }
    }
}

/// What decides whether an object in the account is ours.
#[derive(Clone, Copy)]
pub struct Recognise<'a> {
    /// The kind.
    pub driver: &'static dyn Driver,
    /// What the object is bound to.
    pub bound: &'a Bound,
    /// Our mark.
    pub marker: &'a str,
    /// `adoptionPolicy`, effective.
    pub adoption: AdoptionPolicy,
}

impl Recognise<'_> {
    /// Whether an object carries our mark.
    pub fn marked(&self, seen: &Seen) -> bool {
        seen.about.owner.as_deref() == Some(self.marker)
    }

    /// Whether we manage the object that a record names. A record is input that users can edit, so it is no proof by
    /// itself: the mark must be ours, or the natural name must be the desired one, or the one that we last saw. The mark of
    /// another excludes it, unless a user allowed its adoption and our mark is still to be set.
    pub fn is_ours(&self, want: Option<&Value>, seen: &Seen) -> Result<bool> {
        let marks = self.driver.traits().ownership == Ownership::Marker;
        if marks && self.marked(seen) {
            return Ok(true);
        }
        // A record that was copied with its annotations is adopted because a user allowed it as well.
        let said = matches!(self.adoption, AdoptionPolicy::IfExists | AdoptionPolicy::Required);
        let adopted = self.bound.external.as_ref().map_or(said, |external| external.adopted);
        if marks && seen.about.owner.is_some() && !adopted {
            return Ok(false);
        }
        let Some(external) = &self.bound.external else {
            // Only the annotation names it: it must match the spec exactly.
            return want.map_or(Ok(false), |want| self.driver.matches(&self.driver.key(want)?, seen));
        };
        let remembered = external.name.as_ref() == Some(&self.driver.key(&seen.state)?.name);
        match want {
            Some(want) => Ok(remembered || self.driver.recognises(want, seen)?),
            None => Ok(remembered || external.name.is_none()),
        }
    }
}

/// What to write if the mark in the account has our namespace and name, and the name of another installation: that of
/// another cluster, or ours under an earlier name.
pub fn marked_elsewhere(own: &str, who: &ObjectName, seen: &Seen) -> Option<String> {
    let other = seen.about.owner.as_ref()?.strip_suffix(&format!("/{}/{}", who.namespace, who.name))?;
    (other != own).then(|| {
        format!(
            "its mark is that of the installation {other:?}, and this operator is the installation {own:?}: another \
             cluster manages it; if that one is gone, or was this one under an earlier name, start the operator with \
             --installation={other} (value `installation` of the chart)"
        )
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::engine::kind::Lifecycle;
    use crate::engine::pass::fake::Fake;

    fn external(adopted: bool, observed: bool) -> Option<External> {
        let created_at = (!adopted && !observed).then(|| Time(Timestamp::from_second(7).unwrap()));
        let (account_id, id) = ("a".into(), "1".into());
        Some(External { account_id, id, name: None, adopted, observed, created_at, former: None })
    }

    fn intent() -> Option<Intent> {
        let time = Time(Timestamp::from_second(9).unwrap());
        let (account_id, within, name) = ("a".into(), String::new(), "n".into());
        Some(Intent { account_id, within, name, time, secret_name: None, before: vec![] })
    }

    fn cases() -> [(&'static str, Bound); 8] {
        let none = Bound { born: Timestamp::from_second(3).ok(), ..Bound::default() };
        let annotated = Bound { annotated: Some("2".into()), ..none.clone() };
        [
            ("created", Bound { external: external(false, false), ..annotated.clone() }),
            ("adopted", Bound { external: external(true, false), ..none.clone() }),
            ("observed", Bound { external: external(true, true), ..none.clone() }),
            ("begun", Bound { intent: intent(), ..none.clone() }),
            ("copied", annotated.clone()),
            ("restored", Bound { created_here: true, ..annotated }),
            ("asked", Bound { spec_id: Some("3".into()), ..none.clone() }),
            ("new", none),
        ]
    }

    /// A user can correct it only there.
    #[test]
    fn the_error_for_what_is_no_id_says_where_it_is_written() {
        let fake = Fake::new(Lifecycle::Object, Ownership::RecordedId);
        let annotated = |id: &str| Bound { annotated: Some(id.into()), ..Bound::default() };
        let asked = |id: &str| Bound { spec_id: Some(id.into()), ..Bound::default() };
        let nonsense = external(false, false).map(|it| External { id: "nonsense".into(), ..it });
        assert_eq!(annotated("p/1").place(fake), Ok(Some(("p/1", "p".into()))));
        assert_eq!(Bound::default().place(fake), Ok(None));
        let long = "1".repeat(LONGEST_ID + 1);
        let annotation = "the annotation databricks-operator.io/external-id";
        for (bound, place, says) in [
            (annotated(""), annotation, "is empty: correct it"),
            (annotated(" 1"), annotation, "begins or ends with white space: correct it"),
            (annotated("1\n"), annotation, "begins or ends with white space: correct it"),
            (annotated(&long), annotation, "has more than 256 characters, which no id has: correct it"),
            (annotated("nonsense"), annotation, "is no id (\"nonsense\" is not an id of a Fake): correct it"),
            (asked("nonsense"), "spec.externalId", "is no id (\"nonsense\""),
            (
                Bound { external: nonsense, ..annotated("1") },
                "status.external.id",
                "is no id (\"nonsense\" is not an id of a Fake): restore it",
            ),
        ] {
            let Err(Error::Terminal { reason: Reason::InvalidSpec, message }) = bound.place(fake) else {
                panic!("{bound:?}")
            };
            assert!(message.starts_with(&format!("{place} {says}")), "{message}");
        }
    }

    #[test]
    fn each_record_binds_in_its_way() {
        let expected = [
            ("created", BoundAs::Managed, Some("1"), false),
            ("adopted", BoundAs::Managed, Some("1"), false),
            ("observed", BoundAs::Observed, Some("1"), false),
            ("begun", BoundAs::Managed, None, false),
            ("copied", BoundAs::Managed, Some("2"), true),
            ("restored", BoundAs::Managed, Some("2"), true),
            ("asked", BoundAs::NamedBySpec, Some("3"), false),
            ("new", BoundAs::Nothing, None, false),
        ];
        for ((name, bound), (expected, bound_as, id, copied)) in cases().into_iter().zip(expected) {
            assert_eq!(name, expected);
            assert_eq!((bound.bound_as(), bound.id(), bound.copied()), (bound_as, id, copied), "{name}");
        }
    }

    /// What existed before stays by default when its Kubernetes object is deleted.
    #[test]
    fn what_was_there_before_is_known_as_adopted() {
        let adopted = |observing| cases().map(|(name, bound)| (name, bound.adopted(observing)));
        let expected = |observed| {
            [
                ("created", false),
                ("adopted", true),
                ("observed", observed),
                ("begun", false),
                ("copied", true),
                ("restored", false),
                ("asked", false),
                ("new", false),
            ]
        };
        assert_eq!(adopted(false), expected(false), "what was only observed may still be created");
        assert_eq!(adopted(true), expected(true));
    }

    #[test]
    fn what_the_operator_created_is_as_old_as_its_record_or_older_than_the_restored_object() {
        let at = |second| Timestamp::from_second(second).ok();
        let ages = cases().map(|(name, bound)| (name, bound.created_at()));
        let known = ages.into_iter().filter(|(_, at)| at.is_some()).collect::<Vec<_>>();
        assert_eq!(known, [("created", at(7)), ("restored", at(3))]);
    }
}
