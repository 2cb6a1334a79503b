//! The reference of all settings, and the JSON schema that editors take.

use kv_cache::CachesSettings;
use kv_factory::{Factory, FactoryBuilder};
use kv_lock::LockSettings;
use kv_ratelimit::RateLimitSettings;
use kv_scheduler::SchedulerSettings;
use std::error::Error;

/// For people.
pub(crate) const PAGE: &str = "docs/configuration.md";
/// For editors.
pub(crate) const SCHEMA: &str = "docs/settings.schema.json";

pub(crate) fn page() -> Result<String, Box<dyn Error>> {
    let mark = "<!-- generated: cargo xtask example generate -->\n\n";
    Ok(format!("{mark}{}", builder()?.reference()))
}

pub(crate) fn schema() -> Result<String, Box<dyn Error>> {
    let schema = builder()?.json_schema();
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// With the sections of consumers.
fn builder() -> Result<FactoryBuilder, Box<dyn Error>> {
    let mut builder = Factory::builder();
    builder.describe_section::<SchedulerSettings>("scheduler")?;
    builder.describe_section::<LockSettings>("lock")?;
    builder.describe_section::<RateLimitSettings>("ratelimit")?;
    builder.describe_section::<CachesSettings>("cache")?;
    Ok(builder)
}
