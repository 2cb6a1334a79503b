//! The wrapper that tells what goes on.

use crate::{Instance, Settings, WrapperBuilder};
use kv_core::{Layer, Result};
use kv_wrappers::{Observe, ObserveConfig};
use std::sync::Arc;

pub(super) struct ObserveBuilder;

impl WrapperBuilder for ObserveBuilder {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        let mut config: ObserveConfig = settings.parse()?;
        let store = || instance.name().to_owned();
        let namespace = || instance.key_settings().namespace.clone();
        config.store = config.store.or_else(|| Some(store()));
        config.namespace = config.namespace.or_else(|| Some(namespace()));
        Ok(Arc::new(Observe::new(config)?))
    }
}
