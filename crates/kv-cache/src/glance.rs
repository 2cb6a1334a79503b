//! A look at the store before anything is leased there: where most entries are found, a plain read is a small part of
//! what the question with a lease costs; where most are not, it would be one round trip more.

use crate::{
    cache::Cache,
    entry::Kept,
    far::FarEntry,
    flights::Held,
    freshness::{Freshness, Look},
    key::CacheKey,
    shared::{CacheValue, NotRead, Shared},
    tags::Sight,
};
use foldhash::fast::RandomState;
use kv_core::{Error, Outcome, Result};
use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

/// So many callers look for themselves at a time at most.
const STRIPES: usize = 1024;
/// All, as a share; and of how many of the last answers, about, it is told.
const WHOLE: u32 = 1 << 16;
const LAST: u32 = 16;

/// What is known of an entry on the store before it is asked for with a lease.
pub(crate) enum Hint {
    /// Nothing: nobody has looked.
    Unseen,
    /// It was not there, or is not to be given out.
    Absent,
    /// This version is not fresh any more.
    Outdated(u64),
    /// The store is in trouble.
    Refused(Error),
}

/// What a look has shown.
pub(crate) enum Glanced<V> {
    Good(Kept<V>),
    Not(Hint),
}

/// Whether it is worth a look.
pub(crate) struct Outlook {
    /// The share of entries that were found, of the last answers.
    found: AtomicU32,
    /// Where a caller is looking for itself: another one with the same key is to share a load that looks. Nobody waits
    /// for what is done in a caller's own future, which may stand still.
    looking: Box<[AtomicBool]>,
    hasher: RandomState,
}

impl Outlook {
    pub(crate) fn new() -> Self {
        Self {
            found: AtomicU32::new(0),
            looking: (0..STRIPES).map(|_| AtomicBool::new(false)).collect(),
            hasher: RandomState::default(),
        }
    }

    /// Whether most were found.
    pub(crate) fn is_good(&self) -> bool {
        self.found.load(Ordering::Relaxed) >= WHOLE / 2
    }

    pub(crate) fn found(&self) {
        self.change(|found| found + (WHOLE - found).div_ceil(LAST));
    }

    pub(crate) fn missed(&self) {
        self.change(|found| found - found.div_ceil(LAST));
    }

    /// What fails is not to be asked twice.
    fn failed(&self) {
        self.change(|_| 0);
    }

    /// It does no harm if one of several at a time is lost.
    fn change(&self, next: impl FnOnce(u32) -> u32) {
        let found = self.found.load(Ordering::Relaxed);
        self.found.store(next(found), Ordering::Relaxed);
    }

    /// Until it is dropped nobody else looks for itself at this key.
    fn begin(&self, key: &[u8]) -> Option<Looking<'_>> {
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        let stripe = &self.looking[stripe];
        let is_taken = stripe.swap(true, Ordering::Relaxed);
        (!is_taken).then(|| Looking(stripe))
    }
}

struct Looking<'a>(&'a AtomicBool);

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// As [`glance`], where it is worth it.
pub(crate) async fn glance_if_likely<V: CacheValue>(
    shared: &Shared<V>,
    far: &FarEntry,
    key: &[u8],
    known: Option<&Kept<V>>,
    sight: &mut Sight,
) -> Glanced<V> {
    if !shared.outlook.is_good() {
        return Glanced::Not(Hint::Unseen);
    }
    let now = shared.now();
    sight.renew(|it| shared.trusts(it, now));
    glance(shared, far, key, known, sight).await
}

/// What the store has, if the least of questions tells: not if the versions of a tag are not known, nor the store's
/// time. What was seen of the tags is from before.
async fn glance<V: CacheValue>(
    shared: &Shared<V>,
    far: &FarEntry,
    key: &[u8],
    known: Option<&Kept<V>>,
    sight: &mut Sight,
) -> Glanced<V> {
    let asked = shared.now();
    let found = match far.glance(sight).await {
        None => return Glanced::Not(Hint::Unseen),
        Some(Ok(Some(found))) => found,
        Some(Ok(None)) => {
            shared.outlook.missed();
            return Glanced::Not(Hint::Absent);
        }
        Some(Err(error)) => return Glanced::Not(refused(shared, error)),
    };
    let tags = (&far.caller, &mut *sight);
    let kept = match shared.read(key, found, asked, known, tags).await {
        Ok(kept) => kept,
        Err(NotRead::Failed(error)) => return Glanced::Not(refused(shared, error)),
        Err(NotRead::Newer | NotRead::Damaged | NotRead::Removed) => {
            shared.outlook.missed();
            return Glanced::Not(Hint::Absent);
        }
    };
    shared.outlook.found();
    match kept.times.freshness(shared.now()) {
        Freshness::Fresh => Glanced::Good(kept),
        Freshness::Stale => Glanced::Not(Hint::Outdated(kept.version)),
    }
}

/// Nothing was done there.
fn refused<V>(shared: &Shared<V>, error: Error) -> Hint {
    shared.outlook.failed();
    Hint::Refused(error.with_outcome(Outcome::Final))
}

/// What a caller has found for itself.
pub(crate) enum Own<V> {
    Hit(Held<V>),
    Not(Hint),
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// Looks whether the store has it, in the caller's own future, where that is likely. `kept` is what is here.
    pub(crate) async fn glance(
        &self,
        key: &K,
        physical: &[u8],
        kept: Option<&(Kept<V>, Look)>,
    ) -> Result<Own<V>> {
        let shared = &self.shared;
        let known = match kept {
            Some((kept, Look::Confirm)) => Some(kept),
            _ => None,
        };
        if known.is_none() && !shared.outlook.is_good() {
            return Ok(Own::Not(Hint::Unseen));
        }
        let (Some(_looking), Some(far)) = (shared.outlook.begin(physical), self.far(key)?) else {
            return Ok(Own::Not(Hint::Unseen));
        };
        // Before anything is read.
        let ticket = shared.ticket(physical);
        let mut sight = Sight::new(shared.scope()?);
        let now = shared.now();
        for tag in known.iter().flat_map(|it| it.marks.tags()) {
            sight.see(tag, |it| shared.trusts(it, now));
        }
        sight.renew(|it| shared.trusts(it, now));
        Ok(
            match glance(shared, &far, physical, known, &mut sight).await {
                Glanced::Good(kept) => {
                    shared.counts.far_hits.add();
                    let value = kept.value.clone();
                    shared.keep(ticket, physical, kept);
                    Own::Hit(value)
                }
                Glanced::Not(hint) => Own::Not(hint),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Outlook;

    #[test]
    fn a_look_is_worth_it_while_most_are_found() {
        let outlook = Outlook::new();
        assert!(!outlook.is_good());
        let needed = (1..).find(|_| {
            outlook.found();
            outlook.is_good()
        });
        assert_eq!(needed, Some(11));
        outlook.missed();
        assert!(!outlook.is_good());
        for _ in 0..10_000 {
            outlook.found();
        }
        let lost = (1..).find(|_| {
            outlook.missed();
            !outlook.is_good()
        });
        assert_eq!(lost, Some(11));
        for _ in 0..10_000 {
            outlook.missed();
        }
        outlook.found();
        outlook.failed();
        assert!(!outlook.is_good());
    }

    #[test]
    fn of_those_with_the_same_key_one_looks_for_itself() {
        let outlook = Outlook::new();
        let looking = outlook.begin(b"k");
        assert!(looking.is_some());
        assert!(outlook.begin(b"k").is_none());
        assert!(outlook.begin(b"k").is_none());
        drop(looking);
        assert!(outlook.begin(b"k").is_some());
    }
}
