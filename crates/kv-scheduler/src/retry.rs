//! How often a task is tried, and how long it waits in between.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How often a task is tried, and how long it waits in between: exponential backoff with full jitter,
/// that is a random span between zero and twice the last bound.
/// (Brooker, *Exponential Backoff and Jitter*, AWS Architecture Blog, 2015.)
///
/// What is decided is written to the store: a waiting task needs no process.
///
/// ```
/// # use kv_scheduler::Retry;
/// # use std::time::Duration;
/// let retry = Retry::exponential(Duration::from_secs(1), Duration::from_secs(600)).attempts(8);
/// # assert_eq!(retry.max_attempts(), 8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    #[serde(rename = "n")]
    attempts: u32,
    /// In milliseconds.
    #[serde(rename = "l")]
    least: u64,
    #[serde(rename = "m")]
    most: u64,
    #[serde(rename = "j")]
    jitter: Jitter,
    #[serde(rename = "x")]
    lapses: u32,
}

/// How much chance there is in a delay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Jitter {
    /// Anything between zero and the bound: tasks that failed together do not come back together.
    #[default]
    #[serde(rename = "f")]
    Full,
    /// Exactly the bound.
    #[serde(rename = "n")]
    None,
}

impl Default for Retry {
    /// 20 attempts, from one second to one hour: about half a day in all. Three lapses.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_secs(3600))
    }
}

impl Retry {
    /// The first delay is at most `least`, each further one at most twice as long, none longer than
    /// `most`. 20 attempts.
    pub fn exponential(least: Duration, most: Duration) -> Self {
        Self {
            attempts: 20,
            least: millis(least),
            most: millis(most),
            jitter: Jitter::Full,
            lapses: 3,
        }
    }

    /// One attempt and no other, except after a lapse.
    pub fn never() -> Self {
        Self::default().attempts(1)
    }

    /// So many attempts in all, the first included; at least one.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts.max(1);
        self
    }

    /// With this much chance in the delays.
    #[must_use]
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// How often the lease may lapse, because the worker died or hung, before the task is taken for a
    /// poison pill and goes to the dead. A claim whose answer is lost counts as one, so leave room.
    #[must_use]
    pub fn lapses(mut self, lapses: u32) -> Self {
        self.lapses = lapses;
        self
    }

    /// So many attempts in all.
    pub fn max_attempts(&self) -> u32 {
        self.attempts
    }

    /// The bound of the first delay, and that of all.
    pub(crate) fn delays(&self) -> (Duration, Duration) {
        (
            Duration::from_millis(self.least),
            Duration::from_millis(self.most),
        )
    }

    /// So many lapses are forgiven.
    pub fn max_lapses(&self) -> u32 {
        self.lapses
    }

    /// How long to wait after the attempt with this number, counted from 1, or `None` if it was the
    /// last. `chance` is between 0 and 1.
    pub(crate) fn delay(&self, attempt: u32, chance: f64) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let doublings = attempt.saturating_sub(1).min(63);
        let bound = self.least.saturating_mul(1 << doublings).min(self.most);
        let bound = Duration::from_millis(bound);
        Some(match self.jitter {
            Jitter::Full => bound.mul_f64(chance.clamp(0.0, 1.0)),
            Jitter::None => bound,
        })
    }
}

fn millis(span: Duration) -> u64 {
    // A thousand years: what is longer would not fit a deadline.
    const MOST: u64 = 1000 * 365 * 24 * 3600 * 1000;
    u64::try_from(span.as_millis()).map_or(MOST, |it| it.min(MOST))
}

#[cfg(test)]
mod tests {
    use super::{Jitter, Retry};
    use std::time::Duration;

    #[test]
    fn delays_double_up_to_the_bound_and_end_with_the_attempts() {
        let second = Duration::from_secs(1);
        let retry = Retry::exponential(second, 5 * second)
            .attempts(6)
            .jitter(Jitter::None);
        let delays: Vec<_> = (1..=6).map(|n| retry.delay(n, 0.5)).collect();
        let seconds = [1, 2, 4, 5, 5].map(|n| Some(n * second));
        assert_eq!(delays[..5], seconds);
        assert_eq!(delays[5], None);
        assert_eq!(
            retry.attempts(u32::MAX).delay(4_000_000, 1.0),
            Some(5 * second)
        );
        assert_eq!(Retry::never().delay(1, 1.0), None);
    }

    #[test]
    fn full_jitter_is_anything_up_to_the_bound() {
        let retry = Retry::exponential(Duration::from_secs(8), Duration::from_secs(80));
        assert_eq!(retry.delay(1, 0.0), Some(Duration::ZERO));
        assert_eq!(retry.delay(1, 0.25), Some(Duration::from_secs(2)));
        assert_eq!(retry.delay(2, 1.0), Some(Duration::from_secs(16)));
    }
}
