//! How long a key lives.

use crate::{Error, ErrorKind, Result, Timestamp};
use std::{fmt, time::Duration};

/// A span that a key can live: whole milliseconds, at least one, at most a thousand years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime {
    millis: u64,
}

impl Lifetime {
    /// The longest lifetime, a thousand years.
    pub const MAX: Self = Self {
        millis: 1000 * 365 * 24 * 3600 * 1000,
    };

    /// Parses a span; a fraction of a millisecond is rounded up, so that a key never ends early.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is zero or longer than [`MAX`](Self::MAX).
    pub fn new(span: Duration) -> Result<Self> {
        let millis = span.as_nanos().div_ceil(1_000_000);
        if millis == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "a ttl must be longer than zero; to remove a key use delete, to keep it for ever Ttl::Never",
            ));
        }
        match u64::try_from(millis) {
            Ok(millis) if millis <= Self::MAX.millis => Ok(Self { millis }),
            _ => Err(Error::new(
                ErrorKind::InvalidArgument,
                "a ttl must not be longer than a thousand years; to keep a key for ever use Ttl::Never",
            )),
        }
    }

    /// Whole milliseconds.
    pub fn as_millis(self) -> u64 {
        self.millis
    }

    /// The span.
    pub fn as_duration(self) -> Duration {
        Duration::from_millis(self.millis)
    }
}

impl fmt::Debug for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_duration(), f)
    }
}

impl TryFrom<Duration> for Lifetime {
    type Error = Error;

    fn try_from(span: Duration) -> Result<Self> {
        Self::new(span)
    }
}

/// What a write does to the time to live of its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ttl {
    /// Nothing was said: a `default_ttl` layer fills it in, without one it means
    /// [`Never`](Self::Never).
    #[default]
    Unset,
    /// The key lives until it is deleted, whatever a layer's default says.
    Never,
    /// The key keeps the deadline it has.
    Keep,
    /// The key ends this long after the write.
    In(Lifetime),
    /// The key ends at this instant of the store's clock; if that is past, the write leaves no key.
    At(Timestamp),
    /// The key ends this long after the write by the store's own clock alone, never early for any
    /// reader: what locks and leases need where readers otherwise judge by their own clock.
    Held(Lifetime),
}

impl Ttl {
    /// The key ends after this span.
    ///
    /// # Errors
    /// As [`Lifetime::new`].
    pub fn after(span: Duration) -> Result<Self> {
        Lifetime::new(span).map(Self::In)
    }
}

impl TryFrom<Duration> for Ttl {
    type Error = Error;

    fn try_from(span: Duration) -> Result<Self> {
        Self::after(span)
    }
}

impl From<Lifetime> for Ttl {
    fn from(lifetime: Lifetime) -> Self {
        Self::In(lifetime)
    }
}

/// The deadline that `expire` gives to a key that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// The key ends this long after the call.
    In(Lifetime),
    /// The key ends at this instant of the store's clock; if that is past, it ends now.
    At(Timestamp),
    /// As [`Ttl::Held`].
    Held(Lifetime),
}

impl TryFrom<Duration> for Expiry {
    type Error = Error;

    fn try_from(span: Duration) -> Result<Self> {
        Lifetime::new(span).map(Self::In)
    }
}

impl From<Lifetime> for Expiry {
    fn from(lifetime: Lifetime) -> Self {
        Self::In(lifetime)
    }
}

impl From<Timestamp> for Expiry {
    fn from(deadline: Timestamp) -> Self {
        Self::At(deadline)
    }
}

/// The answer to "how long does this key live?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToLive {
    /// There is no such key.
    Missing,
    /// The key lives until it is deleted.
    NoExpiry,
    /// The key ends after this span, in whole milliseconds.
    In(Duration),
}

/// When a `set` writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// In any case; a structure at the key is replaced.
    #[default]
    Always,
    /// If nothing is at the key.
    IfAbsent,
    /// If a string is at the key.
    IfPresent,
    /// If the string at the key has exactly these bytes. A value that was changed and changed back
    /// compares equal.
    IfValue(crate::Mark),
}

/// How a value is written.
///
/// ```
/// # use kv_core::{SetOptions, Ttl, When};
/// # use std::time::Duration;
/// # fn main() -> kv_core::Result<()> {
/// let options = SetOptions::default().ttl(Ttl::after(Duration::from_secs(30))?).when(When::IfAbsent);
/// # let _ = options; Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetOptions {
    /// What happens to the time to live.
    pub ttl: Ttl,
    /// Under which condition.
    pub when: When,
}

impl SetOptions {
    /// With this time to live.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Under this condition.
    #[must_use]
    pub fn when(mut self, when: When) -> Self {
        self.when = when;
        self
    }
}

impl From<Ttl> for SetOptions {
    fn from(ttl: Ttl) -> Self {
        Self::default().ttl(ttl)
    }
}

impl From<When> for SetOptions {
    fn from(when: When) -> Self {
        Self::default().when(when)
    }
}

impl TryFrom<Duration> for SetOptions {
    type Error = Error;

    fn try_from(span: Duration) -> Result<Self> {
        Ttl::after(span).map(Self::from)
    }
}
