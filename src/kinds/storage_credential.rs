//! StorageCredential: the role or identity with which the workspaces of a metastore reach your storage. It belongs to its metastore.
//!
//! On AWS the trust policy of the role needs an external id that Databricks chooses when it creates the credential. So Databricks
//! does not test a new role: the status shows the external id, and what uses the credential fails until the policy has it. A change of
//! the role is tested, unless the spec says otherwise. What has just changed in a cloud is not known everywhere at once, so the operator
//! waits for some minutes before a failed test is final.
//!
//! A credential stays of its sort: a block of another sort would be a second one beside the first. The owner has all rights to what a
//! credential leads to, so a grant must name the kind.
//!
//! The operator never forces a deletion: without its credential, tables could not be read any more, nor their files be deleted. Not
//! here: credentials with a secret (service principals of Azure, tokens of Cloudflare), and those of GCP, which can only be observed.

pub mod spec;
mod state;

use crate::apis::{no_such_owner, not_created, same_name, with_common_code};
use crate::engine::kind::NEW_IN_AWS;
use crate::engine::prelude::*;
use crate::kinds::group::Group;
use crate::kinds::metastore::Metastore;
use crate::kinds::service_principal::ServicePrincipal;
use crate::kinds::user::User;

use state::Remote;

pub use spec::{StorageCredential, StorageCredentialFacts, StorageCredentialSpec};
pub use state::StorageCredentialState;

#[derive(Deserialize)]
struct Envelope {
    credential_info: Remote,
}

fn observed(metastore_id: &str, remote: Remote) -> Observed<StorageCredential> {
    let (own, state, facts, about) = remote.shown(metastore_id);
    Observed { id: Inside { within: metastore_id.to_owned(), own }, state, facts, about }
}

impl ExternalResource for StorageCredential {
    type State = StorageCredentialState;
    /// The metastore and the name.
    type Id = Inside;
    type Facts = StorageCredentialFacts;

    const IMMUTABLE: &'static [Immutable] = &[Immutable { state: "name", spec: &["name"] }];
    const REFERENCES: &'static [Reference] = &[
        Reference::to::<Metastore>(PARENT, &["metastoreId", "metastoreRef"], &["metastore"])
            .required()
            .fixed(),
        Reference::to::<User>("owner", &["owner", "ownerRef.userRef"], &["principal"]).by("userName"),
        Reference::to::<Group>("owner", &["owner", "ownerRef.groupRef"], &["principal"]).by("displayName"),
        Reference::to::<ServicePrincipal>(
            "owner",
            &["owner", "ownerRef.servicePrincipalRef"],
            &["principal"],
        )
        .by("applicationId"),
    ];
    const PARENTED: bool = true;
    const NAME: &'static [&'static str] = &["name"];
    const UNTOLD: &'static [&'static str] = &["skip_validation"];
    const GRANTED_BY_NAME: bool = true;

    fn desired(spec: &StorageCredentialSpec, got: &Resolved) -> Result<StorageCredentialState> {
        let mut state = StorageCredentialState::of(spec, got.id(PARENT)?);
        state.owner = state.owner.or_else(|| got.maybe("owner"));
        Ok(state)
    }

    fn within(id: &Inside) -> String {
        id.within.clone()
    }

    fn key(state: &StorageCredentialState) -> Key {
        let name = state.name.as_deref().unwrap_or_default().to_lowercase();
        Key { within: state.metastore_id.clone(), name }
    }

    /// A credential of another metastore is another one, whatever its name.
    fn recognises(want: &StorageCredentialState, seen: &Observed<Self>) -> bool {
        let same = want.name.is_none() || same_name(want.name.as_ref(), Some(&seen.id.own));
        want.metastore_id == seen.id.within && same
    }

    fn changes(want: &StorageCredentialState, seen: &Observed<Self>) -> Result<Vec<Change>> {
        let mut changes = generic::<Self>(want, seen)?;
        changes.retain(|change| !want.is_alike(&seen.state, &change.path));
        for change in changes.iter_mut().filter(|change| SORTS.contains(&&*change.path)) {
            change.when = When::Never("the credential in the account is of another type".into());
        }
        Ok(changes)
    }

    async fn get(api: &Reader, id: &Inside) -> ApiResult<Option<Observed<Self>>> {
        let found: Result<Envelope, _> = api.get(path(api, &id.within, Some(&id.own))).await;
        let found = found.map_err(with_common_code).optional()?;
        Ok(found.map(|found| observed(&id.within, found.credential_info)))
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Result<Vec<Remote>, _> =
            api.list(path(api, within, None), Pages::Whole("storage_credentials")).await;
        let all = all.map_err(with_common_code)?;
        Ok(all.into_iter().map(|remote| observed(within, remote)).collect())
    }

    async fn create(api: &Writer, want: &StorageCredentialState) -> ApiResult<Created<Self>> {
        let fields = ["name", "aws_iam_role", "azure_managed_identity", "comment", "read_only"];
        // The trust policy of a role cannot have the external id before the role has a credential.
        let skip = if want.aws_iam_role.is_some() { Some(true) } else { want.skip_validation };
        let created: Result<Envelope, _> =
            api.post(path(api, &want.metastore_id, None), sent(want.body(&fields), skip)).await;
        let tested = skip != Some(true);
        let created = created.map_err(|error| match not_created(error, EXISTS) {
            CallError::Api(error) if tested => failed_test(error),
            error => error,
        })?;
        Ok(observed(&want.metastore_id, created.credential_info).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &StorageCredentialState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let path = path(api, &seen.id.within, Some(&seen.id.own));
        // A new owner comes last and alone: after it the operator may have no right to change the rest.
        let (owner, rest): (Vec<&str>, Vec<&str>) = now.iter().copied().partition(|field| *field == "owner");
        let whole = want.completed(&seen.state);
        for fields in [rest, owner].into_iter().filter(|fields| !fields.is_empty()) {
            let body = sent(whole.body(&fields), want.skip_validation);
            let tested =
                want.skip_validation != Some(true) && fields.iter().any(|field| SORTS.contains(field));
            let changed = api.put::<IgnoredAny>(path.clone(), body).await;
            changed.map_err(|error| match no_such_owner(error) {
                CallError::Api(error) if tested => failed_test(error),
                error => error,
            })?;
        }
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the credential was gone right after it was changed"))?)
    }

    /// Without `force`: Databricks refuses to delete a credential that something uses.
    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        let deleted = api.delete(path(api, &seen.id.within, Some(&seen.id.own))).await;
        let deleted = deleted.map_err(with_common_code);
        Ok(deleted
            .map_err(|error| in_use(error, "an external location, a table or the root of the metastore"))?)
    }
}

const PARENT: &str = "metastore_id";

/// The fields of which a credential has one. Databricks tests it when it is changed.
const SORTS: [&str; 2] = ["aws_iam_role", "azure_managed_identity"];

const EXISTS: &str = "names are unique in a metastore regardless of case, also among service credentials: write another spec.name, or to adopt \
    the one that exists, set spec.adoptionPolicy to IfExists";

fn path(api: &Reader, metastore: &str, name: Option<&str>) -> Path {
    let all = ["metastores", metastore, "storage-credentials"];
    api.path(&all.into_iter().chain(name).collect::<Vec<_>>())
}

fn sent(credential: Map<String, Value>, skip_validation: Option<bool>) -> Value {
    given(json!({"credential_info": credential, "skip_validation": skip_validation}))
}

/// A new role or identity that does not work is refused as a wrong one is, in texts that are not known, so the operator waits.
fn failed_test(error: databricks::Error) -> CallError {
    let refused = matches!(&error, databricks::Error::Api { status: 400 | 403, .. });
    if !refused || error.may_have_happened() || error.is_throttle() || error.is_address_blocked() {
        return error.into();
    }
    let advice = "if the role or identity, or its policies, are new, wait for some minutes; else correct them (the trust policy of a role \
                  needs status.stsExternalId and status.unityCatalogIamArn), or spec.awsIamRole or spec.azureManagedIdentity; \
                  spec.skipValidation true leaves it untested";
    Error::from(error).adding(advice).patient(NEW_IN_AWS).into()
}

#[cfg(test)]
mod tests;
