//! What a test or the demo can turn while the simulator runs: times, lags, limits and the choices for open
//! questions about the API. Faults of single requests are in `faults`.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The knobs. Times are milliseconds on the simulator's clock, except `latency_ms`, which is real time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The cloud of the account.
    pub cloud: Cloud,
    /// How long a new workspace stays `NOT_PROVISIONED`.
    pub start_ms: u64,
    /// How long a workspace stays `PROVISIONING`, after a create or an update that needs it.
    pub provisioning_ms: u64,
    /// How long a deleted workspace stays `CANCELLING` before it is gone.
    pub deletion_ms: u64,
    /// How long after a workspace is gone its credentials still count as in use.
    pub release_ms: u64,
    /// The form in which the deletion of an object in use is refused.
    pub in_use: InUse,
    /// How long after `RUNNING` the permission assignment API still refuses the workspace.
    pub federation_delay_ms: u64,
    /// How long a new VPC endpoint stays `pendingAcceptance` before it is `available`, and a new network endpoint `PENDING` before
    /// it is `APPROVED`.
    pub vpc_endpoint_ms: u64,
    /// How long a new private endpoint rule stays `CREATING` before it is `PENDING`.
    pub endpoint_rule_creating_ms: u64,
    /// After how long the owner of its target approves a rule that is `PENDING`; never, if not set: a test edits the rule.
    pub endpoint_rule_approval_ms: Option<u64>,
    /// How long a deactivated rule is still shown.
    pub endpoint_rule_deactivated_ms: u64,
    /// How long a token is accepted.
    pub token_lifetime_ms: u64,
    /// The statuses that take turns where a token is not good: 401, 403 (the code is a number) and 400 (plain text),
    /// each with a body of its own.
    pub bad_token_statuses: Vec<u16>,
    /// The response for an account that is not the token's: 404 by a gateway, or 403 as a lack of rights.
    pub other_account_status: u16,
    /// What `expires_in` of a token response says (seconds), if not the truth.
    pub announced_expires_in: Option<i64>,
    /// The address calls seem to come from: IP access lists are enforced, on the token endpoint as well, and guard
    /// against locking it out. Without it the lists have no effect.
    pub caller_ip: Option<Ipv4Addr>,
    /// The next workspace to be provisioned fails with this `workspace_status_message`.
    pub fail_next_workspace: Option<String>,
    /// So many of the next POSTs of credentials, and of workspaces with credentials, are refused as if the role were too new,
    /// in all wordings by turns.
    pub fail_next_credentials: usize,
    /// So many of the next creates and changes of storage credentials that are tested, as they do not skip it, are refused as if the
    /// role did not work.
    pub fail_next_storage_tests: usize,
    /// A metastore and a storage credential are changed by their owner alone, not by every account admin (observed by others).
    pub only_owners_change: bool,
    /// The next PUT of a permission assignment returns 200 with this `error`, and changes nothing.
    pub fail_next_assignment: Option<String>,
    /// The account's prefix for `deployment_name`; without one, naming a deployment is refused.
    pub deployment_prefix: Option<String>,
    /// Lists show the state of this long ago.
    pub list_lag_ms: u64,
    /// Reads of one object show the state of this long ago.
    pub get_lag_ms: u64,
    /// Reads of IP access lists, of one and of all, show at best the state of this long ago.
    pub ip_list_lag_ms: u64,
    /// SCIM lists show ids and names only, unless the client asks for attributes (observed by others on some accounts).
    pub lean_scim_lists: bool,
    /// What a read of a setting that was never set is: 404 with its etag, or 200 with the default.
    pub unset_setting_status: u16,
    /// What a read of a usage dashboard that does not exist is: 404, or 200 with an empty id (not documented).
    pub missing_dashboard_status: u16,
    /// The identity provider manages the account: principals with an `externalId` are neither created nor changed.
    pub identity_managed: bool,
    /// With which status a PATCH that adds an unknown member to a group is refused; if not set, it is accepted and adds nothing.
    pub unknown_member_status: Option<u16>,
    /// A PATCH of a principal that is refused keeps what its operations before the refused one did.
    pub patches_in_part: bool,
    /// A PUT that changes the filter of a budget gives the budget another id (observed by others).
    pub moves_budgets: bool,
    /// Every call takes at least this long (real time).
    pub latency_ms: u64,
    /// New numeric ids are below 2^53, for clients that read numbers as floats; otherwise none is.
    pub small_ids: bool,
    /// Lists come in random order.
    pub shuffle: bool,
    /// How many items a list with pages shows in one, unless the client asks for less.
    pub page_size: usize,
    /// Responses carry a field that no client knows.
    pub unknown_fields: bool,
    /// Limits, all of which apply to a call.
    pub rate_limits: Vec<RateLimit>,
    /// PATCH of a workspace without `update_mask` is refused (observed by others on GCP; AWS takes it).
    pub require_update_mask: bool,
    /// Assumed: a second plain object of the same unique name, and a second IP access list of the same type and
    /// label, are refused.
    pub refuse_duplicates: bool,
    /// The statuses that take turns where a second IP access list of the same type and label is refused.
    pub ip_list_taken_statuses: Vec<u16>,
    /// Deleting an IP access list is guarded against locking out the caller as a change is (unverified).
    pub guard_ip_list_deletes: bool,
    /// Addresses are stored in canonical form, a single one as `/32` (unverified; not thought to happen).
    pub rewrite_cidrs: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cloud: Cloud::AWS,
            start_ms: 500,
            provisioning_ms: 2_000,
            deletion_ms: 1_000,
            release_ms: 0,
            in_use: InUse::InvalidState,
            federation_delay_ms: 0,
            vpc_endpoint_ms: 0,
            endpoint_rule_creating_ms: 0,
            endpoint_rule_approval_ms: None,
            endpoint_rule_deactivated_ms: 24 * 60 * 60 * 1000,
            token_lifetime_ms: 3_600_000,
            bad_token_statuses: vec![401, 403, 400],
            other_account_status: 404,
            announced_expires_in: None,
            caller_ip: None,
            fail_next_workspace: None,
            fail_next_credentials: 0,
            fail_next_storage_tests: 0,
            only_owners_change: false,
            fail_next_assignment: None,
            deployment_prefix: None,
            list_lag_ms: 0,
            get_lag_ms: 0,
            ip_list_lag_ms: 0,
            lean_scim_lists: false,
            unset_setting_status: 404,
            missing_dashboard_status: 404,
            identity_managed: false,
            unknown_member_status: None,
            patches_in_part: false,
            moves_budgets: false,
            latency_ms: 0,
            small_ids: false,
            shuffle: false,
            page_size: 100,
            unknown_fields: true,
            rate_limits: Vec::new(),
            require_update_mask: false,
            refuse_duplicates: true,
            ip_list_taken_statuses: vec![400, 409],
            guard_ip_list_deletes: false,
            rewrite_cidrs: false,
        }
    }
}

/// The clouds that are simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::upper_case_acronyms, missing_docs)]
pub enum Cloud {
    AWS,
    GCP,
}

/// How the deletion of an object in use is refused: all of it was observed by others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InUse {
    /// 400 `INVALID_STATE`.
    InvalidState,
    /// 400 with `MALFORMED_REQUEST: ...` as plain text.
    MalformedText,
    /// 409 with a body.
    Conflict,
    /// 409 without a body.
    EmptyConflict,
    /// All of these by turns.
    Rotate,
}

/// At most `limit` calls of a class in any `window_ms`; more get a 429.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimit {
    /// A class as the journal names it (`scim`, `workspaces`, `token` ...), or `*` for all together.
    pub class: String,
    /// Calls allowed in a window.
    pub limit: usize,
    /// The window's length on the simulator's clock.
    pub window_ms: u64,
    /// The `Retry-After` header, word for word; none is sent without it.
    #[serde(default)]
    pub retry_after: Option<String>,
}
