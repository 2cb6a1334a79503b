//! Waiting: for deadlines on the store's clock, for effects, for tasks.

use super::Bench;
use crate::failure::{Failure, Verdict, ensure};
use kv_core::{Clock, DeadlineClock, Stopwatch, SystemClock, Timestamp};
use std::time::Duration;
use tokio::task::JoinSet;

/// How often a wait looks again.
const LOOK: Duration = Duration::from_millis(4);

/// The instants, on the store's clock, between which a write took place.
#[derive(Clone, Copy, Debug)]
pub struct Written {
    /// Before it began.
    pub before: Timestamp,
    /// After it was answered.
    pub after: Timestamp,
}

impl Bench {
    /// Executes a write and notes the store's time before and after it.
    ///
    /// # Errors
    /// The write's, as a failure.
    pub async fn written<T>(
        &self,
        write: impl Future<Output = kv_core::Result<T>>,
    ) -> Verdict<(T, Written)> {
        let before = self.now().await?;
        let answer = write.await?;
        let after = self.now().await?;
        Ok((answer, Written { before, after }))
    }

    /// Waits until the store's clock is past an instant.
    ///
    /// # Errors
    /// A failure if the store's clock cannot be read.
    pub async fn wait_past(&self, instant: Timestamp) -> Verdict {
        loop {
            let now = self.now().await?;
            if now > instant {
                return Ok(());
            }
            pause(
                instant
                    .saturating_since(now)
                    .max(Duration::from_micros(500)),
            )
            .await;
        }
    }

    /// Waits until a key written with this lifetime must have ended, without touching it.
    ///
    /// # Errors
    /// A failure if the store's clock cannot be read.
    pub async fn wait_out(&self, written: Written, lifetime: Duration) -> Verdict {
        // A store that counts in whole milliseconds may end a key at the end of the last one.
        let late = self.granularity() + self.skew() + self.settings().slack;
        let margin = late + Duration::from_millis(1);
        self.wait_past(written.after.saturating_add(lifetime + margin))
            .await
    }

    /// How long a case waits for what must come, whatever the machine does meanwhile. How soon it comes
    /// is a benchmark's matter.
    pub(crate) fn patience(&self) -> Duration {
        self.settings().case_deadline / 3
    }

    /// Looks until something holds that must come to hold.
    ///
    /// # Errors
    /// A failure if it does not come to hold, or the look's own.
    pub async fn eventually<F, Fut>(&self, what: &str, mut look: F) -> Verdict
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Verdict<bool>>,
    {
        let within = self.patience();
        let watch = Stopwatch::start();
        loop {
            let late = watch.elapsed() > within;
            if look().await? {
                return Ok(());
            }
            ensure!(!late, "not within {within:?}: {what}");
            pause(LOOK).await;
        }
    }

    /// Follows something with a lifetime to its end: never gone early, and gone in time.
    ///
    /// # Errors
    /// A failure that says by how much it ended too early or too late.
    pub async fn ends_in_time<F, Fut>(
        &self,
        what: &str,
        written: Written,
        lifetime: Duration,
        present: F,
    ) -> Verdict
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Verdict<bool>>,
    {
        self.ends_by(what, written, lifetime, Duration::ZERO, present)
            .await
    }

    /// The same for something that is held by the store's clock alone.
    ///
    /// # Errors
    /// As [`ends_in_time`](Self::ends_in_time).
    pub async fn held_ends_in_time<F, Fut>(
        &self,
        what: &str,
        written: Written,
        lifetime: Duration,
        present: F,
    ) -> Verdict
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Verdict<bool>>,
    {
        let more = self.settings().held_slack;
        self.ends_by(what, written, lifetime, more, present).await
    }

    async fn ends_by<F, Fut>(
        &self,
        what: &str,
        written: Written,
        lifetime: Duration,
        more: Duration,
        mut present: F,
    ) -> Verdict
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Verdict<bool>>,
    {
        let due = written
            .before
            .saturating_add(lifetime.saturating_sub(self.skew()));
        let late = self.granularity() + self.skew() + self.settings().slack + more;
        let latest = written.after.saturating_add(lifetime + late);
        loop {
            let before = self.now().await?;
            if present().await? {
                ensure!(
                    before <= latest,
                    "{what}: still there {:?} after the write, with a lifetime of {lifetime:?}",
                    before.saturating_since(written.before),
                );
                pause(LOOK).await;
                continue;
            }
            let seen = self.now().await?;
            ensure!(
                seen >= due,
                "{what}: gone {:?} after the write at the latest, with a lifetime of {lifetime:?}",
                seen.saturating_since(written.before),
            );
            return Ok(());
        }
    }

    fn skew(&self) -> Duration {
        match self.kv.capabilities().deadline_clock {
            DeadlineClock::Client { skew } => skew,
            _ => Duration::ZERO,
        }
    }
}

/// Runs futures as tasks of their own, all at once; the answers in their order.
///
/// # Errors
/// The first failure; the other tasks are aborted.
pub async fn together<T, F>(futures: impl IntoIterator<Item = F>) -> Verdict<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Verdict<T>> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for (at, future) in futures.into_iter().enumerate() {
        tasks.spawn(async move { (at, future.await) });
    }
    let mut answers = Vec::with_capacity(tasks.len());
    while let Some(ended) = tasks.join_next().await {
        let (at, answer) = ended.map_err(|error| Failure::new(format!("a task died: {error}")))?;
        answers.push((at, answer?));
    }
    answers.sort_by_key(|(at, _)| *at);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

/// Lets time pass between two looks.
pub(crate) async fn pause(span: Duration) {
    let clock = SystemClock;
    clock.sleep_until(clock.now().saturating_add(span)).await;
}
