//! Names for leases.

use kv_core::Mark;
use std::sync::atomic::{AtomicU64, Ordering};

/// Each of its own: by chance for the process, and counted.
pub(super) struct Nonces {
    process: [u8; 16],
    last: AtomicU64,
}

impl Nonces {
    pub(super) fn new() -> Self {
        let mut process = [0; 16];
        if getrandom::fill(&mut process).is_err() {
            // The system has none to give: less unlike, and unlike all the same.
            fastrand::fill(&mut process);
        }
        Self {
            process,
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn next(&self) -> Nonce {
        Nonce {
            process: self.process,
            number: self.last.fetch_add(1, Ordering::Relaxed),
        }
    }
}

/// The name of a lease, if one is taken.
#[derive(Clone, Copy)]
pub(super) struct Nonce {
    process: [u8; 16],
    number: u64,
}

impl Nonce {
    pub(super) fn mark(self) -> Mark {
        Mark::from([&self.process[..], &self.number.to_be_bytes()].concat())
    }
}
