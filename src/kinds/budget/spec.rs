//! What users write of a Budget, and the rules that the API server checks.

use crate::engine::prelude::*;

/// How much the account may spend in a month before alerts are sent.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "Budget",
    shortname = "dbbud",
    category = "databricks",
    namespaced,
    status = "Status<NoFacts>",
    printcolumn = r#"{"name": "Name", "type": "string", "jsonPath": ".status.observed.displayName", "description": "The name of the budget in the account."}"#,
    doc = "How much the account may spend in a month before alerts are sent."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules()))]
pub struct BudgetSpec {
    /// The fields that all managed kinds share.
    #[serde(flatten)]
    pub management: Management,
    /// The name of the budget in the account console, 1 to 128 characters. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,
    /// What happens at which amount, in any order: at most four shared alerts with different thresholds, and one per user. With this field, alerts that it does not list are removed. May be changed; an alert whose threshold is changed stays the same alert. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 5))]
    pub alert_configurations: Option<Vec<AlertConfiguration>>,
    /// Which usage counts; without a filter, all usage of the account. A part that is left out stays as it is in the account. May be changed; Databricks may then give the budget another id. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// BUDGET_RESOURCE_TYPE_ALL_RESOURCES (Databricks' default), or BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY for the usage of AI gateways only. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<ResourceType>,
    /// Whether spending outside of Databricks counts too. Cannot be changed once the budget exists. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_external_spend: Option<bool>,
}

/// What happens at one amount.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlertConfiguration {
    /// MONTH. May be changed. Known on AWS and Azure.
    pub time_period: TimePeriod,
    /// CUMULATIVE_SPENDING_EXCEEDED. May be changed. Known on AWS and Azure.
    pub trigger_type: TriggerType,
    /// LIST_PRICE_DOLLARS_USD: US dollars at list prices. May be changed. Known on AWS and Azure.
    pub quantity_type: QuantityType,
    /// The amount, a decimal number as text, such as "500" or "99.50". May be changed. Known on AWS and Azure.
    #[schemars(length(max = 19), regex(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"))]
    pub quantity_threshold: String,
    /// ALERT_CONFIGURATION_SCOPE_TYPE_SHARED (default): what all users spend together. ALERT_CONFIGURATION_SCOPE_TYPE_PER_USER: what each user spends, for a budget of AI gateways. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope_type: Option<ScopeType>,
    /// Other amounts for single users, in any order. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub principal_overrides: Option<Vec<PrincipalOverride>>,
    /// What is done at that amount, in any order. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub action_configurations: Option<Vec<ActionConfiguration>>,
}

/// Another amount for one user.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrincipalOverride {
    /// The numeric id of the user or service principal in the account. May be changed. Known on AWS and Azure.
    #[schemars(range(min = 1))]
    pub principal_id: i64,
    /// The amount, a decimal number as text. May be changed. Known on AWS and Azure.
    #[schemars(length(max = 19), regex(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$"))]
    pub override_threshold: String,
}

/// What is done at an amount.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.target) == (self.actionType == 'EMAIL_NOTIFICATION')",
     "message": "EMAIL_NOTIFICATION needs target, the address; BLOCK_USAGE has none: add target or remove it"},
]))]
pub struct ActionConfiguration {
    /// EMAIL_NOTIFICATION: an e-mail to target. BLOCK_USAGE: users can no longer use what the budget is for until the month ends, at once if that much is spent already; for the highest shared alert of a budget of AI gateways. May be changed. Known on AWS and Azure.
    pub action_type: ActionType,
    /// The e-mail address. May be changed. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 320))]
    pub target: Option<String>,
}

/// Which usage counts: what fits both parts.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// By workspace. May be changed; with an empty list of values, all workspaces count. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<WorkspaceFilter>,
    /// Usage by custom tags, in any order; upper and lower case differ. May be changed; with an empty list, tags do not count. Known on AWS and Azure.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 20))]
    pub tags: Option<Vec<TagFilter>>,
}

/// Which workspaces count.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceFilter {
    /// IN. May be changed. Known on AWS and Azure.
    pub operator: Operator,
    /// The numeric ids of the workspaces. May be changed. Known on AWS and Azure.
    #[schemars(length(max = 1000), inner(range(min = 1)), extend("x-kubernetes-list-type" = "set"))]
    pub values: Vec<i64>,
}

/// Which usage counts by one tag.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagFilter {
    /// The key of the tag. May be changed. Known on AWS and Azure.
    #[schemars(length(min = 1, max = 256))]
    pub key: String,
    /// Its values. May be changed. Known on AWS and Azure.
    pub value: TagValues,
}

/// Which values of a tag count.
#[derive(Serialize, Deserialize, Clone, Debug, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagValues {
    /// IN. May be changed. Known on AWS and Azure.
    pub operator: Operator,
    /// The values. May be changed. Known on AWS and Azure.
    #[schemars(length(min = 1, max = 100), inner(length(max = 256)), extend("x-kubernetes-list-type" = "set"))]
    pub values: Vec<String>,
}

/// The period that amounts are for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum TimePeriod {
    MONTH,
}

/// When something is done.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum TriggerType {
    CUMULATIVE_SPENDING_EXCEEDED,
}

/// What amounts are in.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum QuantityType {
    LIST_PRICE_DOLLARS_USD,
}

/// Whose spending counts.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum ScopeType {
    ALERT_CONFIGURATION_SCOPE_TYPE_SHARED,
    ALERT_CONFIGURATION_SCOPE_TYPE_PER_USER,
}

/// What is done.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum ActionType {
    EMAIL_NOTIFICATION,
    BLOCK_USAGE,
}

/// How a filter compares.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub enum Operator {
    IN,
}

/// The usage that a budget is for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(non_camel_case_types, missing_docs)]
pub enum ResourceType {
    BUDGET_RESOURCE_TYPE_ALL_RESOURCES,
    BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY,
}

/// The rules that the API server checks before it accepts a spec.
fn rules() -> Value {
    let shared = |alert: &str| {
        format!("(!has({alert}.scopeType) || {alert}.scopeType == 'ALERT_CONFIGURATION_SCOPE_TYPE_SHARED')")
    };
    let (a, b) = (shared("a"), shared("b"));
    let blocks =
        "(has(a.actionConfigurations) && a.actionConfigurations.exists(c, c.actionType == 'BLOCK_USAGE'))";
    let gateway = "(has(self.resourceType) && self.resourceType == 'BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY')";
    let alerts = |rule: &str, message: &str| {
        let rule = format!("!has(self.alertConfigurations) || {rule}");
        crate::engine::prelude::rule("alertConfigurations", &rule, message)
    };
    let (all, amount) = ("self.alertConfigurations", |of: &str| format!("double({of}.quantityThreshold)"));
    let (amount_a, amount_b) = (amount("a"), amount("b"));
    json!([
        alerts(
            &format!("{all}.filter(a, {a}).size() <= 4 && {all}.filter(a, !{a}).size() <= 1"),
            "a budget has at most four shared alerts and one per user: remove the others",
        ),
        alerts(
            &format!("{all}.all(a, !{a} || {all}.filter(b, {b} && {amount_b} == {amount_a}).size() == 1)"),
            "each shared alert needs another quantityThreshold: merge the actions of those with the same one",
        ),
        alerts(
            &format!("{gateway} || {all}.all(a, {a} && !{blocks})"),
            "BLOCK_USAGE and alerts per user are for resourceType BUDGET_RESOURCE_TYPE_UNITY_AI_GATEWAY: set it, or remove them",
        ),
        alerts(
            &format!("{all}.all(a, !({a} && {blocks}) || {all}.all(b, !{b} || {amount_b} <= {amount_a}))"),
            "only the shared alert with the highest quantityThreshold can have BLOCK_USAGE: move the action there",
        ),
    ])
}
