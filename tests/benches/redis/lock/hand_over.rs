//! A lock that many want: how many calls it takes to give it to the next, and how long.

use super::Site;
use crate::figures::{at_most, report};
use kv_core::{Clock, Stopwatch, SystemClock};
use kv_lock::LockManager;
use kv_tests::{
    bench::{Figure, Outcome, Suite},
    contended::{MANAGERS, hand_over},
};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(10);

/// For a waiter to ask, listen and ask again.
const SETTLE: Duration = Duration::from_millis(5);

pub(super) fn rows(suite: &mut Suite) {
    let turns = suite.amount(20_000);
    let calls = 2.0 + MANAGERS as f64;
    let claim = at_most("redis/lock/hand_over/calls", Figure::Calls, calls);
    report(suite, &claim, 5, || {
        let site = Site::open(MANAGERS, LEASE)?;
        let before = site.scripts()?;
        site.runtime
            .block_on(hand_over(&site.managers, "wanted", turns))?;
        Ok((site.scripts()? - before) as f64 / turns as f64)
    });
    let rounds = suite.amount(500);
    for (name, part, target) in [("p50", 0.50, 0.3e6), ("p99", 0.99, 3e6)] {
        let name = format!("redis/lock/hand_over/{name}");
        let claim = at_most(&name, Figure::Nanos, target);
        report(suite, &claim, 5, || {
            let site = Site::open(2, LEASE)?;
            let mut nanos = site.runtime.block_on(latency(&site.managers, rounds))?;
            nanos.sort_by(f64::total_cmp);
            let at = (nanos.len() as f64 * part) as usize;
            Ok(nanos.get(at).copied().unwrap_or(f64::NAN))
        });
    }
}

/// From the release to the next holder, who waits elsewhere.
async fn latency(managers: &[LockManager], rounds: u64) -> Outcome<Vec<f64>> {
    let mut nanos = Vec::new();
    let mut held = managers[0].lock("wanted").acquire().await?;
    for round in 1..=rounds as usize {
        let lock = managers[round % managers.len()].lock("wanted");
        let waiter = tokio::spawn(async move {
            let guard = lock.acquire().await;
            (guard, Stopwatch::start())
        });
        SystemClock.sleep(SETTLE).await;
        let watch = Stopwatch::start();
        held.release().await;
        let (guard, since) = waiter.await?;
        nanos.push((watch.elapsed() - since.elapsed()).as_nanos() as f64);
        held = guard?;
    }
    Ok(nanos)
}
