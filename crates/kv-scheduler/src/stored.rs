//! How what is stored is written: one byte for the version, then MessagePack.

use kv_core::{Error, ErrorKind, Result, Value};
use serde::{Serialize, de::DeserializeOwned};

/// The version that is written.
pub(crate) const VERSION: u8 = 1;

/// Why something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is of a version that this program does not know: a newer program can read it.
    Later,
    /// It is not ours, or damaged.
    Damaged,
}

pub(crate) fn encode<T: Serialize>(it: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(VERSION);
    // The message of the cause could quote a value.
    rmp_serde::encode::write_named(&mut bytes, it).map_err(|_| {
        Error::new(
            ErrorKind::Codec,
            "what is to be stored could not be written",
        )
    })?;
    Ok(bytes)
}

pub(crate) fn decode<T: DeserializeOwned>(value: &Value) -> Result<T, Unreadable> {
    match value.as_bytes().split_first() {
        Some((&VERSION, rest)) => rmp_serde::from_slice(rest).map_err(|_| Unreadable::Damaged),
        Some((&later, _)) if later > VERSION => Err(Unreadable::Later),
        _ => Err(Unreadable::Damaged),
    }
}
