//! IpAccessListEnforcement: whether the account heeds its IP access lists. Always there. To switch it on puts all lists that are stored in
//! force at once, and to switch it off opens the account, so it stays as it is when its Kubernetes object is deleted.
//!
//! What an account does that never set it is not documented for sure, so a desired value is always written.
//!
//! Databricks checks each new or changed list against the address of the call, but this setting not, as far as is known. So an
//! operator that does not know its own addresses puts no list in force that was ignored and restricts any address. Reads of lists lag by
//! minutes, and a list that no read shows yet comes into force like any other: so the setting waits for those of IpAccessLists.

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::apis::{ENFORCEMENT, Enforcement, IpList, LISTS, ShownIpList, Version, keep_the_operator_in};
use crate::engine::kind::{GuardReads, Lifecycle};
use crate::engine::prelude::*;

/// Whether the IP access lists of the account are in force.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "IpAccessListEnforcement",
    shortname = "dbipe",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Lists", "type": "string", "jsonPath": ".status.state", "description": "Whether the IP access lists of the account are in force: ENFORCED or IGNORED."}"#,
    doc = "Whether the IP access lists of the account are in force."
)]
#[serde(rename_all = "camelCase")]
pub struct IpAccessListEnforcementSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// `true`: all IP access lists of the account that are enabled come into force at once, also those without an IpAccessList object. The operator refuses that if they would shut it out, or if the account ignores them now, they restrict any address, and the DatabricksAuth has no egressCidrs. `false`: the account ignores them, and can be reached from everywhere. May be changed; deleting this object leaves it as it is. Known on all clouds, as a private preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<bool>,
}

impl From<Version<Enforcement>> for Observed<IpAccessListEnforcement> {
    fn from(read: Version<Enforcement>) -> Self {
        let (phase, shown) = match read.value.value {
            None => (Phase::Vacant, None),
            Some(true) => (Phase::Ready, Some("ENFORCED".to_owned())),
            Some(false) => (Phase::Ready, Some("IGNORED".to_owned())),
        };
        let about = About { phase, state: shown, etag: read.etag, ..About::default() };
        Observed { id: ENFORCEMENT.kind.into(), state: read.value, facts: NoFacts {}, about }
    }
}

impl ExternalResource for IpAccessListEnforcement {
    type State = Enforcement;
    type Id = String;
    type Facts = NoFacts;

    const REQUIRED: &'static [&'static str] = &["value"];
    const LIFECYCLE: Lifecycle = Lifecycle::Standing;
    const REMOVABLE: bool = false;
    const GUARD: Option<Guard<Self>> = Some(Guard::Reading(heed_no_list_that_shuts_the_operator_out));
    const GUARD_READS: Option<GuardReads> =
        Some(GuardReads { kind: "IpAccessList", when: |want| want["value"] == true });

    fn desired(spec: &IpAccessListEnforcementSpec, _: &Resolved) -> Result<Enforcement> {
        Ok(Enforcement { value: spec.value })
    }

    fn key(_: &Enforcement) -> Key {
        Key { within: String::new(), name: ENFORCEMENT.kind.into() }
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        Ok(vec![ENFORCEMENT.read(api).await?.into()])
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &Enforcement,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        Ok(ENFORCEMENT.write(api, seen.about.etag.as_deref(), want).await?.into())
    }
}

fn heed_no_list_that_shuts_the_operator_out<'a>(
    act: &'a Act<'a, IpAccessListEnforcement>,
    auth: &'a AuthFacts,
    api: &'a Reader,
) -> BoxFuture<'a, Result<()>> {
    let value = |state: Option<&Enforcement>| state.and_then(|state| state.value);
    let (before, after) = (value(act.seen.map(|seen| &seen.state)), value(act.want));
    async move {
        let unknown = auth.egress.is_empty();
        // An account that never set it heeds its lists already, as far as is known, and they allow the operator.
        if before == Some(true) || after != Some(true) || (unknown && before.is_none()) {
            return Ok(());
        }
        let lists = ShownIpList::read_all(api, api.path(&[LISTS])).await?;
        let lists: Vec<IpList> = lists.into_iter().map(|shown| shown.list).collect();
        if unknown && lists.iter().any(IpList::restricts) {
            return Err(Error::terminal(
                Reason::WouldLockOut,
                "this would put IP access lists in force that may shut the operator out, and it does not know which addresses it \
                 calls from: write them in spec.egressCidrs of the DatabricksAuth",
            ));
        }
        keep_the_operator_in(&[], &lists, auth)
    }
    .boxed()
}
