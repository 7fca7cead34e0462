//! Whether the responses to the creates of a kind show a secret that no read shows, and where that goes. Declared by kinds as data; the
//! engine writes it. Values only.

use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

/// What the response to a create shows that no read shows, and what follows if it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issues {
    /// Nothing.
    Nothing,
    /// A secret, which is the object itself. One that is lost or old gets a successor, and that is another object. The operator does
    /// not adopt an object that another user created, nor find one by its key, as it does not know the secret.
    Secret,
    /// A secret of an object that is more than that. It lasts as long as the object, and has no successor: a lost one is reported. An
    /// object whose spec names no Kubernetes Secret is managed without it.
    WithSecret,
}

/// The Kubernetes Secret for the secret of an object, and how that is replaced, if it has successors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// The name of the Secret, in the namespace of the object.
    pub secret_name: String,
    /// The key in it.
    pub key: &'static str,
    /// How long a secret stays valid after its successor is in the Kubernetes Secret.
    pub overlap: Duration,
    /// Any new value requests a new secret.
    pub renewal: Option<String>,
}

/// Reads a secret of a response.
pub fn hidden<'de, D: Deserializer<'de>>(text: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(text)?.map(SecretString::from))
}
