//! Makes requests to limits.

use super::{Family, Generator, Group};
use crate::differential::material;
use kv_core::{Command, Rule, Throttle, ThrottleMode};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * material::HOUR);

impl Generator<'_> {
    /// Limits so slow that a decision does not depend on when in the test it is made.
    pub(super) fn throttle(&mut self, group: &Group) -> Command {
        let mut request = Throttle::new().cost(material::pick(&mut self.rng, &[1, 1, 1, 2, 3]));
        let Some(clocked) = group.clocked.as_ref().filter(|_| self.rng.u8(0..6) > 0) else {
            // A state would hold the store's time, and the key is read by others: only look.
            let key = self.of(group, Family::String);
            request = request.limit(key, self.rule()).mode(ThrottleMode::Peek);
            return Command::Throttle { request };
        };
        let count = self.rng.usize(1..3);
        for key in &clocked.limits[..count] {
            request = request.limit(key, self.rule());
        }
        let bucket = |rule| matches!(rule, Rule::Gcra(_));
        let only_buckets = request.limits.iter().all(|it| bucket(it.rule));
        request.mode = match self.rng.u8(0..10) {
            0..6 => ThrottleMode::Debit,
            6 => ThrottleMode::Peek,
            7..9 => ThrottleMode::Refund,
            _ if only_buckets => ThrottleMode::Reserve { max_wait: DAY },
            _ => ThrottleMode::Debit,
        };
        Command::Throttle { request }
    }

    fn rule(&mut self) -> Rule {
        let year = DAY * 365;
        let rule = match self.rng.u8(0..8) {
            0..3 => Rule::gcra(3, DAY, 5),
            3 => Rule::gcra(3, DAY, 3),
            4..6 => Rule::fixed(7, year),
            _ => Rule::sliding_counter(7, year),
        };
        rule.expect("the numbers are small")
    }
}
