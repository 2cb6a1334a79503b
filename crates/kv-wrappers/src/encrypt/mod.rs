mod config;
mod ring;

use self::ring::KeyRing;
use crate::transformed::{At, Transform, Transformed};
use kv_core::{Capabilities, Capability, Layer, Result, Service, Value};
use std::{fmt, sync::Arc};

pub use self::config::{EncryptConfig, EncryptionKey, Integers, PlainValues};

/// Encrypts values on their way to the store, with XChaCha20-Poly1305.
///
/// ```
/// use kv_core::{ErrorKind, Kv};
/// use kv_wrappers::{Encrypt, EncryptConfig, EncryptionKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// // In earnest: `EncryptionKey::parse(&secret)?`, with what `openssl rand -base64 32` printed.
/// let (old, new) = (EncryptionKey::new([1; 32]), EncryptionKey::new([2; 32]));
/// let store = kv_memory::MemoryStore::default();
/// let open = async |config| {
///     let kv = Kv::builder(store.clone()).layer(Encrypt::new(config)?);
///     kv.connect().await
/// };
///
/// let before = open(EncryptConfig::new("2026-10", old.clone())).await?;
/// before.set("card", "4111 1111").await?;
///
/// // A rotation: the new key writes, all read.
/// let after = open(EncryptConfig::new("2026-11", new).key("2026-10", old)).await?;
/// assert_eq!(after.get("card").await?, Some("4111 1111".into()));
/// after.set("card", "4222 2222").await?;
/// assert_eq!(before.get("card").await.unwrap_err().kind(), ErrorKind::Codec);
/// # Ok(())
/// # }
/// ```
///
/// Each value is bound to its key *as the store sees it*, and to its field in a hash: one that somebody
/// moved there from another key, field or tenant does not open. Layers may come and go around this one
/// as long as the keys on the store stay the same.
///
/// # What is covered
/// Values everywhere: strings, fields of hashes, steps of transactions, bodies of moves, messages,
/// events. **Not** covered, because the store compares, orders or counts them: keys, names of fields,
/// members and scores of sorted sets, [`Mark`](kv_core::Mark)s, tallies, tokens, limits, counters of
/// transactions; put nothing secret there. How long a value is and when it is written shows, too; so
/// does, below [`Compress`](crate::Compress), how well it packs. An older value that is put back in its
/// own place opens.
///
/// # What it subtracts
/// [`CompareValue`](Capability::CompareValue), since the same value never becomes the same bytes; the
/// counters, unless [`Integers::Plain`] is chosen; and from the longest value what a frame adds: 43
/// bytes and the name of the key.
///
/// # Errors
/// [`ErrorKind::Codec`](kv_core::ErrorKind::Codec) when what is read is damaged, out of place,
/// encrypted with a key that is not in the ring, or not encrypted; see [`PlainValues`]. One such value
/// fails the whole of a `get_many` or `hgetall`. Where a command had been applied when its answer turns
/// out to be unreadable, the outcome is *unknown*: a body that cannot be read fails the `zmove` that
/// brings it.
///
/// # Cost
/// A read and a `set` take one box more; sealing or opening takes some 3 µs for 64 bytes and 0.1 ms for
/// 64 KiB. Nonces are random and come from the operating system, one call for each value.
#[derive(Clone)]
pub struct Encrypt(Arc<KeyRing>);

impl Encrypt {
    /// A layer with these keys.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if `primary` names no key, the name of one
    /// cannot be used, or two are the same.
    pub fn new(config: EncryptConfig) -> Result<Self> {
        Ok(Self(Arc::new(KeyRing::new(&config)?)))
    }
}

/// The names of the keys only.
impl fmt::Debug for Encrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.names().collect();
        write!(f, "Encrypt({} of {names:?})", self.0.primary())
    }
}

impl Layer for Encrypt {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        Arc::new(Transformed::new(inner, Arc::clone(&self.0)))
    }
}

impl Transform for KeyRing {
    const IS_BOUND: bool = true;
    const GROWS_EVENLY: bool = true;

    fn write(&self, at: At<'_>, value: Value) -> Result<Value> {
        self.seal(at, value)
    }

    fn read(&self, at: At<'_>, value: Value) -> Result<Value> {
        self.open(at, value)
    }

    fn capabilities(&self, mut inner: Capabilities) -> Capabilities {
        inner.max_value_bytes = inner.max_value_bytes.saturating_sub(self.overhead());
        match self.integers {
            Integers::Plain => inner,
            Integers::Encrypt => inner
                .without(Capability::Counters)
                .without(Capability::HashCounters),
        }
    }

    fn name(&self) -> String {
        let others = match self.names().count() {
            1 => String::new(),
            count => format!(" of {count}"),
        };
        let plain = match self.plain_values {
            PlainValues::Refuse => "",
            PlainValues::Read => ", plain values read",
        };
        let integers = match self.integers {
            Integers::Encrypt => "",
            Integers::Plain => ", integers plain",
        };
        format!("encrypt({}{others}{plain}{integers})", self.primary())
    }
}

#[cfg(test)]
mod tests;
