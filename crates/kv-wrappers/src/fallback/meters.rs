//! What is counted of reads that fall back.

use crate::telemetry::{FALLBACKS, StoreName};
use metrics::Counter;

pub(super) struct Meters([[Counter; OUTCOMES.len()]; WHYS.len()]);

/// Why a read went to the second store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Why {
    Error,
    Miss,
}

/// In the order of [`Why`].
const WHYS: [&str; 2] = ["error", "miss"];
const OUTCOMES: [&str; 3] = ["hit", "miss", "failed"];

impl Meters {
    pub(super) fn new(store: &StoreName) -> Self {
        Self(WHYS.map(|why| {
            OUTCOMES.map(|outcome| FALLBACKS.counter([store.label(), why.into(), outcome.into()]))
        }))
    }

    /// Counts a read, with whether anything was found, or nothing if the second store failed.
    pub(super) fn fell_back(&self, why: Why, found: Option<bool>) {
        let outcome = match found {
            Some(true) => 0,
            Some(false) => 1,
            None => 2,
        };
        self.0[why as usize][outcome].increment(1);
    }
}
