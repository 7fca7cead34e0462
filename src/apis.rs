//! APIs of the account that several kinds speak: how each is called, and what its responses mean.
//!
//! A layer of its own, below the kinds and above the engine: kinds do not import each other, the client in [`crate::databricks`]
//! knows neither an etag nor the right to write, and the engine knows no API. Nothing here knows a kind or its fields.

mod setting;

pub use setting::{Setting, Version};
