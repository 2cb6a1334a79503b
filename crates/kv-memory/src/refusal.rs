//! Why a transition was refused, before the key is named.

use crate::bound::Full;
use kv_core::{Error, ErrorKind, Key, Outcome, Structure};

/// Nothing was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    WrongType {
        found: Kind,
        wanted: Kind,
    },
    NotAnInteger,
    Overflow,
    Full(Full),
    /// A form of a later version of the contract.
    Unsupported,
}

/// A step of several was refused, at this key if it has one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) refusal: Refusal,
    pub(crate) key: Option<Key>,
}

impl Failure {
    pub(crate) fn into_error(self) -> Error {
        let error = self.refusal.into_unnamed();
        match self.key {
            Some(key) => error.with_key(&key),
            None => error,
        }
    }
}

/// The types of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Hash,
    ZSet,
}

impl From<Structure> for Kind {
    fn from(structure: Structure) -> Self {
        match structure {
            Structure::Hash => Self::Hash,
            Structure::SortedSet => Self::ZSet,
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Hash => "hash",
            Self::ZSet => "sorted set",
        }
    }
}

impl Refusal {
    /// The error for the caller of a command on this key.
    pub(crate) fn into_error(self, key: &Key) -> Error {
        self.into_unnamed().with_key(key)
    }

    fn into_unnamed(self) -> Error {
        match self {
            Self::WrongType { found, wanted } => {
                let (found, wanted) = (found.name(), wanted.name());
                let message = format!(
                    "the key holds a {found}, not a {wanted}; use another key or delete it"
                );
                Error::new(ErrorKind::WrongType, message)
            }
            Self::NotAnInteger => Error::new(
                ErrorKind::NotAnInteger,
                "what is stored is not a decimal integer of 64 bits; count in another key or field",
            ),
            Self::Overflow => Error::new(
                ErrorKind::Overflow,
                "the sum does not fit 64 bits; the counter is unchanged",
            ),
            Self::Full(full) => full.into_error(),
            Self::Unsupported => Error::new(ErrorKind::Unsupported, "this store cannot do that"),
        }
    }
}

impl Full {
    fn into_error(self) -> Error {
        let limit = match self {
            Self::Entries { max, .. } => format!("max_entries = {max}"),
            Self::Bytes { max, .. } => format!("max_bytes = {max}"),
            Self::Crowd { max } => {
                let message = format!(
                    "the transaction adds more keys than the whole store takes (max_entries = {max}); divide it or raise the limit"
                );
                return Error::new(ErrorKind::TooLarge, message);
            }
            Self::Never { max } => {
                let message = format!(
                    "what the write touches is larger than the whole store (max_bytes = {max}); divide it or raise the limit"
                );
                return Error::new(ErrorKind::TooLarge, message);
            }
        };
        let message = format!(
            "the store is full ({limit}); delete keys, give them a ttl, raise the limit or set on_full = \"evict\""
        );
        Error::new(ErrorKind::Unavailable, message).with_outcome(Outcome::NotApplied)
    }
}
