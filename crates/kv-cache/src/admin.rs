//! A cache on its store, as operators see it.

mod info;

pub use self::info::{
    EntryInfo, EntryPage, EntryState, EnvelopeFault, EnvelopeInfo, LoadInfo, StoredEntry, TagInfo,
    TagState, UnreadableEntry,
};

use self::info::{Found, look};
use crate::{
    Cache, CacheKey, CacheSettings, Fallback, Far, far::FarCaller, place::Entry, tags::Sight,
};
use bytes::Bytes;
use kv_core::{Cursor, Error, ErrorKind, Key, Kv, Prefixes, Result, ScanFrom, TxnReply};
use std::fmt;

/// So many keys are looked at for a page at most, ...
const PAGE: u32 = 500;
/// ... and so many entries are read in one call: each comes with its value.
const AT_ONCE: usize = 50;

/// A cache on its store, for operators and tools: what is there of its entries, without their type, and their
/// removal. Entries are those of who calls, as they are for the cache itself.
///
/// ```
/// # use kv_cache::{Cache, CacheAdmin, CacheSettings, EntryState};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let prices = Cache::<str, u32>::builder("prices").far(&kv).build()?;
/// prices.set("apple", 7).await?;
///
/// let admin = CacheAdmin::new("prices", &kv, &CacheSettings::default())?;
/// let apple = admin.inspect("apple").await?.and_then(|it| it.stored).expect("it was set");
/// let envelope = apple.envelope.expect("a program of this version wrote it");
/// assert_eq!(envelope.state, EntryState::Fresh);
/// assert_eq!(envelope.payload.as_deref(), Some(&b"7"[..]));
///
/// admin.remove("apple").await?;
/// assert!(prices.get("apple").await?.is_none());
/// # Ok(())
/// # }
/// ```
pub struct CacheAdmin {
    /// Removes and expires as all do, and tells them.
    cache: Cache<[u8], ()>,
}

impl CacheAdmin {
    /// Of the cache with this name on this store. Of the settings of its programs the deadline counts, and the
    /// policy: how long entries may live.
    ///
    /// # Errors
    /// As [`CacheBuilder::build`](crate::CacheBuilder::build).
    pub fn new(name: impl Into<String>, kv: &Kv, settings: &CacheSettings) -> Result<Self> {
        Self::of(name, settings.far(kv), settings)
    }

    /// Of a cache with a second store: what is removed or expired is so on both. What is there is told of the first.
    ///
    /// # Errors
    /// As [`CacheBuilder::build`](crate::CacheBuilder::build).
    pub fn with_fallback(
        name: impl Into<String>,
        kv: &Kv,
        fallback: impl Into<Fallback>,
        settings: &CacheSettings,
    ) -> Result<Self> {
        Self::of(name, settings.far(kv).fallback(fallback), settings)
    }

    fn of(name: impl Into<String>, far: Far, settings: &CacheSettings) -> Result<Self> {
        let builder = Cache::builder(name).policy(settings.policy);
        let cache = builder.far(far).build()?;
        Ok(Self { cache })
    }

    /// What the store has of an entry, and of its tags; `None` if there is nothing of it, and nobody loads it. Nothing is
    /// counted or changed by it, and nobody begins to load.
    ///
    /// # Errors
    /// The store's.
    pub async fn inspect(&self, key: &(impl CacheKey + ?Sized)) -> Result<Option<EntryInfo>> {
        let mut found = self.read(vec![written(key)]).await?;
        found.pop().map_or(Ok(None), |(_, read)| read)
    }

    /// Lists entries that are there, or are being loaded, from so many keys at a time: 1 to 500. One that is there
    /// throughout comes at least once, where a store repeats itself twice.
    ///
    /// It reads them with their values, and on Redis it looks at all keys of the database: it is for people at
    /// times, not for programs often.
    ///
    /// # Errors
    /// The store's, also if a layer does not let keys be listed.
    pub async fn list(&self, limit: u32, after: Option<&Cursor>) -> Result<EntryPage> {
        let prefix = Prefixes::from(self.cache.shared.place.head());
        let from = after.map_or(ScanFrom::Start, |it| ScanFrom::Cursor(it.clone()));
        let kv = self.caller()?.within();
        let page = kv.scan_page(prefix, from, limit.clamp(1, PAGE)).await?;
        let found: Vec<_> = page.keys.iter().filter_map(|it| self.part(it)).collect();
        let mut listed = EntryPage {
            entries: Vec::with_capacity(found.len()),
            unreadable: Vec::new(),
            next: page.next,
        };
        for some in found.chunks(AT_ONCE) {
            let names = some.iter().map(|(_, name)| name.clone()).collect();
            for ((part, _), (name, read)) in some.iter().zip(self.read(names).await?) {
                match read {
                    Ok(Some(entry)) if part.tells(&entry) => {
                        listed.entries.push(entry.without_payload());
                    }
                    // It has ended since, or its other key tells it.
                    Ok(_) => {}
                    Err(error) => {
                        let key = Bytes::from(name);
                        listed.unreadable.push(UnreadableEntry { key, error });
                    }
                }
            }
        }
        Ok(listed)
    }

    /// Removes an entry as [`Cache::remove`] does, for all processes.
    ///
    /// # Errors
    /// As [`Cache::remove`].
    pub async fn remove(&self, key: &(impl CacheKey + ?Sized)) -> Result<()> {
        self.cache.remove(&written(key)).await
    }

    /// Makes an entry stale as [`Cache::expire`] does, for all processes.
    ///
    /// # Errors
    /// As [`Cache::expire`].
    pub async fn expire(&self, key: &(impl CacheKey + ?Sized)) -> Result<()> {
        self.cache.expire(&written(key)).await
    }

    /// Removes all entries with this tag as [`Cache::remove_tag`] does, for all processes.
    ///
    /// # Errors
    /// As [`Cache::remove_tag`].
    pub async fn remove_tag(&self, tag: &(impl CacheKey + ?Sized)) -> Result<()> {
        self.cache.remove_tag(tag).await
    }

    /// Makes all entries with this tag stale as [`Cache::expire_tag`] does, for all processes.
    ///
    /// # Errors
    /// As [`Cache::expire_tag`].
    pub async fn expire_tag(&self, tag: &(impl CacheKey + ?Sized)) -> Result<()> {
        self.cache.expire_tag(tag).await
    }

    /// Removes all entries of this caller as [`Cache::clear`] does, for all processes.
    ///
    /// # Errors
    /// As [`Cache::clear`].
    pub async fn clear(&self) -> Result<()> {
        self.cache.clear().await
    }

    /// Makes all entries of this caller stale as [`Cache::expire_all`] does, for all processes.
    ///
    /// # Errors
    /// As [`Cache::expire_all`].
    pub async fn expire_all(&self) -> Result<()> {
        self.cache.expire_all().await
    }

    /// What the store has of these, in their order, each with its name.
    async fn read(&self, names: Vec<Vec<u8>>) -> Result<Vec<(Vec<u8>, Result<Option<EntryInfo>>)>> {
        let caller = self.caller()?;
        let place = &self.cache.shared.place;
        let mut txns = Vec::with_capacity(names.len());
        for name in &names {
            let entry = place.with_key(name, |bytes| Entry::new(bytes))?;
            txns.push(look(&entry));
        }
        let replies = caller.within().commit(txns).await?;
        let found = |reply: Result<TxnReply>| reply.and_then(Found::new);
        let found: Vec<_> = replies.into_iter().map(found).collect();
        // After the entries: by versions that are older than an entry it would count as removed.
        let mut sight = Sight::new(self.cache.shared.scope()?);
        sight.renew(|_| false);
        for tag in found.iter().flatten().flat_map(Found::tags) {
            sight.see(tag, |_| false);
        }
        caller.see(&mut sight).await?;
        let told = names.into_iter().zip(found).map(|(name, found)| {
            let told = found.map(|it| it.is_any().then(|| it.told(name.clone().into(), &sight)));
            (name, told)
        });
        Ok(told.collect())
    }

    /// What a key is of which entry, if it is of one.
    fn part(&self, key: &Key) -> Option<(Part, Vec<u8>)> {
        let key = key.as_bytes();
        let (part, key) = match (key.strip_suffix(b":data"), key.strip_suffix(b":lease")) {
            (Some(key), _) => (Part::Data, key),
            (None, Some(key)) => (Part::Lease, key),
            (None, None) => return None,
        };
        Some((part, self.cache.shared.place.name(key)?))
    }

    /// The store for who calls now, who hears no news: nothing is kept here.
    fn caller(&self) -> Result<FarCaller> {
        let far = self.cache.shared.far.as_ref();
        let far = far.ok_or_else(|| Error::new(ErrorKind::Config, "a cache without a store"))?;
        Ok(far.caller(|_, _| None))
    }
}

/// Which of an entry's keys was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Data,
    Lease,
}

impl Part {
    /// One that is there and being loaded has both, and is listed once.
    fn tells(self, entry: &EntryInfo) -> bool {
        match self {
            Self::Data => entry.stored.is_some(),
            Self::Lease => entry.stored.is_none(),
        }
    }
}

fn written(key: &(impl CacheKey + ?Sized)) -> Vec<u8> {
    let mut name = Vec::new();
    key.write(&mut name);
    name
}

impl fmt::Debug for CacheAdmin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheAdmin")
            .field("cache", &self.cache)
            .finish()
    }
}
