//! Coordination between processes: a namespace of keys that they write and wait for.

mod pattern;
mod wait;

use crate::{
    CallOptions, Error, ErrorKind, Key, KeyFormat, Kv, Prefix, Prefixes, Result, Segment, Value,
    command::Arg,
};
use std::fmt;

pub use self::wait::WaitForKeys;

/// The keys of one component in one namespace: `{namespace}/{component}/{key}`.
///
/// A cheap handle; processes that make the same scope on the same store see the same keys. Inside a
/// namespace and a component `/`, `{`, `}` and `%` are escaped, so no two scopes share a key. Waits
/// subscribe first and read then, so they miss nothing and poll nothing.
///
/// ```
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// let scope = kv.scope("training", "workers")?;
/// let ranks = scope.clone();
/// tokio::spawn(async move {
///     ranks.set("rank:0/ready", "1").await?;
///     ranks.set("rank:1/ready", "1").await
/// });
/// let ready = scope.wait_for_keys("rank:*/ready", 2).timeout(Duration::from_secs(5)).await?;
/// assert_eq!(ready.len(), 2);
///
/// // Another component, for one call.
/// assert!(!scope.component("parameters")?.exists("rank:0/ready").await?);
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
/// Dropping a wait ends its subscription and changes nothing.
#[derive(Clone)]
pub struct Scope {
    kv: Kv,
    namespace: Vec<u8>,
    /// What goes in front of every key.
    prefix: Vec<u8>,
}

/// Whether a scope that is closed takes its keys along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cleanup {
    /// The keys stay.
    #[default]
    Keep,
    /// The keys of this namespace and component are deleted, whoever wrote them.
    Delete,
}

impl Kv {
    /// The keys of one component in one namespace.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if one of the two is empty.
    pub fn scope(&self, namespace: impl AsRef<[u8]>, component: impl AsRef<[u8]>) -> Result<Scope> {
        Scope::new(self.clone(), namespace.as_ref(), component.as_ref())
    }
}

impl Scope {
    /// All keys of a handle: nothing is put in front of them. It has no namespace, so no other
    /// [`component`](Self::component) either.
    pub fn whole(kv: &Kv) -> Self {
        Self {
            kv: kv.clone(),
            namespace: Vec::new(),
            prefix: Vec::new(),
        }
    }

    fn new(kv: Kv, namespace: &[u8], component: &[u8]) -> Result<Self> {
        if namespace.is_empty() || component.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a scope needs a namespace and a component, each of at least one byte",
            )
            .with_operation("scope"));
        }
        let parts = [Segment::Present(namespace), Segment::Present(component)];
        let prefix = KeyFormat::new("/")?.prefix(parts)?;
        Ok(Self {
            kv,
            namespace: namespace.to_vec(),
            prefix,
        })
    }

    /// The same namespace with another component.
    ///
    /// # Errors
    /// As [`Kv::scope`].
    pub fn component(&self, component: impl AsRef<[u8]>) -> Result<Self> {
        Self::new(self.kv.clone(), &self.namespace, component.as_ref())
    }

    /// For reads on which a wait rests: a change that a cache has not heard of yet is not told again.
    fn strict(&self) -> Kv {
        self.kv.with(CallOptions::new().without_near_cache())
    }

    /// The key as the store's handle knows it, for commands that a scope does not have.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is empty.
    pub fn key(&self, key: impl Arg<Key>) -> Result<Key> {
        Ok(key.into_arg()?.prefixed(&self.prefix))
    }

    /// The handle on the store.
    pub fn kv(&self) -> &Kv {
        &self.kv
    }

    /// The ranges of this scope's keys that start with a prefix.
    fn ranges(&self, prefix: Prefix) -> Prefixes {
        let mut ranges = Prefixes::from(prefix);
        ranges.put_below(&self.prefix);
        ranges
    }

    /// A key of the store's without this scope's prefix.
    fn own(&self, key: &Key) -> Option<Key> {
        key.without_prefix(&self.prefix)
    }
}

/// The methods of the seed. Their errors are those of the commands.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Scope {
    /// Writes a text.
    pub async fn set(&self, key: impl Arg<Key>, value: impl AsRef<str>) -> Result<()> {
        self.set_bytes(key, value.as_ref().as_bytes()).await
    }

    /// Reads what is at the key.
    pub async fn get(&self, key: impl Arg<Key>) -> Result<Option<Value>> {
        self.kv.get(self.key(key)?).await
    }

    /// Writes bytes.
    pub async fn set_bytes(&self, key: impl Arg<Key>, data: impl Into<Value>) -> Result<()> {
        self.kv.set(self.key(key)?, data.into()).await
    }

    /// Reads bytes; the same as [`get`](Self::get).
    pub async fn get_bytes(&self, key: impl Arg<Key>) -> Result<Option<Value>> {
        self.get(key).await
    }

    /// Whether something is at the key.
    pub async fn exists(&self, key: impl Arg<Key>) -> Result<bool> {
        self.kv.exists(self.key(key)?).await
    }

    /// Deletes the key; whether it was there.
    pub async fn delete(&self, key: impl Arg<Key>) -> Result<bool> {
        self.kv.delete(self.key(key)?).await
    }

    /// Ends the use of this handle; returns how many keys were deleted. The store stays open.
    pub async fn close(self, cleanup: Cleanup) -> Result<u64> {
        match cleanup {
            Cleanup::Keep => Ok(0),
            Cleanup::Delete => self.kv.clear_prefixes(self.ranges(Prefix::ALL)).await,
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.prefix.escape_ascii())
    }
}
