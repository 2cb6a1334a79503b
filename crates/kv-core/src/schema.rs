//! How settings are described, for JSON schemas made of the types that hold them.
//!
//! Beside the keywords of JSON Schema these are used, which validators pass over:
//! `x-minimum`, `x-exclusive-minimum` and `x-maximum` bound durations, and `x-names = "store"` marks
//! text that names another store. `writeOnly` marks secrets.

use crate::COMMANDS;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A duration as settings write it, `"250ms"` or `"1h 30m"`: for `#[schemars(with = "…")]` beside
/// `#[serde(with = "humantime_serde")]`.
#[derive(Clone, Copy, Debug)]
pub struct HumanDuration;

impl HumanDuration {
    /// What all of them match; whether a unit exists is left to who parses it.
    pub const PATTERN: &str = "^ *(0|([0-9]+ *[A-Za-zµ]+ *)+)$";
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "HumanDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": Self::PATTERN })
    }
}

/// The names of the commands, for `#[schemars(extend("propertyNames" = …))]` on a table that has them
/// as keys.
pub fn command_names() -> Schema {
    let names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
    json_schema!({ "enum": names })
}
