//! IpAccessList: which addresses may, or may not, reach the account console and the account APIs.
//!
//! The API creates lists enabled. A list that the spec disables is therefore created harmless, as a BLOCK list of nothing,
//! and gets everything else, `enabled: false` included, by one PATCH: it is never live, not even for a moment.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::databricks::{Optional, Pages};
use crate::engine::crd::{Cidr, Management, Reason, Status};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, Created, ExternalResource, Guard, Key, Observed, Reader, Resolved,
    Writer,
};

/// Which addresses may, or may not, reach the account console and the account APIs.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "IpAccessList",
    shortname = "dbip",
    category = "databricks",
    namespaced,
    status = "Status<IpAccessListFacts>",
    printcolumn = r#"{"name": "Type", "type": "string", "jsonPath": ".status.observed.listType", "description": "ALLOW or BLOCK."}"#,
    printcolumn = r#"{"name": "Addresses", "type": "integer", "jsonPath": ".status.addressCount", "description": "How many addresses the list has."}"#,
    doc = "Which addresses may, or may not, reach the account console and the account APIs."
)]
#[serde(rename_all = "camelCase")]
pub struct IpAccessListSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the list in the account console. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub label: Option<String>,
    /// ALLOW: only the addresses of the ALLOW lists have access. BLOCK: these addresses have none, whatever else allows them. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_type: Option<ListType>,
    /// IPv4 addresses and CIDRs, in any order. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub ip_addresses: Option<Vec<Cidr>>,
    /// Whether the list is in force; true by default. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// The effect of a list.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum ListType {
    ALLOW,
    BLOCK,
}

/// What a spec controls. Addresses are a set of networks in canonical form.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct IpAccessListState {
    label: Option<String>,
    list_type: Option<String>,
    ip_addresses: Option<BTreeSet<String>>,
    enabled: bool,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpAccessListFacts {
    /// How many addresses the list has in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_count: Option<i64>,
}

#[derive(Deserialize)]
struct Remote {
    list_id: String,
    label: Option<String>,
    list_type: Option<String>,
    #[serde(default)]
    ip_addresses: Vec<String>,
    #[serde(default = "on")]
    enabled: bool,
    address_count: Option<i64>,
    created_at: Option<i64>,
}

fn on() -> bool {
    true
}

/// `{"ip_access_list": {…}}`; schemas of 2023 declare a list of one under the plural.
#[derive(Deserialize)]
struct Envelope {
    ip_access_list: Option<Remote>,
    #[serde(default)]
    ip_access_lists: Vec<Remote>,
}

impl From<Remote> for Observed<IpAccessList> {
    fn from(remote: Remote) -> Self {
        let about = About {
            state: Some(if remote.enabled { "ENABLED" } else { "DISABLED" }.into()),
            created: remote.created_at.map(|ms| ms / 1000),
            ..About::default()
        };
        Observed {
            id: remote.list_id,
            state: IpAccessListState {
                label: remote.label,
                list_type: remote.list_type,
                ip_addresses: Some(remote.ip_addresses.iter().map(|a| canonical(a)).collect()),
                enabled: remote.enabled,
            },
            facts: IpAccessListFacts { address_count: remote.address_count },
            about,
        }
    }
}

/// One form for each network: `1.2.3.4` is `1.2.3.4/32`, host bits are cleared. Text that is no network stays as it is.
fn canonical(text: &str) -> String {
    Cidr(text.into()).network().map_or_else(|| text.to_owned(), |net| net.to_string())
}

impl ExternalResource for IpAccessList {
    type State = IpAccessListState;
    type Id = String;
    type Facts = IpAccessListFacts;

    /// Terraform's provider dropped its resource for the account's IP access lists, because reads showed changes only after
    /// minutes, and Databricks itself says that they take effect after a few minutes. This allows ten.
    const READ_LAG: Duration = Duration::from_secs(600);
    const NAME: &'static [&'static str] = &["label", "listType"];
    const REQUIRED: &'static [&'static str] = &["ipAddresses"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Among(keep_the_operator_in));

    fn desired(spec: &IpAccessListSpec, _: &Resolved) -> Result<IpAccessListState> {
        Ok(IpAccessListState {
            label: spec.label.clone(),
            list_type: spec.list_type.map(|list_type| format!("{list_type:?}")),
            ip_addresses: spec.ip_addresses.as_ref().map(|all| all.iter().map(|a| canonical(&a.0)).collect()),
            enabled: spec.enabled.unwrap_or(true),
        })
    }

    fn key(state: &IpAccessListState) -> Key {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        Key { within: String::new(), name: format!("{}/{}", part(&state.list_type), part(&state.label)) }
    }

    /// Besides the list itself, the harmless first form of a disabled one.
    fn matches(key: &Key, seen: &Observed<Self>) -> bool {
        let state = &seen.state;
        let empty = state.ip_addresses.as_ref().is_none_or(BTreeSet::is_empty);
        let beginning = state.list_type.as_deref() == Some("BLOCK") && empty && state.enabled;
        let label = key.name.split_once('/').map(|(_, label)| label);
        Self::key(state) == *key || (beginning && label == state.label.as_deref())
    }

    /// Either half of the natural key is enough, so that each may be changed.
    fn recognises(want: &IpAccessListState, seen: &Observed<Self>) -> bool {
        let named = want.label.is_some() || want.list_type.is_some();
        !named || want.label == seen.state.label || want.list_type == seen.state.list_type
    }

    /// The list keeps its desired type, so that it is recognised whatever happens before it gets its label.
    fn aside(want: IpAccessListState, id: &String) -> Option<IpAccessListState> {
        let label = Some(format!("{} (exchanging labels, {id})", want.label.as_deref()?));
        Some(IpAccessListState { label, ..want })
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Envelope> = api.get(api.path(&["ip-access-lists", id])).await.optional()?;
        found.map(unwrap).transpose()
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> =
            api.list(api.path(&["ip-access-lists"]), Pages::Whole("ip_access_lists")).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &IpAccessListState) -> ApiResult<Created<Self>> {
        let body = if want.enabled {
            json!({"label": want.label, "list_type": want.list_type, "ip_addresses": want.ip_addresses})
        } else {
            json!({"label": want.label, "list_type": "BLOCK", "ip_addresses": []})
        };
        Ok(unwrap(api.post(api.path(&["ip-access-lists"]), body).await?)?.into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &IpAccessListState,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let all = json!(want);
        let body: serde_json::Map<String, Value> =
            now.iter().map(|f| ((*f).to_owned(), all[*f].clone())).collect();
        let path = api.path(&["ip-access-lists", &seen.id]);
        // The response may be empty, so the list is read.
        api.patch::<serde::de::IgnoredAny>(path.clone(), body.into()).await?;
        let found: Option<Envelope> = api.get(path).await.optional()?;
        // A read that lags so far behind that it misses the list shows nothing new: the change was accepted, and will show
        // later.
        let unchanged = || Observed {
            id: seen.id.clone(),
            state: seen.state.clone(),
            facts: seen.facts.clone(),
            about: seen.about.clone(),
        };
        found.map_or_else(|| Ok(unchanged()), unwrap)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(api.path(&["ip-access-lists", &seen.id])).await?)
    }
}

fn unwrap(envelope: Envelope) -> ApiResult<Observed<IpAccessList>> {
    let one = envelope.ip_access_list.or_else(|| envelope.ip_access_lists.into_iter().next());
    Ok(one.ok_or_else(|| Error::retry("the response of Databricks holds no IP access list"))?.into())
}

/// Refuses what would shut the operator out. Evaluation order of the API: a match in an enabled BLOCK list denies; with at
/// least one enabled ALLOW list, the address must be in one; else everything is allowed.
fn keep_the_operator_in(
    act: &Act<'_, IpAccessList>,
    siblings: &[Observed<IpAccessList>],
    auth: &AuthFacts,
) -> Result<()> {
    let own = act.seen.map(|s| &s.id);
    let others = siblings.iter().filter(|s| Some(&s.id) != own).map(|s| &s.state);
    let after: Vec<&IpAccessListState> = others.chain(act.want).filter(|s| s.enabled).collect();
    let before: Vec<&IpAccessListState> = siblings.iter().map(|s| &s.state).filter(|s| s.enabled).collect();
    for address in &auth.egress {
        let IpNet::V4(address) = address else { continue };
        // An operator that is shut out already may give itself access again, and make unrelated changes.
        if !admitted(&after, address) && admitted(&before, address) {
            return Err(Error::terminal(
                Reason::WouldLockOut,
                format!(
                    "this would shut the operator out: it calls from {address}, as spec.egressCidrs of a DatabricksAuth \
                     for the account says, and the resulting lists block that; add it to an ALLOW list, or remove it from the BLOCK list"
                ),
            ));
        }
    }
    Ok(())
}

fn admitted(lists: &[&IpAccessListState], address: &Ipv4Net) -> bool {
    let networks = |kind: &str| -> Vec<Ipv4Net> {
        let of_kind = lists.iter().filter(|l| l.list_type.as_deref() == Some(kind));
        of_kind.flat_map(|l| l.ip_addresses.iter().flatten()).filter_map(|a| a.parse().ok()).collect()
    };
    let overlaps = |net: &Ipv4Net| net.contains(address) || address.contains(net);
    if networks("BLOCK").iter().any(overlaps) {
        return false;
    }
    if !lists.iter().any(|l| l.list_type.as_deref() == Some("ALLOW")) {
        return true;
    }
    let allowed = Ipv4Net::aggregate(&networks("ALLOW"));
    allowed.iter().any(|net| net.contains(address))
}
