//! A lock that nobody else wants: acquired and released.

use crate::{Bench, TURN, load::Share, lock_reference};
use kv_lock::{LockManager, Release};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Suite};

pub(super) fn rows(bench: &Bench, suite: &mut Suite) {
    for (tasks, target) in [(1, 0.95), (64, 0.80)] {
        let claims = [Claim::ratio(format!("redis/lock/cycle/{tasks}"), target)];
        suite.hold(&claims, || {
            let (stage, load) = (bench.stage()?, &bench.single);
            let clients = &stage.threads;
            let (run, raw) = (&clients.runtime, &clients.raw);
            let locks = LockManager::new(&clients.bare)?;
            Ok(Contest {
                ours: Side::new(move |ops| load.spread((run, &locks), (tasks, ops), cycle)),
                reference: Side::new(move |ops| {
                    load.spread((run, raw), (tasks, ops), lock_reference::cycle)
                }),
                size: TURN,
                meter: Some(Box::new(stage)),
            })
        });
    }
}

async fn cycle(locks: LockManager, share: Share) -> Outcome {
    let lock = locks.lock(share.own("lock"));
    for _ in 0..share.count() {
        let guard = lock.acquire().await?;
        if guard.release().await != Release::Released {
            return Err("somebody else held the lock".into());
        }
    }
    Ok(())
}
