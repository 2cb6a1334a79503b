//! The limits of a program on one store.

use crate::{
    Decision, Limit, LimitError, Policy, PolicyError,
    policies::Policies,
    store::{Numbers, Store},
    telemetry::policies_changed,
};
use kv_core::{Clock, Error, ErrorKind, Key, Kv, SystemClock, telemetry::TARGET};
use kv_lock::LockManager;
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// So many subjects are remembered under each policy, unless something else is said.
pub(crate) const CAPACITY: u64 = 65_536;

/// Rate limits on one store, by named policies. A clone is the same limiter; a program needs one for each store.
///
/// The context of who asks, or that the handle is bound to, is what layers see: with tenants in the keys each
/// tenant has its own limits, whatever the subjects are called.
///
/// ```
/// use kv_ratelimit::{Policy, Quota, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let login: Quota = "5/min burst 2".parse()?;
/// let limiter = RateLimiter::builder(&kv).policy("login", Policy::new(login)).build()?;
///
/// assert!(limiter.check("login", "ann").await?.is_allowed());
/// assert!(limiter.check("login", "ann").await?.is_allowed());
/// let denied = limiter.check("login", "ann").await?;
/// assert!(!denied.is_allowed());
/// assert!(denied.retry_after.as_secs() <= 12);
/// // Somebody else is not concerned.
/// assert!(limiter.check("login", "bob").await?.is_allowed());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RateLimiter(pub(crate) Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) policies: Policies,
    pub(crate) numbers: Numbers,
    pub(crate) locks: OnceLock<LockManager>,
    /// Spans show so many characters of subjects.
    shown: usize,
}

impl RateLimiter {
    /// A limiter on this store.
    pub fn builder(kv: &Kv) -> RateLimiterBuilder {
        RateLimiterBuilder {
            kv: kv.clone(),
            clock: Arc::new(SystemClock),
            policies: BTreeMap::new(),
            capacity: CAPACITY,
            shown: 0,
        }
    }

    /// Whether a request of cost 1 may pass, which counts if it may: `limit(policy, subject)?.check()`.
    ///
    /// # Errors
    /// As [`limit`](Self::limit) and [`Limit::check`].
    pub async fn check(
        &self,
        policy: &str,
        subject: impl AsRef<[u8]>,
    ) -> Result<Decision, LimitError> {
        match self.take_own(policy, subject.as_ref())? {
            Some(decision) => Ok(decision),
            None => self.limit(policy, subject)?.check().await,
        }
    }

    /// As [`check`](Self::check), if it can be decided without asking the store; `None` if it cannot, which
    /// changes nothing: `limit(policy, subject)?.check_local()`, and faster than that under the tier `in process`.
    ///
    /// # Errors
    /// As [`limit`](Self::limit) and [`Limit::check_local`].
    pub fn check_local(
        &self,
        policy: &str,
        subject: impl AsRef<[u8]>,
    ) -> Result<Option<Decision>, LimitError> {
        match self.take_own(policy, subject.as_ref()) {
            Ok(None) => self.limit(policy, subject)?.check_local(),
            decided => decided,
        }
    }

    /// The limit of a subject under a policy. Any bytes are a subject: a user, an address, nothing at all
    /// for a limit that all share.
    ///
    /// # Errors
    /// [`LimitError::UnknownPolicy`]; [`LimitError::Store`] if the key does not parse, or a layer needs a tenant that
    /// is not there.
    pub fn limit(&self, policy: &str, subject: impl AsRef<[u8]>) -> Result<Limit, LimitError> {
        let active = self.0.policies.get(policy)?;
        Limit::new(&self.0, active, subject.as_ref())
    }

    /// The names of the policies, and what they say, by name.
    pub fn policies(&self) -> Vec<(Arc<str>, Policy)> {
        let all = self.0.policies.all();
        all.iter()
            .map(|it| (it.name.clone(), it.policy.clone()))
            .collect()
    }

    /// Puts other policies in force in place of all there are, at once: what is under way ends by the
    /// old ones. What this process remembers of a policy is gone with its name: if it comes back later, what is counted in
    /// process begins anew. What a subject has used under a policy of the same name stays used if the new quota is of the same
    /// algorithm: no burst is opened again by a change. GCRA remembers when a limit will be unused, so
    /// under a new rate what was used counts by the time it takes to flow back, and never for longer than the
    /// new burst takes.
    ///
    /// # Errors
    /// [`PolicyError`] for one that makes no sense; then the old ones all stay in force.
    pub fn set_policies(
        &self,
        policies: impl IntoIterator<Item = (impl Into<String>, Policy)>,
    ) -> Result<(), PolicyError> {
        let policies = policies.into_iter().map(|(name, it)| (name.into(), it));
        self.0.policies.replace(policies.collect())
    }
}

impl Shared {
    /// Policies were to be changed from outside.
    pub(crate) fn told_change(&self, changed: Result<(), String>) {
        match changed {
            Ok(()) => {
                policies_changed("applied");
                tracing::info!(target: TARGET, "the rate limit policies were read again");
            }
            Err(error) => {
                policies_changed("refused");
                tracing::warn!(target: TARGET, error, "the rate limit policies stay as they are");
            }
        }
    }

    /// The beginning of the subject in a key, escaped.
    pub(crate) fn shown(&self, key: &Key) -> Option<String> {
        (self.shown > 0).then(|| {
            let group = key.group();
            let subject = group.strip_prefix(b"rl:").unwrap_or(group);
            let text = subject.escape_ascii().map(char::from);
            text.take(self.shown).collect()
        })
    }
}

/// Makes a [`RateLimiter`].
#[derive(Clone, Debug)]
#[must_use]
pub struct RateLimiterBuilder {
    kv: Kv,
    clock: Arc<dyn Clock>,
    policies: BTreeMap<String, Policy>,
    capacity: u64,
    shown: usize,
}

impl RateLimiterBuilder {
    /// One more policy; of two with the same name the later one counts.
    pub fn policy(mut self, name: impl Into<String>, policy: Policy) -> Self {
        self.policies.insert(name.into(), policy);
        self
    }

    /// How many subjects this process remembers under each policy: 65,536 unless said otherwise. More than
    /// that are asked for at the store; under the tier `in process` those that come seldom begin anew.
    pub fn local_capacity(mut self, subjects: u64) -> Self {
        self.capacity = subjects;
        self
    }

    /// Spans show so many characters of the beginning of subjects; unless this is said nothing of
    /// them, since they tell who it is about.
    pub fn show_subjects(mut self, characters: usize) -> Self {
        self.shown = characters;
        self
    }

    /// Another clock than the machine's: for tests and simulations.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The limiter.
    ///
    /// # Errors
    /// [`LimitError::Policy`] for a policy that makes no sense; [`LimitError::Store`] if the store, or a layer on it,
    /// cannot do what limits need.
    pub fn build(self) -> Result<RateLimiter, LimitError> {
        if self.capacity == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the local capacity of a rate limiter must not be zero",
            )
            .into());
        }
        let store = Store::new(&self.kv, self.clock.clone())?;
        let capabilities = self.kv.capabilities();
        let policies = Policies::new(self.policies, self.clock, capabilities, self.capacity)?;
        Ok(RateLimiter(Arc::new(Shared {
            store,
            policies,
            numbers: Numbers::default(),
            locks: OnceLock::new(),
            shown: self.shown,
        })))
    }
}
