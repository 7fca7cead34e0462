//! GroupMembership: one member of one group. For teams that own people one by one, in a group that others own too.
//!
//! A group is read once for all its memberships. A change is a PATCH that adds or removes this member: all others stay. Databricks accepts
//! a member that no principal has the id of, and adds nothing, so the principal is read before a change, and the group after it. It accepts
//! one that is in the group too, so the group is read before: a member that another client has added is not ours. Where a Group has the whole list, `spec.members`,
//! no membership is added, and the other way round: the engine refuses the second of the two.

mod administrators;
pub mod spec;
mod state;

use std::collections::BTreeSet;

use crate::apis::members_of;
use crate::databricks::ScimPatch;
use crate::engine::kind::{
    Lifecycle, NEW_REFERENCE, Need, Parts, Power, PrincipalName, of_identity_provider,
};
use crate::engine::prelude::*;
use crate::kinds::group::Group;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;

use administrators::allow;
use spec::Principal;
pub use spec::{GroupMembership, GroupMembershipSpec};
pub use state::GroupMembershipState;
use state::{memberships, path};

/// What to write if a Group has all members of the group.
const NOT_BOTH: &str = "list the member in spec.members of that Group, not here, or remove the field there";

/// Adds members to a group, or removes them.
async fn send(api: &Writer, group: i64, remove: &[i64], add: &[i64]) -> Result<(), databricks::Error> {
    let ids = |ids: &[i64]| ids.iter().map(i64::to_string).collect::<BTreeSet<String>>();
    let mut patch = ScimPatch::default();
    patch.set("members", &ids(remove), &ids(add));
    api.patch::<IgnoredAny>(path(api, group), patch.body()).await.map(drop)
}

impl ExternalResource for GroupMembership {
    type State = GroupMembershipState;
    /// The group and the member.
    type Id = Inside<i64, i64>;
    type Facts = NoFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "group_id", spec: &["group.groupId", "group", "group.groupRef"] },
        Immutable {
            state: "principal_id",
            spec: &[
                "principal.id",
                "principal",
                "principal.userRef",
                "principal.groupRef",
                "principal.servicePrincipalRef",
            ],
        },
    ];
    /// The account knows a member by its number, whatever it is: the `externalId` of its object. So one field has that of each kind.
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Group>("group_id", &["group.groupId", "group.groupRef"], &["group"]),
        Reference::to::<User>("principal_id", &["principal.id", "principal.userRef"], &["member"])
            .by("externalId"),
        Reference::to::<Group>("principal_id", &["principal.id", "principal.groupRef"], &["member"])
            .by("externalId"),
        Reference::to::<ServicePrincipal>(
            "principal_id",
            &["principal.id", "principal.servicePrincipalRef"],
            &["member"],
        )
        .by("externalId"),
    ];
    const UNTOLD: &'static [&'static str] = &["account_admin", "has_id"];
    const LIFECYCLE: Lifecycle = Lifecycle::Upsert;
    const GUARD: Option<Guard<Self>> = Some(Guard::Reading(allow));
    /// One that is bound is in the group that it is bound to, whatever its spec means by now.
    const PARTS: Option<Parts<Self::State, Self::Id>> =
        Some(|want, id| vec![members_of(id.map_or(want.group_id, |id| id.within), true, NOT_BOTH)]);

    fn needs(spec: &GroupMembershipSpec) -> Vec<Need> {
        let group = PrincipalName::written(&None, &spec.group.group_name, &None);
        let group = group.map(|name| Need::principal("group", name));
        let Principal { user_name, group_name, service_principal_name, .. } = &spec.principal;
        let principal = PrincipalName::written(user_name, group_name, service_principal_name);
        let principal = principal.map(|name| Need::principal("principal", name));
        group.into_iter().chain(principal).collect()
    }

    fn desired(spec: &GroupMembershipSpec, got: &Resolved) -> Result<GroupMembershipState> {
        let id = |state: &str, named: &str| match got.maybe(state) {
            Some(_) => got.number(state),
            None => got.number(named),
        };
        Ok(GroupMembershipState {
            group_id: id("group_id", "group")?,
            principal_id: id("principal_id", "principal")?,
            account_admin: spec.account_admin,
            has_id: spec.principal.id.is_some().then_some(true),
        })
    }

    fn within(id: &Inside<i64, i64>) -> String {
        id.within.to_string()
    }

    fn key(state: &GroupMembershipState) -> Key {
        Key { within: state.group_id.to_string(), name: state.principal_id.to_string() }
    }

    fn power(state: &GroupMembershipState) -> Power {
        Power { account_admin: state.account_admin == Some(true), ..Power::default() }
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let id: i64 = parent(within, "a group")?;
        Ok(memberships(api.get(path(api, id)).await?, id))
    }

    /// Adds the member. If it is in the group already, another client added it after our last LIST: the next one shows it.
    async fn create(api: &Writer, want: &GroupMembershipState) -> ApiResult<Created<Self>> {
        let id = Inside { within: want.group_id, own: want.principal_id };
        let before = Self::list(api, &want.group_id.to_string()).await?;
        if before.iter().any(|seen| seen.id == id) {
            let text = format!("the group {} has the member {} already", id.within, id.own);
            return Err(Error::Conflict(text).into());
        }
        // Sent, it would be in doubt: the group would not show it, and reads may lag behind. What may not be read may be a principal.
        if want.has_id == Some(true) && matches!(is_principal(api, id.own).await, Ok(false)) {
            let text = format!(
                "no principal of the account has the id {}: correct spec.principal, or wait if it is new",
                id.own
            );
            return Err(Error::rejected(Reason::ReferenceNotFound, text).patient(NEW_REFERENCE).into());
        }
        send(api, want.group_id, &[], &[want.principal_id]).await.map_err(refused)?;
        // The member may be in the group now, so an error of this read refuses nothing: the engine reads again.
        let Ok(all) = Self::list(api, &want.group_id.to_string()).await else { return Ok(Created::of(id)) };
        let not_added = || {
            Error::retry(format!(
                "Databricks accepted the change of the group {} and did not add the member {}: no principal of the account has such \
                 an id, or it is new, or reads lag behind: correct spec.principal if this lasts",
                id.within, id.own
            ))
        };
        Ok(all.into_iter().find(|seen| seen.id == id).ok_or_else(not_added)?.into())
    }

    /// A group that is gone has no members.
    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        match send(api, seen.id.within, &[seen.id.own], &[]).await {
            Err(error) if error.is_absence() => Ok(api.find_account().await?),
            sent => sent.map_err(refused),
        }
    }
}

/// Whether a user, a service principal or a group has this id.
async fn is_principal(api: &Reader, id: i64) -> Result<bool, databricks::Error> {
    for sort in ["Users", "ServicePrincipals", "Groups"] {
        let path = api.path(&["scim", "v2", sort, &id.to_string()]);
        if api.get::<IgnoredAny>(path).await.optional()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An identity provider may own the group, and then the account refuses changes by others.
fn refused(error: databricks::Error) -> CallError {
    let managed = matches!(
        &error,
        databricks::Error::Api { status: 400 | 403, message, .. } if message.to_lowercase().contains("identity provider")
    );
    if managed { of_identity_provider(error, false).into() } else { error.into() }
}
