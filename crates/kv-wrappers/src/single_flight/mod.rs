mod flights;
mod meters;

use self::flights::{Ask, Flights};
use crate::{
    telemetry::{StoreName, describe},
    touched::Touched,
};
use futures_util::StreamExt;
use kv_core::{
    BoxFuture, CallOptions, Capabilities, Clock, Context, Error, ErrorKind, Event, Events, Layer,
    Reply, Request, Result, Service, SystemClock, Watch,
};
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// How long after its start a read may be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SingleFlightConfig {
    /// That long, as in `"250ms"`; from a millisecond to a minute. What a read brings is at most so
    /// much older than its own start.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", extend("x-minimum" = "1ms", "x-maximum" = "1m")))]
    pub join_within: Duration,
}

impl Default for SingleFlightConfig {
    fn default() -> Self {
        Self {
            join_within: Duration::from_millis(250),
        }
    }
}

impl SingleFlightConfig {
    /// A read may be joined for so long.
    pub fn new(join_within: Duration) -> Self {
        Self { join_within }
    }
}

/// Lets reads that ask the same at the same time share one call to the store, its answer or its error.
/// Nothing is kept: the next read after that asks again.
///
/// Shared are `get`, `get_many`, `exists`, `hget`, `hget_many` and `hgetall` with the very same arguments in the
/// same context. A batch is shared as a whole: one of other keys, or in another order, is another.
/// Calls whose [options](CallOptions) forbid repeating or a near cache share with nobody; those with a
/// deadline do, and each keeps its own.
///
/// # What a read can see
/// A read that begins after a write through the same handle has ended, whether it succeeded, failed
/// or was dropped, joins no read that began before that end. Nor does one that follows an event of a
/// watch, or a message, got through the same handle. Apart from that a read can see what was there up
/// to `join_within` before it began; watches and transactions are never shared.
///
/// # Its place
/// Further out than `retry` and `near_cache`: those who share an answer then share its attempts, and no
/// shared answer is kept. A `timeout` further out bounds each reader's own patience.
///
/// # Cost
/// Each read enters and leaves a table, and is held in an allocation that others can share: up to a
/// microsecond. That pays before a network, not before a store in memory.
///
/// Capabilities pass through.
///
/// # Cancel safety
/// May be dropped at any time, also by whoever came first: those who still wait carry the call on. When
/// the last one is dropped, so is the call; nothing goes on in the background.
#[derive(Clone, Debug)]
pub struct SingleFlight {
    config: SingleFlightConfig,
    clock: Arc<dyn Clock>,
    store: StoreName,
}

impl SingleFlight {
    /// A layer with these settings, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings outside of their ranges.
    pub fn new(config: SingleFlightConfig) -> Result<Self> {
        let range = Duration::from_millis(1)..=Duration::from_secs(60);
        if !range.contains(&config.join_within) {
            return Err(Error::new(
                ErrorKind::Config,
                "join_within must be from a millisecond to a minute",
            ));
        }
        Ok(Self {
            config,
            clock: Arc::new(SystemClock),
            store: StoreName::default(),
        })
    }

    /// With this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With this name of the store in its metrics.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }
}

impl Layer for SingleFlight {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("single_flight");
        Arc::new(SingleFlightService {
            inner,
            flights: Arc::new(Flights::new(self.config.join_within, &self.store)),
            layer: self.clone(),
        })
    }
}

struct SingleFlightService {
    inner: Arc<dyn Service>,
    flights: Arc<Flights>,
    layer: SingleFlight,
}

impl Service for SingleFlightService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        if let Some(ask) = Ask::of(&request) {
            // The handle keeps each caller's own deadline, which is not that of the others.
            request.options = CallOptions::new();
            let now = self.layer.clock.monotonic();
            let inner = &self.inner;
            let flight = self.flights.board(ask, now, || {
                let inner = Arc::clone(inner);
                async move { inner.call(request).await }
            });
            return Box::pin(async move { flight.await.0 });
        }
        match Touched::by(&mut request.command) {
            Touched::Nothing => self.inner.call(request),
            touched => {
                let sealing = Sealing(&self.flights, touched);
                let call = self.inner.call(request);
                Box::pin(async move {
                    let reply = call.await;
                    drop(sealing);
                    reply
                })
            }
        }
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        Box::pin(async move {
            let touched = Touched::watched(&watch);
            let events = self.inner.watch(watch, context).await?;
            // Whoever now reads must not be told what was before: no event would follow.
            self.flights.seal(&touched);
            let flights = Arc::clone(&self.flights);
            let events = events.inspect(move |event| match event {
                // Its sender may have written anything before.
                Ok(Event::Message { .. }) => flights.seal(&Touched::Everything),
                Ok(event) => flights.seal(&Touched::told(event)),
                Err(_) => {}
            });
            Ok(Box::pin(events) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        format!("single_flight({:?})", self.layer.config.join_within)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// Seals what a write may have changed when it ends, however it does.
struct Sealing<'a>(&'a Flights, Touched);

impl Drop for Sealing<'_> {
    fn drop(&mut self) {
        self.0.seal(&self.1);
    }
}

#[cfg(test)]
mod tests;
