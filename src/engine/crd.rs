//! What users write and what the operator writes back: the fields that all kinds share, DatabricksAuth, the status with its
//! conditions and reasons. Plain data; nothing here does I/O or knows a kind.

mod cached;
mod databricks_auth;
mod listing;
mod management;
mod names;
mod reason;
mod status;

pub use cached::{Condition as CachedCondition, Conditions, Summary, created, only_observed, summary};
pub use databricks_auth::{
    AuthStatus, AuthType, Cidr, Cloud, DatabricksAuth, DatabricksAuthSpec, Dependents, Grant, GrantFrom,
    MaxPermission, SecretKeyRef, Unmanaged,
};
pub use listing::{Listing, Unlisted};
pub use management::{
    AdoptionPolicy, AuthRef, DeletionPolicy, Management, ManagementPolicy, NEVER_CREATES, NameRef,
    OBJECT_NAME, OBSERVES, Outputs, ResyncInterval, TEXT, aws_or_gcp, format_duration, parse_duration,
    plain_keys, resync, rule,
};
pub use names::{
    AUTH_KIND, CREATED_BY, EXTERNAL_ID, FINALIZER, ObjectName, RECONCILE_REQUESTED, RENEWAL, camel,
    has_finalizer, still,
};
pub use reason::{EventReason, Note, Reason, ReasonTexts};
pub use status::{
    AnyStatus, ConditionStatus, ConditionType, Drift, Effective, External, HeldPart, Intent, NoFacts,
    Operation, Retired, Status, Verdict, age, conditions, seconds, shorten,
};
