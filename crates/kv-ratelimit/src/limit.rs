//! The limit of one subject, and what can be asked of it.

use crate::{
    CostError, Decision, LimitError, NotPossible, Source, Tier, Verdict, here::Flood,
    limiter::Shared, place, policies::Active, quota::Kind, refund::Refund, store::Store,
};
use kv_core::{Error, Key, PhysicalKey, ThrottleMode};
use std::sync::Arc;

/// The limit of a subject under a policy; [`RateLimiter::limit`](crate::RateLimiter::limit) makes it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Limit {
    pub(crate) shared: Arc<Shared>,
    /// For whom, where it goes on in the background.
    bound: Option<Store>,
    pub(crate) active: Arc<Active>,
    pub(crate) key: Key,
    pub(crate) cost: u64,
    /// By the policy's list.
    pub(crate) is_free: bool,
}

impl Limit {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        active: Arc<Active>,
        subject: &[u8],
    ) -> Result<Self, LimitError> {
        Ok(Self {
            shared: shared.clone(),
            bound: None,
            key: place::limit(subject, &active.name)?,
            is_free: active.policy.allows(subject),
            active,
            cost: 1,
        })
    }

    /// For a request of this cost; 1 unless it is said.
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Whether the request may pass, which counts if it may. What is denied changes nothing.
    ///
    /// # Errors
    /// [`LimitError::Cost`] for a cost that could never pass; [`LimitError::NotPossible`] for a quota of concurrency,
    /// which is [acquired](Self::acquire); [`LimitError::Store`] if the store could not be asked and the policy
    /// says no more about it than that.
    ///
    /// # Cancel safety
    /// May be dropped at any time; then it may have counted or not.
    pub async fn check(&self) -> Result<Decision, LimitError> {
        self.accept()?;
        let decision = match self.decide_local(Flood::Count)? {
            Some(decision) => return Ok(self.told(decision)),
            None => match self.active.policy.tier {
                // Waiting for others and each of its calls together.
                Tier::Leased { .. } => {
                    let asked = self.active.timers.timeout(self.check_leased()).await;
                    asked.unwrap_or_else(|| Err(self.undecided()))
                }
                _ => self.check_store().await,
            },
        };
        self.fall_back(decision).map(|it| self.told(it))
    }

    /// As [`check`](Self::check), if it can be decided without asking the store; `None` if it cannot, which
    /// changes nothing.
    ///
    /// # Errors
    /// As [`check`](Self::check), but those of the store.
    pub fn check_local(&self) -> Result<Option<Decision>, LimitError> {
        self.accept()?;
        let decision = self.decide_local(Flood::Look)?;
        Ok(decision.map(|it| self.told(it)))
    }

    /// What [`check`](Self::check) would say, by the store; nothing is taken.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub async fn peek(&self) -> Result<Decision, LimitError> {
        self.accept()?;
        if self.is_free {
            return Ok(self.free());
        }
        if self.active.policy.tier == Tier::InProcess {
            let (own, subject) = self.own()?;
            let standing = own.look(&subject, self.cost);
            return Ok(took_nothing(self.governed(standing, Source::InProcess)));
        }
        let asked = self.ask(self.cost, ThrottleMode::Peek, 0).await?;
        let decision = self.decision(&asked.state, Source::Store, asked.at);
        Ok(took_nothing(decision))
    }

    /// Gives back what a decision of this limit took, as if the request had never been made; never beyond an unused
    /// limit. A decision that took nothing gives nothing back; one that is given back twice may be so twice.
    ///
    /// What has flowed back by itself since the decision is not given back once more, and a window that is over gets
    /// nothing back: late refunds let no more pass than early ones. It is known up to the time that the call takes.
    ///
    /// # Errors
    /// [`LimitError::Store`]; it may or may not have been given back. It is not tried again, which errs on the
    /// strict side. [`LimitError::NotPossible`] for a decision of another policy.
    pub async fn refund(&self, decision: Decision) -> Result<(), LimitError> {
        if decision.policy != self.active.name {
            return Err(self.not_possible(
                "give back what another policy has decided",
                "call `refund` on the limit that was asked",
            ));
        }
        let (Verdict::Allowed, Some(unused_at)) = (decision.verdict, decision.unused_at) else {
            return Ok(());
        };
        match decision.source {
            Source::Store | Source::Lease => {
                let now = self.store().clock.monotonic();
                let quota = &self.active.policy.quota;
                let refund = Refund::of(quota, decision.cost, unused_at, now);
                self.give_back_to_store(refund, decision.number).await
            }
            Source::InProcess | Source::Fallback => {
                if self.active.own.is_some() {
                    let (own, subject) = self.own()?;
                    own.give_back(&subject, decision.cost, unused_at);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Makes the limit unused.
    ///
    /// # Errors
    /// [`LimitError::Store`]; [`LimitError::NotPossible`] for a quota of concurrency, whose slots are held by somebody.
    pub async fn reset(&self) -> Result<(), LimitError> {
        if self.is_concurrent() {
            return Err(self.not_possible(
                "be reset",
                "`kv locks release` takes slots from their holders",
            ));
        }
        // Before and after: what is asked meanwhile may be of before.
        self.forget()?;
        if let Some(local) = self.known()? {
            local.tokens.renounce();
        }
        let reset = self.store().reset(&self.key, self.active.policy.quota());
        self.within(reset).await?;
        self.forget()?;
        if let Some(local) = self.known()? {
            local.tokens.clear();
            local.own.clear();
            local.flood.clear();
        }
        Ok(())
    }

    pub(crate) fn store(&self) -> &Store {
        self.bound.as_ref().unwrap_or(&self.shared.store)
    }

    /// The same in the background: for who calls now.
    pub(crate) fn for_caller(&self) -> Self {
        Self {
            bound: Some(self.store().for_caller()),
            // Not in a buffer that it shares with others, which would be kept as long as this.
            key: self.key.prefixed(&[]),
            ..self.clone()
        }
    }

    pub(crate) fn is_concurrent(&self) -> bool {
        matches!(self.active.policy.quota.kind(), Kind::Concurrent { .. })
    }

    /// Refuses what the policy could never decide.
    pub(crate) fn accept(&self) -> Result<(), LimitError> {
        if self.is_concurrent() {
            return Err(self.not_possible(
                "be checked",
                "it limits what goes on at the same time: acquire a slot and keep it meanwhile",
            ));
        }
        let most = self.active.policy.quota.max_cost();
        if self.cost == 0 || self.cost > most {
            return Err(LimitError::Cost(CostError {
                policy: self.active.name.to_string(),
                cost: self.cost,
                most,
            }));
        }
        Ok(())
    }

    pub(crate) fn not_possible(&self, what: &'static str, remedy: &'static str) -> LimitError {
        LimitError::NotPossible(NotPossible {
            policy: self.active.name.to_string(),
            what,
            remedy,
        })
    }

    pub(crate) fn physical(&self) -> Result<PhysicalKey, Error> {
        self.store().kv.resolve(&self.key)
    }
}

/// Nothing is given back for it.
fn took_nothing(decision: Decision) -> Decision {
    Decision {
        unused_at: None,
        ..decision
    }
}
