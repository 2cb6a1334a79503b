//! Keys, prefixes and key groups.

mod format;
mod group;
mod prefix;

use crate::{Error, ErrorKind};
use bytes::{Bytes, BytesMut};
use std::{fmt, hash};

pub use self::{
    format::{KeyFormat, Segment},
    group::KeyGroup,
    prefix::{Prefix, Prefixes},
};

/// How long a buffer is that keys share.
const BUFFER: usize = 2_048;

/// The name of one entry: any bytes, at least one.
///
/// A layer that prepends a prefix does so with [`Key::prefixed`]. The key remembers how much was
/// added, so an error raised at the store can still name the key that the caller wrote; equality,
/// order and hash look at all the bytes.
#[derive(Clone)]
pub struct Key {
    bytes: Bytes,
    /// How many bytes layers put in front.
    added: u32,
    /// Whether they stand inside the leading brace.
    braced: bool,
}

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is empty: no provider accepts an empty key.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the key is empty; give it at least one byte",
            ));
        }
        Ok(Self::trusted(bytes))
    }

    /// The bytes as they go to the next layer, and at the end to the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes as they go to the next layer, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// A cheap handle on the bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The group that this key belongs to: the `{tag}` it *starts* with, else the whole key.
    ///
    /// Braces anywhere else are plain text. This is stricter than Redis Cluster's rule, so two keys
    /// of one group always share a slot.
    pub fn group(&self) -> &[u8] {
        tag(&self.bytes).unwrap_or(&self.bytes)
    }

    /// This key below a prefix. The prefix goes inside the braces of a leading `{tag}`, so that the
    /// tag keeps telling which keys belong together and two prefixes never share a group.
    #[must_use]
    pub fn prefixed(&self, prefix: &[u8]) -> Self {
        let room = BytesMut::with_capacity(prefix.len() + self.bytes.len());
        self.put_below(prefix, room)
    }

    /// As [`prefixed`](Self::prefixed), in what is left of a buffer that many keys are put into one
    /// after the other. It is kept as long as any of them: for keys that last as long as a call.
    #[must_use]
    pub fn prefixed_in(&self, buffer: &mut BytesMut, prefix: &[u8]) -> Self {
        let length = prefix.len() + self.bytes.len();
        if length > BUFFER / 4 {
            return self.prefixed(prefix);
        }
        if buffer.capacity() < length {
            // Begins from the front again if none of its keys is left.
            buffer.reserve(BUFFER);
        }
        let rest = buffer.split_off(length);
        self.put_below(prefix, std::mem::replace(buffer, rest))
    }

    /// As [`prefixed`](Self::prefixed), of a key's bytes in their own buffer.
    pub fn prefix_in(key: &mut Vec<u8>, prefix: &[u8]) {
        let at = usize::from(tag(key).is_some());
        key.extend_from_slice(prefix);
        key[at..].rotate_right(prefix.len());
    }

    fn put_below(&self, prefix: &[u8], mut room: BytesMut) -> Self {
        let braced = tag(&self.bytes).is_some();
        let at = usize::from(braced);
        room.extend_from_slice(&self.bytes[..at]);
        room.extend_from_slice(prefix);
        room.extend_from_slice(&self.bytes[at..]);
        Self {
            bytes: room.freeze(),
            added: self.added + prefix.len() as u32,
            braced,
        }
    }

    /// The key of which [`prefixed`](Self::prefixed) makes this one, if there is one.
    pub fn without_prefix(&self, prefix: &[u8]) -> Option<Self> {
        if let Some(rest) = self.bytes.strip_prefix(prefix) {
            // A key with a tag would have gone to the other range.
            let plain = !rest.is_empty() && tag(rest).is_none();
            return plain.then(|| Self::trusted(self.bytes.slice(prefix.len()..)));
        }
        let rest = self.bytes.strip_prefix(b"{")?.strip_prefix(prefix)?;
        let mut bytes = BytesMut::with_capacity(rest.len() + 1);
        bytes.extend_from_slice(b"{");
        bytes.extend_from_slice(rest);
        tag(&bytes)?;
        Some(Self::trusted(bytes.freeze()))
    }

    pub(crate) fn trusted(bytes: Bytes) -> Self {
        Self {
            bytes,
            added: 0,
            braced: false,
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Key {}

impl hash::Hash for Key {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The whole key, escaped.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.bytes.escape_ascii())
    }
}

/// The caller's part of the key, escaped and cut to a length that fits a line.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CUT: usize = 96;
        let at = usize::from(self.braced);
        let own = || {
            self.bytes[..at]
                .iter()
                .chain(&self.bytes[at + self.added as usize..])
        };
        for byte in own().take(CUT) {
            write!(f, "{}", byte.escape_ascii())?;
        }
        let rest = own().count().saturating_sub(CUT);
        if rest > 0 {
            write!(f, "… ({rest} more bytes)")?;
        }
        Ok(())
    }
}

/// A key as the store sees it, below all layers.
///
/// Whatever a process keeps per key (a near cache, a single flight, a queue of waiters) is keyed by
/// this and never by the caller's key, which means another entry for every tenant. [`Kv::resolve`]
/// makes one.
///
/// [`Kv::resolve`]: crate::Kv::resolve
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhysicalKey(Bytes);

impl PhysicalKey {
    pub(crate) fn new(key: Key) -> Self {
        Self(key.bytes)
    }

    /// The bytes on the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PhysicalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhysicalKey({})", self.0.escape_ascii())
    }
}

impl fmt::Display for PhysicalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

/// The text between the braces a key starts with, unless it is empty.
fn tag(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"{")?;
    let end = rest.iter().position(|&byte| byte == b'}')?;
    (end > 0).then(|| &rest[..end])
}

macro_rules! parse_key {
    ($($from:ty => |$it:ident| $bytes:expr;)*) => {$(
        impl TryFrom<$from> for Key {
            type Error = Error;

            fn try_from($it: $from) -> Result<Self, Error> {
                Self::new($bytes)
            }
        }
    )*};
}

parse_key! {
    &str => |it| Bytes::copy_from_slice(it.as_bytes());
    &String => |it| Bytes::copy_from_slice(it.as_bytes());
    String => |it| it;
    &[u8] => |it| Bytes::copy_from_slice(it);
    Vec<u8> => |it| it;
    Bytes => |it| it;
}

impl From<&Self> for Key {
    fn from(key: &Self) -> Self {
        key.clone()
    }
}

#[cfg(test)]
mod tests;
