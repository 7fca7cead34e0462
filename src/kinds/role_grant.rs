//! RoleGrant: one role for one principal in a rule set of the account, such as `roles/billing.admin` for a group.
//!
//! **Why not a kind for a whole rule set.** The API only knows whole sets: a PUT revokes each grant that it does not contain. A set
//! has many owners: the console, Databricks itself (the creator of a service principal becomes its manager), Terraform, several
//! teams. A kind for a set with a merge mode would have to remember which of its grants it wrote, one status for many grants, and a
//! mode is one wrong word away from revoking the rest. A grant is the smallest thing that has one owner. So each grant is an
//! object, with the record, the adoption, the deletion and the conflict of an object; nothing in the spec can mean "and no others".
//!
//! **How a set stays whole.** A write reads the set, changes one entry of one rule in the JSON as it was read, and sends it with the
//! version (etag) that was read. Rules, principals and fields that this file does not know are sent back as they came. If another
//! client wrote the set in between, the API refuses the version, nothing is changed, and the engine reads again. Writes of one
//! set wait for each other, so that objects of one operator do not get in each other's way.
//!
//! A set names groups, users and service principals by name, not by id. A group that is renamed keeps its id, and its grants stay
//! with the old name: the object then says that the spec means another grant, and its deletion removes the old one.

mod grant;
mod rules;
pub mod spec;

use std::collections::BTreeMap;

use crate::apis::same_name;
use crate::engine::kind::{Lifecycle, NEW_REFERENCE, Need, Power, PrincipalName, stale};
use crate::engine::prelude::*;
use crate::kinds::budget_policy::BudgetPolicy;
use crate::kinds::group::Group;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;

use grant::GrantId;
pub use grant::{RoleGrantState, RuleSet};
use rules::Rules;
use spec::Principal;
pub use spec::{RoleGrant, RoleGrantFacts, RoleGrantSpec};

/// The roles on the account that are known, none of which leads to the rights of other principals.
const OF_THE_ACCOUNT: [&str; 5] = [
    "roles/billing.admin",
    "roles/marketplace.admin",
    "roles/tagPolicy.creator",
    "roles/tagPolicy.manager",
    "roles/tagPolicy.assigner",
];

/// An id is shown in `status.externalId`, which has no room for more.
const LONGEST_ID: usize = 256;

/// A grant as a set has it.
fn observed(set: &RuleSet, role: &str, principal: &str) -> Option<Observed<RoleGrant>> {
    let state = RoleGrantState::of(set, role, principal)?;
    let facts = RoleGrantFacts { target: Some(set.to_string()), principal: Some(principal.to_owned()) };
    Some(Observed { id: state.id()?, state, facts, about: About::default() })
}

/// The grants of a set. Several rules may have one role, and one of its principals twice.
fn all(set: &RuleSet, rules: &Rules) -> Vec<Observed<RoleGrant>> {
    let grants = rules.grants().filter_map(|(role, principal)| observed(set, role, principal));
    let by_id: BTreeMap<String, Observed<RoleGrant>> =
        grants.map(|grant| (grant.id.to_string(), grant)).collect();
    by_id.into_values().collect()
}

/// The principal whose name is written.
fn written(spec: &RoleGrantSpec) -> Option<PrincipalName> {
    let Principal { user_name, group_name, service_principal_name, .. } = spec.principal.as_ref()?;
    PrincipalName::written(user_name, group_name, service_principal_name)
}

impl ExternalResource for RoleGrant {
    type State = RoleGrantState;
    /// The rule set, the role and the principal.
    type Id = GrantId;
    type Facts = RoleGrantFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "role", spec: &["role"] },
        Immutable { state: "account", spec: &["target.account"] },
    ];
    const NAME: &'static [&'static str] = &["target", "role", "principal"];
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Group>("group_id", &["target.groupId", "target.groupRef"], &["groups/"]).fixed(),
        Reference::to::<ServicePrincipal>(
            "application_id",
            &["target.applicationId", "target.servicePrincipalRef"],
            &["serviceprincipals/", "service principal"],
        )
        .by("applicationId")
        .fixed(),
        Reference::to::<BudgetPolicy>(
            "budget_policy_id",
            &["target.budgetPolicyId", "target.budgetPolicyRef"],
            &["budgetpolicies/"],
        )
        .fixed(),
        Reference::id("tag_policy_id", &["target.tagPolicyId"], &["tagpolicies/"]).fixed(),
        Reference::to::<User>("user_name", &["principal.userName", "principal.userRef"], &["users/"])
            .by("userName")
            .fixed(),
        Reference::to::<Group>("group_name", &["principal.groupName", "principal.groupRef"], &["groups/"])
            .by("displayName")
            .fixed(),
        Reference::to::<ServicePrincipal>(
            "service_principal_name",
            &["principal.servicePrincipalName", "principal.servicePrincipalRef"],
            &["serviceprincipals/"],
        )
        .by("applicationId")
        .fixed(),
    ];
    const LIFECYCLE: Lifecycle = Lifecycle::Upsert;
    const WRITES_IN_TURN: bool = true;
    const GUARD: Option<Guard<Self>> = Some(Guard::Alone(keep_the_operator_in));

    /// A principal whose name is written must be in the account, and stay the same one.
    fn needs(spec: &RoleGrantSpec) -> Vec<Need> {
        written(spec).map(|name| Need::principal("principal", name)).into_iter().collect()
    }

    fn desired(spec: &RoleGrantSpec, got: &Resolved) -> Result<RoleGrantState> {
        if written(spec).is_some() {
            got.id("principal")?;
        }
        let state = RoleGrantState {
            role: spec.role.clone(),
            account: spec.target.as_ref().and_then(|target| target.account),
            group_id: got.maybe("group_id").map(|_| got.number("group_id")).transpose()?,
            application_id: got.maybe("application_id"),
            budget_policy_id: got.maybe("budget_policy_id"),
            tag_policy_id: got.maybe("tag_policy_id"),
            user_name: got.maybe("user_name").map(|name| name.to_lowercase()),
            group_name: got.maybe("group_name"),
            service_principal_name: got.maybe("service_principal_name").map(|name| name.to_lowercase()),
        };
        let Some(id) = state.id().map(|id| id.to_string()) else { return Ok(state) };
        if id.parse::<GrantId>().is_err() || id.chars().count() > LONGEST_ID {
            return Err(Error::terminal(
                Reason::InvalidSpec,
                format!(
                    "{id} is no grant that can be managed: a role is written as roles/billing.admin, names are not empty, and all \
                     together has at most {LONGEST_ID} characters: correct spec.role, spec.target and spec.principal"
                ),
            ));
        }
        Ok(state)
    }

    fn key(state: &RoleGrantState) -> Key {
        match state.id() {
            Some(id) => Key { within: id.set.to_string(), name: id.pair() },
            // A spec with an externalId may leave out what names the grant.
            None => Key { within: String::new(), name: String::new() },
        }
    }

    fn within(id: &GrantId) -> String {
        id.set.to_string()
    }

    /// Who manages a service principal can sign in as it, and who manages a group can join it: either may be an administrator. So may who
    /// has a role on the account that Databricks adds later.
    fn power(state: &RoleGrantState) -> Power {
        let over_others = state.group_id.is_some() || state.application_id.is_some();
        let is_known = state.role.as_ref().is_none_or(|role| OF_THE_ACCOUNT.contains(&role.as_str()));
        let unknown = state.account == Some(true) && !is_known;
        Power { account_admin: over_others || unknown, ..Power::default() }
    }

    /// The account compares names without regard to case.
    fn changes(want: &RoleGrantState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let same = |path: &String| {
            path == "group_name" && same_name(want.group_name.as_ref(), seen.state.group_name.as_ref())
        };
        let paths = differences::<Self>(want, seen)?.into_iter().filter(|path| !same(path));
        Ok(paths.map(|path| Change { path, when: When::Never(CANNOT_CHANGE.into()) }).collect())
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let set: RuleSet = within.parse().map_err(|text| Error::terminal(Reason::InvalidSpec, text))?;
        Ok(all(&set, &Rules::read(api, &set).await?))
    }

    /// Adds the grant. If it is there already, another user added it after our last LIST: the next one shows it.
    async fn create(api: &Writer, want: &RoleGrantState) -> ApiResult<Created<Self>> {
        let (Some(id), Some(principal)) = (want.id(), want.principal()) else {
            let text = "spec.target, spec.role and spec.principal are needed to create a grant";
            return Err(Error::terminal(Reason::InvalidSpec, text).into());
        };
        let mut rules = Rules::read(api, &id.set).await?;
        if !rules.add(&id, &principal) {
            return Err(Error::Conflict(format!("the account has the grant {id} already")).into());
        }
        rules = rules.write(api, &id.set).await.map_err(not_written)?;
        let added = all(&id.set, &rules).into_iter().find(|grant| grant.id == id);
        let missing =
            || Error::retry(format!("Databricks accepted the grant {id}, and its response lacks it"));
        Ok(added.ok_or_else(missing)?.into())
    }

    /// Removes the grant and nothing else. What a set is about may be gone, and all grants with it. That one read does not show the grant
    /// proves no deletion: the next LIST decides.
    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let set = &seen.id.set;
        let mut rules = match Rules::read(api, set).await {
            Err(CallError::Api(error)) if error.is_absence() => return Ok(api.find_account().await?),
            read => read?,
        };
        if !rules.remove(&seen.id) {
            let text = format!("the account did not show the grant {} any more", seen.id);
            return Err(Error::Conflict(text).into());
        }
        rules.write(api, set).await.map_err(not_written)?;
        Ok(())
    }
}

/// Why a set was not written. A principal is searched for before, so one that is refused is new, and not known everywhere yet.
fn not_written(error: databricks::Error) -> CallError {
    let databricks::Error::Api { status: 400, message, .. } = &error else { return stale(error) };
    let text = message.to_lowercase();
    if text.contains("principal") && ["does not exist", "not found"].iter().any(|words| text.contains(words))
    {
        let text = format!("{error}; correct spec.principal, or wait if it is new");
        return Error::rejected(Reason::ReferenceNotFound, text).patient(NEW_REFERENCE).into();
    }
    error.into()
}

/// Refuses to take a role of an administrator or a manager away from the operator's own principal: a Google service account is a user.
fn keep_the_operator_in(act: &Act<'_, RoleGrant>, auth: &AuthFacts) -> Result<()> {
    let (None, Some(seen)) = (act.want, act.seen) else { return Ok(()) };
    let role = seen.state.role.as_deref().unwrap_or_default();
    let own = seen.state.service_principal_name.as_ref().or(seen.state.user_name.as_ref());
    let own = own.is_some_and(|name| name.eq_ignore_ascii_case(&auth.client_id));
    if !own || ![".admin", ".manager"].iter().any(|end| role.ends_with(end)) {
        return Ok(());
    }
    Err(Error::terminal(
        Reason::WouldLockOut,
        format!(
            "this would take {role} on {} away from the operator itself (it signs in as {}): to delete this object and \
             keep the role, set spec.deletionPolicy to Retain",
            seen.id.set, auth.client_id
        ),
    ))
}
