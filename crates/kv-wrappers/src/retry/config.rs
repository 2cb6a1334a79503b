use kv_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use std::time::Duration;

/// How often, how soon and how much is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// The most attempts of one call, the first included; from 1 to 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub attempts: u32,
    /// The pause before the second attempt, as in `"20ms"`. Each further pause is twice as long as
    /// the one before; to each up to its own length is added at random, so that callers who failed
    /// together do not come back together.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub delay: Duration,
    /// The longest pause, before the random part; at least `delay`.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-maximum" = "1h")))]
    pub max_delay: Duration,
    /// No further attempt is begun if it would start later than this after the call; absent means
    /// that only `attempts` counts. An attempt under way is left to its own timeout.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<kv_core::schema::HumanDuration>")
    )]
    pub max_elapsed: Option<Duration>,
    /// How much of the traffic may be repeats.
    pub budget: BudgetConfig,
}

impl Default for RetryConfig {
    /// Three attempts, 20 ms and 40 ms apart, plus jitter.
    fn default() -> Self {
        Self {
            attempts: 3,
            delay: Duration::from_millis(20),
            max_delay: Duration::from_secs(1),
            max_elapsed: None,
            budget: BudgetConfig::default(),
        }
    }
}

/// How much of the traffic through a layer may be repeats: while a store is in trouble, retries
/// must not be what keeps it there.
///
/// In any `window` at most `min_per_second` × `window` + `ratio` × calls attempts are repeats.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BudgetConfig {
    /// Repeats per call, from 0 to 10: 0.2 lets one call in five be repeated.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 10.0)))]
    pub ratio: f64,
    /// Repeats per second that are allowed however few calls there are; from 0 to a million.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1e6)))]
    pub min_per_second: f64,
    /// The time over which both are counted, as in `"10s"`; from a second to an hour.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "1s", "x-maximum" = "1h")))]
    pub window: Duration,
}

impl Default for BudgetConfig {
    /// A fifth of the calls of the last ten seconds, and ten a second in any case.
    fn default() -> Self {
        Self {
            ratio: 0.2,
            min_per_second: 10.0,
            window: Duration::from_secs(10),
        }
    }
}

impl RetryConfig {
    pub(super) fn check(&self) -> Result<()> {
        let budget = &self.budget;
        let hour = Duration::from_secs(3600);
        let complaint = if !(1..=100).contains(&self.attempts) {
            "attempts must be from 1 to 100, the first included"
        } else if self.delay > self.max_delay {
            "delay must not be longer than max_delay"
        } else if self.max_delay > hour {
            "max_delay must not be longer than an hour"
        } else if !(0.0..=10.0).contains(&budget.ratio) {
            "budget.ratio must be from 0 to 10"
        } else if !(0.0..=1e6).contains(&budget.min_per_second) {
            "budget.min_per_second must be from 0 to a million"
        } else if !(Duration::from_secs(1)..=hour).contains(&budget.window) {
            "budget.window must be from a second to an hour"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, complaint))
    }
}
