//! The same random transitions, one at a time, leave the same on memory, on Redis and on etcd.
//!
//! `KV_SEED` repeats a trace.

use crate::site::Site;
use kv_scheduler::testing::trace;
use std::env;

/// How many transitions.
const STEPS: usize = 1_500;

/// On etcd each waits for its log.
const FEWER_STEPS: usize = 500;

fn seed() -> u64 {
    match env::var("KV_SEED") {
        Ok(seed) => seed.parse().expect("KV_SEED is not a number"),
        Err(_) => fastrand::u64(..),
    }
}

async fn agree(other: Site, name: &str, steps: usize) {
    let seed = seed();
    let memory = Site::memory().await;
    let (expected, found) = tokio::join!(
        trace(&memory.kv, "q", seed, steps),
        trace(&other.kv, "q", seed, steps),
    );
    let (expected, found) = (expected.unwrap(), found.unwrap());
    for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
        assert!(
            expected == found,
            "seed {seed}, step {step}: memory\n{expected}\n{name}\n{found}\nKV_SEED={seed} repeats it"
        );
    }
    assert_eq!(expected.len(), steps);
}

#[tokio::test]
async fn redis_leaves_what_memory_does() {
    agree(Site::redis().await, "redis", STEPS).await;
}

#[tokio::test]
async fn etcd_leaves_what_memory_does() {
    agree(Site::etcd().await, "etcd", FEWER_STEPS).await;
}
