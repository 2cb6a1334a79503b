//! Makes a typed [`Store`] a [`Service`]: dispatch, limits and lifecycle.

use crate::{
    BoxFuture, Capabilities, Command, Context, Error, ErrorKind, Events, Field, Health, Key, Mark,
    Member, Outcome, Place, Reply, Request, Result, Service, Stopwatch, Store, Value, Visitor,
    Watch, atomic::Check, command::dispatch, service::closed,
};
use std::{
    any::{Any, TypeId},
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

/// The innermost service of every stack.
pub(crate) struct Provider<S> {
    store: S,
    state: AtomicU8,
    /// What the store can do, known since it was connected.
    capabilities: OnceLock<Capabilities>,
    connecting: tokio::sync::Mutex<()>,
}

const NEW: u8 = 0;
const OPEN: u8 = 1;
const CLOSING: u8 = 2;
const CLOSED: u8 = 3;

impl<S: Store> Provider<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            state: AtomicU8::new(NEW),
            capabilities: OnceLock::new(),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// Why nothing can be asked of the store now, if so.
    fn ready(&self, operation: impl FnOnce() -> &'static str) -> Result<()> {
        let state = self.state.load(Ordering::Acquire);
        if state == OPEN {
            return Ok(());
        }
        let operation = operation();
        match state {
            NEW => Err(closed(
                "the store is not connected; call connect first",
                operation,
            )),
            _ => Err(closed("the store is closed; open it again", operation)),
        }
    }

    fn check(&self, command: &mut Command) -> Result<()> {
        let Some(limits) = self.capabilities.get() else {
            return Ok(());
        };
        // `Kv` judged what the caller asked for; layers may have asked for more.
        limits.allow(command)?;
        match command {
            Command::Commit { txns } => txns.iter().try_for_each(|txn| txn.check(limits))?,
            Command::ZMove { step } => step.check(limits)?,
            Command::Throttle { request } => request.check(limits)?,
            _ => {}
        }
        if limits.max_key_bytes == usize::MAX && limits.max_value_bytes == usize::MAX {
            return Ok(());
        }
        // The items of a batch are judged one by one, by the provider.
        if matches!(command, Command::SetMany { .. }) {
            return Ok(());
        }
        command.visit(&mut Measure(limits))
    }

    fn sign(&self, error: Error, operation: &'static str) -> Error {
        error
            .with_operation(operation)
            .with_provider(self.store.name())
    }
}

impl<S: Store> Service for Provider<S> {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        let spec = |command: &Command| command.spec().name;
        let ready = self.ready(|| spec(&request.command));
        if let Err(error) = ready.and_then(|()| self.check(&mut request.command)) {
            let error = self.sign(error, spec(&request.command));
            return Box::pin(async { Err(error) });
        }
        dispatch(&self.store, request.command)
    }

    fn watch(&self, watch: Watch, _: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            self.ready(|| "watch")?;
            let events = self.store.watch(watch).await;
            let events = events.map_err(|error| self.sign(error, "watch"))?;
            // A close in between has ended the watches it knew of; this one it may not have known.
            self.ready(|| "watch")?;
            Ok(events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn name(&self) -> String {
        self.store.name().to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        None
    }

    fn native(&self, wanted: TypeId) -> Option<Box<dyn Any + Send>> {
        self.store.native(wanted)
    }

    fn connect(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move {
            let _one_at_a_time = self.connecting.lock().await;
            match self.state.load(Ordering::Acquire) {
                NEW => {}
                OPEN => return Ok(()),
                _ => return self.ready(|| "connect"),
            }
            let connected = self.store.connect().await;
            connected.map_err(|error| self.sign(error, "connect"))?;
            self.capabilities.get_or_init(|| self.store.capabilities());
            self.state.store(OPEN, Ordering::Release);
            Ok(())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let _one_at_a_time = self.connecting.lock().await;
            // Calls are refused from here on; should this future be dropped, a later one goes on.
            let before = self.state.swap(CLOSING, Ordering::AcqRel);
            if matches!(before, OPEN | CLOSING) {
                self.store.close().await;
            }
            self.state.store(CLOSED, Ordering::Release);
        })
    }

    fn health(&self) -> BoxFuture<'_, Health> {
        Box::pin(async move {
            if let Err(error) = self.ready(|| "health") {
                return Health::unavailable(error.to_string());
            }
            let watch = Stopwatch::start();
            let pong = self.store.ping().await;
            Health::measured(watch.elapsed(), pong.err())
        })
    }
}

/// Refuses keys and values beyond the limits.
struct Measure<'a>(&'a Capabilities);

impl Visitor for Measure<'_> {
    fn key(&mut self, key: &mut Key) -> Result<()> {
        self.0.fits_key(key)
    }

    fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
        self.0.fits_value(place.key, value.as_bytes().len())
    }

    fn mark(&mut self, place: Place<'_>, mark: &mut Mark) -> Result<()> {
        self.0.fits_value(place.key, mark.as_bytes().len())
    }

    fn field(&mut self, field: &mut Field) -> Result<()> {
        self.0.fits_value(None, field.as_bytes().len())
    }

    fn member(&mut self, member: &mut Member) -> Result<()> {
        self.0.fits_value(None, member.as_bytes().len())
    }
}

impl Capabilities {
    /// Refuses a key that is too long for the store.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`], naming the limit.
    pub fn fits_key(&self, key: &Key) -> Result<()> {
        let length = key.as_bytes().len();
        if length <= self.max_key_bytes {
            return Ok(());
        }
        Err(too_large("key", length, self.max_key_bytes).with_key(key))
    }

    /// Refuses a value of a length that the store does not take.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`], naming the limit.
    pub fn fits_value(&self, key: Option<&Key>, length: usize) -> Result<()> {
        if length <= self.max_value_bytes {
            return Ok(());
        }
        let error = too_large("value", length, self.max_value_bytes);
        Err(match key {
            Some(key) => error.with_key(key),
            None => error,
        })
    }
}

fn too_large(what: &str, length: usize, limit: usize) -> Error {
    let message =
        format!("the {what} has {length} bytes on the store, which takes at most {limit}");
    Error::new(ErrorKind::TooLarge, message).with_outcome(Outcome::Final)
}
