mod places;

use self::places::{Place, Places, Turn};
use crate::telemetry::{LIMIT_REFUSED, LIMIT_WAITING, StoreName, describe};
use futures_util::future::{Either, select};
use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Error, ErrorKind, Events, Layer, Reply, Request,
    Result, Service, SystemClock, Watch,
};
use metrics::{Counter, Gauge};
use serde::Deserialize;
use std::{fmt, pin::pin, sync::Arc, time::Duration};

/// How many calls may be under way at once, and what becomes of more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConcurrencyLimitConfig {
    /// The most calls under way at once; from 1 to a million.
    #[cfg_attr(
        feature = "schema",
        schemars(example = 100, range(min = 1, max = 1_000_000))
    )]
    pub limit: u32,
    /// The most calls that wait for a place; with 0 none waits.
    #[serde(default)]
    pub max_waiting: u32,
    /// The longest that a call waits, as in `"100ms"`.
    #[serde(default = "a_second", with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "kv_core::schema::HumanDuration"))]
    pub max_wait: Duration,
}

impl ConcurrencyLimitConfig {
    /// So many calls at once; more are refused.
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            max_waiting: 0,
            max_wait: a_second(),
        }
    }

    /// So many more wait, each for no longer than this.
    #[must_use]
    pub fn waiting(mut self, max_waiting: u32, max_wait: Duration) -> Self {
        self.max_waiting = max_waiting;
        self.max_wait = max_wait;
        self
    }
}

/// Bounds how many calls are under way at once, so that a burst of callers neither piles up in front
/// of the store nor fills the memory of this process.
///
/// Whoever finds no place waits for one, first come first served, if the settings let so many wait.
/// Others are refused with [`ErrorKind::Overloaded`]; so are those who waited too long. Neither has
/// touched the store: the outcome is *not applied*. Refusals are marked with
/// [`Error::as_last_word`], lest retries add to the load.
///
/// Inside a retry a call in a pause holds no place, outside it does. Waiting counts for a timeout
/// outside, not for one inside. Clones of a layer share their places. Watches take none, nor do
/// connecting, closing and health. Capabilities pass through.
///
/// # Cancel safety
/// A call that is dropped, also while it waits, leaves its place. What it had sent can keep the store
/// busy for longer.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    config: ConcurrencyLimitConfig,
    places: Arc<Places>,
    clock: Arc<dyn Clock>,
    store: StoreName,
}

impl ConcurrencyLimit {
    /// A layer with these settings, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a limit outside of its range.
    pub fn new(config: ConcurrencyLimitConfig) -> Result<Self> {
        if !(1..=1_000_000).contains(&config.limit) {
            let message = "limit must be from 1 to a million calls at once";
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Self {
            config,
            places: Arc::new(Places::new(config.limit)),
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

    /// A place for which a call may have to wait.
    async fn place(&self, meters: &Meters) -> Result<Place<'_>> {
        let ConcurrencyLimitConfig {
            limit,
            max_waiting,
            max_wait,
        } = self.config;
        let queued = match self.places.turn(max_waiting) {
            Turn::Now(place) => return Ok(place),
            Turn::Later(queued) => queued,
            Turn::Never => {
                meters.full.increment(1);
                return Err(overloaded(format!(
                    "{limit} calls are under way and {max_waiting} wait, as many as may; ask for less at once, or raise the limit"
                )));
            }
        };
        let _shown = Shown::begin(&meters.waiting);
        match select(pin!(queued.place()), self.clock.sleep(max_wait)).await {
            Either::Left((Some(place), _)) => Ok(place),
            _ => {
                meters.waited.increment(1);
                Err(overloaded(format!(
                    "none of {limit} places became free within {max_wait:?}; ask for less at once, or raise the limit"
                )))
            }
        }
    }
}

impl Layer for ConcurrencyLimit {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("concurrency_limit");
        Arc::new(ConcurrencyLimitService {
            inner,
            meters: Meters::new(&self.store),
            layer: self.clone(),
        })
    }
}

struct ConcurrencyLimitService {
    inner: Arc<dyn Service>,
    meters: Meters,
    layer: ConcurrencyLimit,
}

struct Meters {
    waiting: Gauge,
    /// Refused since as many wait as may.
    full: Counter,
    /// Refused after waiting.
    waited: Counter,
}

impl Meters {
    fn new(store: &StoreName) -> Self {
        let refused = |reason: &'static str| LIMIT_REFUSED.counter([store.label(), reason.into()]);
        Self {
            waiting: LIMIT_WAITING.gauge([store.label()]),
            full: refused("full"),
            waited: refused("waited"),
        }
    }
}

impl Service for ConcurrencyLimitService {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        if let Some(place) = self.layer.places.take() {
            let call = self.inner.call(request);
            return Box::pin(async move {
                let answer = call.await;
                drop(place);
                answer
            });
        }
        Box::pin(async move {
            let operation = request.command.spec().name;
            let place = self.layer.place(&self.meters).await;
            let _place = place.map_err(|error| match request.command.key() {
                Some(key) => error.with_operation(operation).with_key(key),
                None => error.with_operation(operation),
            })?;
            self.inner.call(request).await
        })
    }

    fn watch(&self, watch: Watch, context: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        self.inner.watch(watch, context)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn name(&self) -> String {
        format!("concurrency_limit({})", self.layer)
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

/// The limits, as in a printed stack.
impl fmt::Display for ConcurrencyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConcurrencyLimitConfig {
            limit,
            max_waiting,
            max_wait,
        } = self.config;
        match max_waiting {
            0 => write!(f, "{limit}"),
            _ => write!(f, "{limit}, {max_waiting} waiting {max_wait:?}"),
        }
    }
}

/// One more that waits, as the gauge shows it.
struct Shown<'a>(&'a Gauge);

impl<'a> Shown<'a> {
    fn begin(gauge: &'a Gauge) -> Self {
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn overloaded(message: String) -> Error {
    Error::new(ErrorKind::Overloaded, message).as_last_word()
}

fn a_second() -> Duration {
    Duration::from_secs(1)
}

#[cfg(test)]
mod tests;
