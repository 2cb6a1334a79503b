//! The side that tells.

use super::{
    IDLE, Number,
    message::{Boot, Message, What},
    nanos,
};
use kv_core::{CallOptions, Clock, Deadline, Key, Kv, Notice, Op, Outcome, Result};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::runtime::Handle;

/// What one process tells those who share its entries.
pub(crate) struct Channel {
    /// For the callers whose channel it is.
    pub(super) kv: Kv,
    pub(super) key: Key,
    pub(super) boot: Boot,
    /// How many have been told.
    told: AtomicU64,
    number: Option<Number>,
    used: AtomicU64,
    clock: Arc<dyn Clock>,
    /// How long telling something may take.
    deadline: Duration,
}

/// Something that is about to be told, together with what is done.
#[must_use]
pub(crate) struct Telling {
    number: u64,
    notice: Notice,
}

impl Channel {
    pub(super) fn new(
        kv: Kv,
        key: Key,
        number: Option<Number>,
        clock: Arc<dyn Clock>,
        deadline: Duration,
    ) -> Self {
        let mut boot = [0; 16];
        if getrandom::fill(&mut boot).is_err() {
            // The system has none to give: less unlike, and unlike all the same.
            fastrand::fill(&mut boot);
        }
        Self {
            kv,
            key,
            boot: Boot(u128::from_be_bytes(boot)),
            told: AtomicU64::new(0),
            number,
            used: AtomicU64::new(nanos(clock.monotonic())),
            clock,
            deadline,
        }
    }

    /// By what it can be asked for whether entries still hold, if it is listened to.
    pub(crate) fn number(&self) -> Option<Number> {
        self.number
    }

    /// The next message; it must be [settled](Self::settle) once it is known what became of it.
    pub(crate) fn tell(&self, what: What) -> Telling {
        let number = self.told.fetch_add(1, Ordering::AcqRel) + 1;
        Telling {
            number,
            notice: Notice::new(self.key.clone(), self.message(number, what)),
        }
    }

    /// What was surely not done was not told either, and nobody is to wait for it. Of what is not known nothing is
    /// said: those who miss it are in doubt, and rightly.
    pub(crate) fn settle<T>(
        &self,
        telling: Telling,
        done: &Result<T>,
        is_applied: impl Fn(&T) -> bool,
    ) {
        let was_told = match done {
            Ok(done) => is_applied(done),
            Err(error) => error.outcome() != Outcome::NotApplied,
        };
        if was_told {
            return;
        }
        self.send(self.message(telling.number, What::Nothing));
    }

    /// A sign of life.
    pub(super) fn beat(&self, now: Duration) {
        let told = self.told.load(Ordering::Acquire);
        self.send(self.message(told, What::Beat(nanos(now))));
    }

    pub(super) fn use_now(&self, now: Duration) {
        self.used.store(nanos(now), Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self, now: Duration) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        nanos(now).saturating_sub(used) >= nanos(IDLE)
    }

    fn message(&self, number: u64, what: What) -> Vec<u8> {
        let boot = self.boot;
        Message { boot, number, what }.encode()
    }

    /// Nobody waits for it, and it is not tried twice.
    fn send(&self, message: Vec<u8>) {
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let deadline = Deadline::on(self.clock.clone(), self.deadline);
        let kv = self.kv.with(CallOptions::new().with_deadline(deadline));
        let key = self.key.clone();
        runtime.spawn(async move {
            if let Err(error) = kv.notify(key, message).await {
                tracing::debug!(target: kv_core::telemetry::TARGET, %error, "other processes were not told");
            }
        });
    }
}

impl Telling {
    /// The step of a transaction that tells it.
    pub(crate) fn op(&self) -> Op {
        Op::Notify(self.notice.clone())
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("key", &self.key)
            .field("boot", &self.boot)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}
