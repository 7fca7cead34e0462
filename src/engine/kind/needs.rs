//! What an object needs to know before its spec can be carried out: ids of other objects, and ids of principals that only
//! the account knows. Declared by kinds as data; resolved, cached and pinned by the engine.

use std::collections::{BTreeMap, BTreeSet};

use kube::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// The fact of an object that is needed in place of its id, by its name in the status of that object.
    pub fact: Option<&'static str>,
    /// The rest of the spec is carried out without it: its target is left out until it is known. The target may be deleted while the
    /// spec names it, and a name always means the principal that has it now.
    pub soft: bool,
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
    /// The principal that the operator signs in as, by `clientId` of the DatabricksAuth. A Google service account is a user of the
    /// account.
    pub fn of_client(client_id: &str) -> PrincipalName {
        match client_id.contains('@') {
            true => PrincipalName::User(client_id.to_owned()),
            false => PrincipalName::ServicePrincipal(client_id.to_owned()),
        }
    }

    /// The name that a spec writes in one of these three fields.
    pub fn written(
        user_name: &Option<String>,
        group_name: &Option<String>,
        service_principal_name: &Option<String>,
    ) -> Option<PrincipalName> {
        let user = user_name.clone().map(PrincipalName::User);
        let group = || group_name.clone().map(PrincipalName::Group);
        let service_principal = || service_principal_name.clone().map(PrincipalName::ServicePrincipal);
        user.or_else(group).or_else(service_principal)
    }

    /// The field of these three that has such a name.
    pub fn field(&self) -> &'static str {
        match self {
            PrincipalName::User(_) => "userName",
            PrincipalName::Group(_) => "groupName",
            PrincipalName::ServicePrincipal(_) => "servicePrincipalName",
        }
    }

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
            // Its name for people is another one, and often written by mistake.
            PrincipalName::ServicePrincipal(id) => {
                write!(f, "service principal with the application id {id}")
            }
        }
    }
}

impl Need {
    /// The id of another object.
    pub fn object<K: Resource<DynamicType = ()>>(field: impl Into<String>, name: &str) -> Need {
        let what = Wanted::Object { kind: K::kind(&()).into_owned(), name: name.into() };
        Need { field: field.into(), what, fact: None, soft: false }
    }

    /// The field of the spec, without what distinguishes one of several.
    pub fn place(&self) -> &str {
        self.field.split_once('/').map_or(&*self.field, |(field, _)| field)
    }

    /// The id of a principal.
    pub fn principal(field: impl Into<String>, name: PrincipalName) -> Need {
        Need { field: field.into(), what: Wanted::Principal(name), fact: None, soft: false }
    }

    /// The same, but the rest of the spec is carried out without it.
    pub fn soft(self) -> Need {
        Need { soft: true, ..self }
    }

    /// What stands for an object with this id and status: the id, or the fact that is needed, if the status shows it.
    pub fn value(&self, id: &str, status: &Value) -> Option<String> {
        self.fact.map_or(Some(id), |name| fact(name, status)).map(str::to_owned)
    }

    /// The top-level field of the spec that contains it.
    pub fn root(&self) -> &str {
        self.field.split(['.', '/']).next().unwrap_or(&self.field)
    }
}

/// A fact of an object that others may refer to in place of its id, if its status shows it.
pub fn fact<'a>(name: &str, status: &'a Value) -> Option<&'a str> {
    let shown = [&status[name], &status["observed"][name]];
    shown.into_iter().find_map(Value::as_str).filter(|text| !text.is_empty())
}

/// The resolved needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resolved {
    /// Ids by field of the spec; for a reference by a fact, that fact.
    pub ids: BTreeMap<String, String>,
    /// The ids that the kind's references mean, whether written or named, by field of `State`: for its `desired` alone.
    pub targets: BTreeMap<&'static str, Vec<String>>,
    /// The mark that an object of ours carries: `<installation>/<namespace>/<name>`.
    pub marker: String,
}

impl Resolved {
    /// The id of a reference, by its field of `State`, or of a need, by its field of the spec.
    pub fn id(&self, field: &str) -> Result<&str> {
        let known = self.first(field).or_else(|| self.ids.get(field));
        known.map(String::as_str).ok_or_else(|| {
            Error::terminal(Reason::InternalError, format!("{field} was used without having been asked for"))
        })
    }

    /// The same as a number.
    pub fn number(&self, field: &str) -> Result<i64> {
        self.id(field)?.parse().map_err(|_| {
            Error::terminal(Reason::InvalidSpec, format!("{field} does not resolve to a numeric id"))
        })
    }

    /// The id of a reference that a spec may leave out.
    pub fn maybe(&self, state: &str) -> Option<String> {
        self.first(state).cloned()
    }

    /// The ids of a list of references; none if the spec leaves it out.
    pub fn all(&self, state: &str) -> Option<BTreeSet<String>> {
        Some(self.targets.get(state)?.iter().cloned().collect())
    }

    fn first(&self, state: &str) -> Option<&String> {
        self.targets.get(state)?.first()
    }
}
