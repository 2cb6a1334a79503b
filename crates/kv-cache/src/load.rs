//! What loaders get, and what they give.

use crate::{key::CacheKey, tags::TagName};
use parking_lot::Mutex;
use std::{fmt, ops::Deref, sync::Arc, time::Duration};

/// What a loader can ask and say.
pub struct LoadContext<V> {
    stale: Option<Arc<V>>,
    wishes: Arc<Mutex<Wishes>>,
}

/// What a loader brings. A value becomes one, and so does an `Option` of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Loaded<V> {
    /// The value.
    Value(V),
    /// There is nothing. It is remembered for as long as the policy says with
    /// [`negative`](crate::Policy::negative).
    Missing,
    /// The stale value still holds: see [`Stale::not_modified`].
    #[doc(hidden)]
    NotModified(Stale<V>),
}

/// The value that is to be loaded anew.
pub struct Stale<V>(pub(crate) Arc<V>);

/// What a loader has said about what it brings.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) ttl: Option<Duration>,
    pub(crate) keeping: Keeping,
    pub(crate) tags: Vec<TagName>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keeping {
    #[default]
    Kept,
    NotKept,
}

impl<V> LoadContext<V> {
    pub(crate) fn new(stale: Option<Arc<V>>) -> Self {
        Self {
            stale,
            wishes: Arc::default(),
        }
    }

    pub(crate) fn wishes(&self) -> Arc<Mutex<Wishes>> {
        self.wishes.clone()
    }

    /// The value that is to be loaded anew, if there is one: for loaders that ask whether it has changed.
    pub fn stale(&self) -> Option<Stale<V>> {
        self.stale.clone().map(Stale)
    }

    /// How long this value is fresh, in place of what the policy says; zero is as if it were never set. Its
    /// life ends after thirty days, or after what the policy says if that is longer.
    pub fn set_ttl(&self, ttl: Duration) {
        self.wishes.lock().ttl = Some(ttl).filter(|it| !it.is_zero());
    }

    /// Gives what is brought this tag, besides those of [`Cache::tagged`](crate::Cache::tagged): for what is only known
    /// once it is loaded. If any tag of the cache has changed since the load began, and this process had not seen this
    /// one before, nobody can tell which came first, and what is brought goes to those who wait and is not kept. So it
    /// is if there are more than 32 tags, or one is longer than 1,024 bytes or empty.
    ///
    /// What is [not modified](Stale::not_modified) keeps the tags that it had.
    pub fn tag(&self, tag: &(impl CacheKey + ?Sized)) {
        let mut name = Vec::new();
        tag.write(&mut name);
        self.wishes.lock().tags.push(name.into());
    }

    /// What is brought goes to those who wait for it, and is kept nowhere.
    pub fn no_store(&self) {
        self.wishes.lock().keeping = Keeping::NotKept;
    }
}

impl<V> Stale<V> {
    /// What a loader returns if this value still holds: it is fresh again, as if it had been loaded.
    pub fn not_modified(self) -> Loaded<V> {
        Loaded::NotModified(self)
    }
}

impl<V> Deref for Stale<V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0
    }
}

impl<V> From<V> for Loaded<V> {
    fn from(value: V) -> Self {
        Self::Value(value)
    }
}

impl<V> From<Option<V>> for Loaded<V> {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Missing, Self::Value)
    }
}

/// Without the value, which does not belong in a log.
impl<V> fmt::Debug for LoadContext<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_stale = self.stale.is_some();
        write!(f, "LoadContext(stale: {has_stale})")
    }
}

impl<V> fmt::Debug for Stale<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stale")
    }
}
