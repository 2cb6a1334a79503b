//! What is done on the second store, in place of the first one or along with it.

use crate::{
    again::Target,
    cache::Cache,
    entry::{Entry, Kept, Tier},
    far::{FarCaller, FarEntry},
    freshness::Look,
    key::CacheKey,
    shared::{CacheValue, NotRead, Shared},
    tags::{Change, Sight, TagName},
};
use kv_core::{Error, Result};
use std::sync::Arc;
use tokio::runtime::Handle;

impl<K: CacheKey + ?Sized, V: CacheValue> Cache<K, V> {
    /// What the second store has that could be given out, where the first one has failed to say.
    pub(crate) async fn look_at_second(
        &self,
        first: &FarEntry,
        key: &[u8],
        sight: &Sight,
        error: &Error,
    ) -> Option<Entry<V>> {
        let far = first.second()?;
        let shared = &self.shared;
        shared.trouble(&first.caller, error, "looking");
        let ticket = shared.ticket(key);
        let mut sight = sight.elsewhere(&shared.second_tags);
        let asked = shared.now();
        sight.renew(|it| shared.trusts(it, asked));
        let found = far.look(&mut sight).await;
        let found = found.map_err(|error| shared.trouble(&far.caller, &error, "looking"));
        let tags = (&far.caller, &mut sight);
        // What is here has versions of the first one, if any.
        let read = shared.read(key, found.ok()??, asked, None, tags).await;
        let kept = match read {
            Ok(kept) => shared.kept_here(key, kept),
            Err(NotRead::Failed(error)) => {
                shared.trouble(&far.caller, &error, "asking for tags");
                return None;
            }
            Err(_) => return None,
        };
        if shared.look(&kept, asked) == Look::Ended {
            return None;
        }
        shared.counts.fallback_hits.add();
        shared.keep(ticket, key, kept.clone());
        Some(kept.seen(asked, Tier::Far))
    }
}

impl<V: CacheValue> Shared<V> {
    /// What is read from the second store, as it is kept here.
    pub(crate) fn kept_here(&self, key: &[u8], kept: Kept<V>) -> Kept<V> {
        let version = self.version_here(key);
        Kept { version, ..kept }
    }

    /// By this version something takes the place of what is here, and of nothing newer: for what the store has not numbered.
    pub(crate) fn version_here(&self, key: &[u8]) -> u64 {
        let near = self.near.as_ref();
        near.and_then(|it| it.get(key)).map_or(0, |it| it.version)
    }

    /// Along with a change of an entry on the first store the same on the second, if there is one. Dropped on its way it is
    /// done in the background.
    pub(crate) async fn entry_on_second(
        self: &Arc<Self>,
        far: &FarEntry,
        key: &[u8],
        change: Change,
    ) {
        if far.caller.second().is_some() {
            let target = Target::Entry(Box::new(far.clone()));
            self.target_on_second(key, &target, change).await;
        }
    }

    /// The same for a tag as well.
    pub(crate) async fn target_on_second(
        self: &Arc<Self>,
        key: &[u8],
        target: &Target,
        change: Change,
    ) {
        let mut undone = Undone {
            shared: self,
            key,
            target: Some(target),
            change,
        };
        self.on_second(target, change).await;
        undone.target = None;
    }

    pub(crate) async fn on_second(&self, target: &Target, change: Change) {
        match target {
            Target::Entry(far) => self.change_entry(far, change).await,
            Target::Tag(far, _, tag) => self.change_tag_of(far, tag.as_ref(), change).await,
        }
    }

    async fn change_entry(&self, far: &FarEntry, change: Change) {
        let Some(second) = far.second() else {
            return;
        };
        let done = match (change, second.caller.life()) {
            (Change::Expired, Some(life)) => second.expire(life).await,
            _ => second.invalidate().await,
        };
        self.done_on_second(&second.caller, done);
    }

    async fn change_tag_of(&self, far: &FarCaller, tag: Option<&TagName>, change: Change) {
        if let Some(second) = far.second() {
            let done = second.change(tag, change).await;
            self.done_on_second(second, done);
        }
    }

    /// A change whose caller is gone before both have answered is done on the second one at once: the first may be in
    /// trouble for long.
    fn spawn_on_second(self: &Arc<Self>, key: &[u8], target: &Target, change: Change) {
        let far = match target {
            Target::Entry(far) => &far.caller,
            Target::Tag(far, ..) => far,
        };
        let (Some(_), Ok(runtime)) = (far.second(), Handle::try_current()) else {
            return;
        };
        let (shared, key, target) = (self.clone(), Box::<[u8]>::from(key), target.clone());
        runtime.spawn(async move {
            shared.on_second(&target, change).await;
            shared.drop_read(&key, &target, change);
        });
    }

    /// What is there ends soon: whoever has changed it need not know that it was not.
    fn done_on_second(&self, second: &FarCaller, done: Result<()>) {
        if let Err(error) = done {
            self.trouble(second, &error, "removing");
        }
    }
}

/// A change of the second store on its way.
struct Undone<'a, V: CacheValue> {
    shared: &'a Arc<Shared<V>>,
    key: &'a [u8],
    target: Option<&'a Target>,
    change: Change,
}

impl<V: CacheValue> Drop for Undone<'_, V> {
    fn drop(&mut self) {
        if let Some(target) = self.target {
            self.shared.spawn_on_second(self.key, target, self.change);
        }
    }
}
