//! The wrappers that spare the store reads.

use super::once;
use crate::{Instance, Settings, WrapperBuilder};
use kv_core::{Layer, Result};
use kv_wrappers::{NearCache, SingleFlight};
use std::sync::Arc;

pub(super) struct NearCacheBuilder;

impl WrapperBuilder for NearCacheBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(NearCache::new(settings.parse()?)?))
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        once(position, stack, "would keep every value twice")?;
        let inside = &stack[..position];
        let reason = if inside.contains(&"key_resolver") {
            "stands outside of `key_resolver`, but keeps and watches keys as the store has them, of all tenants; put it further in"
        } else if inside.contains(&"single_flight") {
            "stands outside of `single_flight`, and would keep what joined a read that began before a change; put it further in"
        } else {
            return Ok(());
        };
        Err(reason.to_owned())
    }
}

pub(super) struct SingleFlightBuilder;

impl WrapperBuilder for SingleFlightBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(SingleFlight::new(settings.parse()?)?))
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        once(
            position,
            stack,
            "would find nothing to share, since the outer one lets one read through",
        )?;
        let outside = &stack[position + 1..];
        let reason = if outside.contains(&"retry") {
            "stands inside of `retry`, so those who share an error would each repeat the call and spend the budget; put it further out"
        } else if outside.contains(&"hedge") {
            "stands inside of `hedge`, whose second reading would only join the first; put it further out"
        } else {
            return Ok(());
        };
        Err(reason.to_owned())
    }
}
