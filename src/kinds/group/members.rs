//! The members of a group: what a spec needs to know of each, and how the account has them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::spec::{Group, Member};
use crate::engine::kind::Need;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;

/// How needs name a member: by the field, and by what is in it.
fn entry(field: &str, name: impl fmt::Display) -> String {
    format!("members.{field}/{name}")
}

/// The object that a member names, if it names one.
fn object(member: &Member) -> Option<Need> {
    let user = member.user_ref.as_ref();
    let service = member.service_principal_ref.as_ref();
    let group = member.group_ref.as_ref();
    user.map(|r| Need::object::<User>(entry("userRef", &r.name), &r.name))
        .or_else(|| {
            service.map(|r| Need::object::<ServicePrincipal>(entry("servicePrincipalRef", &r.name), &r.name))
        })
        .or_else(|| group.map(|r| Need::object::<Group>(entry("groupRef", &r.name), &r.name)))
}

/// What must be known to know a member; nothing, if its id is written.
pub(super) fn need(member: &Member) -> Option<Need> {
    let named = member.principal().map(|(field, name)| {
        let value = name.search().2;
        Need::principal(entry(field, value), name)
    });
    named.or_else(|| object(member)).map(Need::soft)
}

/// A member in the account, in the form that a spec has.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberId {
    id: Id,
}

/// A number; an id that is none must be read and shown.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(untagged)]
enum Id {
    Number(i64),
    Text(String),
}

impl From<&str> for MemberId {
    fn from(text: &str) -> MemberId {
        let number = text.parse::<i64>().ok().filter(|number| number.to_string() == text);
        MemberId { id: number.map_or_else(|| Id::Text(text.to_owned()), Id::Number) }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Id::Number(number) => number.fmt(f),
            Id::Text(text) => text.fmt(f),
        }
    }
}
