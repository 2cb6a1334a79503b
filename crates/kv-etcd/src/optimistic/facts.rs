//! What was read.

use super::step::OVERHEAD;
use crate::layout::Range;
use bytes::Bytes;
use etcd_client::{GetOptions, GetResponse, KeyValue, TxnOp};
use foldhash::HashMap;
use std::sync::Arc;

/// A key of the store as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) value: Bytes,
    /// The revision of its last change.
    pub(crate) revision: i64,
    pub(crate) lease: i64,
}

/// A range to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) range: Range,
    /// How many keys at most; 0 for all.
    pub(crate) limit: i64,
    pub(crate) what: What,
}

/// What to read of each key in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum What {
    All,
    Keys,
    /// How many there are and nothing else.
    Count,
}

/// A range as it was seen, lowest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<(Vec<u8>, Seen)>,
    /// How many keys lie in the range, whatever the limit.
    pub(crate) count: u64,
}

/// All that is known, at one revision.
#[derive(Default)]
pub(crate) struct Facts {
    /// Of what was read; 0 if nothing was.
    pub(super) revision: i64,
    pub(super) points: HashMap<Vec<u8>, Option<Seen>>,
    /// Points that nobody has read.
    pub(super) guesses: HashMap<Vec<u8>, Option<Seen>>,
    pub(super) listings: HashMap<Query, Arc<Listing>>,
    /// Where to stop looking in a range for so many members: chosen once, however far the fences are
    /// meanwhile.
    pub(super) fences: HashMap<(Range, usize), Option<Vec<u8>>>,
    /// Whether guesses have led astray: then everything is read.
    pub(super) sober: bool,
    /// Whether an answer was too large: then few are asked for at once.
    pub(super) cautious: bool,
}

/// Something to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Want {
    Point(Vec<u8>),
    Range(Query),
}

impl Facts {
    /// Takes in the answer to a want.
    pub(super) fn learn(&mut self, want: Want, response: GetResponse) {
        let listing = Listing::of(response);
        match want {
            Want::Point(key) => {
                let seen = listing.entries.into_iter().next().map(|(_, seen)| seen);
                self.points.insert(key, seen);
            }
            Want::Range(query) => {
                if query.what == What::All {
                    self.learn_points(&listing);
                }
                self.listings.insert(query, Arc::new(listing));
            }
        }
    }

    fn learn_points(&mut self, listing: &Listing) {
        for (key, seen) in &listing.entries {
            // A plan may have gone by a guess about it already: that is what is compared.
            if !self.guesses.contains_key(key) {
                let seen = || Some(seen.clone());
                self.points.entry(key.clone()).or_insert_with(seen);
            }
        }
    }

    /// Forgets all that is on the store, but not how it has to be asked for.
    pub(super) fn clear(&mut self) {
        *self = Self {
            sober: self.sober,
            cautious: self.cautious,
            ..Self::default()
        };
    }

    /// Forgets all, and has everything read from now on.
    pub(super) fn sober_up(&mut self) {
        self.sober = true;
        self.clear();
    }
}

impl Want {
    /// Roughly how many bytes it takes in a request.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Point(key) => key.len(),
                Self::Range(query) => query.bytes(),
            }
    }

    /// The operation that reads it, at a revision unless that is 0.
    pub(super) fn op(&self, revision: i64) -> TxnOp {
        match self {
            Self::Point(key) => {
                TxnOp::get(key.clone(), Some(GetOptions::new().with_revision(revision)))
            }
            Self::Range(query) => query.op(revision),
        }
    }
}

impl Query {
    /// The operation that reads it, at a revision unless that is 0.
    pub(crate) fn op(&self, revision: i64) -> TxnOp {
        TxnOp::get(self.range.from_key.clone(), Some(self.options(revision)))
    }

    pub(super) fn bytes(&self) -> usize {
        self.range.from_key.len() + self.range.to_key.len()
    }

    fn options(&self, revision: i64) -> GetOptions {
        let options = GetOptions::new()
            .with_range(self.range.to_key.clone())
            .with_limit(self.limit)
            .with_revision(revision);
        match self.what {
            What::All => options,
            What::Keys => options.with_keys_only(),
            What::Count => options.with_count_only(),
        }
    }
}

impl Listing {
    pub(crate) fn of(mut response: GetResponse) -> Self {
        let count = u64::try_from(response.count()).unwrap_or_default();
        let entries = response.take_kvs().into_iter().map(entry).collect();
        Self { entries, count }
    }
}

/// A key and what was seen there.
pub(crate) fn entry(found: KeyValue) -> (Vec<u8>, Seen) {
    let (revision, lease) = (found.mod_revision(), found.lease());
    let (key, value) = found.into_key_value();
    let value = value.into();
    (
        key,
        Seen {
            value,
            revision,
            lease,
        },
    )
}
