//! The store as limits use it: one question about a limit, whatever its algorithm.

use crate::quota::{Kind, Quota};
use kv_core::{
    Capability, Clock, Error, ErrorKind, Key, Kv, LimitState, Result, Throttle, ThrottleMode,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What limits cannot do without.
const NEEDS: [Capability; 1] = [Capability::Throttle];

#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) kv: Kv,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What is asked of one limit.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) key: &'a Key,
    pub(crate) quota: &'a Quota,
    pub(crate) cost: u64,
    pub(crate) mode: ThrottleMode,
    /// Names the request in an exact log.
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
        }
    }

    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<LimitState> {
        match ask.quota.kind() {
            Kind::Rule(rule) => {
                let throttle = Throttle::new().limit(ask.key.clone(), *rule);
                let throttle = throttle.cost(ask.cost).mode(ask.mode);
                let reply = self.kv.throttle(throttle).await?;
                reply.limits.first().copied().ok_or_else(no_answer)
            }
            _ => Err(Error::unsupported("this algorithm")),
        }
    }

    /// Makes a limit unused.
    pub(crate) async fn reset(&self, key: &Key, _quota: &Quota) -> Result<()> {
        self.kv.delete(key).await.map(drop)
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
        Self(AtomicU64::new(fastrand::u64(..)))
    }
}

pub(crate) fn no_answer() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the store has not answered each limit",
    )
}
