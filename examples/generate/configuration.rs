//! The reference of all settings, and the JSON schema that editors take.

use kv_factory::Factory;
use std::error::Error;

/// For people.
pub(crate) const PAGE: &str = "docs/configuration.md";
/// For editors.
pub(crate) const SCHEMA: &str = "docs/settings.schema.json";

pub(crate) fn page() -> String {
    let mark = "<!-- generated: cargo xtask example generate -->\n\n";
    format!("{mark}{}", Factory::builder().reference())
}

pub(crate) fn schema() -> Result<String, Box<dyn Error>> {
    let schema = Factory::builder().json_schema();
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}
