//! How a wrapper gets at another store of the same configuration.

use crate::{Factory, Instance, factory::Shared, hint::instead, instance::Blueprint};
use kv_core::{
    BoxFuture, Capabilities, CapabilitySet, Context, Error, ErrorKind, Events, Kv, Reply, Request,
    Result, Service, Watch,
};
use std::sync::{Arc, OnceLock, Weak};

/// The other stores, as seen by one that is being built.
#[derive(Clone, Default)]
pub(crate) struct Others {
    pub(crate) factory: Weak<Shared>,
    /// The stores that are being built, each for the one before, this one last.
    pub(crate) path: Vec<String>,
}

impl Instance {
    /// Another store of the configuration, for a wrapper that needs a second one. It is the one that
    /// [`Factory::open`] gives: connecting the handle opens it, closing the handle leaves it open.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a name that is not configured or is disabled, a fault in that store's
    /// table, and a store that needs this one in turn.
    pub fn store(&self, name: &str) -> Result<Kv> {
        let config = |message: String| Error::new(ErrorKind::Config, message);
        let Others { factory, path } = self.others();
        let Some(shared) = factory.upgrade() else {
            return Err(config(format!(
                "the factory that knows the store `{name}` is gone"
            )));
        };
        let within = Factory::from(shared);
        if path.iter().any(|it| it == name) {
            let path = path.join("` needs `");
            return Err(config(format!(
                "`{path}` needs `{name}`, which can never be opened"
            )));
        }
        if !within.names().any(|it| it == name) {
            let instead = instead(name, "configured", within.names());
            return Err(config(format!("there is no store `{name}`{instead}")));
        }
        if let Blueprint::Disabled = within.assemble_for(name, path)? {
            return Err(within.disabled(name));
        }
        Ok(Kv::from_service(Arc::new(Other {
            name: name.to_owned(),
            factory: Weak::clone(factory),
            opened: OnceLock::new(),
        })))
    }
}

/// A store that is opened when this is connected.
struct Other {
    name: String,
    factory: Weak<Shared>,
    opened: OnceLock<Kv>,
}

impl Other {
    fn get(&self, context: Option<Context>) -> Result<Kv> {
        let Some(kv) = self.opened.get() else {
            let message = format!(
                "the store `{}` is not connected; call connect first",
                self.name
            );
            return Err(Error::new(ErrorKind::Closed, message));
        };
        Ok(match context {
            Some(context) => kv.bind(context),
            None => kv.clone(),
        })
    }
}

impl Service for Other {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        Box::pin(async move { self.get(request.context)?.call(request.command).await })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move { self.get(context)?.watch(watch).await })
    }

    fn capabilities(&self) -> Capabilities {
        match self.opened.get() {
            Some(kv) => kv.capabilities(),
            None => Capabilities::new(CapabilitySet::NONE),
        }
    }

    fn name(&self) -> String {
        format!("store {}", self.name)
    }

    fn inner(&self) -> Option<&dyn Service> {
        None
    }

    /// As that store does; before it is opened nobody can tell.
    fn resolve_in(&self, key: &mut Vec<u8>, context: Option<&Context>) -> Result<()> {
        self.get(context.cloned())?.resolve_in(key)
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            if self.opened.get().is_some() {
                return Ok(());
            }
            let Some(shared) = self.factory.upgrade() else {
                let message = format!("the factory of the store `{}` is gone", self.name);
                return Err(Error::new(ErrorKind::Closed, message));
            };
            let kv = Factory::from(shared).open(&self.name).await?;
            self.opened.get_or_init(|| kv);
            Ok(())
        })
    }
}
