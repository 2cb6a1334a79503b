//! Slots: how much goes on at the same time.

use crate::{SECOND, Site, settle, strict};
use kv_conformance::faults::{Fault, FaultSwitch, FaultsLayer, Odds, Plan};
use kv_core::Kv;
use kv_ratelimit::{
    Acquired, Limit, LimitError, LostReason, OnError, Policy, RateLimiter, Release, Slot, Source,
    Verdict,
};
use std::time::Duration;

const NOON: &str = "2025-06-11T12:00:00Z";
const MINUTE: Duration = Duration::from_secs(60);

async fn takes(limit: &Limit) -> Slot {
    match limit.try_acquire().await.unwrap() {
        Acquired::Yes(slot) => slot,
        Acquired::No(denied) => panic!("{denied:?}"),
    }
}

async fn is_full(limit: &Limit) {
    match limit.try_acquire().await.unwrap() {
        Acquired::Yes(slot) => panic!("{slot:?}"),
        Acquired::No(denied) => {
            assert_eq!(
                (denied.verdict, denied.source),
                (Verdict::Denied, Source::Store)
            );
        }
    }
}

/// A process whose network can be made to fail.
async fn through(site: &Site, fault: Fault, policy: Policy) -> (RateLimiter, FaultSwitch) {
    let always = Plan::random(1, Odds::none().and(fault, 1.0).unwrap());
    let faults = FaultsLayer::new(always).clock(std::sync::Arc::new(site.clock.clone()));
    let switch = faults.switch();
    switch.off();
    let kv = Kv::builder(site.store.clone()).layer(faults);
    (site.on(kv, policy).await, switch)
}

#[tokio::test]
async fn no_more_go_on_than_there_are_slots() {
    let site = Site::at(NOON);
    let (ann, bob) = (
        site.limit("5 concurrent lease 30s").await,
        site.limit("5 concurrent lease 30s").await,
    );
    let three = takes(&ann.clone().cost(3)).await;
    let decision = three.decision();
    assert_eq!((decision.cost, decision.limit), (3, 5));
    assert_eq!(
        (decision.verdict, decision.source),
        (Verdict::Allowed, Source::Store)
    );
    is_full(&bob.clone().cost(3)).await;
    let two = takes(&bob.clone().cost(2)).await;
    is_full(&ann).await;
    // Each is kept for as long as it takes.
    site.pass(3 * MINUTE).await;
    assert!(!three.is_lost() && !two.is_lost());
    is_full(&ann).await;
    assert_eq!(two.release().await, Release::Released);
    is_full(&ann.clone().cost(3)).await;
    drop(three);
    settle().await;
    takes(&bob.clone().cost(5)).await.release().await;
    // Other subjects and policies have their own.
    let held = takes(&ann.clone().cost(5)).await;
    let other = site.process("1 concurrent").await;
    takes(&other.limit("p", "bob").unwrap())
        .await
        .release()
        .await;
    held.release().await;
}

#[tokio::test]
async fn who_waits_is_woken() {
    let site = Site::at(NOON);
    let held = takes(&site.limit("1 concurrent").await).await;
    let (limit, calls) = site.counted("1 concurrent").await;
    let waits = tokio::spawn(async move { limit.acquire(5 * MINUTE).await });
    site.pass(MINUTE).await;
    assert!(!waits.is_finished());
    assert!(calls.take() < 15, "it does not poll");
    held.release().await;
    settle().await;
    assert!(waits.is_finished());
    let slot = waits.await.unwrap().unwrap();
    assert_eq!(slot.release().await, Release::Released);
}

#[tokio::test]
async fn who_waits_in_vain_learns_it_when_the_time_is_over() {
    let site = Site::at(NOON);
    let held = takes(&site.limit("1 concurrent").await).await;
    let limit = site.limit("1 concurrent").await;
    let waits = tokio::spawn(async move { limit.acquire(2 * SECOND).await });
    settle().await;
    site.pass(2 * SECOND - SECOND / 10).await;
    assert!(!waits.is_finished());
    site.pass(SECOND / 10).await;
    assert!(waits.is_finished());
    let error = waits.await.unwrap().unwrap_err();
    let LimitError::NoSlot(why) = &error else {
        panic!("{error}");
    };
    assert_eq!(why.decision().source, Source::Store);
    assert!(
        error.to_string().contains("1 slots of the policy `p`"),
        "{error}"
    );
    held.release().await;
}

#[tokio::test]
async fn a_crash_gives_slots_back_when_the_lease_ends() {
    let site = Site::at(NOON);
    let policy = strict("2 concurrent lease 30s");
    let (dead, switch) = through(&site, Fault::Hang, policy).await;
    let held = takes(&dead.limit("p", "ann").unwrap().cost(2)).await;
    let lost = tokio::spawn(held.lost());
    let limit = site.limit("2 concurrent lease 30s").await;
    switch.on();
    site.pass(30 * SECOND - SECOND / 5).await;
    assert!(!held.is_lost() && !lost.is_finished());
    is_full(&limit).await;
    site.pass(SECOND).await;
    assert!(held.is_lost());
    assert_eq!(lost.await.unwrap().reason(), LostReason::Expired);
    let next = takes(&limit.clone().cost(2)).await;
    // It frees nobody else's.
    switch.off();
    let released = tokio::spawn(held.release());
    site.pass(SECOND).await;
    assert_eq!(released.await.unwrap(), Release::Expired);
    is_full(&limit).await;
    assert!(!next.is_lost());
}

#[tokio::test]
async fn another_number_of_slots_takes_effect_at_once() {
    let site = Site::at(NOON);
    let limiter = site.process("2 concurrent").await;
    let limit = || limiter.limit("p", "ann").unwrap();
    let (one, two) = (takes(&limit()).await, takes(&limit()).await);
    is_full(&limit()).await;
    limiter
        .set_policies([("p", strict("3 concurrent"))])
        .unwrap();
    let three = takes(&limit()).await;
    is_full(&limit()).await;
    // Nothing is taken away, and nobody let in before enough came back.
    limiter
        .set_policies([("p", strict("1 concurrent"))])
        .unwrap();
    let waits = tokio::spawn({
        let limit = limit();
        async move { limit.acquire(MINUTE).await }
    });
    for slot in [one, two] {
        is_full(&limit()).await;
        assert_eq!(slot.release().await, Release::Released);
        settle().await;
        assert!(!waits.is_finished());
    }
    three.release().await;
    settle().await;
    waits.await.unwrap().unwrap().release().await;
}

/// While they are not the same everywhere, the last to ask counts, and who waits goes on waiting.
#[tokio::test]
async fn processes_with_different_numbers_come_to_an_end() {
    let site = Site::at(NOON);
    let (small, large) = (
        site.limit("1 concurrent").await,
        site.limit("3 concurrent").await,
    );
    let held = takes(&large.clone().cost(3)).await;
    let waits: Vec<_> = [&small, &large, &small, &large]
        .into_iter()
        .map(|limit| {
            let limit = limit.clone();
            tokio::spawn(async move { limit.acquire(MINUTE).await.unwrap().release().await })
        })
        .collect();
    site.pass(SECOND).await;
    assert!(!waits.iter().any(tokio::task::JoinHandle::is_finished));
    held.release().await;
    site.pass(SECOND).await;
    for done in waits {
        assert!(done.is_finished());
        assert_eq!(done.await.unwrap(), Release::Released);
    }
}

#[tokio::test]
async fn a_store_that_fails_is_an_error_or_what_the_policy_says() {
    let site = Site::at(NOON);
    let policy = |on_error| strict("1 concurrent").on_error(on_error);
    let (limiter, switch) = through(&site, Fault::FailBefore, policy(OnError::Fail)).await;
    let limit = || limiter.limit("p", "ann").unwrap();
    switch.on();
    let error = limit().try_acquire().await.unwrap_err();
    assert!(matches!(error, LimitError::Store(_)), "{error}");
    let waits = tokio::spawn({
        let limit = limit();
        async move { limit.acquire(SECOND).await }
    });
    site.pass(2 * SECOND).await;
    let error = waits.await.unwrap().unwrap_err();
    assert!(matches!(error, LimitError::Store(_)), "{error}");

    limiter
        .set_policies([("p", policy(OnError::Allow))])
        .unwrap();
    for slot in [
        takes(&limit()).await,
        limit().acquire(MINUTE).await.unwrap(),
    ] {
        assert_eq!(slot.decision().source, Source::Fallback);
        assert!(!slot.is_lost());
        assert_eq!(slot.release().await, Release::Released);
    }

    limiter
        .set_policies([("p", policy(OnError::Deny))])
        .unwrap();
    let Acquired::No(denied) = limit().try_acquire().await.unwrap() else {
        panic!("it was allowed");
    };
    assert_eq!(denied.source, Source::Fallback);
    let error = limit().acquire(MINUTE).await.unwrap_err();
    let LimitError::NoSlot(why) = &error else {
        panic!("{error}");
    };
    assert_eq!(why.decision().source, Source::Fallback);
    switch.off();
    // Nothing was held meanwhile.
    takes(&limit()).await.release().await;
    // With an answer from the store, who has a rule waits as others do.
    let held = takes(&limit()).await;
    let waits = tokio::spawn({
        let limit = limit();
        async move { limit.acquire(MINUTE).await }
    });
    site.pass(SECOND).await;
    assert!(!waits.is_finished());
    held.release().await;
    settle().await;
    waits.await.unwrap().unwrap().release().await;
}

/// R12: that the store says nothing is no denial.
#[tokio::test]
async fn a_store_that_is_silent_is_an_error_too() {
    let site = Site::at(NOON);
    let (limiter, switch) = through(&site, Fault::Hang, strict("1 concurrent")).await;
    let limit = limiter.limit("p", "ann").unwrap();
    switch.on();
    for wait in [Duration::ZERO, SECOND] {
        let limit = limit.clone();
        let waits = tokio::spawn(async move { limit.acquire(wait).await });
        site.pass(2 * SECOND).await;
        assert!(waits.is_finished());
        let error = waits.await.unwrap().unwrap_err();
        assert!(matches!(error, LimitError::Store(_)), "{error}");
    }
}

#[tokio::test]
async fn a_policy_that_is_tried_out_and_its_list_keep_nobody() {
    let site = Site::at(NOON);
    let held = takes(&site.limit("1 concurrent").await).await;
    let kv = || Kv::builder(site.store.clone());
    let shadow = site.on(kv(), strict("1 concurrent").shadow()).await;
    let limit = shadow.limit("p", "ann").unwrap();
    let tried = tokio::spawn(async move { limit.acquire(MINUTE).await.unwrap() });
    settle().await;
    assert!(tried.is_finished());
    let slot = tried.await.unwrap();
    assert_eq!(slot.decision().verdict, Verdict::WouldDeny);
    assert_eq!(slot.release().await, Release::Released);
    let listed = site.on(kv(), strict("1 concurrent").allow(["a*"])).await;
    let slot = takes(&listed.limit("p", "ann").unwrap()).await;
    assert_eq!(slot.decision().source, Source::AllowList);
    assert!(!held.is_lost());
    held.release().await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_before_anything_is_sent() {
    let site = Site::at(NOON);
    for (quota, cost, most) in [
        ("5 concurrent", 6, 5),
        ("5 concurrent", 0, 5),
        ("1000 concurrent", 201, 200),
        ("5 concurrent", u64::MAX, 5),
    ] {
        let (limit, calls) = site.counted(quota).await;
        let error = limit.cost(cost).acquire(MINUTE).await.unwrap_err();
        let LimitError::Cost(why) = &error else {
            panic!("{error}");
        };
        assert_eq!(why.most(), most);
        assert_eq!(calls.take(), 0);
    }
    let (limit, calls) = site.counted("5/min").await;
    let error = limit.try_acquire().await.unwrap_err();
    assert!(matches!(error, LimitError::NotPossible(_)), "{error}");
    assert!(error.to_string().contains("10 concurrent"), "{error}");
    let slots = site.limit("5 concurrent").await;
    let error = slots.check().await.unwrap_err();
    assert!(matches!(error, LimitError::NotPossible(_)), "{error}");
    assert_eq!(calls.take(), 0);
}
