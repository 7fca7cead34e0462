//! Metastore: the Unity Catalog metastore of a region. All catalogs, grants and managed tables of its workspaces are in it, so it is
//! retained by default, a lost one is not created again, and the operator never forces the deletion of one that has content.
//!
//! A create takes few fields; an update sets the others. Newer accounts have a metastore in each region that they use, so to adopt
//! one is the normal case. Its root credential is named by id alone: that credential belongs to the metastore, so references in both
//! directions could never be resolved. The owner has all rights to what is in a metastore, so a grant must name the kind.

pub mod spec;

use crate::apis::{no_such_owner, not_created, same_name, with_common_code};
use crate::engine::prelude::*;
use crate::kinds::group::Group;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;

pub use spec::{Metastore, MetastoreFacts, MetastoreSpec};

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct MetastoreState {
    name: Option<String>,
    region: Option<String>,
    storage_root: Option<String>,
    external_access_enabled: Option<bool>,
    owner: Option<String>,
    delta_sharing_scope: Option<String>,
    delta_sharing_recipient_token_lifetime_in_seconds: Option<Int64>,
    delta_sharing_organization_name: Option<String>,
    privilege_model_version: Option<String>,
    storage_root_credential_id: Option<String>,
}

#[derive(Deserialize)]
struct Envelope {
    metastore_info: Remote,
}

#[derive(Deserialize)]
struct Remote {
    metastore_id: String,
    #[serde(flatten)]
    state: MetastoreState,
    global_metastore_id: Option<String>,
    cloud: Option<String>,
    storage_root_credential_name: Option<String>,
    created_at: Option<Int64>,
}

impl From<Remote> for Observed<Metastore> {
    fn from(remote: Remote) -> Self {
        let mut state = remote.state;
        // The server adds the id of the metastore to the path that it was given.
        let added = format!("/{}", remote.metastore_id);
        state.storage_root = state.storage_root.map(|root| match root.strip_suffix(added.as_str()) {
            Some(given) => given.to_owned(),
            None => root,
        });
        // The API may leave out a default.
        state.external_access_enabled.get_or_insert(false);
        state.delta_sharing_scope.get_or_insert_with(|| INTERNAL.to_owned());
        // The spec has it in lower case.
        state.storage_root_credential_id = state.storage_root_credential_id.map(|id| id.to_ascii_lowercase());
        let facts = MetastoreFacts {
            global_metastore_id: remote.global_metastore_id,
            cloud: remote.cloud,
            storage_root_credential_name: remote.storage_root_credential_name,
        };
        let about = About { created: remote.created_at.map(|ms| ms.0 / 1000), ..About::default() };
        Observed { id: remote.metastore_id, state, facts, about }
    }
}

impl ExternalResource for Metastore {
    type State = MetastoreState;
    type Id = String;
    type Facts = MetastoreFacts;

    const IMMUTABLE: &'static [Immutable] = &[
        Immutable { state: "name", spec: &["name"] },
        Immutable { state: "region", spec: &["region"] },
        Immutable { state: "storage_root", spec: &["storageRoot"] },
    ];
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<User>("owner", &["owner", "ownerRef.userRef"], &["principal"]).by("userName"),
        Reference::to::<Group>("owner", &["owner", "ownerRef.groupRef"], &["principal"]).by("displayName"),
        Reference::to::<ServicePrincipal>(
            "owner",
            &["owner", "ownerRef.servicePrincipalRef"],
            &["principal"],
        )
        .by("applicationId"),
    ];
    const NAME: &'static [&'static str] = &["name"];
    const REQUIRED: &'static [&'static str] = &["region"];
    const DATA_BEARING: bool = true;
    const UNDELETE: Option<&'static str> = Some(
        "restore it, with all that it held, within five days of its deletion by undropById of the Unity Catalog API and the id in \
         status.externalId, and this object is Ready again",
    );
    const GRANTED_BY_NAME: bool = true;

    fn desired(spec: &MetastoreSpec, got: &Resolved) -> Result<MetastoreState> {
        Ok(MetastoreState {
            name: spec.name.clone(),
            region: spec.region.clone(),
            storage_root: spec.storage_root.clone(),
            external_access_enabled: spec.external_access_enabled,
            owner: spec.owner.clone().or_else(|| got.maybe("owner")),
            delta_sharing_scope: spec.delta_sharing_scope.map(|scope| format!("{scope:?}")),
            delta_sharing_recipient_token_lifetime_in_seconds: spec
                .delta_sharing_recipient_token_lifetime_in_seconds
                .map(Int64),
            delta_sharing_organization_name: spec.delta_sharing_organization_name.clone(),
            privilege_model_version: spec.privilege_model_version.clone(),
            storage_root_credential_id: spec.storage_root_credential_id.clone(),
        })
    }

    fn key(state: &MetastoreState) -> Key {
        Key { within: String::new(), name: state.name.as_deref().unwrap_or_default().to_lowercase() }
    }

    fn changes(want: &MetastoreState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let same = |path: &str| match path {
            "name" => same_name(want.name.as_ref(), seen.state.name.as_ref()),
            "owner" => same_name(want.owner.as_ref(), seen.state.owner.as_ref()),
            "storage_root" => same_root(want, seen),
            // The API may leave out a lifetime without an end.
            LIFETIME => {
                seen.state.delta_sharing_recipient_token_lifetime_in_seconds.unwrap_or(ENDLESS) == ENDLESS
                    && want.delta_sharing_recipient_token_lifetime_in_seconds == Some(ENDLESS)
            }
            _ => false,
        };
        let mut changes = generic::<Self>(want, seen)?;
        changes.retain(|change| !same(&change.path));
        Ok(changes)
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Result<Envelope, _> = api.get(api.path(&[METASTORES, id])).await;
        let found = found.map_err(with_common_code).optional()?;
        Ok(found.map(|found| found.metastore_info.into()))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(api.path(&[METASTORES]), Pages::Whole(METASTORES)).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &MetastoreState) -> ApiResult<Created<Self>> {
        let body = given(json!({"metastore_info": {
            "name": want.name,
            "region": want.region,
            "storage_root": want.storage_root,
            "external_access_enabled": want.external_access_enabled,
        }}));
        let created: Result<Envelope, _> = api.post(api.path(&[METASTORES]), body).await;
        let created = created.map_err(|error| not_created(error, EXISTS))?;
        Ok(Observed::from(created.metastore_info).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &MetastoreState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = api.path(&[METASTORES, &seen.id]);
        for body in bodies(want, &seen.state, now) {
            let body = json!({"metastore_info": body});
            api.put::<IgnoredAny>(path.clone(), body).await.map_err(no_such_owner)?;
        }
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the metastore was gone right after it was changed"))?)
    }

    /// Without `force`: Databricks refuses to delete a metastore that has content.
    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(api.path(&[METASTORES, &seen.id])).await.map_err(with_common_code);
        Ok(deleted.map_err(|error| in_use(error, "a catalog, a storage credential or a workspace"))?)
    }
}

/// The collection in the API, and the key of its list.
const METASTORES: &str = "metastores";

const EXISTS: &str = "an account normally has one metastore in a region, and names are unique regardless of case: to adopt the one that exists, \
    set spec.adoptionPolicy to IfExists and write its name in spec.name";

/// Whether two paths mean the same. One may end with a slash, or with the id that the server adds.
fn same_root(want: &MetastoreState, seen: &Observed<Metastore>) -> bool {
    let Some((want, root)) = want.storage_root.as_deref().zip(seen.state.storage_root.as_deref()) else {
        return false;
    };
    let (want, root) = (want.trim_end_matches('/'), root.trim_end_matches('/'));
    want == root || want.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')) == Some(&*seen.id)
}

/// The scope of sharing that a metastore has from the beginning.
const INTERNAL: &str = "INTERNAL";

const LIFETIME: &str = "delta_sharing_recipient_token_lifetime_in_seconds";

/// The lifetime of tokens that do not expire.
const ENDLESS: Int64 = Int64(0);

const SHARING: [&str; 2] = ["delta_sharing_scope", LIFETIME];

/// The bodies of an update, in order. A new owner comes last and alone: after it the operator may have no right to change the rest. The
/// scope of sharing and the lifetime of tokens are always sent together.
fn bodies(want: &MetastoreState, seen: &MetastoreState, now: &[&str]) -> Vec<Map<String, Value>> {
    let (all, present) = (json!(want), json!(seen));
    let sharing = now.iter().any(|field| SHARING.contains(field));
    let together = SHARING.into_iter().filter(|_| sharing);
    let rest = now.iter().copied().filter(|field| *field != "owner" && !SHARING.contains(field));
    let value = |field: &str| if all[field].is_null() { present[field].clone() } else { all[field].clone() };
    let body = |fields: Vec<&str>| -> Map<String, Value> {
        let values = fields.into_iter().map(|field| (field.to_owned(), value(field)));
        values.filter(|(_, value)| !value.is_null()).collect()
    };
    let owner = now.iter().copied().filter(|field| *field == "owner").collect();
    let bodies = [body(rest.chain(together).collect()), body(owner)];
    bodies.into_iter().filter(|body| !body.is_empty()).collect()
}

#[cfg(test)]
mod tests;
