//! PrivateAccessSettings: from where the workspaces that use them can be reached, for PrivateLink.
//!
//! One PUT replaces them as a whole, so what the spec does not manage is sent as it was read. The name may be changed too: a
//! renamed object is recognised by its region, which cannot change, beside the recorded id.
//!
//! A change applies to all workspaces that use the settings. To set `publicAccessEnabled` from true to false cuts off all users
//! without a private connection, so it is refused unless `allowPublicAccessRemoval` is true. A change after which fewer endpoints
//! may be used cuts off the users who connect through the others, so it needs `allowEndpointRemoval`. Those are fields and no
//! annotations, so that they are reviewed with the change; and they are permissions rather than orders, so that they may stay for
//! what comes later, such as the correction of a change in the console. Without them, the operator does not undo what a person
//! opened in an emergency. A create needs no such permission: no workspace uses the settings yet, and a Workspace has a check of
//! its own.
//!
//! Two objects that exchange their names need a third name, as the account may refuse a name that is in use.

pub mod spec;

use std::collections::BTreeSet;

use crate::engine::prelude::*;
use crate::kinds::vpc_endpoint::VpcEndpoint;

pub use spec::{PrivateAccessSettings, PrivateAccessSettingsSpec};

/// What a spec controls. The permissions are in no response, and not sent.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct PrivateAccessSettingsState {
    private_access_settings_name: Option<String>,
    region: Option<String>,
    public_access_enabled: Option<bool>,
    private_access_level: Option<String>,
    allowed_vpc_endpoint_ids: Option<BTreeSet<String>>,
    allow_public_access_removal: Option<bool>,
    allow_endpoint_removal: Option<bool>,
}

#[derive(Deserialize)]
struct Remote {
    private_access_settings_id: String,
    private_access_settings_name: Option<String>,
    region: Option<String>,
    // An API may leave out what is false.
    public_access_enabled: Option<bool>,
    private_access_level: Option<String>,
    allowed_vpc_endpoint_ids: Option<BTreeSet<String>>,
}

impl From<Remote> for Observed<PrivateAccessSettings> {
    fn from(remote: Remote) -> Self {
        let state = PrivateAccessSettingsState {
            private_access_settings_name: remote.private_access_settings_name,
            region: remote.region,
            public_access_enabled: Some(remote.public_access_enabled.unwrap_or_default()),
            // An API may leave out the default, as of settings that are older than the field.
            private_access_level: Some(remote.private_access_level.unwrap_or_else(|| "ACCOUNT".to_owned())),
            allowed_vpc_endpoint_ids: Some(remote.allowed_vpc_endpoint_ids.unwrap_or_default()),
            allow_public_access_removal: None,
            allow_endpoint_removal: None,
        };
        Observed { id: remote.private_access_settings_id, state, facts: NoFacts {}, about: About::default() }
    }
}

/// The body of a create, and of the PUT that replaces what was seen.
fn body(want: &PrivateAccessSettingsState, seen: Option<&PrivateAccessSettingsState>) -> Value {
    let level = want.private_access_level.as_ref().or(seen.and_then(|s| s.private_access_level.as_ref()));
    let name = want.private_access_settings_name.as_ref();
    given(json!({
        "private_access_settings_name": name.or(seen.and_then(|s| s.private_access_settings_name.as_ref())),
        "region": want.region.as_ref().or(seen.and_then(|s| s.region.as_ref())),
        "public_access_enabled": want.public_access_enabled.or(seen.and_then(|s| s.public_access_enabled)),
        "private_access_level": level,
        "allowed_vpc_endpoint_ids": listed(want, seen),
    }))
}

/// The endpoints that may be used after a create, or after the PUT that replaces what was seen. None if all of the account may:
/// the API refuses a list with a level other than ENDPOINT.
fn listed<'a>(
    want: &'a PrivateAccessSettingsState,
    seen: Option<&'a PrivateAccessSettingsState>,
) -> Option<&'a BTreeSet<String>> {
    let level = want.private_access_level.as_ref().or(seen.and_then(|s| s.private_access_level.as_ref()));
    let kept = seen.and_then(|seen| seen.allowed_vpc_endpoint_ids.as_ref());
    want.allowed_vpc_endpoint_ids.as_ref().or(kept).filter(|_| level.is_some_and(|l| l == "ENDPOINT"))
}

impl ExternalResource for PrivateAccessSettings {
    type State = PrivateAccessSettingsState;
    type Id = String;
    type Facts = NoFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "region", spec: &["region"] }];
    const UNTOLD: &'static [&'static str] = &["allow_public_access_removal", "allow_endpoint_removal"];
    const NAME: &'static [&'static str] = &["privateAccessSettingsName"];
    const REQUIRED: &'static [&'static str] = &["region", "publicAccessEnabled"];
    const REFERENCES: &'static [Reference] = &[Reference::list::<VpcEndpoint>(
        "allowed_vpc_endpoint_ids",
        &["allowedVpcEndpointIds", "allowedVpcEndpointRefs"],
        &["endpoint"],
    )];
    const GUARD: Option<Guard<Self>> = Some(Guard::Act(keep_users_in));

    fn desired(spec: &PrivateAccessSettingsSpec, got: &Resolved) -> Result<PrivateAccessSettingsState> {
        Ok(PrivateAccessSettingsState {
            private_access_settings_name: spec.private_access_settings_name.clone(),
            region: spec.region.clone(),
            public_access_enabled: spec.public_access_enabled,
            private_access_level: spec.private_access_level.map(|level| format!("{level:?}")),
            allowed_vpc_endpoint_ids: got.all("allowed_vpc_endpoint_ids"),
            allow_public_access_removal: spec.allow_public_access_removal,
            allow_endpoint_removal: spec.allow_endpoint_removal,
        })
    }

    fn key(state: &PrivateAccessSettingsState) -> Key {
        Key { within: String::new(), name: state.private_access_settings_name.clone().unwrap_or_default() }
    }

    /// Either is enough, so that the name may be changed, and a wrong region in the spec is named.
    fn recognises(want: &PrivateAccessSettingsState, seen: &Observed<Self>) -> bool {
        let key = Self::key(want);
        key.name.is_empty() || want.region == seen.state.region || key == Self::key(&seen.state)
    }

    fn aside(want: PrivateAccessSettingsState, id: &String) -> Option<PrivateAccessSettingsState> {
        want.private_access_settings_name.as_ref()?;
        let name = Some(format!("exchanging names, {id}"));
        Some(PrivateAccessSettingsState { private_access_settings_name: name, ..want })
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["private-access-settings", id])).await.optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&["private-access-settings"]), Pages::Bare).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &PrivateAccessSettingsState) -> ApiResult<Created<Self>> {
        let created: Remote = api.post(api.path(&["private-access-settings"]), body(want, None)).await?;
        Ok(Observed::from(created).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &PrivateAccessSettingsState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let gone = || Error::retry("the settings are gone, or a read does not show them yet");
        // The PUT overwrites what changed since the last read, public access as well, so they are read immediately before.
        let now = Self::get(api, &seen.id).await?.ok_or_else(gone)?;
        if now.state != seen.state {
            // The guard has judged the change of what was read before.
            keep_users_in(&Act { want: Some(want), seen: Some(&now) })?;
        }
        let path = api.path(&["private-access-settings", &seen.id]);
        // The response may be empty, so they are read again.
        api.put::<IgnoredAny>(path, body(want, Some(&now.state))).await?;
        Ok(Self::get(api, &seen.id).await?.ok_or_else(gone)?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["private-access-settings", &seen.id])).await;
        Ok(deleted.map_err(|error| in_use(error, "a workspace"))?)
    }
}

/// Refuses to cut off users: all who come from the internet, or those of an endpoint, unless the spec allows it.
fn keep_users_in(act: &Act<'_, PrivateAccessSettings>) -> Result<()> {
    let (Some(want), Some(seen)) = (act.want, act.seen) else { return Ok(()) };
    let closed = seen.state.public_access_enabled == Some(true) && want.public_access_enabled == Some(false);
    if closed && want.allow_public_access_removal != Some(true) {
        return Err(Error::terminal(
            Reason::WouldLockOut,
            "publicAccessEnabled is true in the account, and false would cut off all users of the workspaces with these settings \
             who have no private connection: set spec.allowPublicAccessRemoval to true to allow that, or spec.publicAccessEnabled \
             to true",
        ));
    }
    let removed = removed_endpoints(want, &seen.state).filter(|_| want.allow_endpoint_removal != Some(true));
    let Some(removed) = removed else { return Ok(()) };
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "{removed} may be used in the account, and this change would cut off the users who connect through them to the \
             workspaces with these settings: set spec.allowEndpointRemoval to true to allow that, or allow them in the spec"
        ),
    ))
}

/// How many endpoints a message names.
const NAMED: usize = 5;

/// The endpoints that may be used now and not after a change, in words.
fn removed_endpoints(want: &PrivateAccessSettingsState, seen: &PrivateAccessSettingsState) -> Option<String> {
    let after = listed(want, Some(seen))?;
    let Some(before) = listed(seen, None) else { return Some("all VPC endpoints of the account".into()) };
    let removed: Vec<&str> = before.difference(after).map(String::as_str).collect();
    let more = if removed.len() > NAMED { " and others" } else { "" };
    let named = removed.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    (!removed.is_empty()).then(|| format!("the VPC endpoints {named}{more}"))
}

#[cfg(test)]
mod tests;
