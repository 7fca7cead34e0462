//! Which account a client is for, and what it signs in with. Values only.

use secrecy::{ExposeSecret, SecretString};

use crate::databricks::google::GoogleKey;
use crate::databricks::{Host, Method, Request};

/// The account to sign in to, and as which principal.
#[derive(Debug, Clone)]
pub struct Connection {
    /// The host of the account.
    pub host: Host,
    /// The account: a UUID.
    pub account_id: String,
    /// The application id of the service principal, or the e-mail address of the Google service account.
    pub client_id: String,
    /// What proves that the operator is this principal.
    pub credentials: Credentials,
    /// Whether the account is on Google Cloud: some calls need a token of Google there, and its workspaces have no tags. What the host
    /// says counts, see [`Host::on_google`].
    pub on_google: bool,
}

/// What the operator signs in with.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The OAuth secret of a service principal.
    Secret(SecretString),
    /// The key of a Google service account.
    Google(GoogleKey),
    /// The Google service account of the operator's own pod or machine. The metadata server there issues its tokens.
    GoogleWorkload,
}

impl Credentials {
    /// What is sent in order to sign in, if it is always the same.
    pub(super) fn secret(&self) -> Option<&str> {
        match self {
            Credentials::Secret(secret) => Some(secret.expose_secret()),
            Credentials::Google(_) | Credentials::GoogleWorkload => None,
        }
    }

    /// The server of Google that issues the tokens for a host of Databricks, if it is Google that does.
    pub(super) fn issuer(&self, host: &Host) -> Option<Host> {
        match self {
            Credentials::Secret(_) => None,
            Credentials::Google(key) => Some(key.host().clone()),
            Credentials::GoogleWorkload => Some(host.google_metadata()),
        }
    }
}

/// The collections whose objects Databricks creates and changes in the project of the customer, and whose creates and changes need an
/// access token of Google. Documented, by the notes of Databricks' Terraform provider. Assumed: that no other call needs one. It is not
/// known whether a deletion does, which may remove something from the project, so it is sent with one if there is one.
const IN_THE_PROJECT: [&str; 4] = ["customer-managed-keys", "networks", "vpc-endpoints", "workspaces"];

impl Connection {
    /// Whether a call needs an access token of Google that these credentials do not give.
    pub(super) fn lacks_google_token(&self, request: &Request) -> bool {
        self.on_google
            && matches!(self.credentials, Credentials::Secret(_))
            && is_in_the_project(request)
            && request.method != Method::Delete
    }

    /// Whether a call is sent with an access token of Google: only the calls that need it or may need it, and only to hosts that may get
    /// it.
    pub(super) fn sends_google_token(&self, request: &Request) -> bool {
        self.host.takes_google_tokens() && is_in_the_project(request)
    }
}

/// Whether a call makes Databricks act in the project of the customer: the creates, changes and deletions of some objects.
fn is_in_the_project(request: &Request) -> bool {
    let segments: Vec<&str> = request.path.split('/').collect();
    match (request.method, segments.as_slice()) {
        (Method::Get, _) => false,
        (_, ["", "api", _, "accounts", _, collection] | ["", "api", _, "accounts", _, collection, _]) => {
            IN_THE_PROJECT.contains(collection)
        }
        _ => false,
    }
}
