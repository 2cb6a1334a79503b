//! What entries are named by.

use std::{fmt, io::Write, sync::Arc};

/// A name of an entry: writes itself as bytes, equal ones for equal names and others for others.
///
/// Strings, bytes and integers are names, tuples of names are, and what implements [`Display`](fmt::Display)
/// is one as [`Shown`].
///
/// ```
/// use kv_cache::CacheKey;
///
/// struct Product { shop: u32, number: u64 }
///
/// impl CacheKey for Product {
///     fn write(&self, out: &mut Vec<u8>) {
///         (self.shop, self.number).write(out);
///     }
/// }
///
/// let mut bytes = Vec::new();
/// Product { shop: 3, number: 42 }.write(&mut bytes);
/// assert_eq!(bytes, b"3/42");
/// ```
pub trait CacheKey {
    /// Puts the name at the end of a buffer. What is there already is somebody else's.
    fn write(&self, out: &mut Vec<u8>);
}

/// A name by what it displays as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown<T>(pub T);

impl<T: fmt::Display> CacheKey for Shown<T> {
    fn write(&self, out: &mut Vec<u8>) {
        // A vector takes everything.
        let _ = write!(out, "{}", self.0);
    }
}

impl CacheKey for str {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl CacheKey for [u8] {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
}

impl CacheKey for String {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_str().write(out);
    }
}

impl CacheKey for Vec<u8> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<const N: usize> CacheKey for [u8; N] {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<K: CacheKey + ?Sized> CacheKey for &K {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl<K: CacheKey + ?Sized> CacheKey for Box<K> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl<K: CacheKey + ?Sized> CacheKey for Arc<K> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

macro_rules! integers {
    ($($ty:ty)*) => {$(
        impl CacheKey for $ty {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}

integers! { u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize }

macro_rules! tuples {
    ($($name:ident $at:tt),*) => {
        /// The parts, with a slash after each but the last; inside of a part it is escaped.
        impl<$($name: CacheKey),*> CacheKey for ($($name,)*) {
            fn write(&self, out: &mut Vec<u8>) {
                $(
                    if $at > 0 {
                        out.push(b'/');
                    }
                    let begin = out.len();
                    self.$at.write(out);
                    escape(out, begin, |byte| matches!(byte, b'/' | b'%'));
                )*
            }
        }
    };
}

tuples! { A 0, B 1 }
tuples! { A 0, B 1, C 2 }
tuples! { A 0, B 1, C 2, D 3 }

/// Writes what is reserved as `%` and two digits, from there on to the end.
pub(crate) fn escape(out: &mut Vec<u8>, begin: usize, is_reserved: impl Fn(u8) -> bool) {
    // Most names have nothing to escape.
    if !out[begin..].iter().any(|&byte| is_reserved(byte)) {
        return;
    }
    let plain = out.split_off(begin);
    for byte in plain {
        match is_reserved(byte) {
            true => out.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            false => out.push(byte),
        }
    }
}

/// Undoes [`escape`]; `None` for what it does not write.
pub(crate) fn unescape(written: &[u8]) -> Option<Vec<u8>> {
    let (mut plain, mut rest) = (Vec::with_capacity(written.len()), written);
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            plain.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = str::from_utf8(digits).ok()?;
        plain.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::{CacheKey, Shown};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn bytes(key: impl CacheKey) -> Vec<u8> {
        let mut out = b"before:".to_vec();
        key.write(&mut out);
        out.split_off(b"before:".len())
    }

    #[test]
    fn names_are_written_as_people_would() {
        assert_eq!(bytes("ann"), b"ann");
        assert_eq!(bytes(-7), b"-7");
        assert_eq!(bytes((3_u8, "b", b"c")), b"3/b/c");
        assert_eq!(bytes(Shown(Ipv4Addr::LOCALHOST)), b"127.0.0.1");
    }

    proptest! {
        #[test]
        fn different_parts_are_different_names(
            a in any::<[String; 2]>(), x in "[/%2Fa]{0,4}", y in "[/%2Fa]{0,4}", z in "[/%2Fa]{0,4}", w in "[/%2Fa]{0,4}",
        ) {
            prop_assert_eq!(bytes((&x, &y)) == bytes((&z, &w)), x == z && y == w);
            prop_assert_eq!(bytes((&a[0], &x)) == bytes((&a[0], &y)), x == y);
        }
    }
}
