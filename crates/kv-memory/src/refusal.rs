//! Why a transition was refused, before the key is named.

use crate::bound::Full;
use kv_core::{Error, ErrorKind, Key, Outcome};

/// Nothing was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    WrongType { found: Kind, wanted: Kind },
    NotAnInteger,
    Overflow,
    Full(Full),
}

/// The types of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Hash,
    ZSet,
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
        let error = match self {
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
        };
        error.with_key(key)
    }
}

impl Full {
    fn into_error(self) -> Error {
        let limit = match self {
            Self::Entries { max, .. } => format!("max_entries = {max}"),
            Self::Bytes { max, .. } => format!("max_bytes = {max}"),
            Self::Never { max } => {
                let message = format!(
                    "the key with its content is larger than the whole store (max_bytes = {max}); divide it or raise the limit"
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
