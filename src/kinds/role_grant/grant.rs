//! Names: of a rule set, of a grant in it, and of its parts. Text only; nothing is read here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What has rule sets besides the account, by the API's names.
const OBJECTS: [&str; 4] = ["groups", "servicePrincipals", "budgetPolicies", "tagPolicies"];

/// What a principal of a rule begins with.
const PRINCIPALS: [&str; 3] = ["users", "groups", "servicePrincipals"];

/// A rule set, by what it is about: `account`, or `groups/17`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSet(String);

impl RuleSet {
    /// Its name in the API.
    pub fn name(&self, account_id: &str) -> String {
        match &*self.0 {
            "account" => format!("accounts/{account_id}/ruleSets/default"),
            object => format!("accounts/{account_id}/{object}/ruleSets/default"),
        }
    }
}

impl fmt::Display for RuleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RuleSet {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain =
            |id: &str| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let object = text.split_once('/').is_some_and(|(kind, id)| OBJECTS.contains(&kind) && plain(id));
        let set = (text == "account" || object).then(|| RuleSet(text.to_owned()));
        set.ok_or("write account, groups/<id>, servicePrincipals/<application id>, budgetPolicies/<id> or tagPolicies/<id>")
    }
}

/// `<rule set>/<role>/<principal>`, such as `account/roles/billing.admin/groups/finops`. The account compares names of principals
/// without regard to case, so here they are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantId {
    /// The rule set.
    pub set: RuleSet,
    role: String,
    principal: String,
}

impl GrantId {
    /// The role and the principal.
    pub fn pair(&self) -> String {
        format!("{}/{}", self.role, self.principal)
    }

    /// Whether a rule with this role means this grant by this principal.
    pub fn is(&self, role: &str, principal: &str) -> bool {
        self.role == role && self.principal == normal(principal)
    }

    /// The role.
    pub fn role(&self) -> &str {
        &self.role
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.set, self.role, self.principal)
    }
}

impl FromStr for GrantId {
    type Err = &'static str;

    /// Reads only the form that is written: ids are compared as text elsewhere.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let grant = text.split_once("/roles/").and_then(|(set, rest)| {
            let (role, principal) = rest.split_once('/')?;
            let principal = parts(principal).filter(|_| !role.is_empty()).map(|_| principal.to_owned())?;
            Some(GrantId { set: set.parse().ok()?, role: format!("roles/{role}"), principal })
        });
        grant.filter(|grant| normal(&grant.principal) == grant.principal).ok_or(
            "write <rule set>/roles/<role>/<principal> in lower case, such as account/roles/billing.admin/groups/finops, as \
             status.externalId shows it",
        )
    }
}

/// The kind and the name of a principal; none if it has no name, or is of an unknown kind.
fn parts(principal: &str) -> Option<(&str, &str)> {
    principal.split_once('/').filter(|(kind, name)| PRINCIPALS.contains(kind) && !name.trim().is_empty())
}

/// A principal as ids have it.
fn normal(principal: &str) -> String {
    principal
        .split_once('/')
        .map_or_else(|| principal.to_owned(), |(kind, name)| format!("{kind}/{}", name.to_lowercase()))
}

/// What a spec controls, all of which names the grant. One of the fields that say what the set is about has a value, and one of
/// those that name the principal.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct RoleGrantState {
    pub(super) role: Option<String>,
    pub(super) account: Option<bool>,
    pub(super) group_id: Option<i64>,
    pub(super) application_id: Option<String>,
    pub(super) budget_policy_id: Option<String>,
    pub(super) tag_policy_id: Option<String>,
    pub(super) user_name: Option<String>,
    pub(super) group_name: Option<String>,
    pub(super) service_principal_name: Option<String>,
}

impl RoleGrantState {
    /// A grant as a set has it; none if no spec could mean it.
    pub(super) fn of(set: &RuleSet, role: &str, principal: &str) -> Option<RoleGrantState> {
        let mut state = RoleGrantState { role: Some(role.to_owned()), ..RoleGrantState::default() };
        match set.0.split_once('/') {
            None => state.account = Some(true),
            Some(("groups", id)) => state.group_id = Some(id.parse().ok()?),
            Some(("servicePrincipals", id)) => state.application_id = Some(id.to_owned()),
            Some(("budgetPolicies", id)) => state.budget_policy_id = Some(id.to_owned()),
            Some((_, id)) => state.tag_policy_id = Some(id.to_owned()),
        }
        match parts(principal)? {
            ("users", name) => state.user_name = Some(name.to_lowercase()),
            ("groups", name) => state.group_name = Some(name.to_owned()),
            (_, name) => state.service_principal_name = Some(name.to_lowercase()),
        }
        // What has no id that can be read is no grant that can be managed.
        state.id()?.to_string().parse::<GrantId>().ok().map(|_| state)
    }

    /// The principal as a rule names it.
    pub(super) fn principal(&self) -> Option<String> {
        let named = |kind: &str, name: &Option<String>| name.as_ref().map(|name| format!("{kind}/{name}"));
        named("users", &self.user_name)
            .or_else(|| named("groups", &self.group_name))
            .or_else(|| named("servicePrincipals", &self.service_principal_name))
    }

    fn set(&self) -> Option<RuleSet> {
        let object = |kind: &str, id: Option<String>| id.map(|id| format!("{kind}/{id}"));
        let account = (self.account == Some(true)).then(|| "account".to_owned());
        let set = account
            .or_else(|| object("groups", self.group_id.map(|id| id.to_string())))
            .or_else(|| object("servicePrincipals", self.application_id.clone()))
            .or_else(|| object("budgetPolicies", self.budget_policy_id.clone()))
            .or_else(|| object("tagPolicies", self.tag_policy_id.clone()));
        set.map(RuleSet)
    }

    /// The id, if all that it consists of is known.
    pub(super) fn id(&self) -> Option<GrantId> {
        Some(GrantId { set: self.set()?, role: self.role.clone()?, principal: normal(&self.principal()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for right in [
            "account/roles/billing.admin/groups/finops",
            "account/roles/billing.admin/groups/team/roles/a",
            "groups/17/roles/group.manager/users/ada@example.com",
            "servicePrincipals/6a7b-1/roles/servicePrincipal.user/servicePrincipals/6a7b-2",
            "budgetPolicies/b1/roles/budgetPolicy.user/groups/ä b",
        ] {
            assert_eq!(right.parse::<GrantId>().map(|id| id.to_string()), Ok(right.into()));
        }
        for wrong in [
            "",
            "account",
            "account/roles/billing.admin",
            "account/roles/billing.admin/groups/",
            "account/roles/billing.admin/groups/ ",
            "account/roles//groups/finops",
            "account/billing.admin/groups/finops",
            "account/roles/billing.admin/teams/finops",
            "account/roles/billing.admin/groups/FinOps",
            "groups//roles/group.manager/users/ada",
            "groups/1/2/roles/group.manager/users/ada",
            "groups/../roles/group.manager/users/ada",
            "metastores/1/roles/group.manager/users/ada",
        ] {
            assert!(wrong.parse::<GrantId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_set_is_read_by_the_name_that_the_api_has_for_it() {
        let name = |set: &str| set.parse::<RuleSet>().map(|set| set.name("a-1"));
        assert_eq!(name("account"), Ok("accounts/a-1/ruleSets/default".into()));
        assert_eq!(name("groups/17"), Ok("accounts/a-1/groups/17/ruleSets/default".into()));
        assert!(name("").is_err() && name("42").is_err());
    }

    #[test]
    fn what_no_spec_can_mean_is_no_grant_of_ours() {
        let set: RuleSet = "groups/17".parse().unwrap();
        let id = |role: &str, who: &str| RoleGrantState::of(&set, role, who)?.id().map(|id| id.to_string());
        let manager = "roles/group.manager";
        assert_eq!(id(manager, "users/Ada@X"), Some("groups/17/roles/group.manager/users/ada@x".into()));
        for other in ["groups/", "users", "teams/a", ""] {
            assert_eq!(id(manager, other), None, "{other}");
        }
        for role in ["", "manager", "roles/"] {
            assert_eq!(id(role, "users/ada"), None, "{role}");
        }
    }
}
