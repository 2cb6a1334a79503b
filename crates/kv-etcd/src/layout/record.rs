//! The record of a structure: of which type it is, and when it ends.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of the format, `01` |
//! | 1 | `68` (`h`) a hash, `7a` (`z`) a sorted set |
//! | 9 | when it ends, as in a value's [`header`](super::header) |
//!
//! A structure that ends has its elements on the lease of its record. Element commands compare the
//! record and do not write it; only deadlines, deletion and creation do.

pub(crate) use kv_core::Structure as Kind;

use super::header::End;
use crate::error::{Answer, Failure};

const VERSION: u8 = 1;

/// What stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) end: End,
}

impl Record {
    pub(crate) fn encode(self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Hash => b'h',
            Kind::SortedSet => b'z',
        };
        let mut raw = vec![VERSION, kind];
        raw.extend_from_slice(&self.end.to_bytes());
        raw
    }

    pub(crate) fn decode(raw: &[u8]) -> Answer<Self> {
        let parse = || {
            let (&[VERSION, kind], end) = raw.split_first_chunk()? else {
                return None;
            };
            let kind = match kind {
                b'h' => Kind::Hash,
                b'z' => Kind::SortedSet,
                _ => return None,
            };
            let end = End::from_bytes(end.try_into().ok()?)?;
            Some(Self { kind, end })
        };
        parse().ok_or_else(|| {
            Failure::codec("the record of the structure is none that this version knows")
        })
    }
}
