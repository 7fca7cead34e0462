//! Where a secret goes that only the response to a create shows. Declared by kinds as data; the engine writes it. Values only.

use std::time::Duration;

/// The Kubernetes Secret for the secret of an object, and how that is replaced.
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
