use kv_core::{
    BoxFuture, Capabilities, Context, Events, Layer, Lifetime, Reply, Request, Result, Service,
    Ttl, Visitor, Watch,
};
use std::{sync::Arc, time::Duration};

/// Gives a deadline to every write that says nothing about one.
///
/// It fills in [`Ttl::Unset`] only: an explicit deadline wins, and so do [`Ttl::Never`] and
/// [`Ttl::Keep`]. A counter gets it when it is created. Hashes and sorted sets have no deadline in
/// their commands and stay without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultTtl {
    lifetime: Lifetime,
}

impl DefaultTtl {
    /// A layer that gives this deadline.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](kv_core::ErrorKind::InvalidArgument) if the span is zero or
    /// longer than a thousand years.
    pub fn new(span: Duration) -> Result<Self> {
        let lifetime = Lifetime::new(span)?;
        Ok(Self { lifetime })
    }
}

impl Layer for DefaultTtl {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(DefaultTtlService {
            inner,
            layer: *self,
        })
    }
}

struct DefaultTtlService {
    inner: Arc<dyn Service>,
    layer: DefaultTtl,
}

impl Service for DefaultTtlService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        match request.command.visit(&mut FillIn(self.layer.lifetime)) {
            Ok(()) => self.inner.call(request),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        format!("default_ttl({:?})", self.layer.lifetime)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

struct FillIn(Lifetime);

impl Visitor for FillIn {
    fn ttl(&mut self, ttl: &mut Ttl) -> Result<()> {
        if *ttl == Ttl::Unset {
            *ttl = Ttl::In(self.0);
        }
        Ok(())
    }
}
