//! The id of an object that belongs to another one: a rule of a configuration, an assignment of a workspace. Values only.

use std::fmt;
use std::str::FromStr;

use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};

/// `<within>/<own>`: the id of the parent, and the object's own id in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inside<W = String, O = String> {
    /// The id of the parent.
    pub within: W,
    /// Its own id, which may be unique in the parent only.
    pub own: O,
}

impl<W: fmt::Display, O: fmt::Display> fmt::Display for Inside<W, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.within, self.own)
    }
}

impl<W: FromStr + fmt::Display, O: FromStr + fmt::Display> FromStr for Inside<W, O> {
    type Err = &'static str;

    /// Reads only the form that is written: ids are compared as text elsewhere.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').filter(|(within, own)| is_one(within) && is_one(own));
        let id = parts
            .and_then(|(within, own)| Some(Inside { within: within.parse().ok()?, own: own.parse().ok()? }));
        id.filter(|id| id.to_string() == text)
            .ok_or("write <id of the parent>/<id of the object in it>, as status.externalId shows it")
    }
}

fn is_one(part: &str) -> bool {
    !part.is_empty() && !part.contains('/')
}

/// The id of the parent under which a LIST is read, as its API has it. `of` says what it is the id of: `a workspace`.
pub fn parent<W: FromStr>(within: &str, of: &str) -> Result<W> {
    within.parse().map_err(|_| Error::terminal(Reason::InvalidSpec, format!("{within:?} is no id of {of}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_as_its_api_has_it_or_named() {
        assert_eq!(parent("42", "a workspace"), Ok(42_i64));
        let wrong = parent::<i64>("", "a workspace");
        assert_eq!(wrong, Err(Error::terminal(Reason::InvalidSpec, "\"\" is no id of a workspace")));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let numbers = |text: &str| text.parse::<Inside<i64, i64>>().map(|id| (id.within, id.own));
        assert_eq!(numbers("42/7"), Ok((42, 7)));
        let texts = |text: &str| text.parse::<Inside>().map(|id| id.to_string());
        assert_eq!(texts("8d2f/51c0"), Ok("8d2f/51c0".into()));
        for wrong in ["", "/", "42", "42/", "/7", "42/7/1", "42//7"] {
            assert!(numbers(wrong).is_err() && texts(wrong).is_err(), "{wrong}");
        }
        for wrong in ["042/7", "42/+7", " 42/7", "a/7"] {
            assert!(numbers(wrong).is_err(), "{wrong}");
        }
    }
}
