//! One guarded write, and a lock that is taken and given back.

use crate::{
    TURN, contest,
    load::{Load, Share},
    reference,
    stage::{Lazy, Stage, key},
};
use kv_core::{Guard, Kv, Lifetime, Mark, Op, OpReply, SetOptions, Ttl, Txn, When};
use kv_lock::{LockManager, Release};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Suite};
use std::time::Duration;

pub(crate) fn rows(suite: &mut Suite) {
    let load = Load::new(1, 1);
    let stage = Lazy::default();
    let nothing = |_: &Stage, _: &Load| Ok(());
    for (tasks, target) in [(1, 0.9), (64, 0.8)] {
        let claims = [Claim::ratio(format!("etcd/guarded_set/{tasks}"), target)];
        suite.hold(&claims, || {
            let stage = stage.get()?;
            let load = (&load, tasks);
            contest(stage, load, nothing, guarded_set, reference::guarded_set)
        });
    }
    let granted = Lazy::default();
    suite.hold(&[Claim::ratio("etcd/lock/1", 0.8)], || {
        let stage = granted.get()?;
        stage.runtime.block_on(reference::grant(stage.address()))?;
        contest(stage, (&load, 1), nothing, lock, reference::lock)
    });
    let granted = Lazy::default();
    for (tasks, target) in [(1, 1.0), (64, 1.0)] {
        let claims = [Claim::ratio(format!("etcd/lock/cycle/{tasks}"), target)];
        suite.hold(&claims, || {
            let stage = granted.get()?;
            let (run, locks) = (&stage.runtime, LockManager::new(&stage.kv)?);
            let theirs = run.block_on(reference::lock_client(stage.address()))?;
            let load = &load;
            Ok(Contest {
                ours: Side::new(move |ops| load.spread((run, &locks), (tasks, ops), cycle)),
                reference: Side::new(move |ops| {
                    load.spread((run, &theirs), (tasks, ops), reference::lock_by_rpc)
                }),
                size: TURN,
                meter: Some(Box::new(stage)),
            })
        });
    }
}

/// Writes a key as long as it holds what it was given last.
async fn guarded_set(kv: Kv, share: Share) -> Outcome {
    let key = key(share.own("guarded"))?;
    let mut before = "0".to_owned();
    kv.set(&key, &*before).await?;
    for count in 1..=share.count() {
        let next = count.to_string();
        let txn = Txn::new()
            .when(Guard::value_is(&key, before))
            .then(Op::Set {
                key: key.clone(),
                content: Mark::from(next.clone()).into(),
                ttl: Ttl::Unset,
            });
        check(kv.commit_one(txn).await?.applied)?;
        before = next;
    }
    Ok(())
}

/// Takes a lock and gives it back.
async fn lock(kv: Kv, share: Share) -> Outcome {
    let key = key(share.own("lock"))?;
    let held = Ttl::Held(Lifetime::new(Duration::from_secs(3600))?);
    for nonce in 0..share.count() {
        let nonce = nonce.to_string();
        let options = SetOptions::from(held).when(When::IfAbsent);
        check(kv.set_with(&key, nonce.clone(), options).await?.applied)?;
        let txn = Txn::new().then(Op::DeleteIf {
            key: key.clone(),
            mark: nonce.into(),
        });
        check(kv.commit_one(txn).await?.answers == [OpReply::Flag(true)])?;
    }
    Ok(())
}

/// The same with all that a lock is.
async fn cycle(locks: LockManager, share: Share) -> Outcome {
    let lock = locks.lock(share.own("lock"));
    for _ in 0..share.count() {
        let guard = lock.acquire().await?;
        check(guard.release().await == Release::Released)?;
    }
    Ok(())
}

fn check(applied: bool) -> Outcome {
    match applied {
        true => Ok(()),
        false => Err("somebody else wrote the key".into()),
    }
}
