//! What is stored under a key: separate types, so that a layer touches exactly what it means to.

use crate::{Error, ErrorKind, Result};
use bytes::Bytes;
use std::{borrow::Borrow, fmt};

macro_rules! bytes_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Bytes);

        impl $name {
            /// Wraps bytes; empty ones are legal.
            pub fn new(bytes: impl Into<Bytes>) -> Self {
                Self(bytes.into())
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes, without a copy.
            pub fn into_bytes(self) -> Bytes {
                self.0
            }

            /// The bytes as text.
            ///
            /// # Errors
            /// [`ErrorKind::Codec`] if they are not UTF-8.
            pub fn to_str(&self) -> Result<&str> {
                str::from_utf8(&self.0).map_err(|source| {
                    Error::new(ErrorKind::Codec, "the bytes are not UTF-8 text").with_source(source)
                })
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.0 == other.as_bytes()
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.0 == other.as_bytes()
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(Bytes::copy_from_slice(text.as_bytes()))
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<&String> for $name {
            fn from(text: &String) -> Self {
                text.as_str().into()
            }
        }

        impl From<&[u8]> for $name {
            fn from(bytes: &[u8]) -> Self {
                Self(Bytes::copy_from_slice(bytes))
            }
        }

        impl<const N: usize> From<&[u8; N]> for $name {
            fn from(bytes: &[u8; N]) -> Self {
                Self(Bytes::copy_from_slice(bytes))
            }
        }

        impl From<Vec<u8>> for $name {
            fn from(bytes: Vec<u8>) -> Self {
                Self(bytes.into())
            }
        }

        impl From<Bytes> for $name {
            fn from(bytes: Bytes) -> Self {
                Self(bytes)
            }
        }

        impl From<&$name> for $name {
            fn from(it: &$name) -> Self {
                it.clone()
            }
        }
    };
}

bytes_type! {
    /// The content of a string or of a hash field. Layers may transform it (compression, a cipher);
    /// it never shows in a `Debug`.
    Value
}

bytes_type! {
    /// Bytes that are compared: a nonce, an id, a counter. No layer ever transforms them.
    Mark
}

bytes_type! {
    /// The name of an entry in a hash.
    Field
}

bytes_type! {
    /// An entry of a sorted set.
    Member
}

macro_rules! show {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.escape_ascii())
            }
        }
    )*};
}

show!(Field, Member);

macro_rules! hide {
    ($($name:ident),*) => {$(
        /// Shows the length only: contents do not belong in a log.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
    )*};
}

hide!(Value, Mark);
