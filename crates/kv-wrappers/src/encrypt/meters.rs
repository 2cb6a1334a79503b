//! What is counted of values that are encrypted.

use super::ring::{KeyRing, Refusal};
use crate::telemetry::{DECRYPTED, ENCRYPT_REFUSED, ENCRYPTED, StoreName};
use metrics::Counter;

pub(super) struct Meters {
    sealed: Values,
    opened: Values,
    refused: [Counter; REASONS.len()],
}

/// Values by the key they were encrypted with.
struct Values {
    /// In the order of the ring.
    by_key: Vec<Counter>,
    plain: Counter,
}

/// In place of a key's name, which can have no such letters.
const PLAIN: &str = "(plain)";

const REASONS: [&str; 3] = ["unknown_key", "plain", "damaged"];

impl Meters {
    pub(super) fn new(store: &StoreName, ring: &KeyRing) -> Self {
        let values = |spec: crate::telemetry::MetricSpec| Values {
            by_key: ring
                .names()
                .map(|it| spec.counter([store.label(), it.clone().into()]))
                .collect(),
            plain: spec.counter([store.label(), PLAIN.into()]),
        };
        Self {
            sealed: values(ENCRYPTED),
            opened: values(DECRYPTED),
            refused: REASONS.map(|it| ENCRYPT_REFUSED.counter([store.label(), it.into()])),
        }
    }

    /// Counts a value that was written with the key at this place in the ring, or with none.
    pub(super) fn sealed(&self, key: Option<usize>) {
        self.sealed.add(key);
    }

    /// The same of one that was read.
    pub(super) fn opened(&self, key: Option<usize>) {
        self.opened.add(key);
    }

    pub(super) fn refused(&self, why: &Refusal) {
        let reason = match why {
            Refusal::UnknownKey { .. } => 0,
            Refusal::Plain => 1,
            Refusal::CutShort | Refusal::Damaged { .. } => 2,
            // No fault of the value.
            Refusal::Misplaced => return,
        };
        self.refused[reason].increment(1);
    }
}

impl Values {
    fn add(&self, key: Option<usize>) {
        let of_key = key.and_then(|it| self.by_key.get(it));
        of_key.unwrap_or(&self.plain).increment(1);
    }
}
