mod config;
mod meters;
mod ring;

use self::{meters::Meters, ring::KeyRing};
use crate::{
    telemetry::{StoreName, describe},
    transformed::{At, Transform, Transformed},
};
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
/// moved there from another key, field or tenant does not open, nor does a message that was written to a
/// key, or a value that was sent as a message. Layers may come and go around this one
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
/// out to be unreadable, the outcome is *unknown*. A body that cannot be read is an error in its own
/// place in what [`zmove`](kv_core::Kv::zmove) answers; the claim stands, and the others are readable.
///
/// # Cost
/// A read and a `set` take one box more; sealing or opening takes some 3 µs for 64 bytes and 0.1 ms for
/// 64 KiB. Nonces are random and come from the operating system, one call for each value.
#[derive(Clone)]
pub struct Encrypt {
    ring: Arc<KeyRing>,
    store: StoreName,
}

impl Encrypt {
    /// A layer with these keys.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](kv_core::ErrorKind::Config) if `primary` names no key, the name of one
    /// cannot be used, or two are the same.
    pub fn new(config: EncryptConfig) -> Result<Self> {
        Ok(Self {
            ring: Arc::new(KeyRing::new(&config)?),
            store: StoreName::default(),
        })
    }

    /// With this name of the store in its metrics.
    #[must_use]
    pub fn store(mut self, name: impl Into<String>) -> Self {
        self.store = StoreName::new(name);
        self
    }
}

/// The names of the keys only.
impl fmt::Debug for Encrypt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.ring.names().collect();
        write!(f, "Encrypt({} of {names:?})", self.ring.primary())
    }
}

impl Layer for Encrypt {
    fn wrap(&self, inner: Arc<dyn Service>) -> Arc<dyn Service> {
        describe("encrypt");
        let cipher = Cipher {
            meters: Meters::new(&self.store, &self.ring),
            ring: Arc::clone(&self.ring),
        };
        Arc::new(Transformed::new(inner, Arc::new(cipher)))
    }
}

/// The keys at work on one store.
struct Cipher {
    ring: Arc<KeyRing>,
    meters: Meters,
}

impl Transform for Cipher {
    const IS_BOUND: bool = true;
    const GROWS_EVENLY: bool = true;

    fn write(&self, at: At<'_>, value: Value) -> Result<Value> {
        let (key, value) = self.ring.seal(at, value)?;
        self.meters.sealed(key);
        Ok(value)
    }

    fn read(&self, at: At<'_>, value: Value) -> Result<Value> {
        match self.ring.open(at, value) {
            Ok((key, value)) => {
                self.meters.opened(key);
                Ok(value)
            }
            Err(refusal) => {
                if !at.is_change {
                    self.meters.refused(&refusal);
                }
                Err(refusal.into())
            }
        }
    }

    fn capabilities(&self, mut inner: Capabilities) -> Capabilities {
        inner.max_value_bytes = inner.max_value_bytes.saturating_sub(self.ring.overhead());
        match self.ring.integers {
            Integers::Plain => inner,
            Integers::Encrypt => inner
                .without(Capability::Counters)
                .without(Capability::HashCounters),
        }
    }

    fn name(&self) -> String {
        let ring = &self.ring;
        let others = match ring.names().count() {
            1 => String::new(),
            count => format!(" of {count}"),
        };
        let plain = match ring.plain_values {
            PlainValues::Refuse => "",
            PlainValues::Read => ", plain values read",
        };
        let integers = match ring.integers {
            Integers::Encrypt => "",
            Integers::Plain => ", integers plain",
        };
        format!("encrypt({}{others}{plain}{integers})", ring.primary())
    }
}

#[cfg(test)]
mod tests;
