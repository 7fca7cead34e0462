//! What an object needs to know before its spec can be carried out: ids of other objects, and ids of principals that only
//! the account knows. Declared by kinds as data; resolved, cached and pinned by the engine.

use std::collections::BTreeMap;

use kube::Resource;
use serde::{Deserialize, Serialize};

use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};

/// One thing to resolve, and the field of the spec that names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Field of the spec, in camelCase. Where one field holds several, what distinguishes them follows it, such as
    /// `vpcEndpoints.restApi/main`: an index would move when the list is sorted.
    pub field: String,
    /// What is needed.
    pub what: Wanted,
}

/// What is needed.
#[derive(Clone, Debug, PartialEq)]
pub enum Wanted {
    /// The id of another object of the same namespace.
    Object {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
    },
    /// The id of a principal of the account.
    Principal(PrincipalName),
}

/// A principal by the name that users know it by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PrincipalName {
    /// A user's e-mail address; Databricks keeps it in lower case.
    User(String),
    /// A group's display name.
    Group(String),
    /// A service principal's application id.
    ServicePrincipal(String),
}

impl PrincipalName {
    /// SCIM collection, attribute and value to search by.
    pub fn search(&self) -> (&'static str, &'static str, String) {
        match self {
            PrincipalName::User(name) => ("Users", "userName", name.to_lowercase()),
            PrincipalName::Group(name) => ("Groups", "displayName", name.clone()),
            PrincipalName::ServicePrincipal(id) => ("ServicePrincipals", "applicationId", id.clone()),
        }
    }
}

impl std::fmt::Display for PrincipalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PrincipalName::User(name) => write!(f, "user {name}"),
            PrincipalName::Group(name) => write!(f, "group {name}"),
            PrincipalName::ServicePrincipal(id) => write!(f, "service principal {id}"),
        }
    }
}

impl Need {
    /// The id of another object.
    pub fn object<K: Resource<DynamicType = ()>>(field: impl Into<String>, name: &str) -> Need {
        Need {
            field: field.into(),
            what: Wanted::Object { kind: K::kind(&()).into_owned(), name: name.into() },
        }
    }

    /// The id of a principal.
    pub fn principal(field: impl Into<String>, name: PrincipalName) -> Need {
        Need { field: field.into(), what: Wanted::Principal(name) }
    }
}

/// The resolved needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Ids by field of the spec.
    pub ids: BTreeMap<String, String>,
    /// The mark that an object of ours carries: `<installation>/<namespace>/<name>`.
    pub marker: String,
}

impl Resolved {
    /// The id for a field that was declared as a need.
    pub fn id(&self, field: &str) -> Result<&str> {
        self.ids.get(field).map(String::as_str).ok_or_else(|| {
            Error::terminal(Reason::InternalError, format!("{field} was used without having been asked for"))
        })
    }

    /// The same, where the API has a number.
    pub fn number(&self, field: &str) -> Result<i64> {
        self.id(field)?.parse().map_err(|_| {
            Error::terminal(Reason::InvalidSpec, format!("spec.{field} does not resolve to a numeric id"))
        })
    }

    /// The id written in the spec, else the one of the reference's target, else none.
    pub fn either(&self, id: Option<&str>, ref_field: &str) -> Option<String> {
        id.or_else(|| self.ids.get(ref_field).map(String::as_str)).map(str::to_owned)
    }
}
