//! Removals that the store has not taken are tried again, until it has or somebody has removed or written the entry
//! since. Others may have what was there until then: whoever removes is told the error all the same.

use crate::{
    far::{FarCaller, FarEntry},
    place::Physical,
    shared::{CacheValue, Shared},
    tags::{Change, Scope, TagName},
};
use kv_core::{Error, Lifetime, Outcome, Result, telemetry::TARGET};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::runtime::Handle;

/// So many entries wait at a time.
const MOST: usize = 1024;
/// How long to wait at first, ...
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
/// ... and at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What something is to be done to.
#[derive(Clone)]
pub(crate) enum Target {
    Entry(Box<FarEntry>),
    /// All entries with a tag, or all there are.
    Tag(Box<FarCaller>, Arc<Scope>, Option<TagName>),
}

/// What is to be tried again, by the key as the store sees it; the newest of each. A removal is more than an expiry.
#[derive(Default)]
pub(crate) struct Again(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    deeds: HashMap<Physical, Try>,
    /// How many there have been: what has come since is another one.
    last: u64,
    is_tried: bool,
}

#[derive(Clone)]
struct Try {
    deed: Change,
    target: Target,
    number: u64,
}

impl Again {
    /// The store has taken as much, or is about to be asked for it.
    pub(crate) fn forget(&self, key: &[u8], deed: Change) {
        let mut waiting = self.0.lock();
        if waiting.deeds.get(key).is_some_and(|it| it.deed <= deed) {
            waiting.deeds.remove(key);
        }
    }

    /// Whether there is room for it.
    fn put(&self, key: &[u8], target: Target, deed: Change) -> bool {
        let mut waiting = self.0.lock();
        let before = waiting.deeds.get(key).map(|it| it.deed);
        if before.is_none() && waiting.deeds.len() >= MOST {
            return false;
        }
        waiting.last += 1;
        let next = Try {
            deed: before.map_or(deed, |it| it.max(deed)),
            target,
            number: waiting.last,
        };
        waiting.deeds.insert(key.into(), next);
        true
    }

    fn all(&self) -> Vec<(Physical, Try)> {
        let waiting = self.0.lock();
        let all = waiting.deeds.iter();
        all.map(|(key, it)| (key.clone(), it.clone())).collect()
    }

    /// It is done, unless another one has come since.
    fn done(&self, key: &[u8], number: u64) {
        let mut waiting = self.0.lock();
        if waiting.deeds.get(key).is_some_and(|it| it.number == number) {
            waiting.deeds.remove(key);
        }
    }

    /// Whether the caller is the one to try.
    fn begin(&self) -> bool {
        !std::mem::replace(&mut self.0.lock().is_tried, true)
    }

    /// Whether nothing is left, which nobody tries any more.
    fn end(&self) -> bool {
        let mut waiting = self.0.lock();
        let is_over = waiting.deeds.is_empty();
        waiting.is_tried &= !is_over;
        is_over
    }
}

impl<V: CacheValue> Shared<V> {
    /// The store has not taken this, or has not said so.
    pub(crate) fn try_again(
        self: &Arc<Self>,
        key: &[u8],
        target: Target,
        deed: Change,
        error: &Error,
    ) {
        // It would say the same.
        if error.outcome() != Outcome::Final {
            self.owe(key, target, deed);
        }
    }

    /// This is done in the background, until the store has taken it.
    pub(crate) fn owe(self: &Arc<Self>, key: &[u8], target: Target, deed: Change) {
        if !self.again.put(key, target, deed) {
            self.counts.given_up.add();
            tracing::warn!(target: TARGET, cache = %self.name, "a removal is not tried again: too many wait for the store");
            return;
        }
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        if self.again.begin() {
            let trying = Trying {
                shared: Arc::downgrade(self),
                is_over: false,
            };
            runtime.spawn(trying.all());
        }
    }
}

/// Somebody tries; dropped, also with the runtime, nobody does.
struct Trying<V: CacheValue> {
    /// It must not live for the sake of this.
    shared: Weak<Shared<V>>,
    /// There was nothing left, and it is noted that nobody tries: the next one may already.
    is_over: bool,
}

impl<V: CacheValue> Trying<V> {
    async fn all(mut self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            let sleep = shared.clock.sleep(jittered);
            drop(shared);
            sleep.await;
            let Some(shared) = self.shared.upgrade() else {
                return;
            };
            pause = match shared.try_all().await {
                Ok(()) => SHORTEST_PAUSE,
                Err(error) => {
                    tracing::debug!(target: TARGET, cache = %shared.name, %error, "removals wait for the store");
                    LONGEST_PAUSE.min(pause * 2)
                }
            };
            if shared.again.end() {
                self.is_over = true;
                return;
            }
        }
    }
}

impl<V: CacheValue> Shared<V> {
    /// Ends at the first one that the store does not take.
    async fn try_all(&self) -> Result<()> {
        let life = Lifetime::new(self.policy.longest_life())?;
        for (
            key,
            Try {
                deed,
                target,
                number,
            },
        ) in self.again.all()
        {
            let done = match (&target, deed) {
                (Target::Entry(far), Change::Removed) => far.invalidate().await,
                (Target::Entry(far), Change::Expired) => far.expire(life).await,
                (Target::Tag(far, _, tag), deed) => far.change(tag.as_ref(), deed).await,
            };
            match done {
                Ok(()) => self.counts.tried_again.add(),
                Err(error) if error.outcome() != Outcome::Final => return Err(error),
                Err(_) => self.counts.given_up.add(),
            }
            self.again.done(&key, number);
            // It may have been in trouble as well.
            self.on_second(&target, deed).await;
            self.drop_read(&key, &target, deed);
        }
        Ok(())
    }

    /// What was read from a store before it had taken the change.
    pub(crate) fn drop_read(&self, key: &[u8], target: &Target, deed: Change) {
        match (target, deed) {
            (Target::Tag(_, scope, tag), deed) => self.change_tag(scope, tag.as_ref(), deed),
            (Target::Entry(_), Change::Removed) => {
                self.forget(key);
            }
            (Target::Entry(_), Change::Expired) => self.make_stale(key),
        }
    }
}

impl<V: CacheValue> Drop for Trying<V> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            shared.again.0.lock().is_tried = false;
        }
    }
}
