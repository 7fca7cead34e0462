//! What the file of a kind begins with: `use crate::engine::prelude::*`. The names that at least two kinds use, of the contract, of
//! the fields that all kinds share, and of the client. What one kind alone uses, it imports by itself.

pub use kube::CustomResource;
pub use schemars::JsonSchema;
pub use serde::de::IgnoredAny;
pub use serde::{Deserialize, Serialize};
pub use serde_json::{Map, Value, json};

pub use crate::databricks::{self, Int64, Optional, Pages};
pub use crate::engine::crd::{Management, NameRef, NoFacts, Reason, Status, aws_or_gcp, rule};
pub use crate::engine::error::{Error, Result};
pub use crate::engine::kind::{
    About, Act, ApiResult, AuthFacts, CANNOT_CHANGE, CallError, Change, Created, ExternalResource, Guard,
    Immutable, Inside, Key, Observed, Path, Phase, Reader, Reference, Resolved, When, Writer, differences,
    generic, given, in_use, only, parent, tried_in_aws,
};
