//! The cache's level in this process against moka: what a hit takes, and how many reads hit; and many who miss
//! the same entry at once.

mod hit;
mod kept;
mod stampede;

use kv_cache::{Cache, Near, Policy};
use kv_tests::bench::Suite;
use std::time::Duration;

/// What every value is.
const VALUE: &str = "a value of a hundred bytes, as it is read from a store that has many of them, and not any \
                     shorter than that";

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn rows(suite: &mut Suite) {
    hit::rows(suite);
    kept::rows(suite);
    stampede::rows(suite);
}

/// A cache whose entries stay fresh, in this process.
fn builder(bytes: u64) -> kv_cache::CacheBuilder<str, String> {
    Cache::builder("products")
        .near(Near::bytes(bytes).max_stale(DAY))
        .policy(Policy::ttl(DAY))
}
