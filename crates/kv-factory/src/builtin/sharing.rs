//! The wrappers that spare the store reads.

use crate::{Instance, Settings, WrapperBuilder};
use kv_core::{Layer, Result};
use kv_wrappers::{NearCache, SingleFlight};
use std::sync::Arc;

pub(super) struct NearCacheBuilder;

impl WrapperBuilder for NearCacheBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let layer = NearCache::new(settings.parse()?)?;
        Ok(Arc::new(layer.store(instance.name())))
    }
}

pub(super) struct SingleFlightBuilder;

impl WrapperBuilder for SingleFlightBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let layer = SingleFlight::new(settings.parse()?)?;
        Ok(Arc::new(layer.store(instance.name())))
    }
}
