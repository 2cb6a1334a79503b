//! The wrappers that shape what is written: how long it is and lives, whether it is readable.

use crate::{Instance, Settings, WrapperBuilder};
use kv_core::{Layer, Result};
use kv_wrappers::{ReadOnly, SizeLimit, TtlClamp};
use serde::Deserialize;
use std::sync::Arc;

pub(super) struct ReadOnlyBuilder;

/// Refuses every write.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(crate) struct NoSettings {}

impl WrapperBuilder for ReadOnlyBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        let NoSettings {} = settings.parse()?;
        Ok(Arc::new(ReadOnly::new()))
    }
}

pub(super) struct SizeLimitBuilder;

impl WrapperBuilder for SizeLimitBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(SizeLimit::new(settings.parse()?)?))
    }
}

pub(super) struct TtlClampBuilder;

impl WrapperBuilder for TtlClampBuilder {
    fn build(&self, settings: Settings, _: &Instance) -> Result<Arc<dyn Layer>> {
        Ok(Arc::new(TtlClamp::new(settings.parse()?)?))
    }
}

#[cfg(feature = "compress")]
pub(super) mod compress {
    use super::{Arc, Instance, Layer, Result, Settings, WrapperBuilder};
    use kv_wrappers::Compress;

    pub(in crate::builtin) struct CompressBuilder;

    impl WrapperBuilder for CompressBuilder {
        fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
            let layer = Compress::new(settings.parse()?)?;
            Ok(Arc::new(layer.store(instance.name())))
        }
    }
}

#[cfg(feature = "encrypt")]
pub(super) mod encrypt {
    use super::{Arc, Instance, Layer, Result, Settings, WrapperBuilder};
    use kv_wrappers::Encrypt;

    pub(in crate::builtin) struct EncryptBuilder;

    impl WrapperBuilder for EncryptBuilder {
        fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
            let layer = Encrypt::new(settings.parse()?)?;
            Ok(Arc::new(layer.store(instance.name())))
        }
    }
}
