//! The algorithms that the stores' own throttle does not know: exact logs, calendars, slots.

use kv_core::Kv;
use kv_ratelimit::{Acquired, Limit, LimitError, Policy, RateLimiter, Release, Slot, Tier};
use kv_tests::{patience::PATIENCE, stores::Site};
use std::time::Duration;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3600);

fn policy(quota: &str) -> Policy {
    let quota = quota.parse().unwrap();
    Policy::new(quota).tier(Tier::Strict).deadline(PATIENCE)
}

/// As another process would have it.
fn limiter(kv: &Kv, quota: &str) -> RateLimiter {
    let limiter = RateLimiter::builder(kv).policy("p", policy(quota));
    limiter.build().unwrap()
}

fn limit(kv: &Kv, quota: &str) -> Limit {
    limiter(kv, quota).limit("p", "ann}%").unwrap()
}

async fn remaining(limit: &Limit) -> u64 {
    limit.peek().await.unwrap().remaining
}

/// So many at once, each of this cost, from two processes; tells how many passed.
async fn race(kv: &Kv, quota: &str, cost: u64, times: usize) -> usize {
    let limits = [limit(kv, quota).cost(cost), limit(kv, quota).cost(cost)];
    let race = (0..times).map(|turn| {
        let limit = limits[turn % 2].clone();
        async move { limit.check().await.unwrap().is_allowed() }
    });
    let passed = race.collect::<JoinSet<_>>().join_all().await;
    passed.into_iter().filter(|it| *it).count()
}

async fn a_log_counts_each_unit_for_its_window(site: Site) {
    let kv = site.kv().await;
    let limit = limit(&kv, "5/1h exact");
    let before = kv.now().await.unwrap();
    let first = limit.clone().cost(3).check().await.unwrap();
    assert!(first.is_allowed());
    assert_eq!((first.remaining, first.reset_after), (2, HOUR));
    let second = limit.clone().cost(2).check().await.unwrap();
    assert_eq!((second.is_allowed(), second.remaining), (true, 0));
    for _ in 0..2 {
        let denied = limit.check().await.unwrap();
        let passed = kv.now().await.unwrap().saturating_since(before);
        assert!(!denied.is_allowed());
        assert!(denied.retry_after <= HOUR && denied.retry_after + passed >= HOUR);
        assert!(denied.reset_after <= HOUR && denied.reset_after + passed >= HOUR);
    }
    // Given back once, however often it is said.
    for _ in 0..2 {
        limit.refund(second.clone()).await.unwrap();
        assert_eq!(remaining(&limit).await, 2);
    }
    limit.reset().await.unwrap();
    assert_eq!(remaining(&limit).await, 5);
    limit.refund(first).await.unwrap();
    assert_eq!(remaining(&limit).await, 5);
}

async fn racing_requests_never_exceed_a_log(site: Site) {
    let kv = site.kv().await;
    assert_eq!(race(&kv, "20/1h exact", 3, 24).await, 6);
    assert_eq!(remaining(&limit(&kv, "20/1h exact")).await, 2);
}

/// What leaves the window makes room, and a store sweeps it as it can.
async fn a_log_lets_pass_again_what_it_has_forgotten(site: Site) {
    let kv = site.kv().await;
    let limit = limit(&kv, "60/1s exact").cost(30);
    for _ in 0..5 {
        let decision = limit.until_ready(PATIENCE).await.unwrap();
        assert!(decision.is_allowed());
    }
    let left = limit.peek().await.unwrap().reset_after;
    assert!(left <= Duration::from_secs(1), "{left:?}");
}

async fn a_calendar_counts_in_its_window(site: Site) {
    let kv = site.kv().await;
    let quota = "5/year calendar Europe/Berlin";
    let limit = limit(&kv, quota);
    assert_eq!(remaining(&limit).await, 5);
    let first = limit.clone().cost(3).check().await.unwrap();
    assert!(first.is_allowed() && first.remaining == 2);
    let second = limit.check().await.unwrap();
    assert!(second.is_allowed() && second.remaining == 1);
    let denied = limit.clone().cost(2).check().await.unwrap();
    assert!(!denied.is_allowed() && denied.remaining == 1);
    assert_eq!(denied.retry_after, denied.reset_after);
    assert!(denied.retry_after <= 366 * 24 * HOUR);
    // Never more than was taken.
    for left in [4, 5, 5] {
        limit.refund(first.clone()).await.unwrap();
        assert_eq!(remaining(&limit).await, left);
    }
    limit.refund(second).await.unwrap();
    assert!(limit.clone().cost(5).check().await.unwrap().is_allowed());
    limit.reset().await.unwrap();
    assert_eq!(remaining(&limit).await, 5);
}

async fn racing_requests_never_exceed_a_calendar(site: Site) {
    let kv = site.kv().await;
    let quota = "20/year calendar";
    assert_eq!(race(&kv, quota, 3, 24).await, 6);
    let limit = limit(&kv, quota);
    assert_eq!(remaining(&limit).await, 2);
    // Nor is anything lost where many give back.
    limit.reset().await.unwrap();
    let work = (0..4).map(|_| {
        let limit = limit.clone().cost(2);
        async move {
            for _ in 0..5 {
                let taken = limit.check().await.unwrap();
                assert!(taken.is_allowed());
                limit.refund(taken).await.unwrap();
            }
        }
    });
    work.collect::<JoinSet<_>>().join_all().await;
    assert_eq!(remaining(&limit).await, 20);
}

async fn takes(limit: &Limit) -> Slot {
    match limit.try_acquire().await.unwrap() {
        Acquired::Yes(slot) => slot,
        Acquired::No(denied) => panic!("{denied:?}"),
    }
}

async fn is_full(limit: &Limit) -> bool {
    matches!(limit.try_acquire().await.unwrap(), Acquired::No(_))
}

async fn slots_are_held_and_come_back(site: Site) {
    let kv = site.kv().await;
    let quota = "3 concurrent lease 1m";
    let (ann, bob) = (limit(&kv, quota), limit(&kv, quota));
    let two = takes(&ann.clone().cost(2)).await;
    let one = takes(&bob).await;
    assert!(is_full(&ann).await);
    let error = bob.acquire(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(error, LimitError::NoSlot(_)), "{error}");
    let waits = {
        let bob = bob.clone().cost(2);
        tokio::spawn(async move { bob.acquire(PATIENCE).await.unwrap() })
    };
    assert!(!two.is_lost());
    assert_eq!(two.release().await, Release::Released);
    let next = waits.await.unwrap();
    assert!(is_full(&ann).await);
    assert_eq!(next.release().await, Release::Released);
    assert_eq!(one.release().await, Release::Released);
}

async fn another_number_of_slots_takes_effect(site: Site) {
    let kv = site.kv().await;
    let limiter = limiter(&kv, "1 concurrent lease 1m");
    let limit = || limiter.limit("p", "ann").unwrap();
    let one = takes(&limit()).await;
    assert!(is_full(&limit()).await);
    let larger = policy("2 concurrent lease 1m");
    limiter.set_policies([("p", larger)]).unwrap();
    let two = takes(&limit()).await;
    assert!(is_full(&limit()).await);
    for slot in [one, two] {
        assert_eq!(slot.release().await, Release::Released);
    }
}

kv_tests::on_each_store_there_is! {
    a_log_counts_each_unit_for_its_window
    racing_requests_never_exceed_a_log
    a_log_lets_pass_again_what_it_has_forgotten
    a_calendar_counts_in_its_window
    racing_requests_never_exceed_a_calendar
    slots_are_held_and_come_back
    another_number_of_slots_takes_effect
}
