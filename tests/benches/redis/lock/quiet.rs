//! What is sent while nothing happens: renewals of many locks, and waiters that wait.

use super::Site;
use crate::figures::{at_most, report};
use kv_core::{Clock, SystemClock};
use kv_tests::{
    bench::{Effort, Figure, Outcome, Suite},
    contended::{CONTENDERS, MANAGERS},
};
use std::time::Duration;
use tokio::task::JoinSet;

const LEASE: Duration = Duration::from_secs(3);

/// How many intervals pass before those that were acquired one after the other are renewed together,
/// and how many are watched then.
const SETTLE: u32 = 6;
const WATCHED: u32 = 9;

pub(super) fn rows(suite: &mut Suite) {
    let locks = suite.amount(1_000);
    let interval = match suite.effort() {
        Effort::Full { .. } => LEASE / 3,
        Effort::Smoke => Duration::from_millis(10),
    };
    let claim = at_most("redis/lock/renew/1000", Figure::Calls, 2.0);
    report(suite, &claim, 1, || {
        let site = Site::open(1, LEASE)?;
        let calls = site.runtime.block_on(async {
            let mut held = Vec::new();
            for lock in 0..locks {
                let lock = site.managers[0].lock(format!("lock:{lock}"));
                held.push(lock.acquire().await?);
            }
            let calls = watched(&site, interval).await?;
            match held.iter().all(|it| it.check().is_ok()) {
                true => Outcome::Ok(calls),
                false => Err("a lock was lost".into()),
            }
        })?;
        Ok(calls as f64 / f64::from(WATCHED))
    });
    let longest = Duration::from_secs(3_600);
    let claim = at_most("redis/lock/idle", Figure::Calls, 0.0);
    report(suite, &claim, 1, || {
        let site = Site::open(MANAGERS, longest)?;
        let calls = site.runtime.block_on(async {
            let _held = site.managers[0].lock("wanted").acquire().await?;
            let mut waiting = JoinSet::new();
            for waiter in 0..CONTENDERS as usize {
                let lock = site.managers[waiter % site.managers.len()].lock("wanted");
                waiting.spawn(async move { lock.acquire().await.map(drop) });
            }
            watched(&site, interval).await
        })?;
        Ok(calls as f64)
    });
}

/// Scripts that the server is asked to run while all is quiet.
async fn watched(site: &Site, interval: Duration) -> Outcome<u64> {
    SystemClock.sleep(interval * SETTLE).await;
    let before = site.scripts()?;
    SystemClock.sleep(interval * WATCHED).await;
    Ok(site.scripts()? - before)
}
