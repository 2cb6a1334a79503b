use super::Key;
use crate::{Error, ErrorKind, Result};
use bytes::{BufMut, Bytes, BytesMut};
use std::fmt;

/// Keys that one atomic command may touch together: all start with the same `{tag}`.
///
/// ```
/// # fn main() -> kv_core::Result<()> {
/// let mail = kv_core::KeyGroup::new("mail")?;
/// assert_eq!(mail.key(":due").as_bytes(), b"{mail}:due");
/// assert_eq!(mail.key(":due").group(), mail.key(":lease").group());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyGroup {
    /// The tag with its braces.
    head: Bytes,
}

impl KeyGroup {
    /// A group by its tag.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the tag is empty or holds a `}`, which would end it early.
    pub fn new(tag: impl AsRef<[u8]>) -> Result<Self> {
        let tag = tag.as_ref();
        if tag.is_empty() || tag.contains(&b'}') {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "the tag of a key group must not be empty and must not hold a `}`",
            )
            .with_context("tag", tag.escape_ascii()));
        }
        let mut head = BytesMut::with_capacity(tag.len() + 2);
        head.put_u8(b'{');
        head.put_slice(tag);
        head.put_u8(b'}');
        Ok(Self {
            head: head.freeze(),
        })
    }

    /// The key `{tag}suffix`.
    pub fn key(&self, suffix: impl AsRef<[u8]>) -> Key {
        let suffix = suffix.as_ref();
        let mut bytes = BytesMut::with_capacity(self.head.len() + suffix.len());
        bytes.put_slice(&self.head);
        bytes.put_slice(suffix);
        Key::trusted(bytes.freeze())
    }
}

impl fmt::Debug for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyGroup({})", self.head.escape_ascii())
    }
}
