//! Writes past the loader, and removals.

use crate::{
    again::Deed,
    cache::Cache,
    entry::Kept,
    envelope::{Content, Envelope},
    far::{FarEntry, Filled},
    freshness::Terms,
    key::CacheKey,
    near::weight,
    shared::CacheValue,
};
use kv_core::{Lifetime, Result};
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
            return Ok(());
        };
        let removed = far.invalidate().await;
        // What was read from the store meanwhile.
        self.shared.forget(&physical);
        self.settle(&physical, &far, Deed::Remove, &removed);
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
            return Ok(());
        };
        let life = Lifetime::new(self.shared.policy.longest_life())?;
        let expired = far.expire(life).await;
        self.shared.make_stale(&physical);
        self.settle(&physical, &far, Deed::Expire, &expired);
        expired
    }

    fn settle(&self, physical: &[u8], far: &FarEntry, deed: Deed, done: &Result<()>) {
        match done {
            Ok(()) => self.shared.again.forget(physical, deed),
            Err(error) => self.shared.try_again(physical, far, deed, error),
        }
    }

    async fn write(&self, key: &K, value: V, ttl: Option<Duration>) -> Result<()> {
        let shared = &self.shared;
        let (physical, _) = self.find_near(key)?;
        let payload = shared.codec.encode(&value)?;
        let terms = Terms::of_value(&shared.policy, ttl, Duration::ZERO, fastrand::f64());
        let far = self.far(key)?;
        let now = shared.now();
        let kept = |version, heard| Kept {
            value: Some(Arc::new(value)),
            version,
            weight: weight(&physical, payload.as_bytes().len()),
            times: shared.times(terms, Duration::ZERO, now),
            heard,
        };
        let ticket = shared.forget(&physical);
        let Some(far) = far else {
            shared.keep(ticket, &physical, kept(shared.next_version(), None));
            return Ok(());
        };
        let heard = far.heard();
        let written = async {
            let version = far.seize().await?;
            let envelope = Envelope {
                version,
                terms,
                content: Content::Value,
            };
            let life = Lifetime::new(terms.life)?;
            let filled = far.write(envelope.seal(payload.as_bytes()), life).await?;
            Ok((filled, version))
        };
        let written = written.await;
        // Dropped: somebody has written or removed it after us, and before this returns.
        match &written {
            Ok((Filled::Taken, version)) => {
                // Only now: a write that is dropped on its way has taken no removal's place.
                shared.again.forget(&physical, Deed::Remove);
                shared.keep(ticket, &physical, kept(*version, heard));
            }
            Ok((Filled::Dropped, _)) => {}
            Err(error) => {
                shared.forget(&physical);
                shared.try_again(&physical, &far, Deed::Remove, error);
            }
        }
        // Who asks from now on is not to join a load that has read what was there before.
        shared.flights.detach(&physical);
        written.map(drop)
    }
}
