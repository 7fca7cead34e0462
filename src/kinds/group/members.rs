//! The members of a group: what a spec needs to know of each, how the account has them, and which it did not take.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::spec::{Group, Member};
use crate::engine::crd::Reason;
use crate::engine::error::Error;
use crate::engine::kind::{Need, PrincipalName};
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
    let Member { user_name, group_name, service_principal_name, .. } = member;
    let named = PrincipalName::written(user_name, group_name, service_principal_name);
    let named = named.map(|name| Need::principal(entry(name.field(), name.search().2), name));
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

/// Why the account does not have the members that it was sent, if a change of `have` into `want` left it with `there`.
pub(super) fn unlike(
    have: &BTreeSet<String>,
    want: &BTreeSet<String>,
    there: &BTreeSet<String>,
    refused: Option<Error>,
) -> Option<Error> {
    let out: Vec<&str> =
        want.difference(have).filter(|id| !there.contains(*id)).map(String::as_str).collect();
    let kept: Vec<&str> =
        have.difference(want).filter(|id| there.contains(*id)).map(String::as_str).collect();
    let Some(mut refused) = refused else { return (!out.is_empty()).then(|| not_added(&out)) };
    for (ids, what) in [(out, "not added yet"), (kept, "not removed yet")] {
        if !ids.is_empty() {
            refused = refused.adding(&format!("members {what}: {}", few(&ids)));
        }
    }
    Some(refused)
}

fn not_added(ids: &[&str]) -> Error {
    let text = format!(
        "Databricks accepted the change of the group and did not add these members: {}; no principal of the account has such an id, \
         or it is new, or reads lag behind: correct spec.members if this lasts",
        few(ids)
    );
    Error::rejected(Reason::ReferenceNotFound, text)
}

/// The first ids, as many as a message has room for.
fn few(ids: &[&str]) -> String {
    let first = ids.iter().take(10).copied().collect::<Vec<_>>().join(", ");
    match ids.len() {
        0..=10 => first,
        more => format!("{first} and {} more", more - 10),
    }
}
