//! Rate limits: one limit a call against the same algorithm in a script of its own.

use crate::{Bench, Shape, load::Share, reference_throttle};
use kv_core::{Key, Kv, Rule, Throttle};
use kv_tests::bench::{Claim, Outcome, Suite};
use std::time::Duration;

impl Bench {
    /// 10,000 limits of 100 a minute, most of them in use and few of them full.
    pub(crate) fn limits(&self, suite: &mut Suite) {
        for (tasks, target) in [(1, 0.95), (64, 0.90)] {
            let claims = [Claim::ratio(format!("redis/throttle/{tasks}"), target)];
            let shape = || Shape {
                // The other rows' keys hold no limits.
                load: &self.limits,
                ..self.single("throttle", tasks)
            };
            suite.hold(&claims, || {
                self.contest(shape(), throttle, reference_throttle::throttle)
            });
        }
    }
}

async fn throttle(kv: Kv, share: Share) -> Outcome {
    let rule = Rule::gcra(100, Duration::from_secs(60), 100)?;
    for key in share.keys() {
        let answer = kv
            .throttle(Throttle::new().limit(Key::new(key.to_owned())?, rule))
            .await?;
        let limit = answer.limits[0];
        check(limit.remaining, limit.reset_after.as_micros() as u64)?;
    }
    Ok(())
}

/// What both sides are told fits together.
pub(crate) fn check(remaining: u64, reset: u64) -> Outcome {
    match remaining < 100 && reset > 0 {
        true => Ok(()),
        false => Err(format!("{remaining} remain, and unused in {reset} us").into()),
    }
}
