//! Networks that lose answers or everything, servers that start anew or forget.

mod acquired;
mod held;
mod latch;
mod line;
mod released;

use crate::site::LONG;
use futures_util::future::join_all;
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{Kv, Stopwatch};
use kv_etcd::EtcdStore;
use kv_lock::{LockManager, LostReason, Release};
use kv_redis::RedisStore;
use kv_tests::{
    patience::{pause, until},
    server::{Etcd, Redis, Server},
};
use std::{net::SocketAddr, time::Duration};

const SECOND: Duration = Duration::from_secs(1);

/// Longer than a store that does not answer holds up two calls.
const LEASE: Duration = Duration::from_secs(8);

/// The most pieces that the answers of one step come in. Only a broken test gets there.
const MOST: u32 = 50;

/// How a network fails.
const FAULTS: [Mode; 3] = [Mode::HalfOpen, Mode::BlackHole, Mode::Reset];

trait Backend: Server {
    async fn open(address: SocketAddr) -> Kv;
}

impl Backend for Redis {
    async fn open(address: SocketAddr) -> Kv {
        let store = RedisStore::from_url(&format!("redis://{address}")).unwrap();
        Kv::builder(store).connect().await.unwrap()
    }
}

impl Backend for Etcd {
    async fn open(address: SocketAddr) -> Kv {
        let store = EtcdStore::from_url(&format!("etcd://{address}")).unwrap();
        Kv::builder(store).connect().await.unwrap()
    }
}

/// A server, a manager that reaches it through a proxy, and one that reaches it without.
struct Wire<S> {
    server: S,
    proxy: FaultProxy,
    far: LockManager,
    near: LockManager,
    kv: Kv,
}

impl<S: Backend> Wire<S> {
    async fn to(server: S) -> Self {
        let proxy = FaultProxy::start(server.address()).await.unwrap();
        let far = S::open(proxy.address()).await;
        let kv = S::open(server.address()).await;
        let on = |kv: &Kv| LockManager::builder(kv).lease(LEASE).build().unwrap();
        Self {
            far: on(&far),
            near: on(&kv),
            server,
            proxy,
            kv,
        }
    }

    /// What the store says that the last fence is.
    async fn last_fence(&self) -> String {
        let fence = self.kv.get("{lock:a}:fence").await.unwrap().unwrap();
        fence.to_str().unwrap().to_owned()
    }

    /// How often the network has failed somebody.
    fn losses(&self) -> u64 {
        let counts = self.proxy.counts();
        counts.lost_requests + counts.lost_replies + counts.refused
    }

    /// Whether the network has failed by now, and does not any more.
    fn heal(&self) -> bool {
        let has_failed = self.proxy.mode() != Mode::Pass;
        self.proxy.set(Mode::Pass);
        has_failed
    }
}

/// Each answer that comes on the way to a lock is lost in turn, and all after it for a while.
async fn an_acquisition_outlives_lost_answers<S: Backend>() {
    join_all(FAULTS.map(an_acquisition_in::<S>)).await;
}

async fn an_acquisition_in<S: Backend>(mode: Mode) {
    let wire = Wire::to(S::start()).await;
    let mut losses = 0;
    for replies in 0..MOST {
        wire.proxy.set_after(replies, mode);
        let lock = wire.far.lock("a").wait(LONG);
        let acquired = tokio::spawn(async move { lock.acquire().await });
        let begun = Stopwatch::start();
        while !acquired.is_finished() && begun.elapsed() < SECOND / 4 {
            pause(Duration::from_millis(5)).await;
        }
        let was_done = acquired.is_finished();
        let has_failed = wire.heal();
        let guard = acquired.await.unwrap().unwrap();
        let place = format!("{mode:?} after {replies}");
        assert!(guard.check().is_ok(), "{place}");
        let last = wire.last_fence().await;
        assert_eq!(last, guard.fence().to_string(), "{place}");
        let other = wire.near.lock("a").try_acquire().await.unwrap();
        assert!(other.is_none(), "{place}");
        let released = guard.release().await;
        assert_ne!(released, Release::Expired, "{place}");
        let next = wire.near.lock("a").wait(LONG).acquire().await.unwrap();
        next.release().await;
        losses += u32::from(has_failed && !was_done);
        if replies > 0 && was_done {
            break;
        }
    }
    println!(
        "{mode:?}: {losses} losses outlived; {}",
        wire.proxy.counts()
    );
    assert!(losses > 0);
}

async fn renewals_outlive_an_outage<S: Backend>() {
    join_all(FAULTS.map(renewals_in::<S>)).await;
}

async fn renewals_in<S: Backend>(mode: Mode) {
    let wire = Wire::to(S::start()).await;
    let guard = wire.far.lock("a").acquire().await.unwrap();
    for _ in 0..3 {
        let before = wire.losses();
        wire.proxy.set(mode);
        until("a renewal is lost", async || wire.losses() > before).await;
        wire.heal();
        pause(LEASE / 2).await;
        guard.check().unwrap();
    }
    println!("{mode:?}: {}", wire.proxy.counts());
    assert!(wire.near.lock("a").try_acquire().await.unwrap().is_none());
    assert_ne!(guard.release().await, Release::Expired);
}

async fn a_release_outlives_lost_answers<S: Backend>() {
    join_all(FAULTS.map(a_release_in::<S>)).await;
}

async fn a_release_in<S: Backend>(mode: Mode) {
    let wire = Wire::to(S::start()).await;
    for replies in 0..3 {
        let guard = wire.far.lock("a").wait(LONG).acquire().await.unwrap();
        wire.proxy.set_after(replies, mode);
        let released = guard.release().await;
        assert_ne!(released, Release::Expired, "{mode:?} after {replies}");
        wire.heal();
        // At the latest the lease and its grace end it.
        let next = wire.near.lock("a").wait(LONG).acquire().await.unwrap();
        next.release().await;
    }
}

async fn loss_is_told_before_another_gets_it<S: Backend>() {
    let modes = [Mode::BlackHole, Mode::HalfOpen, Mode::Refuse];
    join_all(modes.map(a_loss_in::<S>)).await;
}

async fn a_loss_in<S: Backend>(mode: Mode) {
    let wire = Wire::to(S::start()).await;
    let lease = 5 * SECOND;
    let lock = wire.far.lock("a").lease(lease);
    let guard = lock.acquire().await.unwrap();
    let next = wire.near.lock("a").wait(LONG);
    let lost = async {
        pause(lease).await;
        guard.check().unwrap();
        wire.proxy.set(mode);
        if mode == Mode::Refuse {
            wire.proxy.reset_all();
        }
        let lost = guard.lost().await;
        let (told, left) = (Stopwatch::start(), guard.remaining());
        assert_eq!((lost.reason(), left), (LostReason::Expired, Duration::ZERO));
        assert!(guard.token().is_cancelled());
        let error = guard.fenced_put("r", "late").await;
        assert!(error.is_err());
        told
    };
    let followed = async {
        let next = next.acquire().await.unwrap();
        // By the clock of who lost it: when the machine lets anybody be told is another matter.
        (next, Stopwatch::start(), guard.remaining())
    };
    let (told, (next, granted, left)) = tokio::join!(lost, followed);
    assert_eq!(left, Duration::ZERO, "{mode:?}: held when another got it");
    let early = told.elapsed().saturating_sub(granted.elapsed());
    println!("{mode:?}: told {early:.2?} before another held it");
    assert!(next.fence() > guard.fence());
    wire.heal();
    assert_eq!(guard.release().await, Release::Expired);
    next.check().unwrap();
}

/// What was acknowledged survives: the lock stays held, and who waits gets it in the end.
async fn a_restart_leaves_locks_held<S: Backend>() {
    // Long enough for a server to start.
    let lease = 20 * SECOND;
    let mut wire = Wire::to(S::start_durable()).await;
    let guard = wire.far.lock("a").lease(lease).acquire().await.unwrap();
    let fence = guard.fence();
    let next = wire.near.lock("a").wait(LONG);
    let next = tokio::spawn(async move { next.acquire().await });
    pause(SECOND / 4).await;
    tokio::task::block_in_place(|| {
        wire.server.kill();
        wire.server.restart();
    });
    pause(lease).await;
    guard.check().unwrap();
    assert!(!next.is_finished());
    assert_ne!(guard.release().await, Release::Expired);
    assert!(next.await.unwrap().unwrap().fence() > fence);
}

/// The holder, the last fence and all counters are gone, as after FLUSHALL or an eviction.
async fn what_is_forgotten_is_noticed_and_fences_rise<S: Backend>() {
    let wire = Wire::to(S::start()).await;
    let mut last = None;
    for round in 0..30 {
        let guard = wire.near.lock("a").wait(LONG).acquire().await.unwrap();
        assert!(last < Some(guard.fence()), "in round {round}");
        last = Some(guard.fence());
        wire.kv
            .delete_many(["{lock:a}:holder", "{lock:a}:fence"])
            .await
            .unwrap();
        if round == 0 {
            // The next renewal tells.
            assert_eq!(guard.lost().await.reason(), LostReason::Taken);
        }
        let other = wire.far.lock("a").acquire().await.unwrap();
        assert!(last < Some(other.fence()));
        last = Some(other.fence());
        assert_eq!(guard.release().await, Release::Expired);
        other.check().unwrap();
        assert_eq!(other.release().await, Release::Released);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_forgets_all_at_a_restart_does_not_repeat_fences() {
    let mut wire = Wire::to(Redis::start()).await;
    let lock = wire.near.lock("a").lease(20 * SECOND);
    let guard = lock.acquire().await.unwrap();
    tokio::task::block_in_place(|| {
        wire.server.kill();
        wire.server.restart();
    });
    assert_eq!(guard.lost().await.reason(), LostReason::Taken);
    let next = wire.far.lock("a").wait(LONG).acquire().await.unwrap();
    assert!(next.fence() > guard.fence());
    until("the waiters listen again", async || {
        wire.near.lock("b").try_acquire().await.is_ok()
    })
    .await;
}

crate::on_each_server! {
    an_acquisition_outlives_lost_answers
    renewals_outlive_an_outage
    a_release_outlives_lost_answers
    loss_is_told_before_another_gets_it
    a_restart_leaves_locks_held
    what_is_forgotten_is_noticed_and_fences_rise
}
