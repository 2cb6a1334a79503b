//! The cache on Redis: a hit there against the driver's GET, both levels against that one alone, and several
//! processes that miss the same entry at once.

mod hit;
mod levels;
mod stampede;

pub(crate) use stampede::child;

use crate::Bench;
use kv_cache::{Cache, CacheBuilder, Far, LoadContext, Policy};
use kv_core::Kv;
use kv_tests::bench::Suite;
use std::{io, time::Duration};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long the store may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    hit::rows(bench, suite);
    levels::rows(bench, suite);
    stampede::rows(suite);
}

/// A cache whose entries stay fresh, on a store.
fn builder(kv: &Kv) -> CacheBuilder<str, String> {
    Cache::builder("products")
        .far(Far::new(kv).deadline(PATIENCE))
        .policy(Policy::ttl(DAY))
}

async fn missing(_: LoadContext<String>) -> io::Result<String> {
    Err(io::Error::other("a key is missing"))
}
