//! BudgetPolicy: tags that serverless usage gets, so that bills show whose it was. The console calls it a usage policy. It limits no
//! spending: that is a Budget.
//!
//! A change has all fields of a policy, as the API demands. The operator reads the policy before each change, and sends back what the
//! spec does not manage. A create has no `request_id`, by which the API would know a second one: the operator finds the result of a lost
//! create by the name, which only one policy can have.

use std::collections::BTreeSet;

use serde::Deserializer;

use crate::apis::advised;
use crate::engine::crd::OBSERVES;
use crate::engine::kind::Base;
use crate::engine::prelude::*;
use crate::kinds::workspace::Workspace;

/// The tags that serverless usage gets on bills, and the workspaces in which users may choose them.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "BudgetPolicy",
    shortname = "dbbp",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.policyName", "description": "The name of the policy in the account."}"#,
    doc = "The tags that serverless usage gets on bills, and the workspaces in which users may choose them."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct BudgetPolicySpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the policy, by which users choose it: 1 to 127 characters of Latin-1. It must not begin with `databricks:`. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 127))]
    pub policy_name: Option<String>,
    /// The tags of usage under the policy, in any order. With this field, tags that it does not list are removed. The keys budget-policy-name, budget-policy-id and budget-policy-resolution-result are Databricks' own. May be changed; usage before keeps the tags it has. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub custom_tags: Option<Vec<CustomTag>>,
    /// The Workspaces of this namespace in which users may choose the policy. May be combined with bindingWorkspaceIds. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub binding_workspace_refs: Option<Vec<NameRef>>,
    /// The ids of the workspaces in which users may choose the policy, where no Workspaces of this namespace stand for them. May be combined with bindingWorkspaceRefs; an empty list alone means all workspaces of the account. May be changed. Known on all clouds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000), inner(range(min = 1)), extend("x-kubernetes-list-type" = "set"))]
    pub binding_workspace_ids: Option<Vec<i64>>,
}

/// The rules that the API server checks before it accepts a spec: the API refuses what breaks them.
fn rules() -> Value {
    json!([
        rule(
            "policyName",
            &format!("!has(self.policyName) || !self.policyName.startsWith('databricks:') || {OBSERVES}"),
            "policyName must not begin with databricks:, as the names of Databricks' own policies do: write another name, or to read such a policy set managementPolicy to Observe",
        ),
        rule(
            "customTags",
            "!has(self.customTags) || self.customTags.all(a, self.customTags.exists_one(b, b.key == a.key))",
            "the keys of customTags must differ: keep one tag of each key",
        ),
        rule(
            "customTags",
            "!has(self.customTags) || !self.customTags.exists(tag, tag.key in ['budget-policy-name', 'budget-policy-id', 'budget-policy-resolution-result'])",
            "the keys budget-policy-name, budget-policy-id and budget-policy-resolution-result are Databricks' own: remove these tags from customTags",
        ),
    ])
}

/// One tag.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomTag {
    /// The key. May be changed. Known on all clouds.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// The value, which may be empty. May be changed. Known on all clouds.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// What a spec controls.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct BudgetPolicyState {
    policy_name: Option<String>,
    custom_tags: Option<BTreeSet<Tag>>,
    binding_workspace_ids: Option<BTreeSet<Int64>>,
}

/// An item of a list is compared as a whole.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tag {
    key: String,
    #[serde(default, deserialize_with = "or_empty")]
    value: String,
}

/// `null` is the same as nothing.
fn or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl From<&CustomTag> for Tag {
    fn from(tag: &CustomTag) -> Self {
        Tag { key: tag.key.clone(), value: tag.value.clone() }
    }
}

#[derive(Deserialize)]
struct Remote {
    policy_id: String,
    #[serde(flatten)]
    state: BudgetPolicyState,
}

impl From<Remote> for Observed<BudgetPolicy> {
    fn from(Remote { policy_id, mut state }: Remote) -> Self {
        // The API leaves out what is empty.
        state.custom_tags.get_or_insert_default();
        state.binding_workspace_ids.get_or_insert_default();
        Observed { id: policy_id, state, facts: NoFacts {}, about: About::default() }
    }
}

impl ExternalResource for BudgetPolicy {
    type State = BudgetPolicyState;
    type Id = String;
    type Facts = NoFacts;

    const NAME: &'static [&'static str] = &["policyName"];
    const REFERENCES: &'static [Reference] = &[Reference::list::<Workspace>(
        "binding_workspace_ids",
        &["bindingWorkspaceIds", "bindingWorkspaceRefs"],
        &["workspace"],
    )];

    fn desired(spec: &BudgetPolicySpec, got: &Resolved) -> Result<BudgetPolicyState> {
        let number = |id: &String| {
            let wrong = |why: &str| {
                Error::terminal(Reason::InvalidSpec, format!("{id} is no id of a workspace: {why}"))
            };
            id.parse::<Int64>().map_err(wrong)
        };
        let workspaces = got.all("binding_workspace_ids");
        Ok(BudgetPolicyState {
            policy_name: spec.policy_name.clone(),
            custom_tags: spec.custom_tags.as_ref().map(|tags| tags.iter().map(Tag::from).collect()),
            binding_workspace_ids: workspaces
                .map(|ids| ids.iter().map(number).collect::<Result<_>>())
                .transpose()?,
        })
    }

    fn key(state: &BudgetPolicyState) -> Key {
        Key { within: String::new(), name: state.policy_name.clone().unwrap_or_default() }
    }

    /// The account chose the id, and others may change the name.
    fn recognises(_: &BudgetPolicyState, _: &Observed<Self>) -> bool {
        true
    }

    fn aside(want: BudgetPolicyState, id: &String) -> Option<BudgetPolicyState> {
        want.policy_name.as_ref()?;
        Some(BudgetPolicyState { policy_name: Some(format!("exchanging names, {id}")), ..want })
    }

    async fn get(api: &Reader, id: &String) -> ApiResult<Option<Observed<Self>>> {
        let found: Option<Remote> = api.get(path(api, &[id])).await.map_err(advised).optional()?;
        Ok(found.map(Observed::from))
    }

    async fn list(api: &Reader, _: &str) -> ApiResult<Vec<Observed<Self>>> {
        let all: Vec<Remote> = api.list(path(api, &[]), Pages::Token("policies")).await.map_err(advised)?;
        Ok(all.into_iter().map(Observed::from).collect())
    }

    async fn create(api: &Writer, want: &BudgetPolicyState) -> ApiResult<Created<Self>> {
        let body = json!({"policy": given(json!(want))});
        let created: Remote = api.post(path(api, &[]), body).await.map_err(advised)?;
        Ok(Observed::from(created).into())
    }

    async fn update(
        api: &Writer,
        seen: &Observed<Self>,
        want: &BudgetPolicyState,
        _: &[&str],
    ) -> ApiResult<Observed<Self>> {
        let gone = || Error::retry("the policy is gone, or a read does not show it yet");
        let BudgetPolicyState { policy_name, custom_tags, binding_workspace_ids } =
            Self::get(api, &seen.id).await?.ok_or_else(gone)?.state;
        let want = want.clone();
        let whole = BudgetPolicyState {
            policy_name: want.policy_name.or(policy_name),
            custom_tags: want.custom_tags.or(custom_tags),
            binding_workspace_ids: want.binding_workspace_ids.or(binding_workspace_ids),
        };
        let changed: Remote = api.patch(path(api, &[&seen.id]), json!(whole)).await.map_err(advised)?;
        Ok(changed.into())
    }

    async fn delete(api: &Writer, seen: &Observed<Self>) -> ApiResult<()> {
        Ok(api.delete(path(api, &[&seen.id])).await.map_err(advised)?)
    }
}

fn path(api: &Reader, of: &[&str]) -> Path {
    api.path_at(Base::V21, &[&["budget-policies"], of].concat())
}
