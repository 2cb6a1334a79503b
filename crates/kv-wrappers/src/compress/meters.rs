//! What is counted of values that are packed.

use super::frame::Refusal;
use crate::telemetry::{COMPRESS_REFUSED, COMPRESSED, StoreName};
use metrics::Counter;

pub(super) struct Meters {
    plain: Counter,
    stored: Counter,
    refused: [Counter; REASONS.len()],
}

const REASONS: [&str; 4] = ["too_long", "bomb", "foreign", "damaged"];

impl Meters {
    pub(super) fn new(store: &StoreName) -> Self {
        let bytes = |stage: &'static str| COMPRESSED.counter([store.label(), stage.into()]);
        Self {
            plain: bytes("plain"),
            stored: bytes("stored"),
            refused: REASONS.map(|it| COMPRESS_REFUSED.counter([store.label(), it.into()])),
        }
    }

    /// Counts a value that is written: how long it was, and how long it is now.
    pub(super) fn packed(&self, [plain, stored]: [usize; 2]) {
        self.plain.increment(plain as u64);
        self.stored.increment(stored as u64);
    }

    pub(super) fn refused(&self, why: &Refusal) {
        let reason = match why {
            Refusal::TooLong { .. } => 0,
            Refusal::Bomb { .. } => 1,
            Refusal::Foreign | Refusal::Unknown { .. } => 2,
            Refusal::Damaged => 3,
            // No fault of the value.
            Refusal::NoContext(_) => return,
        };
        self.refused[reason].increment(1);
    }
}
