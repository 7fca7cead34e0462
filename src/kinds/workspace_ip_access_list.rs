//! WorkspaceIpAccessList: which addresses may, or may not, reach a workspace. It is at the host of that workspace.
//!
//! Lists have no effect until a switch of the workspace is on. It is off at first; `enforce` turns it on, and nothing here turns it off:
//! what others rely on would be open. The state of each list has the switch, as the check that keeps the operator in depends on it.
//!
//! While the switch is on, a list is created harmless, as one that a spec disables always is: of the first list, only a read of it says
//! that check what the switch is.

use crate::apis::{self, IpList, ListType, ShownIpList};
use crate::engine::crd::Cidr;
use crate::engine::kind::Home;
use crate::engine::prelude::*;
use crate::kinds::workspace::Workspace;

/// Which addresses may, or may not, reach a workspace.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "WorkspaceIpAccessList",
    shortname = "dbwip",
    category = "databricks",
    namespaced,
    status = "Status<WorkspaceIpAccessListFacts>",
    printcolumn = r#"{"name": "Type", "type": "string", "jsonPath": ".status.observed.listType", "description": "ALLOW or BLOCK."}"#,
    printcolumn = r#"{"name": "Addresses", "type": "integer", "jsonPath": ".status.addressCount", "description": "How many addresses the list has."}"#,
    printcolumn = r#"{"name": "Enforced", "type": "boolean", "jsonPath": ".status.enforced", "description": "Whether the lists of the workspace are in force."}"#,
    doc = "Which addresses may, or may not, reach a workspace."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = apis::not_all_blocked()))]
pub struct WorkspaceIpAccessListSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace. Give this or workspaceId. Once the list exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace, if this namespace has no Workspace for it. Give this or workspaceRef. Once the list exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// The name of the list in the workspace. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub label: Option<String>,
    /// ALLOW: only the addresses of the ALLOW lists have access. BLOCK: these addresses have none, whatever else allows them. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list_type: Option<ListType>,
    /// IPv4 addresses and CIDRs, in any order. Compute of the workspace that calls it from public addresses needs an ALLOW list with them. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub ip_addresses: Option<Vec<Cidr>>,
    /// Whether the list is enabled; true by default. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// true turns on the switch that puts the lists of the workspace in force; without it the workspace ignores them. false (default) leaves the switch as it is, and so does the deletion of this object. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce: Option<bool>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct WorkspaceIpAccessListState {
    workspace_id: i64,
    #[serde(flatten)]
    list: IpList,
    /// The switch of the workspace; only `true` is ever wanted.
    enforce: Option<bool>,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceIpAccessListFacts {
    /// How many addresses the list has in the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_count: Option<i64>,
    /// Whether the lists of the workspace are in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforced: Option<bool>,
}

/// Lists have an effect in a workspace once this key of its configuration is `true`.
const SWITCH: &str = "enableIpAccessLists";

/// Values are text; null if it was never set.
#[derive(Deserialize)]
struct Switches {
    #[serde(rename = "enableIpAccessLists")]
    lists: Option<String>,
}

async fn is_on(api: &Reader) -> ApiResult<bool> {
    let switches: Switches = api.get(api.path(&["workspace-conf"]).with("keys", SWITCH)).await?;
    Ok(switches.lists.is_some_and(|value| value.eq_ignore_ascii_case("true")))
}

fn lists(api: &Reader) -> Path {
    api.path(&["ip-access-lists"])
}

fn one(api: &Reader, id: &Id) -> Path {
    api.path(&["ip-access-lists", &id.own])
}

type Id = Inside<Int64, String>;

fn observed(workspace: Int64, shown: ShownIpList, on: bool) -> Observed<WorkspaceIpAccessList> {
    let remark = (shown.list.enabled && !on).then(|| {
        format!(
            "workspace {workspace} ignores its IP access lists, so this list has no effect: set spec.enforce to true to turn \
             them on"
        )
    });
    let facts = WorkspaceIpAccessListFacts { address_count: shown.address_count, enforced: Some(on) };
    let state = WorkspaceIpAccessListState { workspace_id: workspace.0, list: shown.list, enforce: Some(on) };
    let id = Inside { within: workspace, own: shown.id };
    Observed { id, state, facts, about: About { remark, ..shown.about } }
}

impl ExternalResource for WorkspaceIpAccessList {
    type State = WorkspaceIpAccessListState;
    type Id = Id;
    type Facts = WorkspaceIpAccessListFacts;

    const HOME: Home = Home::InWorkspace;
    const REFERENCES: &'static [Reference] =
        &[Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed()];
    const NAME: &'static [&'static str] = &["label", "listType"];
    const REQUIRED: &'static [&'static str] = &["ipAddresses"];
    const GUARD: Option<Guard<Self>> = Some(Guard::Among(keep_the_operator_in));
    const MATCHES: Option<fn(&Key, &Observed<Self>) -> bool> =
        Some(|key, seen| seen.id.within.to_string() == key.within && seen.state.list.could_be(&key.name));

    fn desired(spec: &WorkspaceIpAccessListSpec, got: &Resolved) -> Result<Self::State> {
        let (label, addresses) = (spec.label.as_ref(), spec.ip_addresses.as_ref());
        Ok(WorkspaceIpAccessListState {
            workspace_id: got.number("workspace_id")?,
            list: IpList::new(label, spec.list_type, addresses, spec.enabled),
            enforce: spec.enforce.filter(|on| *on),
        })
    }

    fn key(state: &Self::State) -> Key {
        Key { within: state.workspace_id.to_string(), name: state.list.name() }
    }

    fn within(id: &Id) -> String {
        id.within.to_string()
    }

    fn recognises(want: &Self::State, seen: &Observed<Self>) -> bool {
        want.list.recognises(&seen.state.list)
    }

    fn aside(want: Self::State, id: &Id) -> Option<Self::State> {
        Some(WorkspaceIpAccessListState { list: want.list.clone().aside(&id.own)?, ..want })
    }

    async fn get(api: &Reader, id: &Id) -> ApiResult<Option<Observed<Self>>> {
        match ShownIpList::read(api, one(api, id)).await? {
            Some(shown) => Ok(Some(observed(id.within, shown, is_on(api).await?))),
            None => Ok(None),
        }
    }

    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let workspace = parent(within, "a workspace")?;
        let all = ShownIpList::read_all(api, lists(api)).await?;
        let on = !all.is_empty() && is_on(api).await?;
        Ok(all.into_iter().map(|shown| observed(workspace, shown, on)).collect())
    }

    async fn create(api: &Writer, want: &Self::State) -> ApiResult<Created<Self>> {
        let on = is_on(api).await?;
        let first = IpList { enabled: want.list.enabled && !on, ..want.list.clone() };
        let created = ShownIpList::create(api, lists(api), &first).await?;
        Ok(observed(Int64(want.workspace_id), created, on).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &Self::State,
        now: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let of_list: Vec<&str> = now.iter().copied().filter(|field| *field != "enforce").collect();
        if !of_list.is_empty() {
            ShownIpList::change(api, one(api, &seen.id), &want.list, &of_list).await?;
        }
        // After the list, so that the switch never puts an older one in force.
        if now.contains(&"enforce") {
            let conf = api.path(&["workspace-conf"]);
            api.patch::<IgnoredAny>(conf, json!({SWITCH: "true"})).await?;
        }
        let found = Self::get(api, &seen.id).await?;
        Ok(found.ok_or_else(|| Error::retry("the list was gone right after it was changed"))?)
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(one(api, &seen.id)).await?)
    }
}

/// Lists count while the switch is on, and once `enforce` turns it on.
fn keep_the_operator_in(
    act: &Act<'_, WorkspaceIpAccessList>,
    siblings: &[Observed<WorkspaceIpAccessList>],
    auth: &AuthFacts,
) -> Result<()> {
    let on = siblings.iter().chain(act.seen).any(|seen| seen.state.enforce == Some(true));
    let turned_on = act.want.is_some_and(|want| want.enforce == Some(true));
    let (before, after) = apis::before_and_after(act, siblings, |state| &state.list);
    let heeded = |lists, switch: bool| if switch { lists } else { vec![] };
    apis::keep_the_operator_in(&heeded(before, on), &heeded(after, on || turned_on), auth)
}
