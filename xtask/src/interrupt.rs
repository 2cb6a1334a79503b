//! Ctrl-C ends the command that we run; we go on, to stop servers and to remove directories.

use anyhow::{Context as _, Result};
use std::{
    process,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

static INTERRUPTED: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// What a shell reports for a command that Ctrl-C ended.
const EXIT_CODE: i32 = 130;

/// The first Ctrl-C is noted; the second one means it.
pub(crate) fn install() -> Result<()> {
    let handler = || {
        if is_set() {
            // The servers and their directories go with us: see `server/supervised.rs`.
            process::exit(EXIT_CODE);
        }
        set();
    };
    ctrlc::set_handler(handler).context("cannot handle Ctrl-C")
}

/// Whether there was a Ctrl-C (or [`set`]).
pub(crate) fn is_set() -> bool {
    *state()
}

/// As if Ctrl-C had been pressed.
pub(crate) fn set() {
    *state() = true;
    CHANGED.notify_all();
}

/// Waits for Ctrl-C, but not longer than this, and says whether it came.
pub(crate) fn wait(at_most: Duration) -> bool {
    CHANGED
        .wait_timeout_while(state(), at_most, |interrupted| !*interrupted)
        .map_or(true, |(interrupted, _)| *interrupted)
}

fn state() -> MutexGuard<'static, bool> {
    INTERRUPTED.lock().unwrap_or_else(PoisonError::into_inner)
}
