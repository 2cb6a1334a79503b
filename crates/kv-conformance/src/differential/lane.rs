use super::{answer::Answer, material, step::Step, summary::Summary, tokens::Tokens};
use futures_util::future::{join_all, try_join_all};
use kv_core::{CapabilitySet, Key, Kv, Prefix, Prefixes, Result, Timestamp};
use std::time::Duration;

/// A part of the test with keys of its own, so that it can run beside the others.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    seed: u64,
    number: usize,
    home: String,
    /// When the test began, by the reference's clock.
    now: Timestamp,
    tolerance: Duration,
}

/// Keys whose content is told by a store's clock.
#[derive(Clone, Debug)]
pub(super) struct Clocked {
    pub(super) token: Key,
    pub(super) limits: [Key; 2],
}

/// The step at which the stores parted, and what each answered.
#[derive(Debug)]
pub(super) struct Parting {
    pub(super) index: usize,
    pub(super) answers: Vec<Answer>,
}

impl Lane {
    pub(super) fn new(seed: u64, number: usize, now: Timestamp) -> Self {
        Self {
            seed,
            number,
            home: format!("diff.{seed}.{number}:"),
            now,
            tolerance: Duration::from_secs(60),
        }
    }

    /// With this much difference allowed between remaining lifetimes.
    pub(super) fn tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// Where this lane's random numbers start.
    pub(super) fn seed(&self) -> u64 {
        // Odd multipliers keep the seeds of all lanes of all tests apart.
        let number = self.number as u64;
        self.seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The hot keys. Their families of commands go round by position.
    pub(super) fn keys(&self) -> Vec<Key> {
        let home = self.home.as_bytes();
        let plain = material::NAMES.iter().map(|name| [home, name].concat());
        let tagged = material::TAGGED
            .iter()
            .map(|name| [b"{", home, name].concat());
        plain
            .chain(tagged)
            .map(|bytes| Key::new(bytes).expect("the names are not empty"))
            .collect()
    }

    /// The keys of a group that hold tokens and the states of limits: each store writes its own time
    /// into them, so nothing else may read or write them.
    pub(super) fn clocked(&self, group: &[u8]) -> Clocked {
        let key = |suffix: &[u8]| {
            let bytes = [b"{", self.home.as_bytes(), group, suffix].concat();
            Key::new(bytes).expect("a home is never empty")
        };
        Clocked {
            token: key(b":token"),
            limits: [key(b":limit"), key(b":other limit")],
        }
    }

    /// A channel for messages, which nobody needs to hear.
    pub(super) fn channel(&self) -> Key {
        let name = format!("{}channel", self.home);
        Key::new(name).expect("a home is never empty")
    }

    /// The two ranges that hold all of its keys, or what starts like some of them.
    pub(super) fn ranges(&self, rest: &[u8]) -> Prefixes {
        let home = self.home.as_bytes();
        let plain = [home, rest].concat();
        let tagged = [b"{", home, rest].concat();
        [plain, tagged].map(Prefix::new).into_iter().collect()
    }

    pub(super) async fn clear(&self, stores: &[&Kv]) -> Result<()> {
        let clear = stores.iter().map(|kv| kv.clear_prefixes(self.ranges(b"")));
        try_join_all(clear).await.map(drop)
    }

    /// Runs the steps one by one, each on all stores.
    pub(super) async fn run(&self, steps: &[Step], stores: &[&Kv]) -> Result<Summary, Parting> {
        let mut summary = Summary::new(self.seed, CapabilitySet::ALL);
        let mut tokens: Vec<Tokens> = stores.iter().map(|_| Tokens::default()).collect();
        for (index, step) in steps.iter().enumerate() {
            let mut answers = join_all(stores.iter().map(|kv| step.execute(kv, self.now))).await;
            for (answer, tokens) in answers.iter_mut().zip(&mut tokens) {
                tokens.judge(answer);
            }
            let (first, others) = answers.split_first().expect("there is a reference");
            let agrees = |other: &Answer| first.agrees(other, self.tolerance);
            if first.spoilt() || !others.iter().all(agrees) {
                return Err(Parting { index, answers });
            }
            summary.note(step.name(), first);
        }
        Ok(summary)
    }
}
