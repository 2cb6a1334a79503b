//! Every decision about an entry, as pure functions of what is known and of what time it is: the cache
//! calls them, and so do the checks of the model.
//!
//! Times are on the clock that measures spans. An entry's age counts from before its load began, and what is
//! read from the store counts from before the question: both err towards old.

use crate::policy::{Early, Policy};
use std::time::Duration;

/// Whether an entry counts as new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is within its time.
    Fresh,
    /// It is past its time, or was expired, and not past its end.
    Stale,
}

/// How long an entry is good, as it is written into its envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// For so long it is fresh.
    pub(crate) fresh: Duration,
    /// After so long it ends.
    pub(crate) life: Duration,
    /// So long its load took.
    pub(crate) took: Duration,
}

/// When what becomes of an entry in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    /// When it was put here, ...
    pub(crate) kept: Duration,
    /// ... and how old it was then.
    pub(crate) age: Duration,
    /// Until then nobody need look closer, as long as it is sure. It is never later than any of the others but by
    /// [`rest`](Self::rest).
    pub(crate) quiet_until: Duration,
    pub(crate) fresh_until: Duration,
    /// From then on the store must be asked whether it still holds, unless others would have told.
    pub(crate) sure_until: Duration,
    /// From then on it is given out to nobody.
    pub(crate) ends: Duration,
    pub(crate) took: Duration,
}

/// What is done for who asks for an entry that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is given out.
    Serve,
    /// It is given out, and loaded anew in the background.
    ServeAndRefresh,
    /// It is stale: loaded anew, and given out to who does not wait that long.
    Refresh,
    /// The store is asked before it is given out.
    Confirm,
    /// It is as if it were not here.
    Ended,
}

/// What a fill must bring along: how often its stripe had been touched before anything was read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

impl Ticket {
    /// Whether nothing has come in between but one touch.
    pub(crate) fn is_next_to(self, before: Self) -> bool {
        self.0 == before.0.wrapping_add(1)
    }
}

/// Whether what was read under a ticket may be kept: nothing was removed since.
pub(crate) fn may_keep(ticket: Ticket, touches: u64) -> bool {
    ticket.0 == touches
}

/// Whether an entry may take the place of another: versions never go back. The same version again is the
/// same entry, read again.
pub(crate) fn may_replace(kept: Option<u64>, version: u64) -> bool {
    kept.is_none_or(|kept| kept <= version)
}

impl Terms {
    /// Of a value whose load took so long. `random` is from 0 to 1.
    pub(crate) fn of_value(
        policy: &Policy,
        own_ttl: Option<Duration>,
        took: Duration,
        random: f64,
    ) -> Self {
        let ttl = own_ttl.unwrap_or(policy.fresh);
        Self {
            fresh: jittered(ttl, policy.jitter, random),
            life: ttl.saturating_add(policy.stale).min(policy.longest_life()),
            took,
        }
    }

    /// Of the knowledge that there is nothing; `None` if that is not remembered.
    pub(crate) fn of_nothing(policy: &Policy, took: Duration) -> Option<Self> {
        let life = policy.negative?;
        Some(Self {
            fresh: life,
            life,
            took,
        })
    }
}

impl Times {
    /// Of an entry that was so old at that time. `sure` is for how long it holds without asking the store.
    pub(crate) fn new(
        terms: Terms,
        age: Duration,
        now: Duration,
        early: Early,
        sure: Duration,
    ) -> Self {
        let fresh_left = terms.fresh.saturating_sub(age);
        let fresh_until = now.saturating_add(fresh_left);
        let early_from = match early {
            Early::Never => fresh_until,
            Early::From(part) => now.saturating_add(terms.fresh.mul_f64(part).saturating_sub(age)),
            Early::Likely { beta } => {
                let most = terms.took.as_secs_f64() * beta * MOST_CHANCE;
                fresh_until.saturating_sub(span(most))
            }
        };
        let sure_until = now.saturating_add(sure);
        let ends = now.saturating_add(terms.life.saturating_sub(age));
        Self {
            kept: now,
            age,
            quiet_until: early_from.min(fresh_until).min(ends),
            fresh_until: fresh_until.min(ends),
            sure_until,
            ends,
            took: terms.took,
        }
    }

    /// How old it is by now.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        self.age.saturating_add(now.saturating_sub(self.kept))
    }

    pub(crate) fn freshness(&self, now: Duration) -> Freshness {
        match now < self.fresh_until {
            true => Freshness::Fresh,
            false => Freshness::Stale,
        }
    }

    /// What is done for who asks now. `is_covered` says whether others would have told if it did not hold any more.
    /// `random` is above 0 and at most 1. Both are asked only where it matters.
    pub(crate) fn look(
        &self,
        now: Duration,
        early: Early,
        is_covered: impl FnOnce() -> bool,
        random: impl FnOnce() -> f64,
    ) -> Look {
        let is_quiet = now < self.quiet_until;
        // First, so that a hit costs next to nothing.
        if is_quiet && now < self.sure_until {
            return Look::Serve;
        }
        if now >= self.ends {
            return Look::Ended;
        }
        if now >= self.sure_until && !is_covered() {
            return Look::Confirm;
        }
        if is_quiet {
            return Look::Serve;
        }
        if now >= self.fresh_until {
            return Look::Refresh;
        }
        let is_due = match early {
            Early::Never => false,
            Early::From(_) => true,
            Early::Likely { beta } => {
                let chance = self.took.as_secs_f64() * beta * -random().ln();
                now.saturating_add(span(chance)) >= self.fresh_until
            }
        };
        match is_due {
            true => Look::ServeAndRefresh,
            false => Look::Serve,
        }
    }

    /// After a load has failed: given out as it is, without another try, until then; never past its end.
    #[must_use]
    pub(crate) fn rest(self, now: Duration, throttle: Duration) -> Self {
        Self {
            quiet_until: now.saturating_add(throttle).min(self.ends),
            // There is nobody to ask.
            sure_until: self.sure_until.max(now.saturating_add(throttle)),
            ..self
        }
    }

    /// Stale from now on, if it was not before.
    #[must_use]
    pub(crate) fn expire(self, now: Duration) -> Self {
        Self {
            quiet_until: self.quiet_until.min(now),
            fresh_until: self.fresh_until.min(now),
            ..self
        }
    }
}

/// The largest that the negative logarithm of a random number is: those have 53 bits.
const MOST_CHANCE: f64 = 37.0;

fn jittered(ttl: Duration, jitter: f64, random: f64) -> Duration {
    ttl.mul_f64(1.0 - jitter * random)
}

fn span(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SURE: Duration = Duration::MAX;

    fn terms(fresh: u32, stale: u32) -> Terms {
        Terms {
            fresh: SECOND * fresh,
            life: SECOND * (fresh + stale),
            took: SECOND,
        }
    }

    fn at(times: &Times, seconds: u32, early: Early) -> Look {
        times.look(SECOND * seconds, early, || false, || 1.0)
    }

    #[test]
    fn an_entry_is_fresh_then_stale_then_gone() {
        let times = Times::new(terms(10, 20), SECOND * 2, SECOND * 100, Early::Never, SURE);
        assert_eq!(at(&times, 107, Early::Never), Look::Serve);
        assert_eq!(times.freshness(SECOND * 107), Freshness::Fresh);
        assert_eq!(at(&times, 108, Early::Never), Look::Refresh);
        assert_eq!(times.freshness(SECOND * 108), Freshness::Stale);
        assert_eq!(at(&times, 127, Early::Never), Look::Refresh);
        assert_eq!(at(&times, 128, Early::Never), Look::Ended);
        assert_eq!(times.age(SECOND * 128), SECOND * 30);
    }

    #[test]
    fn what_nobody_is_sure_of_is_not_given_out_unasked() {
        let times = Times::new(
            terms(10, 20),
            Duration::ZERO,
            Duration::ZERO,
            Early::Never,
            SECOND * 5,
        );
        assert_eq!(at(&times, 4, Early::Never), Look::Serve);
        assert_eq!(at(&times, 5, Early::Never), Look::Confirm);
        assert_eq!(at(&times, 15, Early::Never), Look::Confirm);
        assert_eq!(at(&times, 30, Early::Never), Look::Ended);
    }

    #[test]
    fn an_entry_is_refreshed_early_from_a_part_of_its_time_on() {
        let early = Early::From(0.9);
        let times = Times::new(terms(100, 0), SECOND * 10, Duration::ZERO, early, SURE);
        assert_eq!(at(&times, 79, early), Look::Serve);
        assert_eq!(at(&times, 80, early), Look::ServeAndRefresh);
        assert_eq!(at(&times, 89, early), Look::ServeAndRefresh);
        assert_eq!(at(&times, 90, early), Look::Ended);
    }

    #[test]
    fn by_chance_it_is_the_earlier_the_longer_a_load_takes() {
        let early = Early::Likely { beta: 1.0 };
        let times = Times::new(terms(100, 0), Duration::ZERO, Duration::ZERO, early, SURE);
        let look = |seconds, random: f64| times.look(SECOND * seconds, early, || false, || random);
        // e⁻¹ is one load before the end.
        assert_eq!(look(98, 0.37), Look::Serve);
        assert_eq!(look(99, 0.36), Look::ServeAndRefresh);
        assert_eq!(look(99, 0.99), Look::Serve);
        // However lucky, nobody looks before this.
        assert_eq!(times.quiet_until, SECOND * 63);
        assert_eq!(look(63, f64::EPSILON / 2.0), Look::Serve);
        assert_eq!(look(64, f64::EPSILON / 2.0), Look::ServeAndRefresh);
    }

    #[test]
    fn what_failed_is_left_alone_and_still_ends() {
        let times = Times::new(
            terms(10, 20),
            Duration::ZERO,
            Duration::ZERO,
            Early::Never,
            SURE,
        );
        let resting = times.rest(SECOND * 12, SECOND * 5);
        assert_eq!(at(&resting, 16, Early::Never), Look::Serve);
        assert_eq!(resting.freshness(SECOND * 16), Freshness::Stale);
        assert_eq!(at(&resting, 17, Early::Never), Look::Refresh);
        let late = times.rest(SECOND * 28, SECOND * 5);
        assert_eq!(at(&late, 29, Early::Never), Look::Serve);
        assert_eq!(at(&late, 30, Early::Never), Look::Ended);
    }

    #[test]
    fn what_was_expired_is_stale_at_once() {
        let times = Times::new(
            terms(10, 20),
            Duration::ZERO,
            Duration::ZERO,
            Early::From(0.5),
            SURE,
        );
        let expired = times.expire(SECOND);
        assert_eq!(at(&expired, 1, Early::From(0.5)), Look::Refresh);
        assert_eq!(at(&expired, 30, Early::From(0.5)), Look::Ended);
        assert_eq!(expired.expire(SECOND * 9), expired);
    }

    #[test]
    fn nothing_is_remembered_only_where_it_is_said() {
        let policy = Policy::ttl(SECOND);
        assert_eq!(Terms::of_nothing(&policy, SECOND), None);
        let policy = policy.stale(SECOND).negative(SECOND * 3);
        let terms = Terms::of_nothing(&policy, SECOND).unwrap();
        assert_eq!([terms.fresh, terms.life], [SECOND * 3; 2]);
    }

    proptest! {
        #[test]
        fn jitter_only_shortens(millis in 1_u64..1_000_000, jitter in 0.0..0.99, random in 0.0..1.0) {
            let ttl = Duration::from_millis(millis);
            let jittered = jittered(ttl, jitter, random);
            prop_assert!(jittered <= ttl);
            prop_assert!(jittered.as_secs_f64() >= ttl.as_secs_f64() * (1.0 - jitter) - 1e-6);
        }

        /// K6: whatever is done to it, nothing is given out past its end, nor unasked when nobody is sure.
        #[test]
        fn nothing_is_given_out_past_its_end(
            fresh in 0_u32..50, stale in 0_u32..50, age in 0_u32..120, sure in 0_u32..120,
            steps in proptest::collection::vec((0_u32..120, any::<bool>(), 1_u32..50), 0..4),
            now in 0_u32..240, part in 0.01..1.0,
        ) {
            let early = Early::From(part);
            let terms = terms(fresh, stale);
            let age = SECOND * age;
            let mut times = Times::new(terms, age, Duration::ZERO, early, SECOND * sure);
            let ends = terms.life.saturating_sub(age);
            let mut rests_until = Duration::ZERO;
            for (when, rests, throttle) in steps {
                let when = SECOND * when;
                times = match rests {
                    true => {
                        rests_until = rests_until.max(when + SECOND * throttle);
                        times.rest(when, SECOND * throttle)
                    }
                    false => times.expire(when),
                };
            }
            let now = SECOND * now;
            let look = times.look(now, early, || false, || 1.0);
            prop_assert_eq!(times.ends, ends);
            if now >= ends {
                prop_assert_eq!(look, Look::Ended);
            }
            if now >= SECOND * sure && now < ends && now >= rests_until {
                prop_assert_eq!(look, Look::Confirm);
            }
        }
    }
}
