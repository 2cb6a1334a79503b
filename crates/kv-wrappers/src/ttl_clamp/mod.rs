use kv_core::{
    BoxFuture, Capabilities, Clock, Context, Error, ErrorKind, Events, Expiry, Layer, Lifetime,
    Parts, Reply, Request, Result, Service, SystemClock, Timestamp, Ttl, Visitor, Watch,
};
use parking_lot::Mutex;
use serde::Deserialize;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

/// The band that lifetimes are kept in. At least one of its fields is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TtlClampConfig {
    /// The shortest lifetime, as in `"1s"`.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-exclusive-minimum" = "0s")))]
    pub min: Option<Duration>,
    /// The longest lifetime; keys that were to live for ever get it, too.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<kv_core::schema::HumanDuration>", example = &"30days", extend("x-exclusive-minimum" = "0s")))]
    pub max: Option<Duration>,
    /// The lifetime where a write says nothing about one; unset it is `max`, if that is there.
    #[serde(with = "humantime_serde")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<kv_core::schema::HumanDuration>", extend("x-exclusive-minimum" = "0s")))]
    pub missing_ttl: Option<Duration>,
    /// By how much of itself a lifetime may be cut short, at random, so that keys written together do
    /// not end together: from 0 to 1, as in 0.1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub jitter: f64,
}

impl TtlClampConfig {
    /// With this shortest lifetime.
    #[must_use]
    pub fn min(mut self, min: Duration) -> Self {
        self.min = Some(min);
        self
    }

    /// With this longest lifetime.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Self {
        self.max = Some(max);
        self
    }

    /// With this lifetime where a write says nothing.
    #[must_use]
    pub fn missing_ttl(mut self, ttl: Duration) -> Self {
        self.missing_ttl = Some(ttl);
        self
    }

    /// With this much jitter, from 0 to 1.
    #[must_use]
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }
}

/// Keeps the lifetimes that writes give within a band, and spreads them.
///
/// | a write says | what becomes of it |
/// |---|---|
/// | nothing | `missing_ttl`, else `max`, else nothing |
/// | a lifetime | at least `min`, at most `max` |
/// | an instant | the same, by this machine's clock; one that is past stays |
/// | for ever | `max`, if that is set |
/// | as it was, or held | that: a lease has to end when its holder thinks it does |
///
/// The deadlines of `expire` are treated alike. Jitter only ever shortens, and never below `min` or the
/// store's granularity: no key outlives what was asked for. All items of one `set_many` share theirs;
/// instants have none.
///
/// A `max` bounds what commands say of lifetimes, not what they leave unsaid: a hash or a sorted set is
/// created without a deadline, `persist` takes one off, and a key that is written with
/// [`Ttl::Keep`] keeps none if it has none.
///
/// Capabilities pass through, and a call takes no box.
#[derive(Clone, Debug)]
pub struct TtlClamp {
    min: Option<Lifetime>,
    max: Option<Lifetime>,
    missing: Option<Lifetime>,
    jitter: f64,
    clock: Arc<dyn Clock>,
    random: Random,
}

/// Where jitter comes from.
#[derive(Clone, Debug)]
enum Random {
    /// Each thread's own: no call waits for another.
    Any,
    /// One for all, the same in every run.
    Seeded(Arc<Mutex<fastrand::Rng>>),
}

impl Random {
    /// From 0 to 1.
    fn share(&self) -> f64 {
        match self {
            Self::Any => fastrand::f64(),
            Self::Seeded(random) => random.lock().f64(),
        }
    }
}

impl TtlClamp {
    /// A layer with this band, on the machine's clock.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if nothing is set, if `min`, `missing_ttl` and `max` are not in this order,
    /// if one is zero or longer than a thousand years, or if the jitter is not from 0 to 1.
    pub fn new(config: TtlClampConfig) -> Result<Self> {
        let TtlClampConfig {
            min,
            max,
            missing_ttl,
            jitter,
        } = config;
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        let ordered = [min, missing_ttl, max].into_iter().flatten().is_sorted();
        if !ordered {
            return wrong("min, missing_ttl and max must be in this order, the shortest first");
        }
        if !(0.0..=1.0).contains(&jitter) {
            return wrong("jitter must be from 0 to 1, as in 0.1 for up to a tenth less");
        }
        if [min, missing_ttl, max] == [None; 3] && jitter == 0.0 {
            return wrong("ttl_clamp needs one of min, max, missing_ttl and jitter");
        }
        Ok(Self {
            min: lifetime("min", min)?,
            max: lifetime("max", max)?,
            missing: lifetime("missing_ttl", missing_ttl)?,
            jitter,
            clock: Arc::new(SystemClock),
            random: Random::Any,
        })
    }

    /// With this clock, which judges instants.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// With jitter that is the same in every run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Random::Seeded(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))));
        self
    }

    fn within(&self, asked: Lifetime) -> Lifetime {
        let at_least = self.min.map_or(asked, |min| asked.max(min));
        self.max.map_or(at_least, |max| at_least.min(max))
    }

    fn instant(&self, asked: Timestamp) -> Timestamp {
        if self.min.is_none() && self.max.is_none() {
            return asked;
        }
        let now = self.clock.now();
        if asked <= now {
            return asked;
        }
        let from_now = |it: Lifetime| now.saturating_add(it.as_duration());
        let at_least = self.min.map_or(asked, |min| asked.max(from_now(min)));
        self.max.map_or(at_least, |max| at_least.min(from_now(max)))
    }
}

fn lifetime(name: &'static str, span: Option<Duration>) -> Result<Option<Lifetime>> {
    let lifetime = span.map(Lifetime::new).transpose();
    lifetime.map_err(|error| {
        let message = "must be longer than zero and at most a thousand years; to do without it drop the setting";
        Error::new(ErrorKind::Config, format!("{name} {message}")).with_source(error)
    })
}

impl Layer for TtlClamp {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(TtlClampService {
            inner,
            layer: self.clone(),
            granularity: OnceLock::new(),
        })
    }
}

struct TtlClampService {
    inner: Arc<dyn Service>,
    layer: TtlClamp,
    /// The store's, asked for once: it never changes, and the answer passes through all layers.
    granularity: OnceLock<Duration>,
}

impl Service for TtlClampService {
    fn call(&self, mut request: Request) -> BoxFuture<'_, Result<Reply>> {
        if !request.command.spec().request.hold(Parts::TTLS) {
            return self.inner.call(request);
        }
        match request.command.visit(&mut Clamp(self)) {
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
        let layer = &self.layer;
        let part = |name: &str, it: Option<Lifetime>| it.map(|it| format!("{name} {it:?}"));
        let jitter = layer.jitter * 100.0;
        let parts = [
            part("min", layer.min),
            part("max", layer.max),
            part("missing", layer.missing),
            (jitter > 0.0).then(|| format!("jitter {jitter}%")),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        format!("ttl_clamp({})", parts.join(", "))
    }

    fn inner(&self) -> Option<&dyn Service> {
        Some(&*self.inner)
    }
}

impl TtlClampService {
    /// The lifetime in the band, or a shorter one in it.
    fn spread(&self, asked: Lifetime) -> Result<Lifetime> {
        let layer = &self.layer;
        let whole = layer.within(asked);
        if layer.jitter == 0.0 {
            return Ok(whole);
        }
        let whole = whole.as_duration();
        // A thousand years at most, which a float can count in milliseconds.
        let millis = whole.as_secs() * 1000 + u64::from(whole.subsec_millis());
        let cut = millis as f64 * (layer.jitter * layer.random.share());
        let shorter = whole.saturating_sub(Duration::from_millis(cut as u64));
        let granularity = || self.inner.capabilities().ttl_granularity;
        let least = *self.granularity.get_or_init(granularity);
        let least = layer.min.map_or(least, |min| least.max(min.as_duration()));
        // What was asked for can itself be below the granularity.
        Lifetime::new(shorter.max(least).min(whole))
    }
}

struct Clamp<'a>(&'a TtlClampService);

impl Visitor for Clamp<'_> {
    fn ttl(&mut self, ttl: &mut Ttl) -> Result<()> {
        let layer = &self.0.layer;
        let asked = match *ttl {
            Ttl::In(asked) => Some(asked),
            Ttl::Unset => layer.missing.or(layer.max),
            Ttl::Never => layer.max,
            Ttl::At(instant) => {
                *ttl = Ttl::At(layer.instant(instant));
                None
            }
            _ => None,
        };
        if let Some(asked) = asked {
            *ttl = Ttl::In(self.0.spread(asked)?);
        }
        Ok(())
    }

    fn expiry(&mut self, expiry: &mut Expiry) -> Result<()> {
        *expiry = match *expiry {
            Expiry::In(asked) => Expiry::In(self.0.spread(asked)?),
            Expiry::At(instant) => Expiry::At(self.0.layer.instant(instant)),
            other => other,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
