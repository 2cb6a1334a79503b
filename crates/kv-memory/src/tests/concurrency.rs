use super::{connected, limit, millis};
use crate::{MemoryConfig, MemoryStore, OnFull};
use kv_core::{Kv, When};
use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Runs the work on this many threads, each with a runtime of its own.
fn threads<T: Send>(count: usize, work: impl AsyncFn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let run = |index| {
            let work = &work;
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.unwrap().block_on(work(index))
            })
        };
        let running: Vec<_> = (0..count).map(run).collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

async fn open() -> Kv {
    Kv::builder(MemoryStore::default()).connect().await.unwrap()
}

#[tokio::test]
async fn each_member_is_popped_once_and_in_order() {
    let kv = open().await;
    let members = (0..1000).map(|it| (format!("m{it}"), it % 97));
    assert_eq!(kv.zadd("z", members).await.unwrap(), 1000);
    let popped = threads(8, async |_| {
        let mut mine = Vec::new();
        loop {
            let one = kv
                .zpopbyscore_with("z", 1000, 1, kv_core::Scores::Include)
                .await;
            match one.unwrap().pop() {
                Some(member) => mine.push(member),
                None => return mine,
            }
        }
    });
    for mine in &popped {
        assert!(mine.is_sorted_by_key(|it| it.score));
    }
    let all: Vec<_> = popped.into_iter().flatten().collect();
    assert_eq!(all.len(), 1000);
    let distinct: HashSet<_> = all.into_iter().map(|it| it.member).collect();
    assert_eq!(distinct.len(), 1000);
    assert!(!kv.exists("z").await.unwrap());
}

#[tokio::test]
async fn counting_and_comparing_lose_nothing() {
    let kv = open().await;
    threads(8, async |thread| {
        for round in 0..200 {
            kv.increment("n", 1).await.unwrap();
            kv.hincrement("h", "f", 1).await.unwrap();
            kv.hset("fields", format!("{thread}/{round}"), "v")
                .await
                .unwrap();
            loop {
                let old = kv.get("cas").await.unwrap();
                let number: i64 = old
                    .as_ref()
                    .map_or(0, |it| it.to_str().unwrap().parse().unwrap());
                let when = match old {
                    Some(old) => When::IfValue(old.as_bytes().into()),
                    None => When::IfAbsent,
                };
                let new = (number + 1).to_string();
                if kv.set_with("cas", new, when).await.unwrap().applied {
                    break;
                }
            }
        }
    });
    for key in ["n", "cas"] {
        assert_eq!(kv.get(key).await.unwrap().unwrap(), "1600");
    }
    assert_eq!(kv.hget("h", "f").await.unwrap().unwrap(), "1600");
    assert_eq!(kv.hlen("fields").await.unwrap(), 1600);
}

#[tokio::test]
async fn one_of_many_writes_an_absent_key() {
    let kv = open().await;
    for round in 0..100 {
        let key = format!("k{round}");
        let won = threads(4, async |index| {
            let value = index.to_string();
            kv.set_if_absent(&key, value, millis(60_000)).await.unwrap()
        });
        assert_eq!(won.iter().filter(|&&won| won).count(), 1);
        let winner = won.iter().position(|&won| won).unwrap().to_string();
        assert_eq!(kv.get(&key).await.unwrap().unwrap(), winner.as_str());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cleaning_up_never_takes_the_fresh_value() {
    let it = connected(MemoryConfig::default()).await;
    let done = AtomicBool::new(false);
    threads(3, async |index| {
        if index > 0 {
            // Readers, and writers elsewhere in the shard, who clean up what they meet.
            while !done.load(Ordering::Relaxed) {
                it.kv.get("{g}k").await.unwrap();
                it.kv.exists("{g}k").await.unwrap();
                it.kv.delete("{g}other").await.unwrap();
            }
            return;
        }
        for _ in 0..2000 {
            it.kv.set_for("{g}k", "old", millis(1)).await.unwrap();
            it.clock.advance(millis(1));
            it.kv.set("{g}k", "fresh").await.unwrap();
            let found = it.kv.get("{g}k").await.unwrap();
            assert_eq!(found.unwrap(), "fresh");
        }
        done.store(true, Ordering::Relaxed);
    });
    it.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bound_holds_under_contention() {
    for policy in [OnFull::Refuse, OnFull::Evict] {
        let config = MemoryConfig::default()
            .max_entries(limit(50))
            .max_bytes(limit(15_000));
        let it = connected(config.on_full(policy)).await;
        let refused: u32 = threads(4, async |thread| {
            let mut refused = 0;
            for round in 0..2000 {
                let key = format!("{}", (thread * 31 + round * 7) % 200);
                let done = match round % 4 {
                    0 => it
                        .kv
                        .set(format!("s{key}"), vec![0; round % 300])
                        .await
                        .is_ok(),
                    1 => it
                        .kv
                        .zadd(format!("z{key}"), [(round.to_string(), 1)])
                        .await
                        .is_ok(),
                    2 => it
                        .kv
                        .hset(format!("h{key}"), "f", vec![0; round % 90])
                        .await
                        .is_ok(),
                    _ => it.kv.delete(format!("z{key}")).await.is_ok(),
                };
                refused += u32::from(!done);
                let stats = it.store.inner().bound.as_ref().unwrap().taken();
                assert!(stats.0 <= 50 && stats.1 <= 15_000, "{stats:?}");
            }
            refused
        })
        .into_iter()
        .sum();
        let stats = it.store.stats();
        assert_eq!(stats.refused, u64::from(refused));
        match policy {
            OnFull::Refuse => assert!(refused > 0 && stats.evicted == 0, "{stats:?}"),
            _ => assert!(stats.evicted > 0, "{stats:?}"),
        }
        it.audit();
    }
}
