//! What a kind reads and a guard checks, with its types erased: the values that the engine carries between the functions of a
//! [`super::Driver`].

use ipnet::IpNet;
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::about::About;

/// One reading of an object, erased.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Its id.
    pub id: String,
    /// What a spec can control, in wire names.
    pub state: Value,
    /// What is shown.
    pub facts: Map<String, Value>,
    /// What the engine reads of it.
    pub about: About,
}

/// Another kind whose objects say more about those of this one. Its LIST is shared with its own objects.
#[derive(Clone, Copy, Debug)]
pub struct Explained {
    /// That kind.
    pub by: &'static str,
    /// The field of the state with the id of the other object.
    pub field: &'static str,
    /// Adds what the other object says. Pure.
    pub add: fn(&mut About, &Seen),
}

/// Another kind whose objects a guard reads: those of the account itself.
#[derive(Clone, Copy, Debug)]
pub struct GuardReads {
    /// That kind.
    pub kind: &'static str,
    /// Whether the guard of a change to this desired state reads them. Pure.
    pub when: fn(&Value) -> bool,
}

/// What a create returned, erased. Its Debug shows no secret.
#[derive(Clone, Debug)]
pub struct New {
    /// The id.
    pub id: String,
    /// The object, if the response shows it.
    pub seen: Option<Seen>,
    /// The secret that no later read shows.
    pub secret: Option<SecretString>,
    /// What its users need beside it, with its key in the Kubernetes Secret.
    pub beside: Option<(&'static str, String)>,
}

impl From<Seen> for New {
    fn from(seen: Seen) -> New {
        New { id: seen.id.clone(), seen: Some(seen), secret: None, beside: None }
    }
}

/// What guards know of a DatabricksAuth.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthFacts {
    /// Application id of the operator's own service principal, or the e-mail address of its Google service account.
    pub client_id: String,
    /// Numeric id of that principal in the account, if a guard needs it and the account returns it.
    pub principal_id: Option<String>,
    /// The addresses that the operator calls from.
    pub egress: Vec<IpNet>,
}

/// A write that a guard checks, erased.
#[derive(Clone, Copy)]
pub struct Acting<'a> {
    /// The desired state.
    pub want: Option<&'a Value>,
    /// The present state.
    pub seen: Option<&'a Seen>,
    /// All objects of the kind under the same parent, if the guard needs them.
    pub siblings: &'a [Seen],
    /// What is known of the DatabricksAuth.
    pub auth: &'a AuthFacts,
}
