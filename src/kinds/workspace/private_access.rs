//! What a workspace that runs may be given as private access settings: none that keep out users who could reach it from the internet
//! before, unless its spec says so. Settings that a change of themselves closes are checked by their own kind.
//!
//! It is a check within the update and no guard of the engine: a guard that reads the account needs the operator's own principal as
//! well, and without SCIM no workspace could be created then.

use serde::Deserialize;

use super::spec::Workspace;
use crate::databricks::Optional;
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{Act, Reader};

/// Private access settings, as far as this goes. An API may leave out what is false.
#[derive(Deserialize)]
struct Settings {
    public_access_enabled: Option<bool>,
}

/// Refuses to close a workspace that runs to the internet, unless the spec allows it.
pub async fn keep_users_in(act: &Act<'_, Workspace>, api: &Reader) -> Result<()> {
    let (Some(want), Some(seen)) = (act.want, act.seen) else { return Ok(()) };
    let (new, old) = (&want.private_access_settings_id, &seen.state.private_access_settings_id);
    let runs = seen.about.state.as_deref() == Some("RUNNING");
    let Some(id) = new.as_ref().filter(|_| runs && new != old) else { return Ok(()) };
    if want.allow_public_access_removal == Some(true) || is_public(api, id).await? != Some(false) {
        return Ok(());
    }
    if let Some(old) = old
        && is_public(api, old).await? == Some(false)
    {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "the private access settings {id} have publicAccessEnabled false, and the workspace can be reached from the internet: \
             they would cut off all its users who have no private connection. Set spec.allowPublicAccessRemoval to true to allow \
             that, or let spec.privateAccessSettingsRef or spec.privateAccessSettingsId name others"
        ),
    ))
}

/// Whether settings leave a workspace open to the internet; nothing if the account does not have them.
async fn is_public(api: &Reader, id: &str) -> Result<Option<bool>> {
    let found: Option<Settings> = api.get(api.path(&["private-access-settings", id])).await.optional()?;
    Ok(found.map(|settings| settings.public_access_enabled.unwrap_or_default()))
}
