//! IpAccessList: which addresses may, or may not, reach the account console and the account APIs.
//!
//! A setting of the account says whether it heeds its lists: see `ip_access_list_enforcement.rs`. It is read with each LIST. Where it
//! cannot be read, that changes nothing.

pub mod spec;

use std::time::Duration;

use crate::apis::{self, ENFORCEMENT, Enforcement, IpList, LISTS, ShownIpList};
use crate::engine::kind::Shared;
use crate::engine::prelude::*;

pub use spec::{IpAccessList, IpAccessListFacts, IpAccessListSpec};

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
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> =
        Some(|key, seen| seen.state.could_be(&key.name));

    fn desired(spec: &IpAccessListSpec, _: &Resolved) -> Result<IpList> {
        let (label, addresses) = (spec.label.as_ref(), spec.ip_addresses.as_ref());
        Ok(IpList::new(label, spec.list_type, addresses, spec.enabled))
    }

    fn key(state: &IpList) -> Key {
        Key { within: String::new(), name: state.name() }
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
    let (before, after) = apis::before_and_after(act, siblings, |list| list);
    apis::keep_the_operator_in(&before, &after, auth)
}
