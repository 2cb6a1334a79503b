//! Both levels against the one on the store alone, where few entries are asked for often: with room for all of
//! them in the process, and for one in twenty.

use super::{DAY, builder, missing};
use crate::{Bench, load::Share, reference_zipf::zipf};
use kv_cache::{Cache, Near};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use std::{sync::Arc, time::Duration};

const TASKS: u64 = 64;

/// An entry of this bench weighs a little less here.
const WEIGHT: u64 = 512;

pub(super) fn rows(bench: &Bench, suite: &mut Suite) {
    let keys = suite.amount(100_000);
    let all = Claim::ratio("redis/cache/levels/all", 10.0);
    let few = Claim::ratio("redis/cache/levels/twentieth", 0.0).told();
    for (claim, room) in [(all, keys), (few, keys / 20)] {
        suite.hold(&[claim], || {
            let (stage, load) = (bench.stage()?, &bench.single);
            let clients = &stage.threads;
            let run = &clients.runtime;
            let far = run.block_on(Reads::open(builder(&clients.bare).build()?, keys))?;
            let near = Near::bytes(room * WEIGHT).max_stale(DAY);
            let both = Reads {
                cache: builder(&clients.bare).near(near).build()?,
                ..far.clone()
            };
            run.block_on(both.all())?;
            let side =
                |reads| Side::new(move |ops| load.spread((run, &reads), (TASKS, ops), Reads::some));
            Ok(Contest {
                ours: side(both),
                reference: side(far),
                size: Size::Span(Duration::from_millis(500)),
                meter: Some(Box::new(stage)),
            })
        });
    }
}

/// A cache, and who is asked for in turn.
#[derive(Clone)]
struct Reads {
    cache: Cache<str, String>,
    names: Arc<[String]>,
    turns: Arc<[u32]>,
}

impl Reads {
    /// With all entries on the store.
    async fn open(cache: Cache<str, String>, keys: u64) -> Outcome<Self> {
        let names: Arc<[String]> = (0..keys).map(|it| format!("zipf:{it:012}")).collect();
        for names in names.chunks(1_000) {
            let written = names.iter().map(|it| cache.set(it, "v".repeat(100)));
            futures_util::future::try_join_all(written).await?;
        }
        Ok(Self {
            cache,
            names,
            turns: zipf(keys, 10 * keys, 1).into(),
        })
    }

    /// Each entry once.
    async fn all(&self) -> Outcome {
        for name in &*self.names {
            self.cache.get_or_load(name.as_str(), missing).await?;
        }
        Ok(())
    }

    async fn some(self, share: Share) -> Outcome {
        let begin = fastrand::usize(..self.turns.len());
        let turns = self.turns.iter().cycle().skip(begin);
        for (count, turn) in (0..share.count()).zip(turns) {
            let name = self.names[*turn as usize].as_str();
            let value = self.cache.get_or_load(name, missing).await?;
            share.check_value(Some(&*value))?;
            // What is found here lets nobody else run.
            if count.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}
