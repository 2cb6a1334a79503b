//! What a configuration says of locks.

use crate::{
    LockManager, LockManagerBuilder,
    manager::LEASE,
    terms::{LEASES, LONGEST_GRACE},
};
use kv_core::{Kv, Result};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::time::Duration;

/// Locks: the section `[default.lock]` of a configuration. What code says of a single lock counts more.
///
/// ```
/// # use kv_lock::{LockManager, LockSettings};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let section = serde_json::json!({ "lease": "30s", "wait": "5s" });
/// # let settings: LockSettings = serde_json::from_value(section).unwrap();
/// // let settings: LockSettings = factory.section("lock")?;
/// let locks = LockManager::from_settings(&kv, &settings)?;
/// # let _ = locks;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LockSettings {
    /// The store that the locks are on, by its name in the configuration. It is the program that
    /// opens it, and `kv locks`, which else wants to be told.
    #[cfg_attr(feature = "schema", schemars(extend("x-names" = "store")))]
    pub store: Option<String>,
    /// For how long a lock is held without being renewed: the longest that others wait if its holder
    /// dies, not counting the grace. It is renewed by itself after about a third.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "lease"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "100ms", "x-maximum" = "1day"))
    )]
    pub lease: Duration,
    /// How much longer than the lease the store keeps others out: time for a holder that has lost
    /// the lock to come to its end. Absent means half the lease.
    #[serde(
        serialize_with = "humantime_serde::serialize",
        deserialize_with = "grace"
    )]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-maximum" = "1day"))
    )]
    pub grace: Option<Duration>,
    /// How long an acquisition waits for others; absent means without end.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<kv_core::schema::HumanDuration>")
    )]
    pub wait: Option<Duration>,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            store: None,
            lease: LEASE,
            grace: None,
            wait: None,
        }
    }
}

impl LockManager {
    /// Locks on a connected store, as a configuration has them.
    ///
    /// # Errors
    /// As [`LockManager::new`].
    pub fn from_settings(kv: &Kv, settings: &LockSettings) -> Result<Self> {
        Self::builder(kv).settings(settings).build()
    }
}

impl LockManagerBuilder {
    /// As a configuration has it; what is said afterwards counts.
    pub fn settings(mut self, settings: &LockSettings) -> Self {
        self = self.lease(settings.lease);
        if let Some(grace) = settings.grace {
            self = self.grace(grace);
        }
        match settings.wait {
            Some(wait) => self.wait(wait),
            None => self,
        }
    }
}

fn lease<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Duration, D::Error> {
    let lease: Duration = humantime_serde::deserialize(deserializer)?;
    match LEASES.contains(&lease) {
        true => Ok(lease),
        false => Err(D::Error::custom("a lease must be 100ms to 1day")),
    }
}

fn grace<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<Duration>, D::Error> {
    let grace: Option<Duration> = humantime_serde::deserialize(deserializer)?;
    match grace {
        Some(grace) if grace > LONGEST_GRACE => {
            Err(D::Error::custom("a grace must be at most 1day"))
        }
        _ => Ok(grace),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::LockSettings;
    use serde_json::{Value as Json, json};
    use std::time::Duration;

    fn read(json: Json) -> Result<LockSettings, String> {
        serde_json::from_value(json).map_err(|it| it.to_string())
    }

    #[test]
    fn an_empty_section_says_what_code_says_by_itself() {
        assert_eq!(read(json!({})).unwrap(), LockSettings::default());
    }

    #[test]
    fn all_that_is_said_is_read() {
        let settings = read(json!({
            "store": "locks", "lease": "1m", "grace": "0s", "wait": "1m 30s",
        }));
        let seconds = Duration::from_secs;
        let expected = LockSettings {
            store: Some("locks".to_owned()),
            lease: seconds(60),
            grace: Some(seconds(0)),
            wait: Some(seconds(90)),
        };
        assert_eq!(settings.unwrap(), expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        for (wrong, reason) in [
            (json!({ "leas": "1m" }), "unknown field `leas`"),
            (json!({ "lease": "99ms" }), "100ms to 1day"),
            (json!({ "lease": "25h" }), "100ms to 1day"),
            (json!({ "grace": "25h" }), "at most 1day"),
            (json!({ "wait": 5 }), "duration"),
        ] {
            let error = read(wrong.clone()).unwrap_err();
            assert!(error.contains(reason), "{wrong}: {error}");
        }
    }
}
