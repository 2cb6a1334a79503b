//! For whom a request counts.

use bytes::Bytes;
use http::{HeaderName, request::Parts};

/// A header that is longer names nobody: it would be a key of that length on the store.
const LONGEST_HEADER: usize = 256;

/// Tells for whom a request counts: an address, a user, an API key. Any closure
/// `Fn(&Parts) -> Option<Vec<u8>>`, or of what else becomes `Bytes`, is one.
///
/// It is asked in the task of the request, and must not block. What a client can choose at will is a bad
/// key: with a new one for each request it is never limited.
pub trait KeyFn: Send + Sync + 'static {
    /// The key; `None` if the request has none. See [`NoKey`].
    fn key(&self, request: &Parts) -> Option<Bytes>;
}

/// What becomes of requests that have no key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoKey {
    /// They all share this one, so that nobody gets around a limit by having none.
    Share(Bytes),
    /// They are not limited.
    Pass,
    /// They are refused.
    Refuse,
}

/// The value of a header, as [`header`] makes it.
#[derive(Clone, Debug)]
pub struct Header(HeaderName);

/// The value of a header that somebody further out has checked, such as the name of a user behind a gateway. A
/// request has no key if the header is missing, empty, there twice, or longer than 256 bytes.
///
/// The value becomes part of a key on the store: of secrets take a digest, in a closure.
pub fn header(name: HeaderName) -> Header {
    Header(name)
}

impl KeyFn for Header {
    fn key(&self, request: &Parts) -> Option<Bytes> {
        let mut all = request.headers.get_all(&self.0).iter();
        let value = all.next()?.as_bytes();
        // Of two nobody knows which one the rest of the service goes by.
        let is_good = all.next().is_none() && (1..=LONGEST_HEADER).contains(&value.len());
        is_good.then(|| Bytes::copy_from_slice(value))
    }
}

impl<F, K> KeyFn for F
where
    F: Fn(&Parts) -> Option<K> + Send + Sync + 'static,
    K: Into<Bytes>,
{
    fn key(&self, request: &Parts) -> Option<Bytes> {
        self(request).map(Into::into)
    }
}

impl Default for NoKey {
    /// Under the key `unknown`.
    fn default() -> Self {
        Self::Share(Bytes::from_static(b"unknown"))
    }
}
