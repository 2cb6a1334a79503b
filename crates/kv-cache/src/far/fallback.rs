//! A second store, which takes the place of the first one while that is in trouble.
//!
//! It has the same keys, and the same is done there. Nothing says how versions of two stores are ordered, so those of one are
//! never compared with the other's; and nobody tells of what happens there. So what comes from it is trusted for a
//! while only, after which the first store is asked again, and it does not live for long.

use super::{FarCaller, FarEntry, NEEDS, StoreTime};
use crate::freshness::Terms;
use kv_core::{Context, Error, ErrorKind, Kv, Lifetime, Result};
use std::{sync::Arc, time::Duration};

/// How long entries live there, unless something else is said.
pub(crate) const LIFE: Duration = Duration::from_secs(30);

/// The records of tags outlive the entries there by far, and yet are gone a while after the trouble.
const TAG_LIFE: Duration = Duration::from_secs(3600);

/// A second store, for while the first one is in trouble: [`Far::fallback`](crate::Far::fallback).
#[derive(Clone, Debug)]
pub struct Fallback {
    kv: Kv,
    life: Duration,
    deadline: Option<Duration>,
}

impl Fallback {
    /// On this store, which must not be the first one: what is written there is removed here. It is used for whom the first
    /// one is used for.
    pub fn new(kv: &Kv) -> Self {
        Self {
            kv: kv.clone(),
            life: LIFE,
            deadline: None,
        }
    }

    /// How long an entry lives there at most, whatever the policy says; half a minute, unless this is said. It bounds two
    /// things: for how long somebody may be shown what was removed by a process that did not reach this store, and
    /// for how long there is something to give out where the loader fails as well.
    #[must_use]
    pub fn life(self, life: Duration) -> Self {
        Self { life, ..self }
    }

    /// How long one call to this store may take; as long as one to the first, unless this is said.
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }
}

impl From<&Kv> for Fallback {
    fn from(kv: &Kv) -> Self {
        Self::new(kv)
    }
}

/// The second store, for all callers.
#[derive(Debug)]
pub(super) struct Second {
    kv: Kv,
    /// As for the first, unless it is said.
    pub(super) deadline: Option<Duration>,
    life: Lifetime,
    tag_life: Lifetime,
    time: Arc<StoreTime>,
}

/// What a store is to its cache.
#[derive(Clone)]
pub(super) enum Rank {
    /// There is no other.
    Only,
    /// The other takes its place while it is in trouble.
    First(Box<FarCaller>),
    /// What lies there lives for no longer than this.
    Second(Lifetime),
}

impl Second {
    /// `base` is a key that callers have apart if their entries are.
    pub(super) fn new(fallback: Fallback, first: &Kv, base: &[u8]) -> Result<Self> {
        let capabilities = fallback.kv.capabilities();
        if let Some(missing) = NEEDS.into_iter().find(|&it| !capabilities.has(it)) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "a cache needs what its fallback, or a layer on it, cannot do",
            )
            .with_context("missing", missing));
        }
        if fallback.life.is_zero() {
            return Err(Error::new(
                ErrorKind::Config,
                "the life of entries in the fallback must be longer than zero, or there never is one",
            ));
        }
        if fallback.deadline.is_some_and(|it| it.is_zero()) {
            return Err(Error::new(
                ErrorKind::Config,
                "the deadline of the fallback must be longer than zero, or it is never asked",
            ));
        }
        if !are_as_apart(first, &fallback.kv, base) {
            return Err(Error::new(
                ErrorKind::Config,
                "the fallback must keep tenants and users apart where the store does, and nowhere else; give both the same layer for keys",
            ));
        }
        let tags = fallback.life.saturating_mul(2).max(TAG_LIFE);
        Ok(Self {
            kv: fallback.kv,
            deadline: fallback.deadline,
            life: Lifetime::new(fallback.life)?,
            tag_life: Lifetime::new(tags.min(Lifetime::MAX.as_duration()))?,
            time: Arc::default(),
        })
    }

    /// For whom the first one is used. Nobody tells anything there.
    pub(super) fn beside(&self, first: &FarCaller) -> FarCaller {
        FarCaller {
            kv: match first.kv.caller() {
                Some(caller) => self.kv.bind(caller),
                None => self.kv.clone(),
            },
            channel: None,
            deadline: self.deadline.unwrap_or(first.deadline),
            tag_life: self.tag_life,
            time: self.time.clone(),
            rank: Rank::Second(self.life),
            ..first.clone()
        }
    }
}

impl FarCaller {
    /// The other store, if this is the first of two.
    pub(crate) fn second(&self) -> Option<&Self> {
        match &self.rank {
            Rank::First(second) => Some(second),
            Rank::Only | Rank::Second(_) => None,
        }
    }

    /// How long entries live there at most, if this is the second store.
    pub(crate) fn life(&self) -> Option<Lifetime> {
        match self.rank {
            Rank::Second(life) => Some(life),
            Rank::Only | Rank::First(_) => None,
        }
    }
}

impl FarEntry {
    /// The same entry on the other store, if this is the first of two.
    pub(crate) fn second(&self) -> Option<Self> {
        Some(Self {
            caller: self.caller.second()?.clone(),
            entry: self.entry.clone(),
            name: self.name.clone(),
            lease: self.lease,
            nonce: self.nonce,
        })
    }

    /// As the entry may be written to this store.
    pub(crate) fn within(&self, terms: Terms) -> Terms {
        let Some(life) = self.caller.life() else {
            return terms;
        };
        let most = life.as_duration();
        Terms {
            fresh: terms.fresh.min(most),
            life: terms.life.min(most),
            took: terms.took,
        }
    }
}

/// Whether two stores tell the same callers apart, as far as a few of them show: what is removed for one is then removed
/// for all who have it, and nobody has what is another's.
fn are_as_apart(one: &Kv, other: &Kv, base: &[u8]) -> bool {
    let tenant = Context::tenant("a");
    let callers = [
        Context::tenant("b"),
        tenant.clone(),
        tenant.clone().with_user("u"),
        tenant.with_user("v"),
    ];
    let keys = callers.map(|caller| {
        let key = |kv: &Kv| {
            let mut key = base.to_vec();
            kv.bind(caller.clone()).resolve_in(&mut key).ok()?;
            Some(key)
        };
        key(one).zip(key(other))
    });
    let keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.iter()
        .all(|(a, b)| keys.iter().all(|(c, d)| (a == c) == (b == d)))
}
