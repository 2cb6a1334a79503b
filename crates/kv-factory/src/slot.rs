//! One store that many ask for and one opens.

use kv_core::{Error, Kv, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// Opens a store at most once at a time.
///
/// Cancel safety: if the future that opens is dropped, the next one in line opens; if the one that
/// closes is, the store stays known and is closed by the next one.
#[derive(Default)]
pub(crate) struct Slot {
    state: Mutex<State>,
    /// How many attempts have failed.
    failures: AtomicU64,
}

#[derive(Default)]
struct State {
    kv: Option<Kv>,
    /// The failure that those who waited for it share.
    failure: Option<Error>,
}

impl Slot {
    pub(crate) async fn open(&self, build: impl AsyncFnOnce() -> Result<Kv>) -> Result<Kv> {
        let failures = self.failures.load(Ordering::Acquire);
        let mut state = self.state.lock().await;
        if let Some(kv) = &state.kv {
            // Somebody may have closed the handle itself; it would stay closed for ever.
            if kv.connect().await.is_ok() {
                return Ok(kv.clone());
            }
            state.kv = None;
        }
        if let Some(failure) = &state.failure
            && self.failures.load(Ordering::Acquire) != failures
        {
            // Trying again at once, one after the other, would keep the last in line for long.
            return Err(failure.duplicate());
        }
        match build().await {
            Ok(kv) => {
                state.kv = Some(kv.clone());
                state.failure = None;
                Ok(kv)
            }
            Err(error) => {
                state.failure = Some(error.duplicate());
                self.failures.fetch_add(1, Ordering::AcqRel);
                Err(error)
            }
        }
    }

    pub(crate) async fn close(&self) {
        let mut state = self.state.lock().await;
        if let Some(kv) = &state.kv {
            kv.close().await;
        }
        // Not before: if this future is dropped while it waits, the next call closes the store.
        state.kv = None;
    }
}
