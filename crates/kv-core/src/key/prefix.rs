use super::Key;
use bytes::Bytes;
use std::fmt;

/// What a range of keys starts with; empty means every key.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix(Bytes);

impl Prefix {
    /// The prefix of every key.
    pub const ALL: Self = Self(Bytes::new());

    /// A prefix of any bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// The bytes that the keys of the range start with.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the range holds every key.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        key.starts_with(&self.0)
    }

    /// The ranges that hold exactly the keys of this one after [`Key::prefixed`].
    ///
    /// Keys with a tag and keys without one live in two ranges, so there can be two.
    fn prefixed(&self, prefix: &[u8]) -> impl Iterator<Item = Self> + use<> {
        let plain = [prefix, &self.0].concat();
        let tagged = match self.0.split_first() {
            None => Some([b"{", prefix].concat()),
            Some((b'{', rest)) => Some([b"{", prefix, rest].concat()),
            Some(_) => None,
        };
        [Some(plain), tagged]
            .into_iter()
            .flatten()
            .map(|bytes| Self(bytes.into()))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({})", self.0.escape_ascii())
    }
}

/// Several ranges of keys, walked in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefixes(Vec<Prefix>);

impl Prefixes {
    /// The ranges.
    pub fn as_slice(&self) -> &[Prefix] {
        &self.0
    }

    /// Whether a key lies in any of the ranges.
    pub fn contain(&self, key: &Key) -> bool {
        self.0.iter().any(|prefix| prefix.contains(key.as_bytes()))
    }

    /// Puts the ranges below a prefix: they then hold exactly what [`Key::prefixed`] makes of the
    /// keys they held before.
    pub fn put_below(&mut self, prefix: &[u8]) {
        self.0 = self.0.iter().flat_map(|it| it.prefixed(prefix)).collect();
    }
}

impl<P: Into<Prefix>> From<P> for Prefixes {
    fn from(prefix: P) -> Self {
        Self(vec![prefix.into()])
    }
}

impl FromIterator<Prefix> for Prefixes {
    fn from_iter<I: IntoIterator<Item = Prefix>>(prefixes: I) -> Self {
        Self(prefixes.into_iter().collect())
    }
}

impl From<&str> for Prefix {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<&String> for Prefix {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Prefix {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&[u8]> for Prefix {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<Vec<u8>> for Prefix {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}
