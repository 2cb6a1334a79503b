//! Random steps, and what a budget in plain memory makes of them.

use super::{MINUTE, Reserve, Settlement, Site};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

const LIMIT: u64 = 100;

#[derive(Clone, Debug)]
enum Step {
    Reserve { id: u8, amount: u64, minutes: u32 },
    Settle { id: u8, actual: u64 },
    Release { id: u8 },
    Extend { id: u8, minutes: u32 },
    Pass { seconds: u64 },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    let id = || 0..20_u8;
    prop_oneof![
        8 => (id(), 1..60_u64, 1..4_u32)
            .prop_map(|(id, amount, minutes)| Step::Reserve { id, amount, minutes }),
        3 => (id(), 0..40_u64).prop_map(|(id, actual)| Step::Settle { id, actual }),
        2 => id().prop_map(|id| Step::Release { id }),
        2 => (id(), 1..4_u32).prop_map(|(id, minutes)| Step::Extend { id, minutes }),
        3 => (0..150_u64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Reset),
    ]
}

/// All that a budget knows.
#[derive(Default)]
struct Model {
    now: Duration,
    spent: u64,
    /// How much, and when it lapses.
    pending: BTreeMap<u8, (u64, Duration)>,
}

impl Model {
    fn used(&self) -> u64 {
        let reserved = self.pending.values().map(|(amount, _)| amount);
        self.spent + reserved.sum::<u64>()
    }

    /// The amount that is reserved then and for how long; nothing if there is no room.
    fn reserve(&mut self, id: u8, amount: u64, ttl: Duration) -> Option<(u64, Duration)> {
        let now = self.now;
        if let Some((amount, lapses)) = self.pending.get_mut(&id) {
            if *lapses <= now {
                *lapses = now + ttl;
            }
            return Some((*amount, *lapses - now));
        }
        if self.used() + amount > LIMIT {
            // There are only 20 ids; more lapsed ones would go in turns.
            self.pending.retain(|_, (_, lapses)| *lapses > now);
        }
        if self.used() + amount > LIMIT {
            return None;
        }
        self.pending.insert(id, (amount, now + ttl));
        Some((amount, ttl))
    }

    fn settle(&mut self, id: u8, actual: u64) -> Settlement {
        match self.pending.remove(&id) {
            Some(_) => {
                self.spent += actual;
                Settlement::Settled
            }
            None => Settlement::Unknown,
        }
    }
}

async fn follow(steps: Vec<Step>) {
    let site = Site::new();
    let budget = site.budget(LIMIT).await;
    let mut model = Model::default();
    for step in steps {
        match step.clone() {
            Step::Reserve {
                id,
                amount,
                minutes,
            } => {
                let ttl = minutes * MINUTE;
                let told = match budget.reserve([id], amount, ttl).await.unwrap() {
                    Reserve::Reserved(hold) => Some((hold.amount(), hold.remaining())),
                    Reserve::Over(over) => {
                        assert_eq!(over.used, model_used_after(&mut model), "{step:?}");
                        None
                    }
                };
                assert_eq!(told, model.reserve(id, amount, ttl), "{step:?}");
            }
            Step::Settle { id, actual } => {
                let told = budget.settle([id], actual).await.unwrap();
                assert_eq!(told, model.settle(id, actual), "{step:?}");
            }
            Step::Release { id } => {
                let told = budget.release([id]).await.unwrap();
                assert_eq!(told, model.settle(id, 0), "{step:?}");
            }
            Step::Extend { id, minutes } => {
                let ttl = minutes * MINUTE;
                let told = budget.extend([id], ttl).await.unwrap();
                let there = model.pending.get_mut(&id);
                assert_eq!(told, there.is_some(), "{step:?}");
                if let Some((_, lapses)) = there {
                    *lapses = model.now + ttl;
                }
            }
            Step::Pass { seconds } => {
                let span = Duration::from_secs(seconds);
                site.clock.advance(span);
                model.now += span;
            }
            Step::Reset => {
                budget.reset().await.unwrap();
                (model.spent, model.pending) = (0, BTreeMap::new());
            }
        }
        let told = budget.standing().await.unwrap();
        assert_eq!(told.used, model.used(), "{step:?}");
        assert_eq!(told.spent(), model.spent, "{step:?}");
        assert_eq!(told.pending, model.pending.len() as u64, "{step:?}");
        let lapsed = model.pending.values().filter(|it| it.1 <= model.now);
        assert_eq!(told.lapsed, lapsed.count() as u64, "{step:?}");
    }
}

/// A refusal has given back what had lapsed.
fn model_used_after(model: &mut Model) -> u64 {
    let now = model.now;
    model.pending.retain(|_, (_, lapses)| *lapses > now);
    model.used()
}

proptest! {
    #[test]
    fn a_budget_does_what_the_model_does(steps in prop::collection::vec(step(), 1..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(follow(steps));
    }
}
