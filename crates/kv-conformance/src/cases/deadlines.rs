//! B: what happens at and after a deadline.

use super::cases;
use crate::{
    bench::{Bench, Written, pause, together},
    failure::{Verdict, ensure, ensure_eq},
};
use kv_core::{BoxFuture, Capability, Key, Kv, SetOptions, Stopwatch, TimeToLive, Ttl, When};
use std::{future::poll_fn, task::Poll, time::Duration};

cases! {
    'B' 24 "expire and persist change the deadline only" [Strings, Expiry] expire_and_persist;
    'B' 25 "an expired key is gone for every command" [Strings, Expiry] gone_for_all;
    'B' 26 "a deadline runs while no handle is open" [Strings, Expiry] no_handle_open;
    'B' 27 "a reader never removes the successor of an expired value" [Strings, Expiry] successor;
    'B' 28 "a dropped write leaves no key without its deadline" [Strings, Expiry] dropped;
    'B' 29 "every key of a batch gets the deadline" [Strings, Expiry] batch;
}

const LONG: Duration = Duration::from_secs(100);

async fn expire_and_persist(b: Bench) -> Verdict {
    let (key, missing) = (b.key("a"), b.key("missing"));
    let kv = &b.kv;
    ensure_eq!(
        kv.expire(&missing, LONG).await?,
        false,
        "expire of a missing key"
    );
    ensure_eq!(
        kv.persist(&missing).await?,
        false,
        "persist of a missing key"
    );
    ensure_eq!(
        kv.exists(&missing).await?,
        false,
        "exists after expire of a missing key"
    );

    kv.set_for(&key, "x", Ttl::Never).await?;
    ensure_eq!(
        kv.persist(&key).await?,
        false,
        "persist of a key without deadline"
    );
    ensure_eq!(kv.expire(&key, LONG).await?, true, "expire of a key");
    let left = b.left(&key).await?;
    ensure!(
        left <= LONG && left > LONG / 2,
        "expire after {LONG:?} left {left:?}"
    );
    b.holds(&key, "x").await?;
    ensure_eq!(
        kv.persist(&key).await?,
        true,
        "persist of a key with deadline"
    );
    b.lives_for_ever(&key).await?;
    ensure_eq!(kv.persist(&key).await?, false, "a second persist");
    b.holds(&key, "x").await?;

    let short = b.granularity().max(Duration::from_millis(300));
    let (there, written) = b.written(kv.expire(&key, short)).await?;
    ensure_eq!(there, true, "expire of a persisted key");
    let present = || async { Ok(kv.get(&key).await?.is_some()) };
    b.ends_in_time("a key after expire", written, short, present)
        .await
}

async fn gone_for_all(b: Bench) -> Verdict {
    let ttl = b.granularity().max(Duration::from_millis(200));
    let kv = &b.kv;
    let keys = b.keys("k", 14);
    let mut last = None;
    for key in &keys {
        last = Some(b.written(kv.set_for(key, "41", ttl)).await?.1);
    }
    let Some(written) = last else { return Ok(()) };
    // Nothing looks at the keys meanwhile: a look would let a store clean up.
    b.wait_out(written, ttl).await?;

    ensure_eq!(
        kv.exists_many([&keys[1], &keys[2]]).await?,
        0,
        "exists_many of expired keys"
    );
    ensure_eq!(
        kv.delete_many([&keys[3], &keys[4]]).await?,
        0,
        "delete_many of expired keys"
    );
    ensure_eq!(
        kv.delete(&keys[5]).await?,
        false,
        "delete of an expired key"
    );
    if b.has(Capability::Scan) {
        let listed = b.scan(b.everything()).await?;
        ensure!(listed.is_empty(), "scan lists expired keys: {listed:?}");
    }
    b.lacks(&keys[0]).await?;
    let many = kv.get_many([&keys[6], &keys[7]]).await?;
    ensure_eq!(many, [None, None], "get_many of expired keys");
    ensure_eq!(
        kv.expire(&keys[8], LONG).await?,
        false,
        "expire of an expired key"
    );
    ensure_eq!(
        kv.persist(&keys[9]).await?,
        false,
        "persist of an expired key"
    );
    let left = kv.time_to_live(&keys[9]).await?;
    ensure_eq!(left, TimeToLive::Missing, "time to live of an expired key");
    if b.has(Capability::ConditionalSet) {
        let present = SetOptions::from(When::IfPresent);
        let refused = kv.set_with(&keys[10], "new", present).await?;
        ensure_eq!(refused.applied, false, "set if present over an expired key");
        let written = kv.set_if_absent(&keys[10], "new", Ttl::Never).await?;
        ensure_eq!(written, true, "set_if_absent over an expired key");
        b.lives_for_ever(&keys[10]).await?;
    }
    if b.has(Capability::CompareValue) {
        let refused = kv
            .set_with(&keys[11], "new", When::IfValue("41".into()))
            .await?;
        ensure_eq!(
            refused.applied,
            false,
            "compare-and-set over an expired key"
        );
        ensure_eq!(refused.current, None, "what stood in the way of it");
    }
    if b.has(Capability::Counters) {
        let sum = kv.increment_with(&keys[12], 1, Ttl::Never).await?;
        ensure_eq!(sum, 1, "increment of an expired counter");
        b.lives_for_ever(&keys[12]).await?;
    }
    if b.has(Capability::Hashes) {
        ensure_eq!(
            kv.hset(&keys[13], "f", "v").await?,
            true,
            "hset over an expired string"
        );
        b.lives_for_ever(&keys[13]).await?;
    }
    Ok(())
}

async fn no_handle_open(b: Bench) -> Verdict {
    let ttl = b.granularity().max(Duration::from_millis(300));
    let (brief, stays) = (b.key("brief"), b.key("stays"));
    let second = b.open().await?;
    let ((), written) = b.written(second.set_for(&brief, "x", ttl)).await?;
    second.set_for(&stays, "x", Ttl::Never).await?;
    if b.opens_independent_handles() {
        second.close().await;
    } else {
        b.note("the store lives in its one handle, which cannot be closed and opened again");
    }
    b.wait_out(written, ttl).await?;
    let third = b.open().await?;
    ensure_eq!(
        third.exists(&brief).await?,
        false,
        "exists of an expired key after opening anew"
    );
    ensure_eq!(
        third.exists(&stays).await?,
        true,
        "exists of a key after opening anew"
    );
    b.lacks(&brief).await
}

/// A thousand times, on stores that count in milliseconds.
async fn successor(b: Bench) -> Verdict {
    let ttl = b.granularity().max(Duration::from_millis(1));
    let rounds = if ttl > Duration::from_millis(10) {
        2
    } else {
        50
    };
    let lanes = (0..20).map(|lane| {
        let b = b.clone();
        async move {
            let key = b.key(lane.to_string());
            for _ in 0..rounds {
                let ((), written) = b.written(b.kv.set_for(&key, "old", ttl)).await?;
                let due = written.after.saturating_add(ttl + Duration::from_millis(1));
                b.wait_past(due).await?;
                race(&b, &key).await?;
                b.holds(&key, "new").await?;
            }
            Ok(())
        }
    });
    together(lanes).await?;
    Ok(())
}

/// Readers of an expired value against a writer of a new one.
async fn race(b: &Bench, key: &Key) -> Verdict {
    let reader = |kv: Kv, key: Key| -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            kv.get(&key).await?;
            kv.exists(&key).await?;
            Ok(())
        })
    };
    let writer = |kv: Kv, key: Key| -> BoxFuture<'static, Verdict> {
        Box::pin(async move { Ok(kv.set_for(&key, "new", Ttl::Never).await?) })
    };
    let (kv, key) = (|| b.kv.clone(), || key.clone());
    together([
        reader(kv(), key()),
        writer(kv(), key()),
        reader(kv(), key()),
    ])
    .await?;
    Ok(())
}

/// One of the writes that give a deadline.
type Write = fn(Kv, Key) -> BoxFuture<'static, kv_core::Result<()>>;

async fn dropped(b: Bench) -> Verdict {
    let mut writes: Vec<Write> = vec![
        |kv, key| Box::pin(async move { kv.set_for(key, "x", LONG).await }),
        |kv, key| {
            Box::pin(async move {
                let ttl = Ttl::after(LONG)?;
                kv.set_many_with([(key, "x")], ttl).await.map(drop)
            })
        },
    ];
    if b.has(Capability::ConditionalSet) {
        writes.push(|kv, key| {
            Box::pin(async move { kv.set_if_absent(key, "x", LONG).await.map(drop) })
        });
    }
    if b.has(Capability::Counters) {
        writes.push(|kv, key| {
            Box::pin(async move { kv.increment_with(key, 1, LONG).await.map(drop) })
        });
    }
    let mut keys = Vec::new();
    for (at, write) in writes.into_iter().enumerate() {
        for polls in 0..24 {
            let key = b.key(format!("polled:{at}:{polls}"));
            keys.push(key.clone());
            poll_and_drop(write(b.kv.clone(), key), polls).await;
        }
        // At times up to half as long again as one takes that is let alone.
        let key = b.key(format!("whole:{at}"));
        keys.push(key.clone());
        let watch = Stopwatch::start();
        write(b.kv.clone(), key).await?;
        let whole = watch.elapsed();
        let whole = whole.clamp(Duration::from_micros(640), Duration::from_millis(50));
        for part in 0..24 {
            let key = b.key(format!("aborted:{at}:{part}"));
            keys.push(key.clone());
            let task = tokio::spawn(write(b.kv.clone(), key));
            pause(whole * part / 16).await;
            task.abort();
        }
    }
    // What was sent may still arrive: look now, and once more behind it.
    for _ in 0..2 {
        for key in &keys {
            let left = b.kv.time_to_live(key).await?;
            ensure!(
                left != TimeToLive::NoExpiry,
                "`{key}` is there without the deadline that its dropped write was to give"
            );
        }
        pause(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Polls a write this often, letting everything else run in between, and drops it.
async fn poll_and_drop(mut write: BoxFuture<'static, kv_core::Result<()>>, polls: usize) {
    for _ in 0..polls {
        let ready = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx).is_ready())).await;
        if ready {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn batch(b: Bench) -> Verdict {
    let step = b.granularity().max(Duration::from_millis(300));
    let groups = [
        (b.keys("never", 10), None),
        (b.keys("long", 10), Some(LONG)),
        (b.keys("brief", 10), Some(step)),
    ];
    let mut brief: Option<Written> = None;
    for (keys, ttl) in &groups {
        let ttl = ttl.map_or(Ok(Ttl::Never), Ttl::after)?;
        let items = keys.iter().map(|key| (key, "x"));
        let (answers, written) = b.written(b.kv.set_many_with(items, ttl)).await?;
        ensure!(
            answers.iter().all(|it| matches!(it, Ok(true))),
            "set_many_with: {answers:?}"
        );
        brief = Some(written);
    }
    for key in &groups[0].0 {
        b.lives_for_ever(key).await?;
    }
    for key in &groups[1].0 {
        let left = b.left(key).await?;
        ensure!(
            left <= LONG && left > LONG / 2,
            "`{key}`: {left:?} left of {LONG:?}"
        );
    }
    let Some(written) = brief else { return Ok(()) };
    let keys = &groups[2].0;
    for key in keys {
        let present = || async { Ok(b.kv.exists(key).await?) };
        b.ends_in_time("a key of a batch", written, step, present)
            .await?;
    }
    for key in groups[0].0.iter().chain(&groups[1].0) {
        b.holds(key, "x").await?;
    }
    Ok(())
}
