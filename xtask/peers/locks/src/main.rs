//! Locks against rslock and redlock on the same server: acquired and released by one task and by 64, and
//! handed over among 32 contenders on four managers. Neither peer issues fences, neither renews, and
//! both poll; rslock is used with its own settings.

use kv_core::Kv;
use kv_lock::{LockManager, Release};
use kv_redis::RedisStore;
use kv_tests::{
    bench::{Claim, Contest, Outcome, Side, Size, Suite},
    contended::{CONTENDERS, MANAGERS, Turns, hand_over},
    server::Redis,
};
use redlock::RedLock;
use std::{process::ExitCode, sync::Arc, time::Duration};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};

const TURN: Size = Size::Span(Duration::from_millis(300));

const LEASE: Duration = Duration::from_secs(10);

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    for (tasks, target) in [(1, 0.95), (64, 0.5)] {
        let claims = [Claim::ratio(format!("lock/rslock/cycle/{tasks}"), target)];
        suite.hold(&claims, || {
            let stage = Stage::open(1)?;
            let theirs = rslock::LockManager::new(vec![stage.server.url()]);
            let (ours, reference) = (stage.clone(), stage);
            Ok(Contest {
                ours: Side::new(move |ops| {
                    let locks = ours.managers[0].clone();
                    ours.spread(tasks, ops, move |task, count| {
                        cycle(locks.clone(), task, count)
                    })
                }),
                reference: Side::new(move |ops| {
                    let theirs = theirs.clone();
                    reference.spread(tasks, ops, move |task, count| {
                        rslock_cycle(theirs.clone(), task, count)
                    })
                }),
                size: TURN,
                meter: None,
            })
        });
    }
    suite.hold(&[Claim::ratio("lock/redlock/cycle/1", 0.95)], || {
        let stage = Stage::open(1)?;
        let theirs = RedLock::new(vec![stage.server.url()]);
        Ok(Contest {
            ours: Side::new(move |ops| {
                let locks = stage.managers[0].clone();
                stage.spread(1, ops, move |task, count| cycle(locks.clone(), task, count))
            }),
            // It blocks its thread.
            reference: Side::new(move |ops| redlock_cycle(&theirs, ops)),
            size: TURN,
            meter: None,
        })
    });
    let turns = suite.amount(500);
    suite.hold(&[Claim::ratio("lock/rslock/hand_over", 3.0)], || {
        let stage = Stage::open(MANAGERS)?;
        let urls = (0..MANAGERS).map(|_| stage.server.url());
        let theirs: Vec<_> = urls
            .map(|url| rslock::LockManager::new(vec![url]))
            .collect();
        let (ours, reference) = (stage.clone(), stage);
        Ok(Contest {
            ours: Side::new(move |ops| {
                ours.block_on(hand_over(&ours.managers, "wanted", ops))
            }),
            reference: Side::new(move |ops| {
                reference.block_on(rslock_hand_over(&theirs, ops))
            }),
            size: Size::Ops(turns),
            meter: None,
        })
    });
    Ok(suite.end())
}

/// A server, and managers of ours that share nothing but it.
#[derive(Clone)]
struct Stage {
    runtime: Arc<Runtime>,
    managers: Vec<LockManager>,
    server: Arc<Redis>,
}

impl Stage {
    fn open(managers: u64) -> Outcome<Self> {
        let server = Redis::start();
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let mut all = Vec::new();
        for _ in 0..managers {
            let store = RedisStore::from_url(&server.url())?;
            let kv = runtime.block_on(Kv::builder(store).connect())?;
            all.push(LockManager::builder(&kv).lease(LEASE).build()?);
        }
        Ok(Self {
            runtime: Arc::new(runtime),
            managers: all,
            server: Arc::new(server),
        })
    }

    /// A method, so that who measures keeps the whole stage: the server ends with it.
    fn block_on(&self, work: impl Future<Output = Outcome>) -> Outcome {
        self.runtime.block_on(work)
    }

    /// Lets so many tasks do the operations together; each is told its number and its share.
    fn spread<F>(&self, tasks: u64, ops: u64, work: impl Fn(u64, u64) -> F) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        self.block_on(async {
            let mut running = JoinSet::new();
            for task in 0..tasks {
                running.spawn(work(task, ops / tasks + u64::from(task < ops % tasks)));
            }
            while let Some(done) = running.join_next().await {
                done??;
            }
            Ok(())
        })
    }
}

async fn cycle(locks: LockManager, task: u64, count: u64) -> Outcome {
    let lock = locks.lock(format!("ours:{task}"));
    for _ in 0..count {
        if lock.acquire().await?.release().await != Release::Released {
            return Err("somebody else held the lock".into());
        }
    }
    Ok(())
}

async fn rslock_cycle(locks: rslock::LockManager, task: u64, count: u64) -> Outcome {
    let name = format!("rslock:{task}");
    for _ in 0..count {
        let lock = locks.lock(name.as_bytes(), LEASE).await?;
        locks.unlock(&lock).await;
    }
    Ok(())
}

fn redlock_cycle(locks: &RedLock, count: u64) -> Outcome {
    for _ in 0..count {
        let lock = locks.lock(b"redlock", LEASE.as_millis() as usize);
        locks.unlock(&lock.ok_or("somebody else held the lock")?);
    }
    Ok(())
}

async fn rslock_hand_over(managers: &[rslock::LockManager], turns: u64) -> Outcome {
    let turns = Turns::new(turns);
    let mut running = JoinSet::new();
    for contender in 0..CONTENDERS as usize {
        let locks = managers[contender % managers.len()].clone();
        let turns = Arc::clone(&turns);
        running.spawn(async move {
            while turns.is_left() {
                // It gives up after three tries.
                let Ok(lock) = locks.lock("wanted".as_bytes(), LEASE).await else {
                    continue;
                };
                turns.take(contender)?;
                locks.unlock(&lock).await;
            }
            Outcome::Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}
