//! What layers that change values share: they reach every value in commands, replies and events, each
//! with its place, and say honestly what they can no longer do.

use futures_util::{StreamExt, future};
use kv_core::{
    Access, BoxFuture, Capabilities, Capability, Context, Error, ErrorKind, Event, Events, Key,
    Outcome, Parts, Place, Places, Refused, Reply, Request, Result, Service, Value, Visitor, Watch,
};
use std::sync::{Arc, OnceLock};

/// The first byte of every frame that a layer of this crate makes. Neither UTF-8 text nor MessagePack
/// can start with it, so hardly any value of another origin does.
pub(crate) const FRAME: u8 = 0xC1;

/// What becomes of a value on its way to the store and back.
pub(crate) trait Transform: Send + Sync + 'static {
    /// Whether the place of a value matters.
    const IS_BOUND: bool;

    /// Whether a value grows by the same length always. One that is too long is refused here then,
    /// with the limit that a caller can go by; what can be packed is up to the store.
    const GROWS_EVENLY: bool;

    /// Makes what is stored.
    fn write(&self, at: At<'_>, value: Value) -> Result<Value>;

    /// Makes what was written of what is stored.
    fn read(&self, at: At<'_>, value: Value) -> Result<Value>;

    /// What is left of the capabilities of the store inside.
    fn capabilities(&self, inner: Capabilities) -> Capabilities;

    /// The name in a printed stack.
    fn name(&self) -> String;
}

/// Where a value is, as the store sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    /// Its key as the store sees it; none unless the transform is bound to it.
    pub(crate) key: Option<&'a Key>,
    /// Its field, if the key holds a hash.
    pub(crate) field: Option<&'a [u8]>,
    /// Whether it is a message on a channel of that name.
    pub(crate) is_message: bool,
    /// Whether an event tells it of its key. One that cannot be read is left out there, so nobody is
    /// refused anything.
    pub(crate) is_change: bool,
}

pub(crate) struct Transformed<T> {
    inner: Arc<dyn Service>,
    transform: Arc<T>,
    /// The longest value that is let through, known since the first write.
    limit: OnceLock<usize>,
}

impl<T: Transform> Service for Transformed<T> {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        let spec = request.command.spec();
        let mut refused = Refused::default();
        if spec.request.hold(Parts::VALUES) {
            let context = request.context.as_ref();
            let mut pass = Pass::new(self, context, T::write);
            pass.limit = self.limit();
            match request.command.visit_apart(&mut pass) {
                Ok(it) => refused = it,
                Err(error) => {
                    let error = error.with_operation(spec.name);
                    return Box::pin(async { Err(error) });
                }
            }
        }
        let has_values = spec.reply.hold(Parts::VALUES);
        if !has_values && refused.is_empty() {
            return self.inner.call(request);
        }
        let (places, context) = match has_values && T::IS_BOUND {
            true => (request.command.places(), request.context.clone()),
            false => (Places::default(), None),
        };
        // Who has no places has at least a name for errors.
        let key = match T::IS_BOUND {
            true => None,
            false => request.command.key().cloned(),
        };
        let call = self.inner.call(request);
        Box::pin(async move {
            let mut reply = call.await?;
            if has_values {
                let mut pass = Pass::new(self, context.as_ref(), T::read);
                pass.operation = Some(spec.name);
                // What stands in the way of a `set` shows only where it was refused, and the bodies of a
                // move have errors of their own; all else that writes is done when its answer turns
                // out to be unreadable, and the caller learns nothing of it.
                let is_told = matches!(reply, Reply::Set(_) | Reply::ZMove(_));
                pass.has_written = spec.access == Access::Write && !is_told;
                let seen = reply.visit(&places, &mut pass);
                seen.map_err(|error| named(error, spec.name, key.as_ref()))?;
            }
            refused.with_operation(spec.name).put_into(&mut reply);
            Ok(reply)
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let events = self.inner.watch(watch, context.clone()).await?;
            let service = Self::new(Arc::clone(&self.inner), Arc::clone(&self.transform));
            let read = move |event: Result<Event>| {
                future::ready(event.and_then(|it| service.read_event(it, context.as_ref())))
            };
            Ok(Box::pin(events.then(read)) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        let left = self.inner.capabilities();
        let left = left.without(Capability::CompareValue);
        self.transform.capabilities(left)
    }

    fn name(&self) -> String {
        self.transform.name()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

impl<T: Transform> Transformed<T> {
    pub(crate) fn new(inner: Arc<dyn Service>, transform: Arc<T>) -> Self {
        Self {
            inner,
            transform,
            limit: OnceLock::new(),
        }
    }

    fn limit(&self) -> usize {
        match T::GROWS_EVENLY {
            true => *self
                .limit
                .get_or_init(|| self.capabilities().max_value_bytes),
            false => usize::MAX,
        }
    }

    /// The event with its value as it was written. A change whose value cannot be made out is told
    /// without it, as by a store that does not tell: it can be a mark or a counter, and who reads the
    /// key learns what is wrong. Of a message there is nothing to read again.
    fn read_event(&self, mut event: Event, context: Option<&Context>) -> Result<Event> {
        let key = match &event {
            Event::Put { key, .. } => Some(key.clone()),
            _ => None,
        };
        let mut pass = Pass::new(self, context, T::read);
        pass.is_change = key.is_some();
        match (event.visit(&mut pass), key) {
            (Ok(()), _) => Ok(event),
            (Err(_), Some(key)) => Ok(Event::Put { key, value: None }),
            (Err(error), None) => Err(error.with_operation("watch")),
        }
    }
}

fn named(error: Error, operation: &'static str, key: Option<&Key>) -> Error {
    let error = error.with_operation(operation);
    match key {
        Some(key) => error.with_key(key),
        None => error,
    }
}

fn too_long(length: usize, limit: usize) -> Error {
    let message = format!(
        "the value has {length} bytes; with what a layer adds to it the store takes at most {limit}"
    );
    Error::new(ErrorKind::TooLarge, message)
}

/// Takes each value of one command, reply or event through the transform.
struct Pass<'a, T> {
    service: &'a Transformed<T>,
    context: Option<&'a Context>,
    step: fn(&T, At<'_>, Value) -> Result<Value>,
    has_written: bool,
    is_change: bool,
    /// What errors are told to be of: those of single answers are handed to the caller as they are.
    operation: Option<&'static str>,
    limit: usize,
    /// The last key and what the store sees for it: the fields of a hash come one after another.
    last: Option<(Key, Key)>,
}

impl<'a, T: Transform> Pass<'a, T> {
    fn new(
        service: &'a Transformed<T>,
        context: Option<&'a Context>,
        step: fn(&T, At<'_>, Value) -> Result<Value>,
    ) -> Self {
        Self {
            service,
            context,
            step,
            has_written: false,
            is_change: false,
            operation: None,
            limit: usize::MAX,
            last: None,
        }
    }

    fn physical(&mut self, key: &Key) -> Result<&Key> {
        let found = self.last.take().filter(|(last, _)| last == key);
        let found = match found {
            Some(found) => found,
            None => {
                let inner = &self.service.inner;
                (key.clone(), inner.resolve(key, self.context)?)
            }
        };
        Ok(&self.last.insert(found).1)
    }
}

impl<T: Transform> Visitor for Pass<'_, T> {
    fn value(&mut self, place: Place<'_>, value: &mut Value) -> Result<()> {
        let (service, step) = (self.service, self.step);
        let (operation, has_written) = (self.operation, self.has_written);
        let is_change = self.is_change;
        if value.as_bytes().len() > self.limit {
            let error = too_long(value.as_bytes().len(), self.limit);
            return Err(match place.key {
                Some(key) => error.with_key(key),
                None => error,
            });
        }
        let key = match place.key {
            Some(key) if T::IS_BOUND => Some(self.physical(key)?),
            _ => None,
        };
        let at = At {
            key,
            field: place.field,
            is_message: place.is_message,
            is_change,
        };
        let changed = step(&service.transform, at, std::mem::take(value));
        *value = changed.map_err(|error| {
            let error = match place.key {
                Some(key) => error.with_key(key),
                None => error,
            };
            let error = match operation {
                Some(name) => error.with_operation(name),
                None => error,
            };
            match has_written {
                true => error.with_outcome(Outcome::Unknown),
                false => error,
            }
        })?;
        Ok(())
    }
}
