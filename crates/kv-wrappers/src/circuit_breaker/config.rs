use kv_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::time::Duration;

/// When a breaker opens, for how long, and what closes it again.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CircuitBreakerConfig {
    /// The share of the calls of a window that must have failed to open it; above 0, at most 1.
    #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0.0), range(max = 1.0)))]
    pub failure_ratio: f64,
    /// With fewer calls than this in a window it stays closed, whatever became of them; at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub minimum_calls: u32,
    /// The time over which calls are counted, as in `"10s"`; from a second to an hour.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "1s", "x-maximum" = "1h")))]
    pub window: Duration,
    /// How long calls are refused before the first probes; from a millisecond to an hour. Probes
    /// without an end are given up after the same time, and others let through.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "1ms", "x-maximum" = "1h")))]
    pub open_for: Duration,
    /// How many calls are let through to probe, and have to succeed; from 1 to 1000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1000)))]
    pub probes: u32,
}

impl Default for CircuitBreakerConfig {
    /// Opens for five seconds when half of at least 20 calls within ten seconds failed; three probes.
    fn default() -> Self {
        Self {
            failure_ratio: 0.5,
            minimum_calls: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            probes: 3,
        }
    }
}

impl CircuitBreakerConfig {
    pub(super) fn check(&self) -> Result<()> {
        let hour = Duration::from_secs(3600);
        let complaint = if !(f64::MIN_POSITIVE..=1.0).contains(&self.failure_ratio) {
            "failure_ratio must be above 0 and at most 1"
        } else if self.minimum_calls == 0 {
            "minimum_calls must be at least 1"
        } else if !(Duration::from_secs(1)..=hour).contains(&self.window) {
            "window must be from a second to an hour"
        } else if !(Duration::from_millis(1)..=hour).contains(&self.open_for) {
            "open_for must be from a millisecond to an hour"
        } else if !(1..=1000).contains(&self.probes) {
            "probes must be from 1 to 1000"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, complaint))
    }
}
