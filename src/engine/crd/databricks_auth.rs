//! The DatabricksAuth resource: an account, the credentials for it, and who may use them for what.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::management::{NAMESPACE_NAME, OBJECT_NAME, ResyncInterval};
use super::status::Status;

/// A Databricks account, the credentials for it, and who may use them for what.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[kube(
    group = "databricks-operator.io",
    version = "v1alpha1",
    kind = "DatabricksAuth",
    shortname = "dbauth",
    category = "databricks",
    namespaced,
    status = "Status<AuthStatus>",
    doc = "A Databricks account, the credentials for it, and who may use them for what."
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.authType != 'OAUTH_M2M' || (has(self.clientId) && has(self.clientSecretRef))",
     "message": "authType OAUTH_M2M needs clientId and clientSecretRef"},
    {"rule": "self.authType != 'GOOGLE_ID' || has(self.clientId)",
     "message": "authType GOOGLE_ID needs clientId, the e-mail address of a Google service account"},
    {"rule": "self.authType != 'GOOGLE_ID' || self.cloud == 'GCP'",
     "message": "authType GOOGLE_ID is for accounts on GCP: set cloud to GCP, or authType to OAUTH_M2M"},
]))]
pub struct DatabricksAuthSpec {
    /// The cloud that the account is on. Decides the default host. May be changed.
    pub cloud: Cloud,
    /// The id of the account, a UUID as the account console shows it. Objects that are bound to another account stop when it is changed. Known on all clouds.
    #[schemars(
        regex(pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"),
        length(max = 36)
    )]
    pub account_id: String,
    /// The account console's host. Default: the one of the cloud. Only https, and only hosts of Databricks, or of suffixes that the operator was started with. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// How the operator proves who it is. OAUTH_M2M: the id and secret of a service principal, on all clouds. GOOGLE_ID: as a Google service account, on GCP; only with it can workspaces, networks, VPC endpoints and keys be created and changed there. May be changed.
    pub auth_type: AuthType,
    /// The application id of the service principal, for OAUTH_M2M; the e-mail address of the Google service account, for GOOGLE_ID. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = "^[!-~]+$"))]
    pub client_id: Option<String>,
    /// The service principal's OAuth secret, for OAUTH_M2M; the JSON key of the Google service account, for GOOGLE_ID. Without it, GOOGLE_ID is the Google service account of the operator's own pod, if the operator's flag --google-identity-namespaces names this namespace. May be changed; a new value in the Secret is used at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_ref: Option<SecretKeyRef>,
    /// The HTTP path of a SQL warehouse, for applications that read this object. Not used by the operator. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub http_path: Option<String>,
    /// The port of the SQL endpoint, for applications that read this object. Not used by the operator. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// Who may use these credentials for what. Default: only objects of this namespace, for everything except the kinds that a grant must name and what needs maxPermission ACCOUNT_ADMIN. Checked at each use. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub grants: Option<Vec<Grant>>,
    /// The addresses that the operator calls Databricks from, as IPv4 addresses or CIDRs. With them, a change of IP access lists that would shut the operator out is not sent. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub egress_cidrs: Option<Vec<Cidr>>,
    /// How often objects that use these credentials are compared with the account, unless they say otherwise: a duration of at least 30s such as `10m`, or `Never`. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync_interval: Option<ResyncInterval>,
    /// The kinds of which the operator counts, every resyncInterval, the objects in the account that no Kubernetes object manages or observes: status.unmanaged has the numbers. A kind costs one LIST per interval, and none if its objects are compared anyway. Of a kind whose objects are in another object, such as PermissionAssignment, it counts only in those that a Kubernetes object of the kind and of this DatabricksAuth is in. Default: none. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    // Which kinds can be counted is added to the schema by `kind::grants`.
    pub report_unmanaged: Option<Vec<String>>,
    /// `true` stops all calls with these credentials. May be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// A cloud.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum Cloud {
    AWS,
    Azure,
    GCP,
}

impl Cloud {
    /// The word in the spec.
    pub fn name(self) -> &'static str {
        match self {
            Cloud::AWS => "AWS",
            Cloud::Azure => "Azure",
            Cloud::GCP => "GCP",
        }
    }
}

/// How the operator proves who it is.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
pub enum AuthType {
    /// The OAuth client credentials of a service principal.
    #[serde(rename = "OAUTH_M2M")]
    OauthM2m,
    /// A Google service account, by its key or as that of the operator's own pod.
    #[serde(rename = "GOOGLE_ID")]
    GoogleId,
}

impl AuthType {
    /// The word in the spec.
    pub fn name(self) -> &'static str {
        match self {
            AuthType::OauthM2m => "OAUTH_M2M",
            AuthType::GoogleId => "GOOGLE_ID",
        }
    }
}

/// A key of a Secret in the DatabricksAuth's own namespace.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret, in this namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// An IPv4 address or CIDR.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct Cidr(pub String);

/// What an IPv4 address or CIDR looks like.
pub const IPV4_PATTERN: &str = "^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(/(3[0-2]|[12]?[0-9]))?$";

impl Cidr {
    /// The network, with host bits cleared; a plain address is a network of one. `None` where it is none.
    pub fn network(&self) -> Option<ipnet::Ipv4Net> {
        let net = self.0.parse::<ipnet::Ipv4Net>().ok();
        net.or_else(|| self.0.parse::<std::net::Ipv4Addr>().ok().map(ipnet::Ipv4Net::from)).map(|n| n.trunc())
    }
}

impl JsonSchema for Cidr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cidr".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "maxLength": 18, "pattern": IPV4_PATTERN,
            "description": "An IPv4 address such as 203.0.113.7, or a CIDR such as 203.0.113.0/24.",
        })
    }
}

/// Who may use the credentials, and for what. An object must match everything that a grant names.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// The namespaces that may use the credentials.
    pub namespaces: GrantNamespaces,
    /// The kinds of objects they may be used for. Default: all.
    // Which kinds there are is added to the schema by `kind::grants`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub kinds: Option<Vec<String>>,
    /// Only objects of these workspaces may use the credentials. Default: objects of all workspaces, and of the account itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(range(min = 1)))]
    pub workspace_ids: Option<Vec<i64>>,
    /// The highest permission that may be given. USER and ADMIN are permissions in a workspace. ACCOUNT_ADMIN also allows the role account_admin, changes of principals that have that role, and roles on groups and service principals; without it, no object may do so, not even in the namespace of the DatabricksAuth. Default: ADMIN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_permission: Option<MaxPermission>,
    /// `true` allows a WorkspaceAccess with mode Enforce, which removes access that other users or objects outside of this cluster gave; without it, no object may do so, not even in the namespace of the DatabricksAuth. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_access: Option<bool>,
}

/// Namespaces.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "(self.from == 'Names') == has(self.names)", "message": "names is needed with from: Names, and only then"},
    {"rule": "(self.from == 'Selector') == has(self.selector)", "message": "selector is needed with from: Selector, and only then"},
]))]
pub struct GrantNamespaces {
    /// `Same`: the namespace of this object. `All`: every namespace. `Names`: those in names. `Selector`: those whose labels match selector.
    pub from: GrantFrom,
    /// Names of namespaces, for from: Names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63), regex(pattern = NAMESPACE_NAME)))]
    pub names: Option<Vec<String>>,
    /// Labels that a namespace must carry, for from: Selector. A change of these labels takes effect within a minute. Not available where the operator watches chosen namespaces only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<GrantSelector>,
}

/// Labels that must be there.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantSelector {
    /// Labels and their values.
    #[schemars(extend(
        "minProperties" = 1,
        "maxProperties" = 16,
        "additionalProperties" = {"type": "string", "maxLength": 63, "pattern": LABEL_VALUE},
    ))]
    pub match_labels: std::collections::BTreeMap<String, String>,
}

/// What a value of a label looks like; another one is on no namespace.
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

/// How namespaces are named.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(missing_docs)]
pub enum GrantFrom {
    Same,
    All,
    Names,
    Selector,
}

/// The highest permission of a grant.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[allow(clippy::upper_case_acronyms, non_camel_case_types, missing_docs)]
pub enum MaxPermission {
    USER,
    ADMIN,
    ACCOUNT_ADMIN,
}

/// What a DatabricksAuth shows beside its conditions.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthStatus {
    /// The host that the credentials are sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The name of the operator's installation: the first part of the mark that workspaces carry in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub installation: Option<String>,
    /// While this object is being deleted: what still uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependents: Option<Dependents>,
    /// How many objects in the account no Kubernetes object manages or observes, for each kind of spec.reportUnmanaged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"]))]
    pub unmanaged: Vec<Unmanaged>,
}

/// The objects of one kind in the account that no Kubernetes object manages or observes.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unmanaged {
    /// The kind.
    pub kind: String,
    /// How many there are. Missing until they were counted once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// When this number was first counted. They are counted every resyncInterval; the time changes with the number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why the number may not be the current one, or what it includes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What still uses a DatabricksAuth.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, JsonSchema)]
pub struct Dependents {
    /// How many objects.
    pub count: i64,
    /// The first few of them, as `Kind namespace/name`.
    pub first: Vec<String>,
}
