mod config;
mod ending;
mod measure;
mod meters;
mod trace;
mod watched;

use self::{
    ending::{Ending, lookups},
    measure::Load,
    meters::{Meters, Operation},
    trace::Tracer,
    watched::Watched,
};
use crate::telemetry::{StoreName, describe};
use kv_core::{
    Access, BoxFuture, COMMANDS, Capabilities, Clock, Context, Events, Layer, Reply, Request,
    Result, Service, SystemClock, Watch,
};
use std::{sync::Arc, time::Duration};
use tracing::{Instrument, Span};

pub use self::config::{ObserveConfig, ObserveLevel, ShowKeys};

/// Tells of every call: a span, one event, and metrics.
///
/// Spans and events go to the program's `tracing` subscriber, under the target
/// [`telemetry::TARGET`](crate::telemetry::TARGET) and by OpenTelemetry's conventions for databases;
/// metrics to its recorder of the crate `metrics`. Names, labels, units and meanings are in
/// [`telemetry`](crate::telemetry). A call that failed because the store was in trouble, and one that
/// took longer than [`ObserveConfig::slow_after`], are told with a warning, all others at
/// [`ObserveConfig::level`].
///
/// Values are never told, keys only up to where [`ObserveConfig::show_keys`] says. Nor are the texts
/// of errors, which hold keys: an error is told by its kind.
///
/// A call that is dropped ends as `cancelled` after the time it had. Without this, a store that hangs
/// behind a timeout would look fast.
///
/// Beginning a watch is an operation of its own, `watch`; how long it lives is in no histogram. What
/// waits for keys watches them, and its waiting shows there. Capabilities pass through, and so do
/// connecting, closing and health.
///
/// Outermost it sees what callers see; further in, say inside a retry, each attempt. Install recorder
/// and subscriber before the stack is put together: handles on metrics are taken then.
///
/// # Cancel safety
/// May be dropped, which is told.
#[derive(Clone, Debug)]
pub struct Observe {
    config: ObserveConfig,
    clock: Arc<dyn Clock>,
}

impl Observe {
    /// A layer with these settings, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) for settings outside of their ranges.
    pub fn new(config: ObserveConfig) -> Result<Self> {
        config.check()?;
        Ok(Self {
            config,
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

impl Layer for Observe {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("observe");
        let store = self.config.store.clone().map(StoreName::new);
        let store = store.unwrap_or_default();
        let provider = metrics::SharedString::from(provider(&*inner));
        let label = store.label();
        Arc::new(ObserveService {
            meters: Arc::new(Meters::new(store, provider.clone(), COMMANDS.len() + 1)),
            tracer: Tracer::new(self.config.clone(), label, provider),
            clock: Arc::clone(&self.clock),
            inner,
        })
    }
}

/// Beginning a watch: behind the commands.
const WATCH: Operation = Operation {
    position: COMMANDS.len(),
    name: "watch",
};

struct ObserveService {
    inner: Arc<dyn Service>,
    meters: Arc<Meters>,
    tracer: Tracer,
    clock: Arc<dyn Clock>,
}

impl Service for ObserveService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        let position = request.command.position();
        let spec = &COMMANDS[position];
        let at = Operation {
            position,
            name: spec.name,
        };
        if spec.access == Access::Write {
            let load = Load::of_command(&mut request.command);
            self.meters.written(at, load.bytes);
        }
        let span = self.tracer.span(at);
        let call = Call::begin(self, at, span.clone());
        // Where nobody listens, a future that never looks for a span is the smaller one.
        if span.is_disabled() {
            let inner = self.inner.call(request);
            return Box::pin(async move { call.answered(inner.await) });
        }
        let keys = Load::of_command(&mut request.command).keys;
        self.tracer.detail(&span, keys, request.command.key());
        let inner = span.in_scope(|| self.inner.call(request));
        Box::pin(async move { call.answered(inner.instrument(span).await) })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        let span = self.tracer.span(WATCH);
        let keys = match &watch {
            Watch::Keys(keys) | Watch::Channels(keys) => keys.len(),
            _ => 0,
        };
        self.tracer.detail(&span, keys, None);
        let call = Call::begin(self, WATCH, span.clone());
        let inner = span.in_scope(|| self.inner.watch(watch, context));
        Box::pin(async move {
            match inner.instrument(span).await {
                Ok(events) => {
                    call.end(Ending::Answered);
                    Ok(Box::pin(Watched::new(events, Arc::clone(&self.meters))) as Events)
                }
                Err(error) => {
                    call.end(Ending::Failed(error.kind()));
                    Err(error)
                }
            }
        })
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        self.tracer.to_string()
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// A call under way; one that is dropped before its end was cancelled.
struct Call<'a> {
    service: &'a ObserveService,
    operation: Operation,
    start: Duration,
    span: Span,
    ending: Ending,
}

impl<'a> Call<'a> {
    fn begin(service: &'a ObserveService, operation: Operation, span: Span) -> Self {
        service.meters.in_flight.increment(1);
        Self {
            service,
            operation,
            start: service.clock.monotonic(),
            span,
            ending: Ending::Cancelled,
        }
    }

    fn end(mut self, ending: Ending) {
        self.ending = ending;
    }

    fn answered(self, mut answer: Result<Reply>) -> Result<Reply> {
        let ending = match &mut answer {
            Ok(reply) => {
                let meters = &self.service.meters;
                meters.read(self.operation, Load::of_reply(reply).bytes);
                if let Some(found) = lookups(reply) {
                    meters.looked_up(self.operation, found);
                }
                Ending::of(reply)
            }
            Err(error) => Ending::Failed(error.kind()),
        };
        self.end(ending);
        answer
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let ObserveService {
            meters,
            tracer,
            clock,
            ..
        } = self.service;
        let took = clock.monotonic().saturating_sub(self.start);
        meters.in_flight.decrement(1);
        meters.ended(self.operation, self.ending, took);
        tracer.ended(&self.span, self.operation, self.ending, took);
    }
}

/// The name of the innermost service.
fn provider(service: &dyn Service) -> String {
    let mut last = service;
    while let Some(inner) = last.inner() {
        last = inner;
    }
    last.name()
}

#[cfg(test)]
mod tests;
