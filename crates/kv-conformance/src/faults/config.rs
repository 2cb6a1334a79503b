use super::{Fault, FaultsLayer, Odds, Plan, plan::USUAL_DELAY};
use kv_core::{COMMANDS, Error, ErrorKind, Result, Spec};
use serde::Deserialize;
use std::time::Duration;

/// The layer's settings as a configuration file writes them. Shares are from 0 to 1.
///
/// ```
/// # use kv_conformance::faults::FaultsConfig;
/// # let text = r#"{"seed": 7, "fail_before": 0.1, "delay": 0.2, "delay_for": "5ms", "commands": ["get"]}"#;
/// let config: FaultsConfig = serde_json::from_str(text)?;
/// let layer = config.into_layer()?;
/// # assert!(format!("{layer:?}").contains("seed 7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FaultsConfig {
    /// Where the random numbers start; if absent a new seed is drawn and shown in the stack's
    /// `Debug`.
    pub seed: Option<u64>,
    /// The share of calls that fail before the store sees them.
    pub fail_before: f64,
    /// The share of calls that are carried out and whose reply is lost.
    pub apply_then_fail: f64,
    /// The share of calls that are held back.
    pub delay: f64,
    /// For how long they are, as in `"50ms"`.
    #[serde(with = "humantime_serde")]
    pub delay_for: Duration,
    /// The share of calls that are sent twice.
    pub duplicate: f64,
    /// The share of calls that never end.
    pub hang: f64,
    /// The commands that are hit, by the names of the methods on `Kv` that the table lists; none
    /// named means all.
    pub commands: Vec<String>,
}

impl Default for FaultsConfig {
    /// No faults.
    fn default() -> Self {
        Self {
            seed: None,
            fail_before: 0.0,
            apply_then_fail: 0.0,
            delay: 0.0,
            delay_for: USUAL_DELAY,
            duplicate: 0.0,
            hang: 0.0,
            commands: Vec::new(),
        }
    }
}

impl FaultsConfig {
    /// The layer.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for shares that are no shares and for a command that the table lacks.
    pub fn into_layer(self) -> Result<FaultsLayer> {
        let odds = self.odds().map_err(|source| {
            Error::new(ErrorKind::Config, source.to_string()).with_context("wrapper", "faults")
        })?;
        let layer = FaultsLayer::new(Plan::random(self.seed.unwrap_or_else(fresh_seed), odds));
        if self.commands.is_empty() {
            return Ok(layer);
        }
        let names = self.commands.iter().map(|name| known(name));
        let names = names.collect::<Result<Vec<_>>>()?;
        Ok(layer.only(move |spec: &Spec| names.contains(&spec.name)))
    }

    fn odds(&self) -> Result<Odds> {
        Odds::none()
            .and(Fault::FailBefore, self.fail_before)?
            .and(Fault::ApplyThenFail, self.apply_then_fail)?
            .and(Fault::Delay(self.delay_for), self.delay)?
            .and(Fault::Duplicate, self.duplicate)?
            .and(Fault::Hang, self.hang)
    }
}

fn fresh_seed() -> u64 {
    fastrand::u64(..)
}

fn known(name: &str) -> Result<&'static str> {
    if let Some(spec) = COMMANDS.iter().find(|spec| spec.name == name) {
        return Ok(spec.name);
    }
    let names: Vec<_> = COMMANDS.iter().map(|spec| spec.name).collect();
    Err(Error::new(
        ErrorKind::Config,
        format!("there is no such command; known are {}", names.join(", ")),
    )
    .with_context("wrapper", "faults")
    .with_context("command", name.escape_debug()))
}
