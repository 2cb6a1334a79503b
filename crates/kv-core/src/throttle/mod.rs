//! Rate limits: what is asked and what is answered. The decision itself is a pure function, in
//! `decide`, which every provider but Redis runs as it is.

mod decide;
mod fixed;
mod gcra;
mod level;
mod rule;
mod sliding;
mod state;

#[cfg(test)]
mod tests;

pub use self::{
    decide::{StateWrite, ThrottleStep},
    rule::{Gcra, Rule, Window},
    state::StateText,
};

use crate::{
    Capabilities, Error, ErrorKind, Key, Result, Timestamp, Walk, Walker,
    atomic::{Check, each_once, same_group},
    command::Parts,
};
use std::time::Duration;

/// One decision about all of some limits, whose keys share a group: all are debited or none.
///
/// ```
/// use kv_core::{KeyGroup, Rule, Throttle};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let ann = KeyGroup::new("limits:ann")?;
/// // 2 at once, then one every 30 seconds.
/// let rule = Rule::gcra(2, Duration::from_secs(60), 2)?;
/// let request = Throttle::new().limit(ann.key(":login"), rule);
///
/// assert!(kv.throttle(request.clone()).await?.allowed);
/// assert!(kv.throttle(request.clone()).await?.allowed);
/// let denied = kv.throttle(request).await?;
/// assert!(!denied.allowed);
/// assert!(denied.limits[0].retry_after <= Duration::from_secs(30));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throttle {
    /// The limits, each key once.
    pub limits: Vec<Limit>,
    /// What the request costs each of them; at least 1.
    pub cost: u64,
    /// What is done about it.
    pub mode: ThrottleMode,
}

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// Where its state is: a string that nothing else writes. An absent one means an unused limit.
    pub key: Key,
    /// How much it lets pass.
    pub rule: Rule,
}

/// What a throttle does about the cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ThrottleMode {
    /// Takes it, if all limits allow it now. What is denied changes nothing.
    #[default]
    Debit,
    /// Tells whether `Debit` would be allowed, and changes nothing.
    Peek,
    /// Gives it back, never beyond an unused limit. Always allowed.
    Refund,
    /// Takes it if all limits allow it within this time: the caller must then wait for the longest
    /// `retry_after` before it acts. For [`Rule::Gcra`] only.
    Reserve {
        /// How long the caller can wait; rounded down to the microsecond.
        max_wait: Duration,
    },
}

impl ThrottleMode {
    /// How long the caller can wait, in microseconds: not at all but in `Reserve`.
    pub fn max_wait(self) -> u64 {
        match self {
            Self::Reserve { max_wait } => u64::try_from(max_wait.as_micros()).unwrap_or(u64::MAX),
            _ => 0,
        }
    }
}

impl Throttle {
    /// A debit of 1 from no limit yet.
    pub fn new() -> Self {
        Self {
            // Most requests ask one; a vector that grows takes room for four.
            limits: Vec::with_capacity(1),
            cost: 1,
            mode: ThrottleMode::Debit,
        }
    }

    /// With one more limit.
    #[must_use]
    pub fn limit(mut self, key: impl Into<Key>, rule: Rule) -> Self {
        let key = key.into();
        self.limits.push(Limit { key, rule });
        self
    }

    /// At this cost.
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// In this mode.
    #[must_use]
    pub fn mode(mut self, mode: ThrottleMode) -> Self {
        self.mode = mode;
        self
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

/// The decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throttled {
    /// When it was made, on the store's clock.
    pub now: Timestamp,
    /// Whether all limits allow the request.
    pub allowed: bool,
    /// Each limit's own answer, in the order of the request.
    pub limits: Vec<LimitState>,
}

/// How one limit stands after the decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitState {
    /// Whether this limit allows the request.
    pub allowed: bool,
    /// How much more it would let pass now; rounded down.
    pub remaining: u64,
    /// In which time a `Debit` of the cost will be allowed if nothing else comes, exact to the
    /// microsecond; zero if it is allowed now. After a `Reserve` that is allowed, the time to wait.
    pub retry_after: Duration,
    /// In which time the limit will be unused if nothing else comes; rounded up to the microsecond.
    pub reset_after: Duration,
}

impl LimitState {
    /// How a limit stands, the times in microseconds.
    pub fn new(allowed: bool, remaining: u64, retry_after: u64, reset_after: u64) -> Self {
        Self {
            allowed,
            remaining,
            retry_after: Duration::from_micros(retry_after),
            reset_after: Duration::from_micros(reset_after),
        }
    }
}

impl Throttled {
    /// A decision.
    pub fn new(now: Timestamp, allowed: bool, limits: Vec<LimitState>) -> Self {
        Self {
            now,
            allowed,
            limits,
        }
    }
}

impl Check for Throttle {
    fn check(&self, limits: &Capabilities) -> Result<()> {
        if self.limits.is_empty() {
            return Err(invalid("a throttle needs at least one limit"));
        }
        if self.limits.len() > 1 {
            same_group(self.limits.iter().map(|it| &it.key))?;
        }
        if self.limits.len() > limits.max_txn_ops {
            let message = format!(
                "the throttle names {} limits, of which the store takes {}",
                self.limits.len(),
                limits.max_txn_ops
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        if self.limits.len() > 1 {
            each_once(self.limits.iter().map(|it| &it.key), "a limit")?;
        }
        self.limits.iter().try_for_each(|it| {
            it.rule
                .accepts(self.cost, self.mode)
                .map_err(|error| error.with_key(&it.key))
        })
    }
}

impl Walk for Throttle {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        self.limits
            .iter_mut()
            .try_for_each(|it| it.key.walk(walker))
    }
}

impl Walk for Throttled {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, _: &mut Walker<'_, 'a>) -> Result<()> {
        Ok(())
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
