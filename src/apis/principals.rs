//! Users, groups and service principals: how SCIM, the account's API for all three, is called, and what its responses mean.
//!
//! A PUT would remove members and roles that it does not send, so a change is a PATCH, and what the response to it shows is not
//! defined, so the principal is read afterwards. Not here: what a spec of one of them says, and what it may do to the others.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny};
use serde_json::{Value, json};

use crate::databricks::{self, Optional, Pages, ScimEntry, ScimPatch, scim_schemas};
use crate::engine::crd::Reason;
use crate::engine::error::Error;
use crate::engine::kind::{
    About, ApiResult, AuthFacts, Path, Power, Reader, Writer, given, of_identity_provider,
};

/// The principals of one sort.
pub struct Principals {
    /// The segment of their path: `Users`, `Groups` or `ServicePrincipals`.
    pub collection: &'static str,
    /// The attributes that a LIST asks for; without that it shows few.
    pub listed: &'static str,
}

/// What the account returns of a principal of any sort.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Its id.
    pub id: String,
    /// The name that people see.
    pub display_name: Option<String>,
    /// Whether it can sign in. A response may leave that out.
    #[serde(default = "yes", deserialize_with = "active")]
    pub active: bool,
    /// Its roles in the account.
    #[serde(default, deserialize_with = "values")]
    pub roles: BTreeSet<String>,
    /// The id that an identity provider knows it by.
    #[serde(default, rename = "externalId", deserialize_with = "text")]
    pub scim_external_id: Option<String>,
}

/// What the account returns of a group.
#[derive(Deserialize)]
pub struct ShownGroup {
    /// What it has like any principal.
    #[serde(flatten)]
    pub principal: Principal,
    /// Its members. A LIST does not show them.
    pub members: Option<Vec<ScimEntry>>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    resource_type: Option<String>,
}

/// What came of a change.
pub struct Changed<T> {
    /// The principal as it was read afterwards.
    pub now: T,
    /// Why the account refused a part of the change, or all of it, if it did.
    pub refused: Option<Error>,
}

/// The role of an administrator of the account.
const ADMIN: &str = "account_admin";

/// Calls for one change that the account refuses in part: enough to find a few operations among hundreds.
const MOST_CALLS: usize = 20;

impl Principal {
    /// What the engine reads of one that can be deactivated.
    pub fn about(&self) -> About {
        let state = if self.active { "ACTIVE" } else { "INACTIVE" };
        About { state: Some(state.into()), ..About::default() }
    }
}

impl ShownGroup {
    /// Whether its own roles make its members administrators of the account.
    pub fn is_admin(&self) -> bool {
        is_admin(Some(&self.principal.roles))
    }

    /// A group of one workspace, which the account shows and does not manage.
    pub fn is_of_a_workspace(&self) -> bool {
        self.meta.as_ref().is_some_and(|meta| meta.resource_type.as_deref() == Some("WorkspaceGroup"))
    }
}

impl Principals {
    /// The principal with this id, if there is one.
    pub async fn get<T: DeserializeOwned>(&self, api: &Reader, id: &str) -> ApiResult<Option<T>> {
        Ok(api.get(self.path(api, &[id])).await.optional()?)
    }

    /// All of them, with the attributes that a LIST asks for.
    pub async fn list<T: DeserializeOwned>(&self, api: &Reader) -> ApiResult<Vec<T>> {
        let path = self.path(api, &[]).with("attributes", self.listed);
        Ok(api.list(path, Pages::Scim).await?)
    }

    /// Creates one with the attributes of `body` that are not null.
    pub async fn create<T: DeserializeOwned>(&self, api: &Writer, body: Value) -> ApiResult<T> {
        let mut body = given(body);
        body["schemas"] = scim_schemas(self.collection.trim_end_matches('s'));
        Ok(api.post(self.path(api, &[]), body).await?)
    }

    /// Changes one, and reads it. `external` says that an identity provider knows it.
    pub async fn change<T: DeserializeOwned>(
        &self,
        api: &Writer,
        id: &str,
        external: bool,
        patch: ScimPatch,
    ) -> ApiResult<Changed<T>> {
        let refused = self.send(api, id, external, patch).await?;
        match (self.get(api, id).await?, refused) {
            (Some(now), refused) => Ok(Changed { now, refused }),
            (None, Some(refused)) => Err(refused.into()),
            (None, None) => {
                let text = format!("{} {id} is gone since its change", self.collection);
                Err(Error::retry(text).into())
            }
        }
    }

    /// Deactivates one, or deletes it if its spec says `purge`.
    pub async fn remove(&self, api: &Writer, id: &str, external: bool, purge: Option<bool>) -> ApiResult<()> {
        if purge == Some(true) {
            return self.delete(api, id, external).await;
        }
        let mut patch = ScimPatch::default();
        patch.replace("active", json!(false));
        match self.send(api, id, external, patch).await? {
            Some(refused) => Err(refused.into()),
            None => Ok(()),
        }
    }

    /// Deletes one.
    pub async fn delete(&self, api: &Writer, id: &str, external: bool) -> ApiResult<()> {
        let deleted = api.delete(self.path(api, &[id])).await;
        Ok(deleted.map_err(|error| of_identity_provider(error, external))?)
    }

    /// Sends a patch; returns the first refusal. What the account refuses for its content is sent again in halves: what is wrong in
    /// one operation must not keep another, such as a removal, from being carried out.
    async fn send(
        &self,
        api: &Writer,
        id: &str,
        external: bool,
        patch: ScimPatch,
    ) -> ApiResult<Option<Error>> {
        let (mut open, mut refused, mut calls) = (patch.parts(), None, 0);
        open.reverse();
        while let Some(part) = open.pop() {
            calls += 1;
            let Err(error) = api.patch::<IgnoredAny>(self.path(api, &[id]), part.body()).await else {
                continue;
            };
            let gone = error.is_absence() && self.get::<IgnoredAny>(api, id).await?.is_none();
            let for_content = is_for_content(&error) && !gone;
            let error = of_identity_provider(error, external);
            let for_content = for_content && !error.is_rejected(Reason::ManagedByIdentityProvider);
            if !for_content && !matches!(error, Error::Rejected { .. }) {
                return Err(error.into());
            }
            match part.halves().filter(|_| for_content && calls < MOST_CALLS) {
                Some((first, second)) => open.extend([second, first]),
                None => refused = refused.or(Some(error)),
            }
            if !for_content {
                break;
            }
        }
        Ok(refused)
    }

    fn path(&self, api: &Reader, id: &[&str]) -> Path {
        api.path(&[&["scim", "v2", self.collection], id].concat())
    }
}

/// Whether another request of the caller may be accepted: the refusal is not about the caller or the principal as a whole.
fn is_for_content(error: &databricks::Error) -> bool {
    matches!(error, databricks::Error::Api { status: 400 | 404 | 409 | 412 | 422, .. })
        && !error.may_have_happened()
        && !error.is_throttle()
}

/// Roles or members, as the body of a create has them; null for none.
pub fn entries(values: Option<&BTreeSet<String>>) -> Value {
    values.filter(|values| !values.is_empty()).map_or(Value::Null, ScimEntry::with)
}

/// Whether these roles make an administrator of the account.
pub fn is_admin(roles: Option<&BTreeSet<String>>) -> bool {
    roles.is_some_and(|roles| roles.contains(ADMIN))
}

/// What a grant must allow for these roles.
pub fn power(roles: Option<&BTreeSet<String>>) -> Power {
    Power { account_admin: is_admin(roles), ..Power::default() }
}

/// Whether a change takes the sign-in, or the role of an administrator of the account, from a user or service principal. `have` are its
/// roles before, `active` and `want` what the spec says; without roles in it they stay.
pub fn demotes(have: Option<&BTreeSet<String>>, active: bool, want: Option<&BTreeSet<String>>) -> bool {
    !active || (want.is_some() && is_admin(have) && !is_admin(want))
}

/// Refuses an act on the service principal with this id if the operator itself signs in as it, or if it is not known which one that
/// is. `why` says what would come of the act, and what to write instead.
pub fn not_the_operators_own(principal: i64, auth: &AuthFacts, why: &str) -> Result<(), Error> {
    let text = match &auth.principal_id {
        None => "the operator cannot find its own service principal in the account, so it cannot exclude that this is it: let \
                 the service principal of the DatabricksAuth read the account's service principals"
            .to_owned(),
        Some(own) if *own == principal.to_string() => {
            format!("this is the service principal that the operator itself signs in as: {why}")
        }
        Some(_) => return Ok(()),
    };
    Err(Error::terminal(Reason::WouldLockOut, text))
}

/// What the deletion of a principal leaves behind, if that is what was read: see [`Principals::remove`].
pub fn left_behind(active: bool, purge: Option<bool>) -> Option<&'static str> {
    (!active && purge != Some(true)).then_some("deactivated")
}

fn yes() -> bool {
    true
}

fn active<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(true))
}

fn values<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<String>, D::Error> {
    Ok(ScimEntry::values(Option::deserialize(from)?))
}

fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}
