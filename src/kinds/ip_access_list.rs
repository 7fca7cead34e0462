//! IpAccessList: which addresses may, or may not, reach the account console and the account APIs.
//!
//! A setting of the account says whether it heeds its lists: see `ip_access_list_enforcement.rs`. It is read with each LIST. Where it
//! cannot be read, that changes nothing.

use std::time::Duration;

use crate::apis::{self, ENFORCEMENT, Enforcement, IpList, LISTS, ListType, ShownIpList};
use crate::engine::crd::Cidr;
use crate::engine::kind::Shared;
use crate::engine::prelude::*;

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
    printcolumn = r#"{"name": "Enforced", "type": "boolean", "jsonPath": ".status.enforced", "description": "Whether the account heeds its IP access lists.", "priority": 1}"#,
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

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpAccessListFacts {
    /// How many addresses the list has in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_count: Option<i64>,
    /// Whether the account heeds its IP access lists, if it says so. If not, this list has no effect: an IpAccessListEnforcement changes that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<bool>,
}

impl From<ShownIpList> for Observed<IpAccessList> {
    fn from(shown: ShownIpList) -> Self {
        let facts = IpAccessListFacts { address_count: shown.address_count, enforced: None };
        Observed { id: shown.id, state: shown.list, facts, about: shown.about }
    }
}

impl ExternalResource for IpAccessList {
    type State = IpList;
    type Id = String;
    type Facts = IpAccessListFacts;

    /// Terraform's provider dropped its resource for the account's IP access lists, because reads showed changes only after
    /// minutes, and Databricks itself says that they take effect after a few minutes. This allows ten.
    const READ_LAG: Duration = Duration::from_secs(600);
    const NAME: &'static [&'static str] = &["label", "listType"];
    const REQUIRED: &'static [&'static str] = &["ipAddresses"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Among(keep_the_operator_in));

    fn desired(spec: &IpAccessListSpec, _: &Resolved) -> Result<IpList> {
        let (label, addresses) = (spec.label.as_ref(), spec.ip_addresses.as_ref());
        Ok(IpList::new(label, spec.list_type, addresses, spec.enabled))
    }

    fn key(state: &IpList) -> Key {
        Key { within: String::new(), name: state.name() }
    }

    fn matches(key: &Key, seen: &Observed<Self>) -> bool {
        seen.state.could_be(&key.name)
    }

    fn recognises(want: &IpList, seen: &Observed<Self>) -> bool {
        want.recognises(&seen.state)
    }

    fn aside(want: IpList, id: &String) -> Option<IpList> {
        want.aside(id)
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        Ok(ShownIpList::read(api, api.path(&[LISTS, id])).await?.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all = ShownIpList::read_all(api, api.path(&[LISTS])).await?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn shared(api: &Reader, _: &str) -> ApiResult<Shared> {
        let known: Option<Enforcement> = ENFORCEMENT.known(api).await?;
        let Some(enforced) = known.and_then(|known| known.value) else { return Ok(Shared::default()) };
        let remark = (!enforced).then(|| {
            "the account ignores its IP access lists, so this one has no effect: apply an IpAccessListEnforcement with spec.value true to \
             put all of them in force"
                .into()
        });
        Ok(Shared { facts: Map::from_iter([("enforced".to_owned(), json!(enforced))]), remark })
    }

    async fn create(api: &Writer, want: &IpList) -> ApiResult<Created<Self>> {
        Ok(Observed::from(ShownIpList::create(api, api.path(&[LISTS]), want).await?).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &IpList,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let changed = ShownIpList::change(api, api.path(&[LISTS, &seen.id]), want, now).await?;
        let unchanged = || Observed {
            id: seen.id.clone(),
            state: seen.state.clone(),
            facts: seen.facts.clone(),
            about: seen.about.clone(),
        };
        Ok(changed.map_or_else(unchanged, Observed::from))
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(api.path(&[LISTS, &seen.id])).await?)
    }
}

fn keep_the_operator_in(
    act: &Act<'_, IpAccessList>,
    siblings: &[Observed<IpAccessList>],
    auth: &AuthFacts,
) -> Result<()> {
    let own = act.seen.map(|seen| &seen.id);
    let others = siblings.iter().filter(|sibling| Some(&sibling.id) != own).map(|sibling| &sibling.state);
    let before: Vec<&IpList> = siblings.iter().map(|sibling| &sibling.state).collect();
    let after: Vec<&IpList> = others.chain(act.want).collect();
    apis::keep_the_operator_in(&before, &after, auth)
}
