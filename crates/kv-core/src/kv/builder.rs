use super::Kv;
use crate::{Layer, Result, Service, Store, store::Provider};
use std::{fmt, sync::Arc};

/// Stacks layers on a store, from the provider outwards, as a configuration file does.
pub struct KvBuilder {
    service: Arc<dyn Service>,
}

impl Kv {
    /// Begins a stack with its provider.
    pub fn builder(store: impl Store) -> KvBuilder {
        KvBuilder {
            service: Arc::new(Provider::new(store)),
        }
    }
}

impl KvBuilder {
    /// Puts a layer around what is there.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.service = layer.wrap(self.service);
        self
    }

    /// The handle, not yet connected: until [`Kv::connect`] every command is refused.
    pub fn build(self) -> Kv {
        Kv::from_service(self.service)
    }

    /// The handle, connected.
    ///
    /// # Errors
    /// The provider's, if the store cannot be reached.
    pub async fn connect(self) -> Result<Kv> {
        let kv = self.build();
        kv.connect().await?;
        Ok(kv)
    }
}

impl fmt::Debug for KvBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KvBuilder({})", self.service.name())
    }
}
