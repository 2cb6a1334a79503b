//! A look at the store before anything is leased there: where most entries are found, a plain read is a small part of
//! what the question with a lease costs; where most are not, it would be one round trip more.

mod many;

use crate::{
    cache::Cache,
    entry::Kept,
    far::{FarCaller, FarEntry, transitions::Found},
    flights::Held,
    freshness::{Freshness, Look, Ticket},
    key::CacheKey,
    shared::{CacheValue, NotRead, Shared},
    tags::Sight,
};
use foldhash::fast::RandomState;
use kv_core::{Error, ErrorKind, Result};
use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};

/// So many callers look for themselves at a time at most.
const STRIPES: usize = 1024;
/// All, as a share; and of how many of the last answers, about, it is told.
const WHOLE: u32 = 1 << 16;
const LAST: u32 = 16;

/// What is known of an entry on the store before it is asked for with a lease.
#[derive(Clone)]
pub(crate) enum Hint {
    /// Nothing: nobody has looked.
    Unseen,
    /// It was not there, or is not to be given out.
    Absent,
    /// There is none that is newer than this version and fresh.
    Outdated(u64),
    /// The store is in trouble, which has been told.
    Refused,
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

    /// Until it is dropped nobody else looks for itself at this key. `None` if somebody does.
    fn begin(&self, key: &[u8]) -> Option<Looking<'_>> {
        let stripe = self.hasher.hash_one(key) as usize % STRIPES;
        let stripe = &self.looking[stripe];
        let is_taken = stripe.swap(true, Ordering::Relaxed);
        // Not made in vain: it would give the turn back.
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
    let Some(now) = far.may_glance(sight) else {
        return Glanced::Not(Hint::Unseen);
    };
    match FarEntry::glance(&[far], now).await {
        Ok(mut found) => {
            let found = found.pop().flatten();
            judge(shared, far, key, known, sight, (found, asked)).await
        }
        Err(error) => Glanced::Not(refused(shared, &far.caller, error)),
    }
}

/// What was found there, when it was asked for at that time.
async fn judge<V: CacheValue>(
    shared: &Shared<V>,
    far: &FarEntry,
    key: &[u8],
    known: Option<&Kept<V>>,
    sight: &mut Sight,
    (found, asked): (Option<Found>, Duration),
) -> Glanced<V> {
    let Some(found) = found else {
        shared.outlook.missed();
        return Glanced::Not(Hint::Absent);
    };
    let tags = (&far.caller, &mut *sight);
    let kept = match shared.read(key, found, asked, known, tags).await {
        Ok(kept) => kept,
        Err(NotRead::Failed(error)) => {
            return Glanced::Not(refused(shared, &far.caller, error));
        }
        Err(NotRead::Newer) => {
            shared.outlook.missed();
            return Glanced::Not(Hint::Absent);
        }
        Err(NotRead::Damaged | NotRead::Removed) => {
            shared.outlook.missed();
            return Glanced::Not(Hint::Outdated(0));
        }
    };
    shared.outlook.found();
    match kept.times.freshness(shared.now()) {
        Freshness::Fresh => Glanced::Good(kept),
        Freshness::Stale => Glanced::Not(Hint::Outdated(kept.version)),
    }
}

/// What failed is told once.
fn refused<V: CacheValue>(shared: &Shared<V>, far: &FarCaller, error: Error) -> Hint {
    // The store is well: something that it has a layer cannot read.
    if error.kind() == ErrorKind::Codec {
        return Hint::Unseen;
    }
    shared.outlook.failed();
    shared.trouble(far, &error, "looking");
    Hint::Refused
}

/// What a caller has found for itself.
pub(crate) enum Own<V> {
    Hit(Held<V>),
    Not(Hint),
}

/// An entry that is sought: its name, its key as the store sees it, and what is here.
pub(crate) type Sought<'a, K, V> = (&'a K, &'a [u8], Option<&'a (Kept<V>, Look)>);

/// A caller's own look at an entry, with all that is to be known before anything is read.
struct OwnLook<'a, V> {
    shared: &'a Shared<V>,
    key: &'a [u8],
    known: Option<&'a Kept<V>>,
    far: FarEntry,
    ticket: Ticket,
    sight: Sight,
}

impl<V: CacheValue> OwnLook<'_, V> {
    fn end(self, glanced: Glanced<V>) -> Own<V> {
        match glanced {
            Glanced::Good(kept) => {
                self.shared.counts.far_hits.add();
                let value = kept.value.clone();
                self.shared.keep(self.ticket, self.key, kept);
                Own::Hit(value)
            }
            Glanced::Not(hint) => Own::Not(hint),
        }
    }
}

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// Looks whether the store has it, in the caller's own future, where that is likely.
    pub(crate) async fn glance(&self, sought: Sought<'_, K, V>) -> Result<Own<V>> {
        let (_, key, _) = sought;
        let Some(mut own) = self.own_look(sought)? else {
            return Ok(Own::Not(Hint::Unseen));
        };
        let Some(_looking) = self.shared.outlook.begin(key) else {
            return Ok(Own::Not(Hint::Unseen));
        };
        let (shared, known) = (own.shared, own.known);
        let glanced = glance(shared, &own.far, key, known, &mut own.sight).await;
        Ok(own.end(glanced))
    }

    /// `None` if it is not worth it.
    fn own_look<'a>(&'a self, sought: Sought<'a, K, V>) -> Result<Option<OwnLook<'a, V>>> {
        let (key, physical, kept) = sought;
        let shared = &*self.shared;
        let known = match kept {
            Some((kept, Look::Confirm)) => Some(kept),
            // It is stale: what is there will not do.
            Some((_, Look::Refresh | Look::ServeAndRefresh)) => return Ok(None),
            Some((_, Look::Serve | Look::Ended)) | None => None,
        };
        if known.is_none() && !shared.outlook.is_good() {
            return Ok(None);
        }
        let Some(far) = self.far(key)? else {
            return Ok(None);
        };
        // Before anything is read.
        let ticket = shared.ticket(physical);
        let mut sight = Sight::new(shared.scope()?);
        let now = shared.now();
        for tag in known.iter().flat_map(|it| it.marks.tags()) {
            sight.see(tag, |it| shared.trusts(it, now));
        }
        sight.renew(|it| shared.trusts(it, now));
        Ok(Some(OwnLook {
            shared,
            key: physical,
            known,
            far,
            ticket,
            sight,
        }))
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
