//! The store as limits use it: one question about a limit, whatever its algorithm.

mod calendar;
mod log;
mod window;

use self::{calendar::Calendar, log::Log};
use crate::quota::{Kind, Quota};
use kv_core::{
    Capability, Clock, Error, ErrorKind, Key, Kv, LimitState, Result, Throttle, ThrottleMode,
    Timestamp,
};
use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

/// What limits cannot do without.
const NEEDS: [Capability; 1] = [Capability::Throttle];

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) kv: Kv,
    pub(crate) clock: Arc<dyn Clock>,
    /// By how many microseconds the store's clock was ahead of this one when the store last told.
    ahead: Arc<AtomicI64>,
}

/// What is asked of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) key: &'a Key,
    pub(crate) quota: &'a Quota,
    pub(crate) cost: u64,
    pub(crate) mode: ThrottleMode,
    /// Names the request in an exact log. What is given back is what the decision with this number took.
    pub(crate) number: u64,
}

impl Store {
    pub(crate) fn new(kv: &Kv, clock: Arc<dyn Clock>) -> Result<Self> {
        let capabilities = kv.capabilities();
        if let Some(missing) = NEEDS.into_iter().find(|&it| !capabilities.has(it)) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "rate limits need what this store, or a layer on it, cannot do",
            )
            .with_context("missing", missing));
        }
        Ok(Self {
            kv: kv.clone(),
            clock,
            ahead: Arc::default(),
        })
    }

    /// The same for who calls now, also where it is used in the background.
    pub(crate) fn for_caller(&self) -> Self {
        let kv = match self.kv.caller() {
            Some(caller) => self.kv.bind(caller),
            None => self.kv.clone(),
        };
        Self {
            kv,
            clock: self.clock.clone(),
            ahead: self.ahead.clone(),
        }
    }

    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<LimitState> {
        self.ask_numbered(ask).await.map(|(state, _)| state)
    }

    /// The same, with the number by which what was taken can be given back: an exact log's own, or the
    /// calendar's window.
    pub(crate) async fn ask_numbered(&self, ask: Ask<'_>) -> Result<(LimitState, u64)> {
        match ask.quota.kind() {
            Kind::Rule(rule) => {
                let throttle = Throttle::new().limit(ask.key.clone(), *rule);
                let throttle = throttle.cost(ask.cost).mode(ask.mode);
                let reply = self.kv.throttle(throttle).await?;
                let state = reply.limits.first().copied().ok_or_else(no_answer)?;
                Ok((state, ask.number))
            }
            Kind::Log { count, window } => {
                let log = Log::new(&self.kv, ask.key, *count, *window)?;
                Ok((log.ask(&ask).await?, ask.number))
            }
            Kind::Calendar {
                count,
                period,
                zone,
            } => {
                let calendar = Calendar::new(self, ask.key, *count, *period, zone);
                calendar.ask(&ask).await
            }
            Kind::Concurrent { .. } => Err(Error::unsupported("counting what is held")),
        }
    }

    /// Makes a limit unused.
    pub(crate) async fn reset(&self, key: &Key, quota: &Quota) -> Result<()> {
        match quota.kind() {
            Kind::Log { count, window } => Log::new(&self.kv, key, *count, *window)?.reset().await,
            Kind::Calendar {
                count,
                period,
                zone,
            } => {
                let calendar = Calendar::new(self, key, *count, *period, zone);
                calendar.reset().await
            }
            _ => self.kv.delete(key).await.map(drop),
        }
    }

    /// The time that the store's clock shows, as far as it is known here.
    fn time(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Timestamp::from_micros(self.clock.now().as_micros().saturating_add(ahead))
    }

    /// The store has told its time just now.
    fn told(&self, time: Timestamp) {
        let here = self.clock.now().as_micros();
        let ahead = time.as_micros().saturating_sub(here);
        self.ahead.store(ahead, Ordering::Relaxed);
    }
}

/// Names of requests that are never used twice, by any process but for a chance of 1 in 2^64 divided
/// by how many there are in one log.
#[derive(Debug)]
pub(crate) struct Numbers(AtomicU64);

impl Numbers {
    pub(crate) fn next(&self) -> u64 {
        // Zero means that there is none.
        self.0.fetch_add(1, Ordering::Relaxed).max(1)
    }
}

impl Default for Numbers {
    fn default() -> Self {
        let mut number = [0; 8];
        // Without the system's, a generator that nobody but us may have seeded.
        match getrandom::fill(&mut number) {
            Ok(()) => Self(AtomicU64::new(u64::from_ne_bytes(number))),
            Err(_) => Self(AtomicU64::new(fastrand::Rng::new().u64(..))),
        }
    }
}

/// What only GCRA can do.
fn no_reserve() -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        "only a GCRA quota can be reserved",
    )
}

/// The key of a part of a limit's state, in the same group.
fn part(key: &Key, suffix: &str) -> Result<Key> {
    Key::new([key.as_bytes(), suffix.as_bytes()].concat())
}

pub(crate) fn no_answer() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the store has not answered each limit",
    )
}
