//! How long entries are fresh, and what is done about those that are not.

use kv_core::{Error, ErrorKind, Lifetime, Result};
use std::time::Duration;

/// How long a loader may take, unless something else is said.
const HARD_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a loader that has failed is left alone, unless something else is said.
const THROTTLE: Duration = Duration::from_secs(5);
/// The longest life that a loader can give an entry, unless the policy's is longer.
const LONGEST_OWN: Duration = Duration::from_secs(30 * 24 * 3600);

/// How long entries are fresh, and what is done about those that are not.
///
/// ```
/// use kv_cache::Policy;
/// use std::time::Duration;
///
/// let policy = Policy::ttl(Duration::from_secs(300))
///     .stale(Duration::from_secs(7200))
///     .jitter(0.1)
///     .eager(0.9)
///     .soft_timeout(Duration::from_millis(100))
///     .hard_timeout(Duration::from_secs(2))
///     .negative(Duration::from_secs(30));
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    pub(crate) fresh: Duration,
    pub(crate) stale: Duration,
    pub(crate) jitter: f64,
    pub(crate) early: Early,
    pub(crate) soft_timeout: Duration,
    pub(crate) hard_timeout: Duration,
    pub(crate) negative: Option<Duration>,
    pub(crate) throttle: Duration,
}

/// When a fresh entry is refreshed in the background.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Early {
    Never,
    /// From this part of its time on.
    From(f64),
    /// The likelier the nearer its end is, by how long loading takes.
    Likely {
        beta: f64,
    },
}

impl Policy {
    /// Entries are fresh for so long, counted from when their load began, and end then.
    pub fn ttl(fresh: Duration) -> Self {
        Self {
            fresh,
            stale: Duration::ZERO,
            jitter: 0.0,
            early: Early::Never,
            soft_timeout: Duration::ZERO,
            hard_timeout: HARD_TIMEOUT,
            negative: None,
            throttle: THROTTLE,
        }
    }

    /// For so long after that they are stale: they are given out while they are loaded anew, and when that
    /// fails. What is past this is given out to nobody.
    #[must_use]
    pub fn stale(self, stale: Duration) -> Self {
        Self { stale, ..self }
    }

    /// Makes each entry fresh for less, by up to this part of the time and by chance, so that what was
    /// loaded together is not loaded together again.
    #[must_use]
    pub fn jitter(self, jitter: f64) -> Self {
        Self { jitter, ..self }
    }

    /// Loads an entry that is asked for anew, in the background, from this part of its time on.
    #[must_use]
    pub fn eager(self, from: f64) -> Self {
        Self {
            early: Early::From(from),
            ..self
        }
    }

    /// Loads an entry that is asked for anew, in the background, by chance: the likelier the nearer its end
    /// is, measured by how long its load took. With `beta` 1 some reader is early enough nearly always;
    /// more is earlier. (XFetch, Vattani et al., 2015.)
    #[must_use]
    pub fn eager_by_chance(self, beta: f64) -> Self {
        Self {
            early: Early::Likely { beta },
            ..self
        }
    }

    /// How long who could have a stale value waits for a new one; not at all, unless this is said.
    #[must_use]
    pub fn soft_timeout(self, soft_timeout: Duration) -> Self {
        Self {
            soft_timeout,
            ..self
        }
    }

    /// How long who has nothing waits for a loader; ten seconds, unless this is said. The loader goes on for
    /// as long again, and what it brings is kept.
    #[must_use]
    pub fn hard_timeout(self, hard_timeout: Duration) -> Self {
        Self {
            hard_timeout,
            ..self
        }
    }

    /// Remembers for so long that there is nothing; it is not remembered, unless this is said.
    #[must_use]
    pub fn negative(self, negative: Duration) -> Self {
        Self {
            negative: Some(negative),
            ..self
        }
    }

    /// For how long a stale value is given out without another try when a load has failed; five seconds,
    /// unless this is said.
    #[must_use]
    pub fn throttle(self, throttle: Duration) -> Self {
        Self { throttle, ..self }
    }

    /// No entry lives longer than this, whatever its loader says; so a mark that lives as long outlives it.
    pub(crate) fn longest_life(&self) -> Duration {
        let own = self.fresh.saturating_add(self.stale);
        own.max(self.negative.unwrap_or_default()).max(LONGEST_OWN)
    }

    /// How long a load goes on at most: as long as somebody waits for it, and once more.
    pub(crate) fn longest_load(&self) -> Duration {
        self.hard_timeout * 2
    }

    /// # Errors
    /// [`ErrorKind::Config`] if it makes no sense.
    pub(crate) fn check(&self) -> Result<()> {
        match self.fault() {
            Some(fault) => Err(Error::new(ErrorKind::Config, fault)),
            None => Ok(()),
        }
    }

    /// What makes no sense about it, by the name of the setting.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let early = match self.early {
            Early::Never => true,
            Early::From(part) => part > 0.0 && part <= 1.0,
            Early::Likely { beta } => beta > 0.0 && beta.is_finite(),
        };
        let has_soft = !self.soft_timeout.is_zero();
        let longest = self.fresh.saturating_add(self.stale);
        let rules = [
            (
                !self.fresh.is_zero(),
                "ttl must be longer than zero, or nothing is ever fresh",
            ),
            (
                longest <= Lifetime::MAX.as_duration(),
                "ttl and stale must not be longer than a thousand years together",
            ),
            (
                (0.0..1.0).contains(&self.jitter),
                "jitter is a part of the ttl: at least 0, less than 1",
            ),
            (
                early,
                "eager is a part of the ttl, above 0 and at most 1; eager_by_chance is above 0",
            ),
            (
                !self.hard_timeout.is_zero(),
                "hard_timeout must be longer than zero, or no loader is ever in time",
            ),
            (
                self.hard_timeout <= MAX_TIMEOUT,
                "hard_timeout must not be longer than a day",
            ),
            (
                !has_soft || self.soft_timeout < self.hard_timeout,
                "soft_timeout must be shorter than hard_timeout",
            ),
            (
                !has_soft || !self.stale.is_zero(),
                "soft_timeout is how long to wait before a stale value is given out; say how long that may be with stale",
            ),
            (
                self.negative.is_none_or(|it| !it.is_zero()),
                "negative must be longer than zero; leave it out to remember nothing",
            ),
            (
                self.negative
                    .is_none_or(|it| it <= Lifetime::MAX.as_duration()),
                "negative must not be longer than a thousand years",
            ),
            (
                !self.throttle.is_zero(),
                "throttle must be longer than zero, or a loader that fails is asked by every reader",
            ),
        ];
        let broken = rules.into_iter().find(|(is_sound, _)| !is_sound);
        broken.map(|(_, fault)| fault)
    }
}

/// A lease on the store is longer than this, and must come to an end some day.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

#[cfg(test)]
mod tests {
    use super::Policy;
    use kv_core::ErrorKind;
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        let good = Policy::ttl(MINUTE).stale(MINUTE);
        good.jitter(0.1).eager(0.9).check().unwrap();
        good.eager_by_chance(1.0).negative(MINUTE).check().unwrap();
        for (bad, named) in [
            (Policy::ttl(Duration::ZERO), "ttl"),
            (good.stale(Duration::MAX), "stale"),
            (good.jitter(1.0), "jitter"),
            (good.jitter(f64::NAN), "jitter"),
            (good.eager(0.0), "eager"),
            (good.eager(1.1), "eager"),
            (good.eager_by_chance(0.0), "eager_by_chance"),
            (good.hard_timeout(Duration::ZERO), "hard_timeout"),
            (good.hard_timeout(MINUTE * 60 * 25), "hard_timeout"),
            (good.soft_timeout(MINUTE), "soft_timeout"),
            (
                Policy::ttl(MINUTE).soft_timeout(MINUTE / 60),
                "soft_timeout",
            ),
            (good.negative(Duration::ZERO), "negative"),
            (good.negative(Duration::MAX), "negative"),
            (good.throttle(Duration::ZERO), "throttle"),
        ] {
            let error = bad.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(named), "{error}");
        }
    }
}
