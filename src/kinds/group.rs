//! Group: who is in a group of the account.
//!
//! A LIST of groups shows no members, so a group whose members matter is read by its id. A change is one PATCH that adds and
//! removes: what is in no entry of it stays. Databricks accepts members that no principal has the id of, and adds nothing;
//! only reading shows that. Not here: what becomes of a member that cannot be resolved, which the engine decides.

mod members;
pub mod spec;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::databricks::{Optional, Pages, ScimEntry, ScimPatch, scim_schemas};
use crate::engine::crd::Reason;
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, Created, ExternalResource, Guard, Immutable, Key, Need, Observed,
    Phase, Power, Reader, Resolved, Writer, of_identity_provider,
};
pub use members::MemberId;
use members::need;
pub use spec::{Group, GroupFacts, GroupSpec, Member};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct GroupState {
    display_name: Option<String>,
    members: Option<BTreeSet<MemberId>>,
    roles: Option<BTreeSet<String>>,
    scim_external_id: Option<String>,
}

impl GroupState {
    fn member_ids(&self) -> BTreeSet<String> {
        self.members.iter().flatten().map(MemberId::to_string).collect()
    }

    fn is_admin(&self) -> bool {
        self.roles.iter().flatten().any(|role| role == ADMIN)
    }
}

/// The role of an administrator of the account.
const ADMIN: &str = "account_admin";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Remote {
    id: String,
    display_name: Option<String>,
    members: Option<Vec<ScimEntry>>,
    roles: Option<Vec<ScimEntry>>,
    external_id: Option<String>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_type: Option<String>,
}

impl Remote {
    /// A group of one workspace, which the account shows and does not manage.
    fn is_of_a_workspace(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.resource_type.as_deref() == Some("WorkspaceGroup"))
    }

    /// `whole` if the response has the members; a row of a LIST has not.
    fn observed(self, whole: bool) -> Observed<Group> {
        let phase = if self.is_of_a_workspace() {
            Phase::Failed("it is a group of one workspace, which cannot be managed in the account".into())
        } else {
            Phase::Ready
        };
        let members = ScimEntry::values(self.members);
        let members: Option<BTreeSet<MemberId>> =
            whole.then(|| members.iter().map(|id| MemberId::from(id.as_str())).collect());
        let count = members.as_ref().and_then(|members| i64::try_from(members.len()).ok());
        Observed {
            id: self.id,
            state: GroupState {
                display_name: self.display_name,
                members,
                roles: Some(ScimEntry::values(self.roles)),
                scim_external_id: self.external_id.filter(|id| !id.is_empty()),
            },
            facts: GroupFacts { member_count: count },
            about: About { phase, ..About::default() },
        }
    }
}

impl ExternalResource for Group {
    type State = GroupState;
    type Id = String;
    type Facts = GroupFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "scim_external_id", spec: &["scimExternalId"] }];
    const NAME: &'static [&'static str] = &["displayName"];
    const UNLISTED: &'static [&'static str] = &["members"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));

    fn needs(spec: &GroupSpec) -> Vec<Need> {
        spec.members.iter().flatten().filter_map(need).collect()
    }

    fn desired(spec: &GroupSpec, got: &Resolved) -> Result<GroupState> {
        let id = |member: &Member| {
            let written = member.id.map(|id| id.to_string());
            written
                .or_else(|| got.ids.get(&need(member)?.field).cloned())
                .map(|id| MemberId::from(id.as_str()))
        };
        Ok(GroupState {
            display_name: spec.display_name.clone(),
            members: spec.members.as_ref().map(|members| members.iter().filter_map(id).collect()),
            roles: spec.roles.as_ref().map(|roles| roles.iter().cloned().collect()),
            scim_external_id: spec.scim_external_id.clone(),
        })
    }

    fn key(state: &GroupState) -> Key {
        Key { within: String::new(), name: state.display_name.as_deref().unwrap_or_default().to_lowercase() }
    }

    fn power(state: &GroupState) -> Power {
        Power { account_admin: state.is_admin(), ..Power::default() }
    }

    /// The account chose the id, and others may change the name.
    fn recognises(_: &GroupState, _: &Observed<Self>) -> bool {
        true
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(api.path(&["scim", "v2", "Groups", id])).await.optional()?;
        Ok(found.map(|remote| remote.observed(true)))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let path =
            api.path(&["scim", "v2", "Groups"]).with("attributes", "id,displayName,externalId,roles,meta");
        let all: Vec<Remote> = api.list(path, Pages::Scim).await?;
        let of_the_account = all.into_iter().filter(|remote| !remote.is_of_a_workspace());
        Ok(of_the_account.map(|remote| remote.observed(false)).collect())
    }

    async fn create(api: &Writer, want: &GroupState) -> ApiResult<Created<Self>> {
        let mut body = json!({"schemas": scim_schemas("Group"), "displayName": want.display_name});
        for (name, values) in [("members", Some(want.member_ids())), ("roles", want.roles.clone())] {
            if let Some(values) = values.filter(|values| !values.is_empty()) {
                body[name] = ScimEntry::with(&values);
            }
        }
        if let Some(id) = &want.scim_external_id {
            body["externalId"] = json!(id);
        }
        let made: Remote = api.post(api.path(&["scim", "v2", "Groups"]), body).await?;
        Ok(made.observed(true).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &GroupState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let (have, members) = (seen.state.member_ids(), want.member_ids());
        let mut patch = ScimPatch::default();
        for field in now {
            match (*field, &seen.state.roles, &want.roles) {
                ("display_name", ..) => patch.replace("displayName", json!(want.display_name)),
                ("members", ..) => patch.set("members", &have, &members),
                ("roles", Some(have), Some(want)) => patch.set("roles", have, want),
                _ => {}
            }
        }
        let path = api.path(&["scim", "v2", "Groups", &seen.id]);
        let sent = api.patch_scim(&path, &patch).await;
        sent.map_err(|error| of_identity_provider(error, seen.state.scim_external_id.is_some()))?;
        let changed = Self::get(api, &seen.id).await?;
        let changed =
            changed.ok_or_else(|| Error::retry(format!("group {} is gone since its change", seen.id)))?;
        let there = changed.state.member_ids();
        let left_out: Vec<&String> = members.difference(&have).filter(|id| !there.contains(*id)).collect();
        if now.contains(&"members") && !left_out.is_empty() {
            return Err(not_added(&left_out).into());
        }
        Ok(changed)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&["scim", "v2", "Groups", &seen.id])).await;
        Ok(deleted.map_err(|error| of_identity_provider(error, seen.state.scim_external_id.is_some()))?)
    }
}

fn not_added(ids: &[&String]) -> Error {
    let ids: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let text = format!(
        "Databricks accepted the change of the group and did not add these members: {}; no principal of the account has such an id, \
         or it is new, or reads lag behind: correct spec.members if this lasts",
        ids.join(", ")
    );
    Error::rejected(Reason::ReferenceNotFound, text)
}

/// Refuses to take the role of an account administrator from the operator, if it has that through this group.
fn keep_the_operator_in(act: &Act<'_, Group>, auth: &AuthFacts) -> Result<()> {
    let Some(seen) = act.seen.filter(|seen| seen.state.is_admin()) else { return Ok(()) };
    // Which principal the operator is may be unknown: then it may be any member.
    let own = |state: &GroupState| match (&state.members, &auth.principal_id) {
        (Some(members), Some(own)) => members.contains(&MemberId::from(own.as_str())),
        (Some(members), None) => seen.state.members.as_ref().is_some_and(|before| before.is_subset(members)),
        (None, _) => true,
    };
    let is_member = auth.principal_id.is_none() || own(&seen.state);
    let stays = act.want.is_some_and(|want| own(want) && (want.roles.is_none() || want.is_admin()));
    if stays || !is_member {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "this would take the role account_admin from the operator, which may have it through this group (it is service \
             principal {}): keep it in spec.members and keep the role in spec.roles, or to delete this object, set \
             spec.deletionPolicy to Retain",
            auth.client_id
        ),
    ))
}
