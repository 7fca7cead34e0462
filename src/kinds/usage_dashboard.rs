//! UsageDashboard: the dashboard of usage and costs that Databricks sets up in a workspace, from a template. A workspace has at most one
//! of each type.
//!
//! The API only creates and reads: a dashboard cannot be changed, and it stays when its object is deleted. It is not documented whether a
//! second create makes a second dashboard, so no create is repeated while reads may not show its result, and the operator reads before
//! each. It recognises the result of a lost create by the workspace and the type. The API lists none, so the list of a workspace is a
//! read of each type. Where there is none, the response may be a 404 or have no id.

use std::time::Duration;

use crate::engine::kind::Power;
use crate::engine::prelude::*;
use crate::kinds::workspace::Workspace;

/// The dashboard of usage and costs that Databricks sets up in a workspace. It stays when this object is deleted.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "UsageDashboard",
    shortname = "dbdash",
    category = "databricks",
    namespaced,
    status = "Status<UsageDashboardFacts>",
    printcolumn = r#"{"name": "Type", "type": "string", "jsonPath": ".spec.dashboardType", "description": "Whose usage the dashboard shows."}"#,
    printcolumn = r#"{"name": "URL", "type": "string", "jsonPath": ".status.dashboardUrl", "description": "Where the dashboard is.", "priority": 1}"#,
    doc = "The dashboard of usage and costs that Databricks sets up in a workspace. It stays when this object is deleted."
)]
#[serde(rename_all = "camelCase")]
pub struct UsageDashboardSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The Workspace of this namespace that has the dashboard; it needs Unity Catalog. Give this or workspaceId. Once the dashboard exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_ref: Option<NameRef>,
    /// The id of the workspace that has the dashboard, if this namespace has no Workspace for it. Give this or workspaceRef. Once the dashboard exists, it must continue to mean the same workspace. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub workspace_id: Option<i64>,
    /// USAGE_DASHBOARD_TYPE_WORKSPACE: the usage of that workspace. USAGE_DASHBOARD_TYPE_GLOBAL: that of all workspaces of the account. Cannot be changed once the dashboard exists. Known on all clouds.
    pub dashboard_type: DashboardType,
    /// The version of the template: USAGE_DASHBOARD_MAJOR_VERSION_1 or USAGE_DASHBOARD_MAJOR_VERSION_2. Default: that of Databricks, the first. May be changed, which has no effect on a dashboard that exists. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major_version: Option<MajorVersion>,
}

/// Whose usage a dashboard shows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum DashboardType {
    USAGE_DASHBOARD_TYPE_WORKSPACE,
    USAGE_DASHBOARD_TYPE_GLOBAL,
}

/// The version of a template.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum MajorVersion {
    USAGE_DASHBOARD_MAJOR_VERSION_1,
    USAGE_DASHBOARD_MAJOR_VERSION_2,
}

/// What is shown.
#[derive(Serialize, Deserialize, Clone, Debug, Default, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageDashboardFacts {
    /// The id of the dashboard in the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_id: Option<String>,
    /// Where the dashboard is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard_url: Option<String>,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct UsageDashboardState {
    workspace_id: i64,
    dashboard_type: String,
    /// Only sent; in no response.
    major_version: Option<String>,
}

/// Without an id there is no dashboard.
#[derive(Deserialize)]
struct Remote {
    dashboard_id: Option<String>,
    dashboard_url: Option<String>,
}

impl Remote {
    fn observed(self, workspace_id: i64, dashboard_type: &str) -> Option<Observed<UsageDashboard>> {
        let dashboard_id = self.dashboard_id.filter(|id| !id.is_empty())?;
        let id = Inside { within: workspace_id, own: dashboard_type.to_owned() };
        let state = UsageDashboardState { workspace_id, dashboard_type: id.own.clone(), major_version: None };
        let facts = UsageDashboardFacts {
            dashboard_id: Some(dashboard_id),
            dashboard_url: self.dashboard_url.filter(|url| !url.is_empty()),
        };
        Some(Observed { id, state, facts, about: About::default() })
    }
}

const TYPES: [&str; 2] = ["USAGE_DASHBOARD_TYPE_WORKSPACE", "USAGE_DASHBOARD_TYPE_GLOBAL"];

async fn read(
    api: &Reader,
    workspace_id: i64,
    dashboard_type: &str,
) -> Result<Option<Observed<UsageDashboard>>, databricks::Error> {
    let path =
        path(api).with("workspace_id", workspace_id.to_string()).with("dashboard_type", dashboard_type);
    let found: Remote = api.get(path).await?;
    Ok(found.observed(workspace_id, dashboard_type))
}

fn path(api: &Reader) -> Path {
    api.path(&["dashboard"])
}

impl ExternalResource for UsageDashboard {
    type State = UsageDashboardState;
    /// The workspace and the type.
    type Id = Inside<i64, String>;
    type Facts = UsageDashboardFacts;

    const IMMUTABLE: &'static [Immutable] =
        &[Immutable { state: "dashboard_type", spec: &["dashboardType"] }];
    const REFERENCES: &'static [Reference] =
        &[Reference::to::<Workspace>("workspace_id", &["workspaceId", "workspaceRef"], &["workspace"])
            .required()
            .fixed()];
    const UNTOLD: &'static [&'static str] = &["major_version"];
    /// How late reads may be is not documented. This allows as much as the API that is known to be late longest, as no call removes a
    /// second dashboard.
    const READ_LAG: Duration = Duration::from_secs(600);
    const PARENTED: bool = true;
    const REMOVABLE: bool = false;

    fn desired(spec: &UsageDashboardSpec, got: &Resolved) -> Result<UsageDashboardState> {
        Ok(UsageDashboardState {
            workspace_id: got.number("workspace_id")?,
            dashboard_type: format!("{:?}", spec.dashboard_type),
            major_version: spec.major_version.map(|version| format!("{version:?}")),
        })
    }

    fn within(id: &Self::Id) -> String {
        id.within.to_string()
    }

    fn key(state: &UsageDashboardState) -> Key {
        Key { within: state.workspace_id.to_string(), name: state.dashboard_type.clone() }
    }

    fn power(state: &UsageDashboardState) -> Power {
        Power::in_workspace(state.workspace_id)
    }

    /// If no dashboard is found, a 404 may be about the workspace as well, or about the account: the engine finds out.
    async fn list(api: &Reader, within: &str) -> ApiResult<Vec<Observed<Self>>> {
        let workspace_id = parent(within, "a workspace")?;
        let (mut all, mut absent) = (vec![], None);
        for dashboard_type in TYPES {
            match read(api, workspace_id, dashboard_type).await {
                Ok(found) => all.extend(found),
                Err(error) if error.is_absence() => absent = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        match absent {
            Some(error) if all.is_empty() => Err(error.into()),
            _ => Ok(all),
        }
    }

    async fn create(api: &Writer, want: &UsageDashboardState) -> ApiResult<Created<Self>> {
        let id = Inside { within: want.workspace_id, own: want.dashboard_type.clone() };
        let present = read(api, want.workspace_id, &want.dashboard_type).await.optional()?;
        if present.flatten().is_some() {
            return Err(Error::Conflict(format!("the account has the dashboard {id} already")).into());
        }
        let body = given(json!({
            "workspace_id": want.workspace_id,
            "dashboard_type": want.dashboard_type,
            "major_version": want.major_version,
        }));
        // The response lacks the address, so the dashboard is read.
        api.post::<IgnoredAny>(path(api), body).await?;
        Ok(Created::of(id))
    }
}
