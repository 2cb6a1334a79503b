use crate::{
    telemetry::{HEDGES, HEDGES_WON, StoreName, describe},
    window::Window,
};
use futures_util::future::{Either, select};
use kv_core::{
    Access, BoxFuture, Capabilities, Clock, Context, Error, ErrorKind, Events, Layer, Reply,
    Request, Result, Service, SystemClock, Timers, Watch,
};
use metrics::Counter;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};

/// The time over which reads and second readings are counted.
const WINDOW: Duration = Duration::from_secs(10);
/// So many second readings in a window are allowed however few reads there are.
const RESERVE: f64 = 10.0;

/// When a read is asked for a second time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// How long the first has to answer alone, as in `"20ms"`: best a little more than what 95 of
    /// 100 reads take. Longer than zero.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration", example = &"20ms", extend("x-exclusive-minimum" = "0s")))]
    pub after: Duration,
    /// The share of the reads of ten seconds that may be asked for twice, besides ten in any case;
    /// from 0 to 1.
    #[serde(default = "a_twentieth")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub max_ratio: f64,
}

impl HedgeConfig {
    /// After this long, for at most a twentieth of the reads.
    pub fn new(after: Duration) -> Self {
        Self {
            after,
            max_ratio: a_twentieth(),
        }
    }

    /// At most this share of the reads.
    #[must_use]
    pub fn max_ratio(mut self, max_ratio: f64) -> Self {
        self.max_ratio = max_ratio;
        self
    }
}

/// Asks for a read a second time when the first takes longer than usual, and takes what comes first:
/// one slow connection or server thread then hardly shows in the slowest percent.
///
/// A read that fails is not asked for again, which is a retry's task; once both are under way, an
/// error of one waits for the other, and if both fail the first error counts. Writes, and calls whose
/// options forbid repeating, pass as they are. How many reads may be doubled is bounded, so that a slow store does not get twice the load.
/// Clones of a layer share that bound. Watches and capabilities pass through.
///
/// It helps only where the second reading can take another way than the first: several connections
/// or servers. On one connection that answers in turn it cannot.
///
/// # Cancel safety
/// May be dropped; the slower reading always is.
#[derive(Clone, Debug)]
pub struct Hedge {
    config: HedgeConfig,
    /// Reads are the usual events, second readings the rare ones.
    window: Arc<Window>,
    clock: Arc<dyn Clock>,
    store: StoreName,
}

impl Hedge {
    /// A layer with these settings, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for settings outside of their ranges.
    pub fn new(config: HedgeConfig) -> Result<Self> {
        let complaint = if config.after.is_zero() {
            "after must be longer than zero: reads that are always sent twice are twice the load"
        } else if !(0.0..=1.0).contains(&config.max_ratio) {
            "max_ratio must be from 0 to 1"
        } else {
            return Ok(Self {
                config,
                window: Arc::new(Window::new(WINDOW)),
                clock: Arc::new(SystemClock),
                store: StoreName::default(),
            });
        };
        Err(Error::new(ErrorKind::Config, complaint))
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

    /// Whether one more read may be doubled; it is counted then.
    fn may_double(&self) -> bool {
        self.window.rare_if(self.clock.monotonic(), |counts| {
            counts.rare + 1.0 <= RESERVE + self.config.max_ratio * counts.usual
        })
    }
}

impl Layer for Hedge {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("hedge");
        Arc::new(HedgeService {
            inner,
            doubled: HEDGES.counter([self.store.label()]),
            won: HEDGES_WON.counter([self.store.label()]),
            timers: Timers::new(Arc::clone(&self.clock), self.config.after),
            layer: self.clone(),
        })
    }
}

struct HedgeService {
    inner: Arc<dyn Service>,
    /// How often a read was asked for again, and how often that came first.
    doubled: Counter,
    won: Counter,
    timers: Timers,
    layer: Hedge,
}

impl Service for HedgeService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let is_read = request.command.spec().access == Access::Read;
        if !is_read || !request.options.allow_retry() {
            return self.inner.call(request);
        }
        let layer = &self.layer;
        layer.window.usual(|| layer.clock.monotonic());
        let mut first = self.inner.call(request.clone());
        Box::pin(async move {
            if let Some(answer) = self.timers.timeout(&mut first).await {
                return answer;
            }
            if !layer.may_double() {
                return first.await;
            }
            self.doubled.increment(1);
            let (answer, is_second) = match select(first, self.inner.call(request)).await {
                Either::Left((Ok(reply), _)) => (Ok(reply), false),
                Either::Right((Ok(reply), _)) => (Ok(reply), true),
                Either::Left((Err(error), other)) => (other.await.map_err(|_| error), true),
                Either::Right((Err(error), other)) => (other.await.map_err(|_| error), false),
            };
            if is_second && answer.is_ok() {
                self.won.increment(1);
            }
            answer
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        let HedgeConfig { after, max_ratio } = self.layer.config;
        format!("hedge({after:?}, {}%)", max_ratio * 100.0)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

fn a_twentieth() -> f64 {
    0.05
}

#[cfg(test)]
mod tests;
