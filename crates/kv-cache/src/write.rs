//! Writes past the loader, and removals.

use crate::{
    again::Target,
    cache::Cache,
    entry::Kept,
    envelope::{Content, Envelope},
    events::By,
    far::{FarEntry, Filled, transitions::Issue},
    freshness::Terms,
    key::CacheKey,
    near::weight,
    shared::CacheValue,
    tags::{Change, Sight, TagName},
    under_way::UnderWay,
};
use futures_util::future::join;
use kv_core::{Error, ErrorKind, Lifetime, Result};
use std::{sync::Arc, time::Duration};

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// Writes a value, for as long as the policy says. Loads that have begun before do not replace it, and of
    /// several writes the last one stays.
    ///
    /// # Errors
    /// The store's; then this process has nothing of this name, and the store may have either. What was there is
    /// removed in the background, as by [`remove`](Self::remove): nobody is to have it for long.
    pub async fn set(&self, key: &K, value: V) -> Result<()> {
        self.write(key, value, None).await
    }

    /// As [`set`](Self::set), fresh for so long.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_for(&self, key: &K, value: V, ttl: Duration) -> Result<()> {
        // A lifetime is longer than zero.
        let ttl = Lifetime::new(ttl)?;
        self.write(key, value, Some(ttl.as_duration())).await
    }

    /// Removes an entry from this process and from the store. When this has returned, nobody gets it here any
    /// more, and nothing whose load began before is kept anywhere.
    ///
    /// # Errors
    /// The store's; then it is gone here, and may still be there. It is tried again in the background, until the
    /// store has taken it or the entry is removed or written anew; for 1,024 entries at a time.
    pub async fn remove(&self, key: &K) -> Result<()> {
        let (physical, _) = self.find_near(key)?;
        self.shared.forget(&physical);
        let Some(far) = self.far(key)? else {
            self.shared.tell_changed(&physical, Change::Removed, By::Us);
            return Ok(());
        };
        let target = Target::Entry(Box::new(far.clone()));
        let under_way = UnderWay::new(&self.shared, &physical, target, Change::Removed);
        let beside = (self.shared).entry_on_second(&far, &physical, Change::Removed);
        let (removed, ()) = join(far.invalidate(), beside).await;
        // What was read from the store meanwhile.
        self.shared.forget(&physical);
        under_way.ended(&removed);
        self.shared.tell_changed(&physical, Change::Removed, By::Us);
        removed
    }

    /// Makes an entry stale: it is loaded anew when it is asked for, and given out meanwhile and if that
    /// fails, until its end. What is being loaded is not kept.
    ///
    /// # Errors
    /// The store's; then it is stale here, and may still be fresh there. It is tried again as a removal is.
    pub async fn expire(&self, key: &K) -> Result<()> {
        let (physical, _) = self.find_near(key)?;
        self.shared.make_stale(&physical);
        let Some(far) = self.far(key)? else {
            self.shared.tell_changed(&physical, Change::Expired, By::Us);
            return Ok(());
        };
        let life = Lifetime::new(self.shared.policy.longest_life())?;
        let target = Target::Entry(Box::new(far.clone()));
        let under_way = UnderWay::new(&self.shared, &physical, target, Change::Expired);
        let beside = (self.shared).entry_on_second(&far, &physical, Change::Expired);
        let (expired, ()) = join(far.expire(life), beside).await;
        self.shared.make_stale(&physical);
        under_way.ended(&expired);
        self.shared.tell_changed(&physical, Change::Expired, By::Us);
        expired
    }

    async fn write(&self, key: &K, value: V, ttl: Option<Duration>) -> Result<()> {
        let shared = &self.shared;
        let (physical, _) = self.find_near(key)?;
        let payload = shared.codec.encode(&value)?;
        let terms = Terms::of_value(&shared.policy, ttl, Duration::ZERO, fastrand::f64());
        let far = self.far(key)?;
        let tags = self.tags.as_deref().unwrap_or_default();
        let now = shared.now();
        let ticket = shared.forget(&physical);
        // Before anything is read or written that goes by them.
        let mut sight = Sight::new(shared.scope()?);
        for tag in tags {
            sight.see(tag, |it| shared.trusts(it, now));
        }
        let kept = |version, heard, sight: &Sight, since: Duration| {
            let marks = sight.marks(tags);
            Kept {
                value: Some(Arc::new(value)),
                version,
                weight: weight(&physical, payload.as_bytes().len(), &marks),
                times: shared.times(terms, Duration::ZERO, now, since),
                heard,
                since,
                marks,
            }
        };
        let Some(far) = far else {
            let kept = kept(shared.next_version(), None, &sight, now);
            shared.keep(ticket, &physical, kept);
            shared.tell_changed(&physical, Change::Removed, By::Us);
            return Ok(());
        };
        let heard = far.heard();
        let target = Target::Entry(Box::new(far.clone()));
        let under_way = UnderWay::new(shared, &physical, target, Change::Removed);
        let first = async {
            let written = self.fill(&far, &mut sight, tags, terms, payload.as_bytes());
            let written = written.await;
            // What was read beside it is old, also where this one has no room.
            let after = shared.forget(&physical);
            // Here and now, whatever the second store does: a write that is dropped on its way has taken no removal's
            // place, and one that is done is not removed.
            match &written {
                Ok((Filled::Taken, version, since)) => {
                    under_way.done();
                    let kept = kept(*version, heard, &sight, now.min(*since));
                    match after.is_next_to(ticket) {
                        true => shared.keep(after, &physical, kept),
                        false if shared.near.is_some() => shared.counts.refused_fills.add(),
                        false => {}
                    }
                }
                // Somebody has written or removed it after us, and before this returns.
                Ok((Filled::Dropped, ..)) => under_way.dismiss(),
                Err(error) => under_way.failed(error),
            }
            written
        };
        // A second store is for what is loaded while the first is in trouble.
        let beside = shared.entry_on_second(&far, &physical, Change::Removed);
        let (written, ()) = join(first, beside).await;
        // Who asks from now on is not to join a load that has read what was there before.
        shared.flights.detach(&physical);
        shared.tell_changed(&physical, Change::Removed, By::Us);
        written.map(drop)
    }

    /// What became of it, under what version, and when the versions of its tags were read.
    async fn fill(
        &self,
        far: &FarEntry,
        sight: &mut Sight,
        tags: &[TagName],
        terms: Terms,
        payload: &[u8],
    ) -> Result<(Filled, u64, Duration)> {
        // What others have removed before this is not to remove what is written now: asked for in the same call.
        sight.renew(|_| false);
        let Issue { version, at } = far.seize(sight).await?;
        if let Err(error) = far.caller.begin(sight).await {
            // Nobody is to wait for it; what became of this one is told by the other error.
            let _ = far.give_up().await;
            return Err(error);
        }
        let (tags, since) = sight.versions(tags).ok_or_else(|| {
            let message = "the store did not tell the versions of the tags";
            Error::new(ErrorKind::Unexpected, message)
        })?;
        let envelope = Envelope {
            version,
            since: at,
            terms,
            content: Content::Value,
            tags,
        };
        let life = Lifetime::new(terms.life)?;
        let filled = far.write(envelope.seal(payload), life).await?;
        Ok((filled, version, since))
    }
}
