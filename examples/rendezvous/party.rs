//! What each party does.

use kv_core::{Clock, Kv, Result, Scope, Stopwatch, SystemClock};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a party waits for the others at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// A barrier that a number of parties must reach.
#[derive(Clone)]
pub(crate) struct Meeting {
    scope: Scope,
    parties: u16,
    latest: u64,
}

/// When a party came to the barrier and when it could go on, in microseconds since the epoch.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Passage {
    pub(crate) rank: u16,
    pub(crate) arrived: i64,
    pub(crate) released: i64,
    /// How long it waited, by a clock that nobody sets.
    pub(crate) waited: Duration,
    /// How many parties it saw at the barrier.
    pub(crate) seen: usize,
}

impl Meeting {
    pub(crate) fn new(kv: &Kv, name: &str, parties: u16, latest: u64) -> Result<Self> {
        Ok(Self {
            scope: kv.scope("rendezvous", name)?,
            parties,
            latest,
        })
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    pub(crate) fn parties(&self) -> u16 {
        self.parties
    }

    /// Comes, says so, and waits for the others.
    pub(crate) async fn attend(&self, rank: u16) -> Result<Passage> {
        self.work(rank).await;
        let arrived = SystemClock.now();
        let watch = Stopwatch::start();
        self.scope.set(key(rank), "1").await?;
        let all = self
            .scope
            .wait_for_keys("rank:*/ready", self.parties.into())
            .candidates((0..self.parties).map(key))
            .timeout(PATIENCE)
            .await?;
        Ok(Passage {
            rank,
            arrived: arrived.as_micros(),
            released: SystemClock.now().as_micros(),
            waited: watch.elapsed(),
            seen: all.len(),
        })
    }

    /// Everybody is busy for a while first, the last rank for the longest time.
    async fn work(&self, rank: u16) {
        let share = u64::from(rank + 1) * self.latest / u64::from(self.parties);
        let done = SystemClock
            .now()
            .saturating_add(Duration::from_millis(share));
        SystemClock.sleep_until(done).await;
    }
}

fn key(rank: u16) -> String {
    format!("rank:{rank}/ready")
}
