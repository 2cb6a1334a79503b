use crate::named;
use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Error, ErrorKind, Events, Key, Layer, Reply, Request,
    Result, Service, SystemClock, Timers, Watch,
};
use serde::{Deserialize, Deserializer};
use std::{collections::BTreeMap, fmt, future::poll_fn, sync::Arc, task::Poll, time::Duration};

/// How long a call may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TimeoutConfig {
    /// For every command that is not named below, as in `"250ms"`; longer than zero.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", example = &"250ms", extend("x-exclusive-minimum" = "0s")))]
    pub timeout: Duration,
    /// For single commands, by the names of the methods on `Kv` that the command table lists: a
    /// `clear_prefixes` that walks a large store takes longer than a `get`.
    #[serde(default, deserialize_with = "spans")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            with = "BTreeMap<String, kv_core::schema::HumanDuration>",
            extend("propertyNames" = kv_core::schema::command_names())
        )
    )]
    pub commands: BTreeMap<String, Duration>,
}

impl TimeoutConfig {
    /// The same span for every command.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            commands: BTreeMap::new(),
        }
    }

    /// Another span for one command.
    #[must_use]
    pub fn command(mut self, name: impl Into<String>, timeout: Duration) -> Self {
        self.commands.insert(name.into(), timeout);
        self
    }
}

/// Ends a call with [`ErrorKind::Timeout`] if its answer takes too long.
///
/// The outcome is *unknown*, for reads too: what was sent may still be applied, even after the error
/// was seen. Inside a [`Retry`](crate::Retry) the span is that of one attempt, outside that of all of
/// them together with the pauses. The span is counted from the first poll; an answer that is there
/// when it ends still counts.
///
/// Watches are exempt, and so is waiting for keys, which is made of watches: silence is no sign of
/// failure there. So are connecting, closing and health. Capabilities pass through.
///
/// # Cancel safety
/// The call inside is dropped when its time is over, as a caller may drop it at any time.
#[derive(Clone, Debug)]
pub struct Timeout {
    span: Duration,
    /// Few, mostly none.
    commands: Vec<(&'static str, Duration)>,
    clock: Arc<dyn Clock>,
}

impl Timeout {
    /// A layer with these settings, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a span of zero and for a command that the table lacks.
    pub fn new(config: TimeoutConfig) -> Result<Self> {
        let commands = config.commands.into_iter().map(|(name, span)| {
            let name = named::command(&name)?;
            Ok((name, longer_than_zero(span)?))
        });
        Ok(Self {
            span: longer_than_zero(config.timeout)?,
            commands: commands.collect::<Result<_>>()?,
            clock: Arc::new(SystemClock),
        })
    }

    /// With this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl Layer for Timeout {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        let timers = |span| Timers::new(Arc::clone(&self.clock), span);
        let commands = self.commands.iter();
        Arc::new(TimeoutService {
            inner,
            timers: timers(self.span),
            commands: commands
                .map(|(name, span)| (*name, timers(*span)))
                .collect(),
            layer: self.clone(),
        })
    }
}

struct TimeoutService {
    inner: Arc<dyn Service>,
    timers: Timers,
    commands: Vec<(&'static str, Timers)>,
    layer: Timeout,
}

impl TimeoutService {
    fn timers_of(&self, command: &'static str) -> &Timers {
        let own = self.commands.iter().find(|(name, _)| *name == command);
        own.map_or(&self.timers, |(_, timers)| timers)
    }
}

impl Service for TimeoutService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let operation = request.command.spec().name;
        let timers = self.timers_of(operation);
        let key = request.command.key().cloned();
        let mut call = self.inner.call(request);
        let mut limit = timers.limit_one();
        // By hand: an answer is large, and is moved once less.
        Box::pin(poll_fn(move |task| match call.as_mut().poll(task) {
            Poll::Ready(answer) => Poll::Ready(answer),
            Poll::Pending => {
                let late = |()| Err(late(timers.limit(), operation, key.as_ref()));
                limit.poll(task).map(late)
            }
        }))
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        format!("timeout({})", self.layer)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// The spans, as in a printed stack.
impl fmt::Display for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.span)?;
        let mut commands = self.commands.iter();
        commands.try_for_each(|(name, span)| write!(f, ", {name} {span:?}"))
    }
}

fn late(span: Duration, operation: &'static str, key: Option<&Key>) -> Error {
    let message = format!("no answer within the timeout of {span:?}");
    let error = Error::new(ErrorKind::Timeout, message).with_operation(operation);
    match key {
        Some(key) => error.with_key(key),
        None => error,
    }
}

fn longer_than_zero(span: Duration) -> Result<Duration> {
    if span.is_zero() {
        let message = "a timeout must be longer than zero; to do without one drop the wrapper";
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(span)
}

fn spans<'de, D: Deserializer<'de>>(table: D) -> Result<BTreeMap<String, Duration>, D::Error> {
    let spans = BTreeMap::<String, humantime_serde::Serde<Duration>>::deserialize(table)?;
    let spans = spans.into_iter();
    Ok(spans.map(|(name, it)| (name, it.into_inner())).collect())
}

#[cfg(test)]
mod tests;
