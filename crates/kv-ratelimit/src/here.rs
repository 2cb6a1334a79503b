//! What can be decided in this process, without the store.

use crate::{
    Decision, Limit, LimitError, RateLimiter, Source, Tier,
    local::governed::{Governed, Purpose, Subject},
    place,
};
use kv_core::{Error, PhysicalKey};

impl Limit {
    /// What can be said without the store. Nothing is told yet.
    pub(crate) fn decide_local(&self, flood: Flood) -> Result<Option<Decision>, LimitError> {
        if self.is_free {
            return Ok(Some(self.free()));
        }
        match self.active.policy.tier {
            Tier::InProcess => Ok(Some(self.take_own()?)),
            Tier::Leased { .. } => self.deny_known(Spend::Leased, flood),
            _ => self.deny_known(Spend::Nothing, flood),
        }
    }

    /// The same where nothing that was taken in advance may be spent, and nothing is taken.
    pub(crate) fn look_local(&self) -> Result<Option<Decision>, LimitError> {
        match self.active.policy.tier {
            _ if self.is_free => Ok(Some(self.free())),
            Tier::InProcess => Ok(None),
            _ => self.deny_known(Spend::Nothing, Flood::Look),
        }
    }

    /// The store is about to be asked, or others with it, whatever the guard would say by now.
    pub(crate) fn count_in_flood(&self) -> Result<(), Error> {
        if let Some(flood) = &self.active.flood {
            flood.take(&self.in_flood(&self.physical()?), self.cost);
        }
        Ok(())
    }

    fn deny_known(&self, spend: Spend, flood: Flood) -> Result<Option<Decision>, LimitError> {
        let policy = &self.active.policy;
        if policy.tier == Tier::Strict && self.active.flood.is_none() {
            return Ok(None);
        }
        let physical = self.physical()?;
        let known = match policy.tier {
            Tier::Strict => None,
            _ => self.active.locals.get(&physical),
        };
        if let Some(local) = known {
            let now = self.store().clock.monotonic();
            let spent = match spend {
                Spend::Leased => self.spend(&local, now),
                Spend::Nothing => None,
            };
            if spent.is_some() {
                return Ok(spent);
            }
            let denial = local.mirror.denies(self.cost, self.active.by_quota(), now);
            if let Some(state) = denial {
                return Ok(Some(self.decision(&state, Source::LocalDeny, now)));
            }
        }
        Ok(self.guard(physical, flood))
    }

    /// Denies what goes far beyond the quota.
    fn guard(&self, physical: PhysicalKey, how: Flood) -> Option<Decision> {
        let flood = self.active.flood.as_ref()?;
        let subject = self.in_flood(&physical);
        let standing = match how {
            Flood::Count => flood.take(&subject, self.cost),
            Flood::Look => flood.look(&subject, self.cost),
        };
        (!standing.allowed).then(|| self.governed(standing, Source::FloodGuard))
    }

    fn in_flood(&self, physical: &PhysicalKey) -> Subject {
        Subject {
            local: self.active.locals.get_or_insert(physical),
            purpose: Purpose::Flood,
        }
    }

    /// By what is this process's own.
    pub(crate) fn take_own(&self) -> Result<Decision, Error> {
        let (own, subject) = self.own()?;
        let standing = own.take(&subject, self.cost);
        Ok(self.governed(standing, Source::InProcess))
    }

    pub(crate) fn own(&self) -> Result<(&Governed, Subject), Error> {
        let own = self.active.own.as_ref();
        let own = own.ok_or_else(|| Error::unsupported("a limit of this process alone"))?;
        let local = self.active.locals.get_or_insert(&self.physical()?);
        let purpose = Purpose::Own;
        Ok((own, Subject { local, purpose }))
    }
}

impl RateLimiter {
    /// The decision of a policy that is this process's own about a request of cost 1, without making a
    /// [`Limit`] first, which takes as long as the rest; `None` under another one, and for who is not limited.
    pub(crate) fn take_own(
        &self,
        policy: &str,
        subject: &[u8],
    ) -> Result<Option<Decision>, LimitError> {
        let now = self.0.policies.now();
        let active = now.get(policy)?;
        let Some(own) = &active.own else {
            return Ok(None);
        };
        if active.policy.tier != Tier::InProcess || active.policy.allows(subject) {
            return Ok(None);
        }
        let key = place::limit(subject, &active.name)?;
        let physical = self.0.store.kv.resolve(key)?;
        let subject = Subject {
            local: active.locals.get_or_insert(&physical),
            purpose: Purpose::Own,
        };
        let decision = active.governed(1, own.take(&subject, 1), Source::InProcess);
        active.meters.decided(&decision);
        Ok(Some(decision))
    }
}

/// What the guard against floods makes of a question.
#[derive(Clone, Copy)]
pub(crate) enum Flood {
    /// The store is asked if this process cannot tell: it counts.
    Count,
    /// It is not asked, or not yet.
    Look,
}

/// Whether units that were taken in advance may be spent.
#[derive(Clone, Copy)]
enum Spend {
    Leased,
    Nothing,
}
