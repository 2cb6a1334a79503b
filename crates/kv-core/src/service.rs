//! The seam between the handle, the layers and the providers.

use crate::{
    BoxFuture, CallOptions, Capabilities, Command, Context, Error, ErrorKind, Events, Health, Key,
    Reply, Result, Watch,
};
use bytes::Bytes;
use std::{
    any::{Any, TypeId},
    cell::Cell,
    fmt,
    sync::Arc,
};

/// A command on its way, with what belongs to the call and not to the command.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// For whom: the bound context, else the caller's task-local one.
    pub context: Option<Context>,
    /// What the caller wants of the call besides. The deadline is seen to; the rest is up to the
    /// layers concerned. One that answers several callers with one call leaves these options out.
    pub options: CallOptions,
}

impl Request {
    /// A request without a context and without options.
    pub fn new(command: Command) -> Self {
        Self {
            command,
            context: None,
            options: CallOptions::new(),
        }
    }
}

/// Executes commands. Providers and layers are both services; a layer holds another one inside.
///
/// `call`, `watch`, `capabilities` and `name` have no defaults on purpose: a layer decides each. The
/// rest reaches the provider through [`inner`](Self::inner).
pub trait Service: Send + Sync + 'static {
    /// Executes a command. Work done before the future is returned runs in the caller's task.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>>;

    /// Streams changes; the subscription is live before the future ends.
    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>>;

    /// What is left of the store's capabilities above this service.
    fn capabilities(&self) -> Capabilities;

    /// The name in a printed stack, with the settings worth seeing.
    fn name(&self) -> String;

    /// The service inside; none in a provider.
    fn inner(&self) -> Option<&dyn Service>;

    /// Makes of a key the one that the store sees, in its own buffer: who looks something up by it
    /// again and again need not allocate. A layer that changes keys changes this one in the same way,
    /// say by [`Key::prefix_in`], and passes it on.
    ///
    /// # Errors
    /// A layer's, if it cannot tell, say for want of a tenant.
    fn resolve_in(&self, key: &mut Vec<u8>, context: Option<&Context>) -> Result<()> {
        match self.inner() {
            Some(inner) => inner.resolve_in(key, context),
            None => Ok(()),
        }
    }

    /// A handle on the driver, if it has one of this type.
    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        self.inner()?.native(wanted)
    }

    /// Establishes the connection.
    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        match self.inner() {
            Some(inner) => inner.connect(),
            None => Box::pin(async { Ok(()) }),
        }
    }

    /// Lets go of connections and background tasks.
    fn close(&self) -> BoxFuture<'_, ()> {
        match self.inner() {
            Some(inner) => inner.close(),
            None => Box::pin(async {}),
        }
    }

    /// How the store is.
    fn health(&self) -> BoxFuture<'_, Health> {
        match self.inner() {
            Some(inner) => inner.health(),
            None => Box::pin(async { Health::unavailable("no provider at the end of the stack") }),
        }
    }
}

thread_local! {
    /// Where keys are resolved that are then copied, if they have to be.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl dyn Service + '_ {
    /// The key as the store sees it.
    ///
    /// # Errors
    /// As [`resolve_in`](Service::resolve_in).
    pub fn resolve(&self, key: &Key, context: Option<&Context>) -> Result<Key> {
        let mut bytes = BUFFER.take();
        bytes.clear();
        bytes.extend_from_slice(key.as_bytes());
        self.resolve_in(&mut bytes, context)?;
        // Most stacks have a layer that changes keys further out, or none.
        let resolved = match bytes == key.as_bytes() {
            true => Ok(key.clone()),
            false => Key::new(Bytes::copy_from_slice(&bytes)),
        };
        BUFFER.set(bytes);
        resolved
    }
}

/// Wraps a service in another.
///
/// ```
/// # use kv_core::{layer_fn, Layer};
/// let audit = layer_fn("audit", |request, next| {
///     Box::pin(async move {
///         let name = request.command.spec().name;
///         let reply = next.call(request).await;
///         println!("{name}: {}", if reply.is_ok() { "ok" } else { "failed" });
///         reply
///     })
/// });
/// # fn is_layer(_: impl Layer) {}
/// # is_layer(audit);
/// ```
pub trait Layer: Send + Sync + 'static {
    /// Puts itself around a service.
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service>;
}

impl Layer for Arc<dyn Layer> {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        (**self).wrap(inner)
    }
}

/// A layer made of a closure that handles each call; everything else passes through.
pub fn layer_fn<F>(name: impl Into<String>, handle: F) -> LayerFn<F>
where
    F: for<'a> Fn(Request, &'a dyn Service) -> BoxFuture<'a, Result<Reply>> + Send + Sync + 'static,
{
    LayerFn {
        name: name.into(),
        handle: Arc::new(handle),
    }
}

/// See [`layer_fn`].
pub struct LayerFn<F> {
    name: String,
    handle: Arc<F>,
}

impl<F> fmt::Debug for LayerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LayerFn").field(&self.name).finish()
    }
}

impl<F> Layer for LayerFn<F>
where
    F: for<'a> Fn(Request, &'a dyn Service) -> BoxFuture<'a, Result<Reply>> + Send + Sync + 'static,
{
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(ServiceFn {
            inner,
            name: self.name.clone(),
            handle: Arc::clone(&self.handle),
        })
    }
}

struct ServiceFn<F> {
    inner: Arc<dyn Service>,
    name: String,
    handle: Arc<F>,
}

impl<F> Service for ServiceFn<F>
where
    F: for<'a> Fn(Request, &'a dyn Service) -> BoxFuture<'a, Result<Reply>> + Send + Sync + 'static,
{
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        (self.handle)(request, &*self.inner)
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// The error of a service that was closed, or not connected yet.
pub(crate) fn closed(message: &'static str, operation: &'static str) -> Error {
    Error::new(ErrorKind::Closed, message).with_operation(operation)
}
