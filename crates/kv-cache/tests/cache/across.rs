//! What processes tell each other: copies go when they are told, and where telling fails no copy is trusted for long.

use crate::{
    SECOND,
    bad::Bad,
    fails,
    fleet::{Fleet, Products, SURE, get},
    settle, ttl,
};
use kv_cache::{Cache, Far, Freshness, Near, Policy, Tier};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::{Clock, Context, Kv};
use kv_wrappers::{KeyResolver, KeySettings};
use parking_lot::Mutex;
use std::{convert::Infallible, sync::Arc, time::Duration};

impl Fleet {
    /// Lets time pass in which everybody does what there is to do.
    pub(crate) async fn pass(&self, span: Duration) {
        let end = self.clock.monotonic() + span;
        loop {
            settle().await;
            let left = end.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return;
            }
            self.clock.advance(left.min(SECOND / 20));
        }
    }

    /// Processes that have heard of each other, and have a copy of what is loaded.
    async fn with_copies<const N: usize>(&self, policy: Policy, value: u32) -> [Products; N] {
        let mut all = Vec::new();
        for _ in 0..N {
            all.push(self.process(policy).await);
        }
        for cache in &all {
            get(cache, value).await;
        }
        self.pass(SURE).await;
        for cache in &all {
            assert_eq!(get(cache, 0).await, value);
        }
        self.pass(SECOND).await;
        all.try_into().unwrap()
    }
}

async fn tier(cache: &Products) -> Option<Tier> {
    let entry = cache.get_entry("k").await.unwrap();
    entry.map(|it| it.tier())
}

#[tokio::test]
async fn copies_go_when_the_entry_is_removed_or_written() {
    let fleet = Fleet::new();
    let [one, other] = fleet.with_copies(ttl(600), 1).await;
    assert_eq!(tier(&other).await, Some(Tier::Near));
    one.remove("k").await.unwrap();
    settle().await;
    assert_eq!(get(&other, 2).await, 2, "at once");
    assert_eq!(get(&one, 3).await, 2);
    one.set("k", 4).await.unwrap();
    settle().await;
    assert_eq!(get(&other, 5).await, 4);
    assert_eq!(other.stats().heard, 2);
    assert_eq!(one.stats().heard, 0, "its own are no news");
}

#[tokio::test]
async fn copies_are_stale_when_the_entry_is_expired() {
    let fleet = Fleet::new();
    let [one, other] = fleet.with_copies(ttl(600).stale(SECOND * 600), 1).await;
    one.expire("k").await.unwrap();
    settle().await;
    let entry = other.get_entry("k").await.unwrap().unwrap();
    assert_eq!(
        (entry.tier(), entry.freshness()),
        (Tier::Near, Freshness::Stale)
    );
}

/// Complaint 3 of FusionCache's kind: what is loaded anew is no news, or each fill would empty every other process.
#[tokio::test]
async fn a_fill_evicts_nobody() {
    let fleet = Fleet::new();
    let policy = ttl(600);
    let [one, other] = fleet.with_copies(policy, 1).await;
    let before = other.stats().doubts;
    one.refresh("k", |_| async { Ok::<_, Infallible>(2) })
        .await
        .unwrap();
    one.idle().await;
    fleet.pass(SECOND).await;
    assert_eq!(tier(&other).await, Some(Tier::Near));
    assert_eq!((other.stats().heard, other.stats().doubts), (0, before));
}

#[tokio::test]
async fn what_others_would_tell_need_not_be_asked() {
    let fleet = Fleet::new();
    let (one, sent) = fleet.counted(ttl(600)).await;
    get(&one, 1).await;
    fleet.pass(SECOND).await;
    // What was read before anybody listened is asked for once more.
    fleet.pass(SURE).await;
    get(&one, 0).await;
    sent.take();
    for _ in 0..20 {
        fleet.pass(SURE).await;
        assert_eq!(get(&one, 0).await, 1);
    }
    assert!(sent.take().is_empty());
}

#[tokio::test]
async fn who_trusts_nothing_asks_however_well_it_hears() {
    let fleet = Fleet::new();
    let one = Cache::<str, u32>::builder("c")
        .near(Near::megabytes(1).max_stale(Duration::ZERO))
        .far(Far::new(&fleet.kv().await))
        .policy(ttl(600))
        .clock(Arc::new(fleet.clock.clone()))
        .build()
        .unwrap();
    let [other] = fleet.with_copies(ttl(600), 1).await;
    for round in 0..3 {
        fleet.pass(SURE).await;
        other.set("k", round).await.unwrap();
        // Before it is heard.
        assert_eq!(get(&one, 9).await, round);
    }
}

/// Its clock goes on and nothing is heard: a machine that slept, a runtime that was held up.
#[tokio::test]
async fn who_has_not_listened_for_a_while_asks() {
    let fleet = Fleet::new();
    let (one, sent) = fleet.counted(ttl(600)).await;
    get(&one, 1).await;
    fleet.pass(SURE + SECOND).await;
    get(&one, 0).await;
    sent.take();
    fleet.clock.advance(SURE);
    assert!(one.get("k").await.unwrap().is_some());
    assert_eq!(sent.take().len(), 1);
}

#[tokio::test]
async fn tenants_hear_nothing_of_each_other() {
    let fleet = Fleet::new();
    let kv = Kv::builder(fleet.store.clone())
        .layer(KeyResolver::new(KeySettings::default()).unwrap())
        .connect()
        .await
        .unwrap();
    let of = |name: &'static str| fleet.on(&kv.bind(Context::tenant(name)), ttl(600));
    let (ann, again, bob) = (of("ann"), of("ann"), of("bob"));
    for cache in [&ann, &again, &bob] {
        get(cache, 1).await;
    }
    fleet.pass(SURE).await;
    ann.remove("k").await.unwrap();
    settle().await;
    assert_eq!((again.stats().heard, bob.stats().heard), (1, 0));
    assert_eq!(get(&bob, 2).await, 1);
    assert_eq!(get(&again, 3).await, 3);
}

/// What was surely not done leaves no gap in what is told, so nobody is in doubt about it.
#[tokio::test]
async fn what_was_not_done_leaves_no_doubt() {
    let fleet = Fleet::new();
    let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds)).only(|it| it.name == "commit");
    let switch = faults.switch();
    switch.off();
    let kv = fleet.builder().layer(faults).connect().await.unwrap();
    let (one, other) = (fleet.on(&kv, ttl(600)), fleet.process(ttl(600)).await);
    for cache in [&one, &other] {
        get(cache, 1).await;
    }
    fleet.pass(SURE + SECOND).await;
    let before = other.stats().doubts;
    switch.on();
    one.remove("k").await.unwrap_err();
    switch.off();
    fleet.pass(SURE).await;
    one.set("k", 2).await.unwrap();
    fleet.pass(SURE).await;
    assert_eq!(other.stats().doubts, before);
    assert_eq!(get(&other, 3).await, 2);
}

#[tokio::test]
async fn nobody_listens_once_the_cache_is_gone() {
    let fleet = Fleet::new();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    // The store has one of its own.
    let _kv = fleet.kv().await;
    let before = tasks();
    let [one, other] = fleet.with_copies(ttl(600), 1).await;
    assert!(tasks() > before);
    drop((one, other));
    fleet.pass(SURE).await;
    assert_eq!(tasks(), before);
}

#[tokio::test]
async fn what_is_used_no_more_is_listened_to_no_more() {
    let fleet = Fleet::new();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let _kv = fleet.kv().await;
    let before = tasks();
    let [one, other] = fleet.with_copies(ttl(6000), 1).await;
    for _ in 0..610 {
        fleet.clock.advance(SECOND);
        settle().await;
    }
    assert_eq!(tasks(), before);
    // And again when it is used.
    for cache in [&one, &other] {
        assert_eq!(get(cache, 2).await, 1);
    }
    fleet.pass(SURE).await;
    one.remove("k").await.unwrap();
    settle().await;
    assert_eq!(get(&other, 3).await, 3);
}

/// Messages of a later form, say: they may be about anything.
#[tokio::test]
async fn what_cannot_be_read_is_a_doubt() {
    let fleet = Fleet::new();
    let [one, _other] = fleet.with_copies(ttl(600), 1).await;
    let before = one.stats().doubts;
    let kv = fleet.kv().await;
    kv.notify("{cache:c}:news", "from the future")
        .await
        .unwrap();
    fleet.pass(SECOND).await;
    assert!(one.stats().doubts > before);
}

/// A store that is down is not asked again and again by who was given a stale value in place of a new one.
#[tokio::test]
async fn a_failed_load_rests_also_where_nobody_is_sure() {
    let fleet = Fleet::new();
    let odds = Odds::none().and(Fault::FailBefore, 1.0).unwrap();
    let faults = FaultsLayer::new(Plan::random(7, odds));
    let switch = faults.switch();
    switch.off();
    let kv = fleet.builder().layer(faults).connect().await.unwrap();
    let one = fleet.on(&kv, ttl(10).stale(SECOND * 600));
    get(&one, 1).await;
    switch.on();
    fleet.pass(SECOND * 20).await;
    for _ in 0..5 {
        let seen = one.get_or_load("k", |_| fails()).await;
        assert_eq!(*seen.unwrap(), 1);
        one.idle().await;
    }
    assert_eq!(one.stats().failed_loads, 1);
}

/// K4 and K5. Whatever happens to what is told, nobody is shown what was replaced longer ago than copies are
/// trusted; and once all goes well again, all agree.
#[tokio::test]
async fn no_copy_is_older_than_it_may_be() {
    let mut told_off = 0;
    for seed in 0..20 {
        let fleet = Fleet::new();
        let random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        let (lost, held) =
            [(0.0, 0.0), (0.1, 0.0), (0.0, 0.3), (0.2, 0.2), (1.0, 0.0)][seed as usize % 5];
        let mut nodes = Vec::new();
        for _ in 0..3 {
            let bad = Bad {
                clock: fleet.clock.clone(),
                lost,
                held,
                random: random.clone(),
            };
            let kv = fleet.builder().layer(bad).connect().await.unwrap();
            let node = fleet.on(&kv, ttl(600).stale(SECOND * 600));
            nodes.push(node.tagged(["red"]).unwrap());
        }
        // When each value was replaced; the last one has not been.
        let mut replaced: Vec<Duration> = Vec::new();
        let mut oldest = Duration::ZERO;
        let mut rng = fastrand::Rng::with_seed(seed + 1000);
        for _ in 0..200 {
            fleet.pass(SECOND.mul_f64(rng.f64() / 2.0)).await;
            let node = &nodes[rng.usize(..3)];
            if rng.u32(..8) == 0 {
                // From when this began nobody need see the old one.
                let now = fleet.clock.monotonic();
                replaced.push(now);
                match rng.u32(..4) {
                    0 => node.remove("k").await.unwrap(),
                    1 => node.remove_tag("red").await.unwrap(),
                    2 => node.clear().await.unwrap(),
                    _ => node.set("k", replaced.len() as u32).await.unwrap(),
                }
                continue;
            }
            let asked = fleet.clock.monotonic();
            let seen = get(node, replaced.len() as u32).await;
            if let Some(at) = replaced.get(seen as usize) {
                oldest = oldest.max(asked - *at);
            }
        }
        assert!(oldest <= SURE, "seed {seed}: {oldest:?}");
        told_off += u32::from(!oldest.is_zero());
        if (lost, held) == (0.0, 0.0) {
            assert_eq!(oldest, Duration::ZERO, "seed {seed}: all was heard at once");
        }
        // Nothing is told any more: after the time for which copies are trusted all agree.
        fleet.pass(SURE).await;
        let last = get(&nodes[0], 9999).await;
        for node in &nodes {
            assert_eq!(get(node, 8888).await, last, "seed {seed}");
        }
    }
    assert!(told_off > 5, "only {told_off} runs have seen anything old");
}

/// More callers than are listened to: theirs is what it would be without channels.
#[tokio::test]
async fn there_is_room_for_so_many_and_the_others_ask() {
    let fleet = Fleet::new();
    let kv = Kv::builder(fleet.store.clone())
        .layer(KeyResolver::new(KeySettings::default()).unwrap())
        .connect()
        .await
        .unwrap();
    let shared = Cache::<str, u32>::builder("c")
        .near(Near::megabytes(8).max_stale(SURE))
        .far(Far::new(&kv).deadline(SECOND))
        .policy(ttl(6000))
        .clock(Arc::new(fleet.clock.clone()))
        .build()
        .unwrap();
    for tenant in 0..300 {
        let context = Context::tenant(tenant.to_string());
        context.scope(get(&shared, tenant)).await;
    }
    fleet.pass(SURE).await;
    let writer = fleet.on(&kv, ttl(6000));
    for tenant in [0, 299] {
        let context = Context::tenant(tenant.to_string());
        context.scope(writer.remove("k")).await.unwrap();
    }
    fleet.pass(SURE).await;
    for tenant in [0, 299] {
        let context = Context::tenant(tenant.to_string());
        let seen = context.scope(get(&shared, 1000)).await;
        assert_eq!(seen, 1000, "{tenant}");
    }
}

/// Whoever listened ended with the runtime: who uses the cache next listens.
#[test]
fn what_is_told_is_heard_on_the_next_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let fleet = Fleet::new();
    let [one] = runtime().block_on(fleet.with_copies(ttl(600), 1));
    runtime().block_on(async {
        fleet.clock.advance(SURE);
        let other = fleet.process(ttl(600)).await;
        assert_eq!(get(&one, 2).await, 1);
        fleet.pass(SURE).await;
        other.remove("k").await.unwrap();
        settle().await;
        assert_eq!(one.stats().heard, 1);
        assert_eq!(get(&one, 3).await, 3);
    });
}
