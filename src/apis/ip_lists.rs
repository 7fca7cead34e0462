//! Lists of addresses that may, or may not, call an endpoint. The account has such lists, and so has each workspace: with the same
//! verbs, bodies and order of evaluation, so a kind says only where its lists are.
//!
//! Here: what a spec controls of a list, its calls, and the check that no change shuts the operator out. Not here: whether the account or
//! the workspace heeds its lists.
//!
//! The API creates lists enabled. A list that the spec disables is therefore created harmless, as a BLOCK list of nothing,
//! and gets everything else, `enabled: false` included, by one PATCH: it is never live, not even for a moment.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use schemars::JsonSchema;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::setting::{Setting, off};
use crate::databricks::{Int64, Optional, Pages};
use crate::engine::crd::{Cidr, Reason, rule};
use crate::engine::error::{Error, Result};
use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, ExternalResource, Observed, Path, Reader, Writer, only,
};

/// Whether the account heeds its lists. Workspaces have a switch of their own.
pub const ENFORCEMENT: Setting = Setting { kind: "acct_ip_acl_enable", key: "acct_ip_acl_enable" };

/// The value of [`ENFORCEMENT`].
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct Enforcement {
    /// `None` if it was never set. The account heeds its lists then, as far as is known.
    #[serde(default = "off")]
    pub value: Option<bool>,
}

/// The path of the lists of the account.
pub const LISTS: &str = "ip-access-lists";

/// The effect of a list.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum ListType {
    ALLOW,
    BLOCK,
}

/// What a spec controls. Addresses are a set of networks in canonical form.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct IpList {
    /// The name in the console.
    pub label: Option<String>,
    /// ALLOW or BLOCK.
    pub list_type: Option<String>,
    /// The networks.
    pub ip_addresses: Option<BTreeSet<String>>,
    /// Whether the list takes part in the evaluation.
    pub enabled: bool,
}

/// A list as the API shows it.
pub struct ShownIpList {
    /// Its id.
    pub id: String,
    /// What a spec controls.
    pub list: IpList,
    /// How many addresses it has.
    pub address_count: Option<i64>,
    /// Its state, and when it was created.
    pub about: About,
}

#[derive(Deserialize)]
struct Remote {
    list_id: String,
    label: Option<String>,
    list_type: Option<String>,
    ip_addresses: Option<Vec<String>>,
    enabled: Option<bool>,
    address_count: Option<Int64>,
    created_at: Option<Int64>,
}

/// `{"ip_access_list": {…}}`; schemas of 2023 declare a list of one under the plural.
#[derive(Deserialize)]
struct Envelope {
    ip_access_list: Option<Remote>,
    ip_access_lists: Option<Vec<Remote>>,
}

impl From<Remote> for ShownIpList {
    fn from(remote: Remote) -> Self {
        let enabled = remote.enabled.unwrap_or(true);
        let about = About {
            state: Some(if enabled { "ENABLED" } else { "DISABLED" }.into()),
            created: remote.created_at.map(|ms| ms.0 / 1000),
            ..About::default()
        };
        let addresses = remote.ip_addresses.iter().flatten().map(|address| canonical(address)).collect();
        let list = IpList {
            label: remote.label,
            list_type: remote.list_type,
            ip_addresses: Some(addresses),
            enabled,
        };
        let address_count = remote.address_count.map(|count| count.0);
        ShownIpList { id: remote.list_id, list, address_count, about }
    }
}

/// One form for each network: `1.2.3.4` is `1.2.3.4/32`, host bits are cleared. Text that is no network stays as it is.
fn canonical(text: &str) -> String {
    Cidr(text.into()).network().map_or_else(|| text.to_owned(), |net| net.to_string())
}

fn unwrap(envelope: Envelope) -> ApiResult<ShownIpList> {
    let one = envelope.ip_access_list.or_else(|| envelope.ip_access_lists.into_iter().flatten().next());
    Ok(one.ok_or_else(|| Error::retry("the response of Databricks holds no IP access list"))?.into())
}

impl IpList {
    /// The list that the fields of a spec mean; it is enabled by default.
    pub fn new(
        label: Option<&String>,
        list_type: Option<ListType>,
        addresses: Option<&Vec<Cidr>>,
        enabled: Option<bool>,
    ) -> IpList {
        IpList {
            label: label.cloned(),
            list_type: list_type.map(|list_type| format!("{list_type:?}")),
            ip_addresses: addresses.map(|all| all.iter().map(|address| canonical(&address.0)).collect()),
            enabled: enabled.unwrap_or(true),
        }
    }

    /// Its natural name: type and label.
    pub fn name(&self) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{}/{}", part(&self.list_type), part(&self.label))
    }

    /// Whether a create of a list with this natural name could have created this one: besides the list itself, the harmless first
    /// form of a disabled one.
    pub fn could_be(&self, name: &str) -> bool {
        let empty = self.ip_addresses.as_ref().is_none_or(BTreeSet::is_empty);
        let beginning = self.list_type.as_deref() == Some("BLOCK") && empty && self.enabled;
        let label = name.split_once('/').map(|(_, label)| label);
        self.name() == name || (beginning && label == self.label.as_deref())
    }

    /// Whether `seen` is the desired list. Either half of the natural name is enough, so that each may be changed.
    pub fn recognises(&self, seen: &IpList) -> bool {
        let named = self.label.is_some() || self.list_type.is_some();
        !named || self.label == seen.label || self.list_type == seen.list_type
    }

    /// Whether some address has no access because of this list, where lists are heeded.
    pub fn restricts(&self) -> bool {
        let allows = self.list_type.as_deref() == Some("ALLOW");
        self.enabled && (allows || self.ip_addresses.as_ref().is_some_and(|all| !all.is_empty()))
    }

    /// The list under a temporary label. It keeps its desired type, so that it is recognised whatever happens before it gets
    /// its label.
    pub fn aside(self, id: &str) -> Option<IpList> {
        let label = Some(format!("{} (exchanging labels, {id})", self.label.as_deref()?));
        Some(IpList { label, ..self })
    }
}

impl ShownIpList {
    /// The list at this path, or `None` once it is proven gone.
    pub async fn read(api: &Reader, path: Path) -> ApiResult<Option<ShownIpList>> {
        let found: Option<Envelope> = api.get(path).await.optional()?;
        found.map(unwrap).transpose()
    }

    /// All lists of the collection at this path.
    pub async fn read_all(api: &Reader, path: Path) -> ApiResult<Vec<ShownIpList>> {
        let all: Vec<Remote> = api.list(path, Pages::Whole("ip_access_lists")).await?;
        Ok(all.into_iter().map(ShownIpList::from).collect())
    }

    /// Creates a list in the collection at this path.
    pub async fn create(api: &Writer, path: Path, want: &IpList) -> ApiResult<ShownIpList> {
        let body = if want.enabled {
            json!({"label": want.label, "list_type": want.list_type, "ip_addresses": want.ip_addresses})
        } else {
            json!({"label": want.label, "list_type": "BLOCK", "ip_addresses": []})
        };
        unwrap(api.post(path, body).await?)
    }

    /// Changes these fields of the list at this path, and reads it: the response may be empty. `None` if a read lags so far behind
    /// that it misses the list: the change was accepted, and will show later.
    pub async fn change(
        api: &Writer,
        path: Path,
        want: &IpList,
        fields: &[&str],
    ) -> ApiResult<Option<ShownIpList>> {
        api.patch::<IgnoredAny>(path.clone(), only(fields, &json!(want))).await?;
        ShownIpList::read(api, path).await
    }
}

/// The rule that no list blocks every address: that is certain to shut out the operator, wherever it calls from.
pub fn not_all_blocked() -> Value {
    json!([rule(
        "ipAddresses",
        "!has(self.ipAddresses) || !has(self.listType) || self.listType != 'BLOCK' || (has(self.enabled) && !self.enabled) || \
         !self.ipAddresses.exists(address, address.endsWith('/0'))",
        "a BLOCK list with a network /0 blocks every address, also yours and the operator's: name the addresses to block, or set enabled to false",
    )])
}

/// The lists before a change and after it: all siblings; and the others, with the changed list as it will be. What the spec leaves out
/// of that stays as it is.
pub fn before_and_after<R: ExternalResource<Id: PartialEq>>(
    act: &Act<'_, R>,
    siblings: &[Observed<R>],
    list: impl Fn(&R::State) -> &IpList,
) -> (Vec<IpList>, Vec<IpList>) {
    let own = act.seen.map(|seen| &seen.id);
    let others = siblings.iter().filter(|sibling| Some(&sibling.id) != own);
    let before = siblings.iter().map(|sibling| list(&sibling.state).clone()).collect();
    let changed = act.want.map(|want| changed(act.seen.map(|seen| list(&seen.state)), list(want)));
    let after = others.map(|other| list(&other.state).clone()).chain(changed).collect();
    (before, after)
}

fn changed(seen: Option<&IpList>, want: &IpList) -> IpList {
    let Some(seen) = seen else { return want.clone() };
    IpList {
        label: want.label.as_ref().or(seen.label.as_ref()).cloned(),
        list_type: want.list_type.as_ref().or(seen.list_type.as_ref()).cloned(),
        ip_addresses: want.ip_addresses.as_ref().or(seen.ip_addresses.as_ref()).cloned(),
        enabled: want.enabled,
    }
}

/// Refuses a change that would shut the operator out: `before` and `after` are the lists that are heeded before and after it. No
/// address that the operator may call from, and that is allowed now, may be blocked.
pub fn keep_the_operator_in(before: &[IpList], after: &[IpList], auth: &AuthFacts) -> Result<()> {
    for network in &auth.egress {
        let IpNet::V4(network) = network else { continue };
        let parts = parts(network, before.iter().chain(after));
        // An operator that is shut out already may give itself access again, and make unrelated changes.
        let shut_out = parts.into_iter().find(|part| !admits(after, part) && admits(before, part));
        if let Some(part) = shut_out {
            let from = match network.prefix_len() {
                32 => network.to_string(),
                _ => format!("{part}, which is in {network}"),
            };
            return Err(Error::terminal(
                Reason::WouldLockOut,
                format!(
                    "this would shut the operator out: it calls from {from}, as spec.egressCidrs of the DatabricksAuth \
                     says, and the resulting lists block that; add it to an ALLOW list, or remove it from the BLOCK list"
                ),
            ));
        }
    }
    Ok(())
}

/// The first address of each part of a network that these lists do not divide further.
fn parts<'a>(network: &Ipv4Net, lists: impl Iterator<Item = &'a IpList>) -> BTreeSet<Ipv4Addr> {
    let nets = lists.flat_map(networks);
    // A part begins where a network of a list begins, or after its end.
    let begins = nets
        .flat_map(|net| [Some(net.network()), u32::from(net.broadcast()).checked_add(1).map(Ipv4Addr::from)]);
    begins.flatten().filter(|at| network.contains(at)).chain([network.network()]).collect()
}

/// Evaluation order of the API: a match in an enabled BLOCK list denies; with at least one enabled ALLOW list, the address must be in
/// one; else everything is allowed.
fn admits(lists: &[IpList], address: &Ipv4Addr) -> bool {
    let of_kind = |kind: &'static str| {
        lists.iter().filter(move |list| list.enabled && list.list_type.as_deref() == Some(kind))
    };
    let has = |list: &&IpList| networks(list).any(|net| net.contains(address));
    !of_kind("BLOCK").any(|list| has(&list))
        && (of_kind("ALLOW").next().is_none() || of_kind("ALLOW").any(|list| has(&list)))
}

fn networks(list: &IpList) -> impl Iterator<Item = Ipv4Net> {
    list.ip_addresses.iter().flatten().filter_map(|address| address.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(kind: &str, addresses: &[&str]) -> IpList {
        serde_json::from_value(
            json!({"label": "l", "list_type": kind, "enabled": true, "ip_addresses": addresses}),
        )
        .unwrap()
    }

    #[test]
    fn no_address_of_the_operator_that_is_allowed_gets_blocked() {
        let auth = AuthFacts { egress: vec!["203.0.113.0/24".parse().unwrap()], ..AuthFacts::default() };
        let one_blocked = list("BLOCK", &["203.0.113.7/32"]);
        let half = list("ALLOW", &["203.0.113.0/25"]);
        let cases: [(&str, &[&IpList], &[&IpList], bool); 8] = [
            ("nothing changes for it", &[], &[&list("ALLOW", &["203.0.0.0/16"])], true),
            ("all is shut out", &[], &[&list("BLOCK", &["203.0.0.0/16"])], false),
            ("one address is shut out", &[], &[&one_blocked], false),
            (
                "one is shut out already, and the rest follows",
                &[&one_blocked],
                &[&list("BLOCK", &["203.0.113.0/24"])],
                false,
            ),
            (
                "one is shut out already, and stays so",
                &[&one_blocked],
                &[&one_blocked, &list("ALLOW", &["203.0.113.0/24"])],
                true,
            ),
            ("half is allowed, and stays so", &[&half], &[&half, &list("ALLOW", &["198.51.100.0/24"])], true),
            (
                "half is allowed, and less of it will be",
                &[&half],
                &[&list("ALLOW", &["203.0.113.0/26"])],
                false,
            ),
            ("two halves allow the whole", &[], &[&half, &list("ALLOW", &["203.0.113.128/25"])], true),
        ];
        for (case, before, after, passes) in cases {
            let owned = |lists: &[&IpList]| lists.iter().map(|list| (*list).clone()).collect::<Vec<_>>();
            let result = keep_the_operator_in(&owned(before), &owned(after), &auth);
            assert_eq!(result.is_ok(), passes, "{case}: {result:?}");
        }
        let named = keep_the_operator_in(&[], &[one_blocked], &auth).unwrap_err().to_string();
        assert!(named.contains("203.0.113.7, which is in 203.0.113.0/24,"), "{named}");
    }

    /// A disabled list, and the first form of one that is created harmless, take nothing from any address.
    #[test]
    fn a_list_restricts_if_it_is_enabled_and_says_something() {
        let disabled = IpList { enabled: false, ..list("ALLOW", &["203.0.113.0/24"]) };
        for (list, restricts) in [
            (list("ALLOW", &["203.0.113.0/24"]), true),
            (list("ALLOW", &[]), true),
            (list("BLOCK", &["203.0.113.7/32"]), true),
            (list("BLOCK", &[]), false),
            (disabled, false),
        ] {
            assert_eq!(list.restricts(), restricts, "{list:?}");
        }
    }

    /// What an API leaves out, it may also show as null. One list that cannot be read would fail the LIST of all.
    #[test]
    fn a_list_without_its_fields_is_readable() {
        let null =
            json!({"list_id": "l", "label": null, "list_type": null, "ip_addresses": null, "enabled": null});
        for shown in [json!({"list_id": "l"}), null] {
            let read = ShownIpList::from(serde_json::from_value::<Remote>(shown).unwrap());
            assert_eq!((read.list.ip_addresses, read.list.enabled), (Some(BTreeSet::new()), true));
        }
    }

    /// A list that is named by its id alone keeps its addresses and its type.
    #[test]
    fn what_a_spec_leaves_out_of_a_list_stays() {
        let mut seen = list("BLOCK", &["203.0.113.7/32"]);
        seen.enabled = false;
        let want = IpList { label: None, list_type: None, ip_addresses: None, enabled: true };
        let after = changed(Some(&seen), &want);
        assert_eq!(after, IpList { enabled: true, ..seen });
    }
}
