use crate::{Instance, ProviderBuilder, Settings, StoreUrl, WrapperBuilder};
use kv_core::{KvBuilder, Layer, Result};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::{fmt, marker::PhantomData, sync::Arc};

/// The builder of a provider or a wrapper together with the type of its settings, which describes
/// them.
///
/// ```
/// use kv_core::{Layer, Result, layer_fn};
/// use kv_factory::{Factory, Instance, Settings, schema::Described};
/// use std::sync::Arc;
///
/// /// Notes who called.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct AuditConfig {
///     /// How many calls are kept.
///     #[schemars(range(min = 1))]
///     keep: u32,
/// }
///
/// impl Default for AuditConfig {
///     fn default() -> Self {
///         Self { keep: 100 }
///     }
/// }
///
/// let audit = |settings: Settings, _: &Instance| -> Result<Arc<dyn Layer>> {
///     let AuditConfig { keep } = settings.parse()?;
///     let name = format!("audit({keep})");
///     Ok(Arc::new(layer_fn(name, |request, next| next.call(request))))
/// };
/// let mut builder = Factory::builder();
/// builder.wrapper("audit", Described::<AuditConfig, _>::new(audit))?;
/// assert!(builder.reference().contains("| `keep` | integer | `100` | at least 1 | How many calls are kept. |"));
/// # Ok::<_, kv_core::Error>(())
/// ```
pub struct Described<T, B> {
    builder: B,
    settings: PhantomData<fn() -> T>,
}

impl<T: JsonSchema, B> Described<T, B> {
    /// This builder, whose settings are a `T`.
    pub fn new(builder: B) -> Self {
        Self {
            builder,
            settings: PhantomData,
        }
    }
}

impl<T: JsonSchema + 'static, B: ProviderBuilder> ProviderBuilder for Described<T, B> {
    fn build(&self, settings: Settings) -> Result<KvBuilder> {
        self.builder.build(settings)
    }

    fn schemes(&self) -> &[&str] {
        self.builder.schemes()
    }

    fn is_shared(&self) -> bool {
        self.builder.is_shared()
    }

    fn build_url(&self, url: &StoreUrl) -> Result<KvBuilder> {
        self.builder.build_url(url)
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(T::json_schema(generator))
    }
}

impl<T: JsonSchema + 'static, B: WrapperBuilder> WrapperBuilder for Described<T, B> {
    fn build(&self, settings: Settings, instance: &Instance) -> Result<Arc<dyn Layer>> {
        self.builder.build(settings, instance)
    }

    fn check_order(&self, position: usize, stack: &[&str]) -> Result<(), String> {
        self.builder.check_order(position, stack)
    }

    fn schema(&self, generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(T::json_schema(generator))
    }
}

impl<T, B> fmt::Debug for Described<T, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Described").finish_non_exhaustive()
    }
}
