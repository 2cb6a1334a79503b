//! Tests of the whole store, on a clock that stands still until it is told to move.

mod bound;
mod commit;
mod commit_bound;
mod concurrency;
mod expiry;
mod guards;
mod scan;
mod semantics;
mod sweeping;
mod watch;
mod watch_expiry;
mod zmove;

use crate::{MemoryConfig, MemoryStore};
use futures_util::StreamExt;
use kv_core::{ErrorKind, Event, Events, Kv, Timestamp, VirtualClock};
use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

struct Fixture {
    kv: Kv,
    store: MemoryStore,
    clock: VirtualClock,
}

/// A store without its sweeper, so that nothing but the calls touches it.
async fn fixture(config: MemoryConfig) -> Fixture {
    let fixture = connected(config).await;
    fixture.store.inner().sweeper.stop().await;
    fixture
}

async fn connected(config: MemoryConfig) -> Fixture {
    let clock = VirtualClock::at(START);
    let store = MemoryStore::with_clock(config, Arc::new(clock.clone()));
    let kv = Kv::builder(store.clone()).connect().await.unwrap();
    Fixture { kv, store, clock }
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn limit(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn fails<T: fmt::Debug>(result: kv_core::Result<T>, kind: ErrorKind, key: &str) {
    let error = result.unwrap_err();
    assert_eq!((error.kind(), error.key()), (kind, Some(key)), "{error:?}");
}

/// The next event of a watch; fails if none comes.
async fn next(events: &mut Events) -> Option<kv_core::Result<Event>> {
    let next = tokio::time::timeout(Duration::from_secs(10), events.next());
    next.await.expect("an event")
}

impl Fixture {
    /// The books against what is really there.
    fn audit(&self) {
        let inner = self.store.inner();
        let (mut entries, mut bytes) = (0, 0);
        for shard in &inner.shards {
            let shard = shard.read();
            let cost: usize = shard.table.iter().map(crate::entry::Entry::cost).sum();
            let dated = shard.table.iter().filter(|it| it.deadline != i64::MAX);
            assert_eq!(shard.books.bytes, cost);
            assert_eq!(shard.books.deadlines.live(), dated.count());
            entries += shard.table.len();
            bytes += cost;
        }
        if let Some(bound) = &inner.bound {
            assert_eq!(bound.taken(), (entries, bytes));
        }
    }
}
