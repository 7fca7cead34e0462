//! Where the objects of a kind are: in the account, or each in a workspace, which has a host of its own.
//!
//! A kind of workspaces is written like any other: its readers and writers already call the workspace that the id or the key names.
//! The account says which host that is. If a workspace is gone, all objects in it are too. Only the account can prove that: a host
//! that cannot be reached proves nothing.

use super::access::{Reader, Writer};
use super::lifecycle::Home;
use super::refusals::NEW_REFERENCE;
use super::resource::{ApiResult, CallError};
use crate::databricks::{self, WorkspaceHost};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};

impl Home {
    /// Reads where the objects under a parent are; `None` if they are gone with their workspace.
    pub async fn reader(self, api: &Reader, within: &str) -> Result<Option<Reader>> {
        if self == Home::Account {
            return Ok(Some(api.clone()));
        }
        match api.find_workspace(within).await? {
            WorkspaceHost::Runs(client) => Ok(Some(api.at(client))),
            WorkspaceHost::Gone => Ok(None),
            WorkspaceHost::Waits(why) => Err(waits(why)),
            WorkspaceHost::NotAllowed(why) => {
                Err(Error::terminal(Reason::HostNotAllowed, format!("workspace {within}: {why}")))
            }
        }
    }

    /// Writes there.
    pub async fn writer(self, api: &Writer, within: &str) -> Result<Writer> {
        let gone = || Error::rejected(Reason::ExternalResourceMissing, no_workspace(within));
        Ok(api.at(self.reader(api, within).await?.ok_or_else(gone)?))
    }

    /// The workspace that an object under a parent is in.
    pub fn workspace(self, within: String) -> Option<String> {
        (self == Home::InWorkspace).then_some(within)
    }

    /// What a read found; `None` if all that was there is gone with its parent.
    pub async fn settle<T>(self, api: &Reader, within: &str, found: ApiResult<T>) -> Result<Option<T>> {
        let error = match found {
            Ok(found) => return Ok(Some(found)),
            Err(error) => error,
        };
        if self.is_gone(api, within, &error).await? { Ok(None) } else { Err(self.error(error, within)) }
    }

    /// Whether a read failed because the parent is gone, and all that was in it: the account must say so. If the API does not know
    /// the account itself, each of its objects seems to be missing, which proves nothing.
    async fn is_gone(self, api: &Reader, within: &str, error: &CallError) -> Result<bool> {
        match self {
            Home::Account if !misses_parent(error, within) => Ok(false),
            Home::Account => api.find_account().await.map(|()| true).map_err(Error::from),
            Home::InWorkspace if !is_of_host(error) => Ok(false),
            Home::InWorkspace => {
                api.forget_workspace(within);
                Ok(self.reader(api, within).await?.is_none())
            }
        }
    }

    /// What a failed call means.
    pub fn error(self, error: CallError, within: &str) -> Error {
        match error {
            CallError::Api(error) => self.of_workspace(&error, within).unwrap_or_else(|| error.into()),
            CallError::Classified(error) => error,
        }
    }

    /// The error for a failure that concerns only the workspace that was called: from the account's host, the same failure would
    /// concern all objects of the account. `None` for other failures. Nothing was changed.
    pub fn of_workspace(self, error: &databricks::Error, workspace: &str) -> Option<Error> {
        use databricks::Error::{AddressBlocked, CredentialsRefused, NoToken, TokenRefused, Unreachable};
        let cause = match error {
            _ if self == Home::Account => return None,
            NoToken(cause) => cause,
            other => other,
        };
        match cause {
            Unreachable { reason, .. } => Some(waits(format!(
                "the host of workspace {workspace} cannot be reached: {reason}; a new workspace has a name in DNS some minutes \
                 after it runs; if it is not new, check the network between the operator and the workspace"
            ))),
            CredentialsRefused { message, .. } => Some(refused(workspace, message)),
            TokenRefused { refusal, fresh: true } => Some(refused(workspace, &refusal.to_string())),
            AddressBlocked(refusal) => Some(waits(format!(
                "{refusal}; the IP access lists of workspace {workspace} block the operator: from an allowed address, add the \
                 operator's address to an ALLOW list there, or remove it from the BLOCK list, and write it in spec.egressCidrs \
                 of the DatabricksAuth"
            ))),
            _ => None,
        }
    }
}

/// Whether the API reports that a parent in the account does not exist: its children are gone with it.
fn misses_parent(error: &CallError, within: &str) -> bool {
    !within.is_empty() && matches!(error, CallError::Api(error) if error.is_absence())
}

/// Whether a failure may be that of a host whose workspace is gone, or no longer runs.
fn is_of_host(error: &CallError) -> bool {
    use databricks::Error::{AddressBlocked, Api, NotTheApi, TokenRefused, Unknown, Unreachable};
    let CallError::Api(error) = error else { return false };
    match error {
        databricks::Error::NoToken(_) | databricks::Error::CredentialsRefused { .. } => true,
        Unreachable { .. } | Unknown { .. } | NotTheApi { .. } | TokenRefused { .. } | AddressBlocked(_) => {
            true
        }
        Api { status, .. } => *status >= 500,
        _ => false,
    }
}

/// A person need not act, or cannot here: what is in the workspace is left as it is.
fn waits(why: String) -> Error {
    Error::Transient { reason: Reason::WaitingForWorkspace, message: why, after: None }
}

/// A workspace learns of its assignments some minutes late, and until then does not accept who was just assigned.
fn refused(workspace: &str, message: &str) -> Error {
    let text = format!(
        "workspace {workspace} does not accept the service principal of the DatabricksAuth ({message}): make it an administrator of \
         the workspace, or wait if it became one a moment ago"
    );
    let (reason, patience) = (Reason::PermissionDenied, Some(NEW_REFERENCE));
    Error::Rejected { reason, message: text, patience, about_object: false }
}

/// The message for a spec with the id of a workspace that does not exist.
pub fn no_workspace(id: &str) -> String {
    format!("the account has no workspace {id}: correct the workspace in the spec, or delete this object")
}

#[cfg(test)]
mod tests;
