//! Limits that are this process's own: the governor crate's GCRA, on states that we keep, since its
//! own maps grow without end and begin anew with each change of a quota.

use super::Local;
use governor::{
    Quota, RateLimiter, clock::Clock as GovernorClock, middleware::NoOpMiddleware, nanos::Nanos,
    state::StateStore,
};
use kv_core::{Clock, Gcra};
use std::{
    cell, fmt,
    hash::{Hash, Hasher},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What was used: when the bucket will be empty, in nanoseconds of the clock's own count; 0 if it is.
#[derive(Debug, Default)]
pub(crate) struct Cell(AtomicU64);

/// A limit that is this process's own.
pub(crate) struct Governed {
    limiter: RateLimiter<Subject, Cells, Hands, NoOpMiddleware<Nanos>>,
    clock: Arc<dyn Clock>,
    /// Nanoseconds for each unit.
    unit: u64,
    burst: u32,
}

/// How it stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) allowed: bool,
    pub(crate) remaining: u64,
    pub(crate) retry_after: Duration,
    pub(crate) reset_after: Duration,
    /// The same on the monotonic clock.
    pub(crate) unused_at: Duration,
}

impl Cell {
    /// Nothing is used any more.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Governed {
    /// So many times a quota.
    pub(crate) fn new(gcra: &Gcra, times: f64, clock: &Arc<dyn Clock>) -> Result<Self, String> {
        let unit = gcra.period() as f64 * 1000.0 / (gcra.count() as f64 * times);
        // Rounded up, which errs on the strict side.
        let unit = (unit.ceil() as u64).max(1);
        let burst = (gcra.burst() as f64 * times).floor().max(1.0);
        if burst > f64::from(u32::MAX) || unit.checked_mul(burst as u64).is_none() {
            return Err("the burst is too large to be kept in this process".to_owned());
        }
        let burst = burst as u32;
        let quota = Quota::with_period(Duration::from_nanos(unit));
        let quota = quota.zip(NonZeroU32::new(burst));
        let (quota, most) = quota.ok_or("the quota is empty")?;
        // It counts from the clock's own zero, so that its states are the next one's.
        NOW.set(0);
        let limiter = RateLimiter::new(quota.allow_burst(most), Cells, Hands);
        Ok(Self {
            limiter,
            clock: clock.clone(),
            unit,
            burst,
        })
    }

    /// Takes it if there is room.
    pub(crate) fn take(&self, subject: &Subject, cost: u64) -> Standing {
        // Read once: it takes as long as all the rest.
        let now = self.now();
        NOW.set(now);
        self.cut(subject.cell(), now);
        let cost = u32::try_from(cost).ok().and_then(NonZeroU32::new);
        let taken = cost.map(|it| self.limiter.check_key_n(subject, it));
        let allowed = matches!(taken, Some(Ok(Ok(()))));
        let standing = self.standing(subject, cost.map_or(0, |it| u64::from(it.get())), now);
        Standing {
            allowed,
            retry_after: match allowed {
                true => Duration::ZERO,
                false => standing.retry_after,
            },
            ..standing
        }
    }

    /// How it stands for such a request.
    pub(crate) fn look(&self, subject: &Subject, cost: u64) -> Standing {
        self.standing(subject, cost, self.now())
    }

    fn standing(&self, subject: &Subject, cost: u64, now: u64) -> Standing {
        let used = subject.cell().0.load(Ordering::Acquire).saturating_sub(now);
        let full = self.unit * u64::from(self.burst);
        let used = used.min(full);
        let wait = (used + cost.saturating_mul(self.unit)).saturating_sub(full);
        Standing {
            allowed: wait == 0,
            remaining: (full - used) / self.unit,
            retry_after: Duration::from_nanos(wait),
            reset_after: Duration::from_nanos(used),
            unused_at: Duration::from_nanos(now + used),
        }
    }

    /// Gives back what has not flowed back by itself.
    pub(crate) fn give_back(&self, subject: &Subject, cost: u64, unused_at: Duration) {
        let unused_at = u64::try_from(unused_at.as_nanos()).unwrap_or(u64::MAX);
        let left = unused_at.saturating_sub(self.now());
        let back = cost.saturating_mul(self.unit).min(left);
        let _ = subject
            .cell()
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |it| {
                Some(it.saturating_sub(back))
            });
    }

    /// Where a larger burst left more than this one ever does, that is cut: nobody waits for longer than a
    /// bucket takes.
    fn cut(&self, cell: &Cell, now: u64) {
        let full = self.unit * u64::from(self.burst);
        let before = cell.0.load(Ordering::Acquire);
        if before <= now + full {
            return;
        }
        // Others may have taken since the clock was read: no later than what was read just now.
        let most = self.now() + full;
        if before > most {
            let (order, failed) = (Ordering::AcqRel, Ordering::Relaxed);
            // Whoever was faster has cut it, or does so the next time.
            let _ = cell.0.compare_exchange(before, most, order, failed);
        }
    }

    fn now(&self) -> u64 {
        Nanos::from(self.clock.monotonic()).as_u64()
    }
}

/// A subject as the governor takes it: with its own state.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) local: Arc<Local>,
    pub(crate) purpose: Purpose,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Own,
    Flood,
}

impl Subject {
    fn cell(&self) -> &Cell {
        match self.purpose {
            Purpose::Own => &self.local.own,
            Purpose::Flood => &self.local.flood,
        }
    }
}

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.local, &other.local) && self.purpose == other.purpose
    }
}

impl Eq for Subject {}

/// Never asked for: there is no map.
impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.local).hash(state);
    }
}

/// The states are in the subjects.
#[derive(Debug)]
struct Cells;

impl StateStore for Cells {
    type Key = Subject;

    fn measure_and_replace<T, F, E>(&self, subject: &Subject, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let cell = &subject.cell().0;
        let mut before = cell.load(Ordering::Acquire);
        loop {
            let state = (before > 0).then(|| Nanos::from(before));
            let (answer, after) = decide(state)?;
            let (order, failed) = (Ordering::AcqRel, Ordering::Acquire);
            match cell.compare_exchange_weak(before, after.as_u64(), order, failed) {
                Ok(_) => return Ok(answer),
                Err(now) => before = now,
            }
        }
    }
}

thread_local! {
    /// When the question that this thread is at was asked.
    static NOW: cell::Cell<u64> = const { cell::Cell::new(0) };
}

/// Tells the time of the question.
#[derive(Clone, Debug)]
struct Hands;

impl GovernorClock for Hands {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        NOW.get().into()
    }
}

impl fmt::Debug for Governed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Governed({} ns, burst {})", self.unit, self.burst)
    }
}
