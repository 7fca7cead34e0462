//! Group: who is in a group of the account.
//!
//! A LIST of groups shows no members, so a group whose members matter is read by its id. A change is one PATCH that adds and
//! removes: what is in no entry of it stays. Databricks accepts members that no principal has the id of, and adds nothing;
//! only reading shows that. Not here: what becomes of a member that cannot be resolved, and of a GroupMembership for a group of which a
//! Group has `members`, which the engine decides.

mod lockout;
mod members;
pub mod spec;
mod state;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::apis::{ShownGroup, entries, members_of, power};
use crate::databricks::ScimPatch;
use crate::engine::kind::{Need, Parts, Power};
use crate::engine::prelude::*;
use lockout::keep_the_operator_in;
pub use members::MemberId;
use members::{need, unlike};
pub use spec::{Group, GroupFacts, GroupSpec, Member};
pub use state::GroupState;
use state::{GROUPS, observed};

/// What to write if GroupMemberships have members of the group.
const NOT_BOTH: &str = "remove spec.members here, or delete all GroupMemberships of this group and list their members in spec.members";

impl ExternalResource for Group {
    type State = GroupState;
    type Id = String;
    type Facts = GroupFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "scim_external_id", spec: &["scimExternalId"] }];
    const NAME: &'static [&'static str] = &["displayName"];
    const UNLISTED: &'static [&'static str] = &["members"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Reading(allow));
    /// The list is the whole of the members.
    const PARTS: Option<Parts<Self::State, Self::Id>> = Some(|want, id| {
        let id = id.filter(|_| want.members.is_some());
        id.map(|id| members_of(id, false, NOT_BOTH)).into_iter().collect()
    });

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
        power(state.roles.as_ref())
    }

    /// The account chose the id, and others may change the name.
    fn recognises(_: &GroupState, _: &Observed<Self>) -> bool {
        true
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        Ok(GROUPS.get(api, id).await?.map(|group| observed(group, true)))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<ShownGroup> = GROUPS.list(api).await?;
        let of_the_account = all.into_iter().filter(|group| !group.is_of_a_workspace());
        Ok(of_the_account.map(|group| observed(group, false)).collect())
    }

    async fn create(api: &Writer, want: &GroupState) -> ApiResult<Created<Self>> {
        let body = json!({
            "displayName": want.display_name, "members": entries(Some(&want.member_ids())),
            "roles": entries(want.roles.as_ref()), "externalId": want.scim_external_id,
        });
        Ok(observed(GROUPS.create(api, body).await?, true).into())
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
        let external = seen.state.scim_external_id.is_some();
        let changed = GROUPS.change(api, &seen.id, external, patch).await?;
        let seen_now = observed(changed.now, true);
        let refused = match now.contains(&"members") {
            true => unlike(&have, &members, &seen_now.state.member_ids(), changed.refused),
            false => changed.refused,
        };
        Ok(seen_now.refused(refused))
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        GROUPS.delete(api, &seen.id, seen.state.scim_external_id.is_some()).await
    }
}

/// Refuses to write to a group of one workspace; of the account's own groups, [`keep_the_operator_in`] decides.
fn allow<'a>(act: &'a Act<'a, Group>, auth: &'a AuthFacts, api: &'a Reader) -> BoxFuture<'a, Result<()>> {
    match act.seen.map(|seen| (&seen.id, &seen.about.phase)) {
        Some((id, Phase::Failed(why))) => std::future::ready(Err(of_a_workspace(id, why))).boxed(),
        _ => keep_the_operator_in(act, auth, api),
    }
}

fn of_a_workspace(id: &str, why: &str) -> Error {
    let text = format!(
        "the group {id} is neither changed nor deleted: {why}; delete this object (if spec.deletionPolicy is Delete, set it to Retain \
         before) and apply it again without spec.externalId, or with the id of a group of the account"
    );
    Error::terminal(Reason::InvalidSpec, text)
}
