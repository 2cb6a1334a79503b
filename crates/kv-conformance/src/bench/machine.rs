//! How slow the machine is while a case runs: lateness is judged against that and not against a bare
//! span, which is too short on a busy machine or too long on every other.

use super::{Bench, Listener, Told, pause};
use crate::failure::Verdict;
use kv_core::{Key, Kv, Stopwatch, Watch};
use parking_lot::Mutex;
use std::{sync::Arc, time::Duration};
use tokio::task::AbortHandle;

/// No machine is taken to be slower than this.
const SLOWEST: Duration = Duration::from_secs(2);

/// How long a probe sleeps.
const NAP: Duration = Duration::from_millis(10);

/// Does all the time what takes hardly any: sleeps for a moment, then writes a key and waits to be
/// told of it. Dropping it ends that.
pub(crate) struct Machine {
    seen: Arc<Mutex<Seen>>,
    task: AbortHandle,
}

struct Seen {
    /// What a probe took beyond its sleep, at most.
    worst: Duration,
    /// The probe under way.
    probe: Stopwatch,
}

impl Bench {
    /// Begins to measure the machine: the store must tell of changes.
    pub(crate) async fn machine(&self) -> Verdict<Machine> {
        let key = self.key("probe");
        let listener = self.listen(Watch::Keys([key.clone()].into())).await?;
        let seen = Arc::new(Mutex::new(Seen {
            worst: Duration::ZERO,
            probe: Stopwatch::start(),
        }));
        let probing = probe(self.kv.clone(), key, listener, Arc::clone(&seen));
        let task = tokio::spawn(probing).abort_handle();
        Ok(Machine { seen, task })
    }
}

impl Machine {
    /// By how much something of a moment was late, at most, until now. A store that is later than any
    /// machine is slow itself.
    pub(crate) fn slowness(&self) -> Duration {
        let seen = self.seen.lock();
        let worst = seen.worst.max(seen.probe.elapsed().saturating_sub(NAP));
        worst.min(SLOWEST)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn probe(kv: Kv, key: Key, mut listener: Listener, seen: Arc<Mutex<Seen>>) {
    for round in 0_u64.. {
        let value = round.to_string();
        seen.lock().probe = Stopwatch::start();
        pause(NAP).await;
        // Whether it is answered and told is another case's matter.
        let _ = kv.set(&key, value.clone()).await;
        let _ = listener.hears("a probe", &key, Told::Holds(&value)).await;
        let mut seen = seen.lock();
        let late = seen.probe.elapsed().saturating_sub(NAP);
        seen.worst = seen.worst.max(late);
    }
}
