//! What a policy says besides its quota.

use crate::{PolicyError, Quota};
use kv_core::{Capabilities, DeadlineClock};
use std::{num::NonZeroU32, time::Duration};

/// How long the store may take to decide, unless something else is said.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);
/// For how long units that the store gave in advance are good, unless something else is said.
pub(crate) const LEASE_AGE: Duration = Duration::from_millis(100);

/// A quota, and how it is applied.
///
/// ```
/// use kv_ratelimit::{OnError, Policy, Quota, Tier};
///
/// let quota: Quota = "100/s burst 200".parse()?;
/// let policy = Policy::new(quota)
///     .tier(Tier::leased())
///     .on_error(OnError::Local { share: 0.25 })
///     .allow(["health", "internal:*"]);
/// # let _ = policy;
/// # Ok::<(), kv_ratelimit::QuotaError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub(crate) quota: Quota,
    pub(crate) tier: Tier,
    pub(crate) on_error: OnError,
    pub(crate) deadline: Duration,
    pub(crate) enforcement: Enforcement,
    pub(crate) allow: Vec<String>,
    pub(crate) flood_guard: Option<NonZeroU32>,
}

/// How often the store is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tier {
    /// What suits the store: [`Mirrored`](Self::Mirrored), but [`Leased`](Self::Leased) for GCRA on one that
    /// decides by compare-and-set, as etcd does.
    #[default]
    Auto,
    /// For each request.
    Strict,
    /// For each request but those that are known to be denied: this process remembers, for a second at
    /// most, from when on the store will allow them. What is denied here the store would deny too,
    /// unless another process has given something back within that second.
    Mirrored,
    /// Once for many requests: this process takes units in advance. In any span of time at most what the
    /// quota allows in it passes, and what it allows in the units' age; up to a batch per process may be
    /// lost. For GCRA only. Denials are mirrored too.
    Leased {
        /// The most units that are taken in advance; an eighth of the burst if it is not said.
        max_batch: Option<u64>,
        /// For how long they are good; what is left then goes back.
        age: Duration,
    },
    /// Never: each process has the whole quota to itself, in memory. For GCRA only. A subject that is
    /// forgotten because there are too many begins anew.
    InProcess,
}

/// What is decided when the store cannot be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum OnError {
    /// Nothing: the caller gets the error.
    #[default]
    Fail,
    /// The request passes.
    Allow,
    /// It does not.
    Deny,
    /// This process has a share of the quota to itself meanwhile. For GCRA only.
    Local {
        /// More than 0, at most 1; one by the number of processes keeps the sum at the quota.
        share: f64,
    },
}

/// Whether denials count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Enforcement {
    #[default]
    Enforced,
    Shadow,
}

impl Tier {
    /// Units are taken in advance, good for 100 ms.
    pub fn leased() -> Self {
        Self::Leased {
            max_batch: None,
            age: LEASE_AGE,
        }
    }
}

impl Policy {
    /// A quota, applied as suits the store; errors are the caller's.
    pub fn new(quota: Quota) -> Self {
        Self {
            quota,
            tier: Tier::Auto,
            on_error: OnError::Fail,
            deadline: DEADLINE,
            enforcement: Enforcement::Enforced,
            allow: Vec::new(),
            flood_guard: None,
        }
    }

    /// How often the store is asked.
    #[must_use]
    pub fn tier(mut self, tier: Tier) -> Self {
        self.tier = tier;
        self
    }

    /// What is decided when the store cannot be asked.
    #[must_use]
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// How long the store may take to decide: 50 ms unless said otherwise.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Only tries the policy out: what it denies passes all the same, and is counted.
    #[must_use]
    pub fn shadow(mut self) -> Self {
        self.enforcement = Enforcement::Shadow;
        self
    }

    /// These subjects are not limited; a `*` at the end stands for any text.
    #[must_use]
    pub fn allow(mut self, subjects: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow.extend(subjects.into_iter().map(Into::into));
        self
    }

    /// Denies here, without asking, what goes beyond so many times the quota from this process alone.
    /// For GCRA only.
    #[must_use]
    pub fn flood_guard(mut self, times: NonZeroU32) -> Self {
        self.flood_guard = Some(times);
        self
    }

    /// Its quota.
    pub fn quota(&self) -> &Quota {
        &self.quota
    }

    pub(crate) fn allows(&self, subject: &[u8]) -> bool {
        self.allow.iter().any(|it| match it.strip_suffix('*') {
            Some(prefix) => subject.starts_with(prefix.as_bytes()),
            None => it.as_bytes() == subject,
        })
    }

    /// The same with a tier that is not `Auto`, if it makes sense on this store.
    pub(crate) fn settle(mut self, name: &str, store: &Capabilities) -> Result<Self, PolicyError> {
        let is_gcra = self.quota.as_gcra().is_some();
        let wrong = |reason: &str| Err(PolicyError::new(name, reason));
        if matches!(self.tier, Tier::Leased { .. } | Tier::InProcess) && !is_gcra {
            return wrong(
                "only a GCRA quota can be leased or kept in process; use the tier `mirrored`",
            );
        }
        if self.flood_guard.is_some() && !is_gcra {
            return wrong("only a GCRA quota can have a flood guard");
        }
        match self.on_error {
            OnError::Local { share } if !(share > 0.0 && share <= 1.0) => {
                return wrong("the local share must be more than 0 and at most 1");
            }
            OnError::Local { .. } if !is_gcra => {
                return wrong("only a GCRA quota can have a local share; use `allow` or `deny`");
            }
            _ => {}
        }
        if self.deadline.is_zero() {
            return wrong("the deadline must not be zero");
        }
        match self.tier {
            Tier::Leased {
                max_batch: Some(0), ..
            } => return wrong("a batch must not be empty"),
            Tier::Leased { age, .. } if !AGES.contains(&age) => {
                return wrong("the age of a lease must be 1ms to 1min");
            }
            _ => {}
        }
        if self.tier == Tier::Auto {
            // Where each client judges deadlines the store has no scripts, and a hot key is contended.
            let is_contended = matches!(store.deadline_clock, DeadlineClock::Client { .. });
            self.tier = match is_contended && is_gcra {
                true => Tier::leased(),
                false => Tier::Mirrored,
            };
        }
        Ok(self)
    }
}

const AGES: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
