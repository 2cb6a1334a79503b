//! The handle that callers hold.

mod builder;
mod comfort;
mod lifecycle;
mod scan;
mod typed;

use crate::{
    BoxFuture, CallOptions, Capabilities, Codec, Command, Context, Deadline, Events, Key,
    PhysicalKey, Reply, Request, Result, Service, Watch, command::Arg, service::closed,
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

pub use self::{builder::KvBuilder, lifecycle::Health};

/// Room for what layers put in front of most keys.
const USUAL_PREFIX: usize = 64;

/// A cheap, cloneable handle on a store and its layers.
///
/// All methods take `&self`; clones share the connection and the state.
///
/// ```
/// use kv_core::{Kv, SetOptions, Ttl, When};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// let kv = Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
///
/// kv.set_for("session", "ann", Duration::from_secs(60)).await?;
/// assert!(!kv.set_if_absent("session", "bob", Ttl::Never).await?);
///
/// // Compare and set: a refused write tells what stood in the way.
/// let options = SetOptions::from(When::IfValue("ann".into())).ttl(Ttl::Keep);
/// assert!(kv.set_with("session", "carl", options.clone()).await?.applied);
/// let refused = kv.set_with("session", "dora", options).await?;
/// assert_eq!(refused.current, Some("carl".into()));
///
/// // A queue of work by due time.
/// kv.zadd("due", [("late", 30), ("soon", 10)]).await?;
/// assert_eq!(kv.zpopbyscore("due", 20).await?, Some("soon".into()));
/// assert_eq!(kv.zpopbyscore("due", 20).await?, None);
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// Any future may be dropped: what it was about to do to a key is then applied whole or not at all,
/// which of the two is unknown, and no key is left without the deadline it was given. Commands on
/// several keys, and pops of more than 100 members, can take several such steps; a dropped one may
/// stop in between, and the members that a dropped pop had removed are gone.
#[derive(Clone)]
pub struct Kv {
    shared: Arc<Shared>,
    context: Option<Context>,
    options: CallOptions,
    codec: Codec,
}

struct Shared {
    service: Arc<dyn Service>,
    /// Set when the store is connected; until then no command passes.
    capabilities: OnceLock<Capabilities>,
}

impl Kv {
    /// A handle on a finished stack; [`builder`](Self::builder) is the usual way.
    pub fn from_service(service: Arc<dyn Service>) -> Self {
        Self {
            shared: Arc::new(Shared {
                service,
                capabilities: OnceLock::new(),
            }),
            context: None,
            options: CallOptions::new(),
            codec: Codec::default(),
        }
    }

    /// Executes a command given as data.
    ///
    /// # Errors
    /// As the command's own method.
    pub async fn call(&self, command: Command) -> Result<Reply> {
        self.send(command)?.await
    }

    /// Hands a command to the stack. Not itself a future: one around it would hold the command, and
    /// moving that twice costs as much as the rest.
    #[inline]
    pub(crate) fn send(&self, command: Command) -> Result<BoxFuture<'_, Result<Reply>>> {
        let Some(capabilities) = self.shared.capabilities.get() else {
            let operation = command.spec().name;
            return Err(closed(
                "the store is not connected; call connect first",
                operation,
            ));
        };
        capabilities.allow(&command)?;
        let request = Request {
            command,
            context: self.caller(),
            options: self.options.clone(),
        };
        match self.options.deadline() {
            None => Ok(self.shared.service.call(request)),
            Some(deadline) => self.send_by(deadline, request),
        }
    }

    /// The rare case, kept out of the usual one's way.
    fn send_by(
        &self,
        deadline: &Deadline,
        request: Request,
    ) -> Result<BoxFuture<'_, Result<Reply>>> {
        let operation = request.command.spec().name;
        let key = request.command.key().cloned();
        deadline.bound(operation, key, || self.shared.service.call(request))
    }

    /// Streams changes of keys, of ranges of keys, or messages.
    ///
    /// The subscription is live before this returns: every later change yields an event.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) where the store lacks it; else the
    /// provider's.
    pub async fn watch(&self, watch: Watch) -> Result<Events> {
        if !self.capabilities().has(watch.needs()) {
            return Err(crate::Error::unsupported("watch").with_context("missing", watch.needs()));
        }
        let begin = || self.shared.service.watch(watch, self.caller());
        match self.options.deadline() {
            None => begin().await,
            Some(deadline) => deadline.bound("watch", None, begin)?.await,
        }
    }

    /// What the store can do through its layers.
    pub fn capabilities(&self) -> Capabilities {
        match self.shared.capabilities.get() {
            Some(known) => known.clone(),
            None => self.shared.service.capabilities(),
        }
    }

    /// A handle whose calls are all made in this context, whatever the calling task's is. What is
    /// spawned holds one of these.
    #[must_use]
    pub fn bind(&self, context: Context) -> Self {
        Self {
            context: Some(context),
            ..self.clone()
        }
    }

    /// A handle whose calls have these options, besides those that this handle gives them already.
    /// Connecting, closing, health and [`native`](Self::native) know none.
    #[must_use]
    pub fn with(&self, options: CallOptions) -> Self {
        let mut view = self.clone();
        view.options = view.options.and(options);
        view
    }

    /// A handle whose typed methods use this codec.
    #[must_use]
    pub fn with_codec(&self, codec: Codec) -> Self {
        Self {
            codec,
            ..self.clone()
        }
    }

    /// The key as the store sees it, for the bound context or the caller's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if the key does not parse
    /// or a layer needs a tenant that is not there.
    pub fn resolve(&self, key: impl Arg<Key>) -> Result<PhysicalKey> {
        let key = key.into_arg()?;
        let mut bytes = Vec::with_capacity(key.as_bytes().len() + USUAL_PREFIX);
        bytes.extend_from_slice(key.as_bytes());
        self.resolve_in(&mut bytes)?;
        Key::new(bytes).map(PhysicalKey::new)
    }

    /// As [`resolve`](Self::resolve), in the key's own buffer, for who looks it up in a map of what is
    /// kept by [`PhysicalKey`] and does so often. The key is left as it may be after an error.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) if a layer needs a tenant that is
    /// not there.
    pub fn resolve_in(&self, key: &mut Vec<u8>) -> Result<()> {
        let service = &self.shared.service;
        match &self.context {
            Some(context) => service.resolve_in(key, Some(context)),
            None => Context::with_current(|context| service.resolve_in(key, context)),
        }
    }

    /// For whom a call would be made now: the bound context, else the calling task's. Whoever goes on
    /// in the background binds this one.
    pub fn caller(&self) -> Option<Context> {
        self.context.clone().or_else(Context::current)
    }
}

/// The stack, from the provider outwards.
impl fmt::Debug for Kv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        let mut service = Some(&*self.shared.service);
        while let Some(it) = service {
            names.push(it.name());
            service = it.inner();
        }
        names.reverse();
        write!(f, "Kv({})", names.join(" > "))?;
        if let Some(context) = &self.context {
            write!(f, " for {context:?}")?;
        }
        if self.options.is_none() {
            return Ok(());
        }
        write!(f, " with {:?}", self.options)
    }
}
