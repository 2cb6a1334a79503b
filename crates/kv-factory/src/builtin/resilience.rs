//! The wrappers that keep a store's trouble from spreading.

use crate::{Instance, Settings, WrapperBuilder};
use kv_core::{Layer, Result};
use kv_wrappers::{
    CircuitBreaker, ConcurrencyLimit, Fallback, FallbackConfig, FallbackOn, FallbackWrites, Hedge,
    Retry, Timeout,
};
use serde::Deserialize;
use std::sync::Arc;

pub(super) struct TimeoutBuilder;

impl WrapperBuilder for TimeoutBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(Timeout::new(settings.parse()?)?))
    }
}

pub(super) struct RetryBuilder;

impl WrapperBuilder for RetryBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let layer = Retry::new(settings.parse()?)?;
        Ok(Arc::new(layer.store(instance.name())))
    }
}

pub(super) struct BreakerBuilder;

impl WrapperBuilder for BreakerBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let layer = CircuitBreaker::new(settings.parse()?)?;
        Ok(Arc::new(layer.store(instance.name())))
    }
}

pub(super) struct LimitBuilder;

impl WrapperBuilder for LimitBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let layer = ConcurrencyLimit::new(settings.parse()?)?;
        Ok(Arc::new(layer.store(instance.name())))
    }
}

pub(super) struct HedgeBuilder;

impl WrapperBuilder for HedgeBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let layer = Hedge::new(settings.parse()?)?;
        Ok(Arc::new(layer.store(instance.name())))
    }
}

pub(super) struct FallbackBuilder;

/// Lets reads fall back to another store of the configuration when this one is away.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct FallbackSettings {
    /// The other store, by its name in the configuration.
    #[cfg_attr(feature = "schema", schemars(example = &"other", extend("x-names" = "store")))]
    store: String,
    /// When a read falls back.
    #[serde(default)]
    on: FallbackOn,
    /// Where writes go.
    #[serde(default)]
    writes: FallbackWrites,
}

impl WrapperBuilder for FallbackBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let settings: FallbackSettings = settings.parse()?;
        let config = FallbackConfig::new(settings.on, settings.writes);
        let second = instance.store(&settings.store)?;
        Ok(Arc::new(
            Fallback::new(config, second).store(instance.name()),
        ))
    }
}
