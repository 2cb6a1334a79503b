//! One candidate leads, those who observe learn of it, also if the leader dies.

use crate::{
    ON_STORE, SECOND, Site,
    cancel::{is_over_after, slow},
    settle,
    tenants::{manager, tenant},
};
use futures_util::{FutureExt, StreamExt};
use kv_conformance::faults::{Fault, FaultsLayer, Plan};
use kv_core::Kv;
use kv_lock::{Election, Leader, Leaders, LockError, LockManager, LostReason, Release};
use std::sync::{Arc, atomic::Ordering};

async fn election(site: &Site) -> Election {
    site.process().await.election("a")
}

/// What the observer has been told and has not been asked for yet.
fn told(leaders: &mut Leaders) -> Vec<Option<String>> {
    let text = |it: Leader| it.value.to_str().unwrap().to_owned();
    std::iter::from_fn(|| leaders.next().now_or_never())
        .map(|it| it.unwrap().unwrap().map(text))
        .collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[tokio::test]
async fn a_leader_publishes_proclaims_and_resigns() {
    let site = Site::new();
    let (ann, bob) = (election(&site).await, election(&site).await);
    assert_eq!(bob.leader().await.unwrap(), None);
    let leads = ann.campaign("ann").await.unwrap();
    let leader = bob.leader().await.unwrap().unwrap();
    assert_eq!((leader.value, leader.term), ("ann".into(), leads.fence()));
    assert!(bob.try_campaign("bob").await.unwrap().is_none());
    leads.proclaim("Ann").await.unwrap();
    let leader = bob.leader().await.unwrap().unwrap();
    assert_eq!((leader.value, leader.term), ("Ann".into(), leads.fence()));
    // The value is renewed with the lease.
    site.pass(60 * SECOND).await;
    assert!(bob.leader().await.unwrap().is_some());
    assert_eq!(leads.resign().await, Release::Released);
    assert_eq!(bob.leader().await.unwrap(), None);
    let kv = site.kv().await;
    assert!(!kv.exists("{lock:a}:leader").await.unwrap());
    assert!(!kv.exists("{lock:a}:holder").await.unwrap());
}

#[tokio::test]
async fn who_leads_for_days_has_the_same_term() {
    let site = Site::new();
    let ann = election(&site).await.lease(3600 * SECOND);
    let leads = ann.campaign("ann").await.unwrap();
    for _ in 0..360 {
        site.clock.advance(600 * SECOND);
        settle().await;
    }
    assert_eq!(ann.leader().await.unwrap().unwrap().term, leads.fence());
    let shown = site.process().await.inspect("a").await.unwrap().unwrap();
    assert_eq!(shown.last_fence, Some(leads.fence()));
}

#[tokio::test]
async fn who_observes_is_told_each_change_without_any_time_passing() {
    let site = Site::new();
    let (ann, bob) = (election(&site).await, election(&site).await);
    let mut leaders = election(&site).await.observe().unwrap();
    assert_eq!(told(&mut leaders), [None]);
    let first = ann.campaign("ann").await.unwrap();
    assert_eq!(told(&mut leaders), [some("ann")]);
    assert_eq!(told(&mut leaders), []);
    first.proclaim("Ann").await.unwrap();
    assert_eq!(told(&mut leaders), [some("Ann")]);
    // Who comes later begins with who leads.
    let mut late = bob.observe().unwrap();
    assert_eq!(told(&mut late), [some("Ann")]);
    let waits = tokio::spawn(async move { bob.campaign("bob").await });
    settle().await;
    first.resign().await;
    settle().await;
    let second = waits.await.unwrap().unwrap();
    // What came in between may go unseen; the last does not.
    assert_eq!(told(&mut leaders), [some("bob")]);
    drop(second);
    settle().await;
    assert_eq!(told(&mut leaders), [None]);
    assert_eq!(told(&mut late), [None]);
}

#[tokio::test]
async fn the_same_value_of_a_later_term_is_a_change() {
    let site = Site::new();
    let ann = election(&site).await;
    let mut leaders = ann.observe().unwrap();
    let mut terms = Vec::new();
    for _ in 0..3 {
        let leads = ann.campaign("ann").await.unwrap();
        let leader = leaders.next().await.unwrap().unwrap().unwrap();
        assert_eq!(leader.term, leads.fence());
        terms.push(leader.term);
        // Nobody looks while nobody leads.
        leads.resign().await;
    }
    assert!(terms.is_sorted_by(|a, b| a < b), "{terms:?}");
}

#[tokio::test]
async fn many_changes_that_nobody_asks_for_are_told_as_one() {
    let site = Site::new();
    let ann = election(&site).await;
    let (bob, calls) = site.counted().await;
    let mut leaders = bob.election("a").observe().unwrap();
    assert_eq!(told(&mut leaders), [None]);
    let leads = ann.campaign("ann").await.unwrap();
    for number in 0..5000 {
        leads.proclaim(number.to_string()).await.unwrap();
    }
    let before = calls.load(Ordering::Relaxed);
    assert_eq!(told(&mut leaders), [some("4999")]);
    let calls = calls.load(Ordering::Relaxed) - before;
    assert!(calls <= 3, "{calls} calls");
}

/// It publishes nothing when it dies; and the observer costs little meanwhile.
#[test]
fn the_death_of_a_leader_is_told_when_its_lease_ends() {
    let site = Site::new();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    let dies = runtime();
    let leads = dies.block_on(async { election(&site).await.campaign("ann").await.unwrap() });
    let mut leaders = runtime().block_on(async {
        let (bob, calls) = site.counted().await;
        let mut leaders = bob.election("a").observe().unwrap();
        assert_eq!(told(&mut leaders), [some("ann")]);
        site.pass(ON_STORE - SECOND / 10).await;
        assert_eq!(told(&mut leaders), []);
        site.pass(SECOND / 5).await;
        assert_eq!(told(&mut leaders), [None]);
        assert_eq!(calls.load(Ordering::Relaxed), 2);
        leaders
    });
    std::mem::forget(leads);
    drop(dies);
    runtime().block_on(async {
        let bob = election(&site).await;
        let _leads = bob.campaign("bob").await.unwrap();
        assert_eq!(told(&mut leaders), [some("bob")]);
    });
}

#[tokio::test]
async fn an_observer_of_a_leader_that_lives_asks_once_a_lease() {
    let site = Site::new();
    let _leads = election(&site).await.campaign("ann").await.unwrap();
    let (bob, calls) = site.counted().await;
    let bob = bob.election("a");
    let told =
        tokio::spawn(async move { bob.observe().unwrap().take(2).collect::<Vec<_>>().await });
    settle().await;
    site.pass(100 * SECOND).await;
    assert!(!told.is_finished());
    let calls = calls.load(Ordering::Relaxed);
    assert!((7..=11).contains(&calls), "{calls} calls");
    told.abort();
}

#[tokio::test]
async fn a_store_that_cannot_tell_is_told_once_and_then_who_leads() {
    let site = Site::new();
    let _leads = election(&site).await.campaign("ann").await.unwrap();
    let plan = [
        [Fault::None].as_slice(),
        &[Fault::FailBefore; 3],
        &[Fault::None],
    ];
    let mut leaders = faulty(&site, &plan.concat())
        .await
        .election("a")
        .observe()
        .unwrap();
    assert_eq!(told(&mut leaders), [some("ann")]);
    let next = tokio::spawn(async move {
        let failed = leaders.next().await.unwrap();
        (failed, leaders.next().await.unwrap())
    });
    site.pass(20 * SECOND).await;
    assert!(next.is_finished());
    let (failed, again) = next.await.unwrap();
    assert!(matches!(failed, Err(LockError::Store(_))));
    assert_eq!(again.unwrap().unwrap().value, "ann");
}

async fn faulty(site: &Site, faults: &[Fault]) -> LockManager {
    let faults = FaultsLayer::new(Plan::Script(faults.to_vec()))
        .clock(Arc::new(site.clock.clone()))
        .only(|spec| spec.name == "commit");
    let kv = Kv::builder(site.store.clone()).layer(faults);
    site.on(&kv.connect().await.unwrap()).build().unwrap()
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let lost = Fault::ApplyThenFail;
    // To campaign twice, to confirm, to proclaim twice, to resign.
    let plan = [lost, Fault::None, Fault::None, lost, Fault::None, lost];
    let site = Site::new();
    let ann = faulty(&site, &plan).await.election("a");
    let bob = election(&site).await;
    let task = tokio::spawn(async move { ann.campaign("ann").await });
    site.pass(SECOND).await;
    let leads = task.await.unwrap().unwrap();
    let leader = bob.leader().await.unwrap().unwrap();
    assert_eq!((leader.value, leader.term), ("ann".into(), leads.fence()));
    leads.proclaim("Ann").await.unwrap();
    assert_eq!(bob.leader().await.unwrap().unwrap().value, "Ann");
    assert_eq!(leads.resign().await, Release::Unknown);
    assert_eq!(bob.leader().await.unwrap(), None);
}

#[tokio::test]
async fn who_was_deposed_cannot_proclaim() {
    let site = Site::new();
    let leads = election(&site).await.campaign("ann").await.unwrap();
    let mut leaders = election(&site).await.observe().unwrap();
    assert_eq!(told(&mut leaders), [some("ann")]);
    site.kv().await.delete("{lock:a}:holder").await.unwrap();
    let bob = election(&site).await.campaign("bob").await.unwrap();
    let refused = leads.proclaim("Ann").await;
    assert!(matches!(refused, Err(LockError::Lost(lost)) if lost.reason() == LostReason::Taken));
    assert!(leads.check().is_err());
    assert_eq!(leads.resign().await, Release::Expired);
    assert_eq!(told(&mut leaders), [some("bob")]);
    bob.check().unwrap();
}

/// Freed by an operator, who knows of locks alone: nobody leads, whatever value is left.
#[tokio::test]
async fn nobody_leads_without_the_lock() {
    let site = Site::new();
    let leads = election(&site).await.campaign("ann").await.unwrap();
    let mut leaders = election(&site).await.observe().unwrap();
    assert_eq!(told(&mut leaders), [some("ann")]);
    let kv = site.kv().await;
    kv.delete("{lock:a}:holder").await.unwrap();
    assert_eq!(election(&site).await.leader().await.unwrap(), None);
    kv.notify("{lock:a}:free", "").await.unwrap();
    assert_eq!(told(&mut leaders), [None]);
    drop(leads);
}

#[tokio::test]
async fn a_leader_that_lost_campaigns_again_until_its_work_is_done() {
    let site = Site::new();
    let ann = election(&site).await;
    let task = tokio::spawn(async move {
        let mut terms = Vec::new();
        ann.lead("ann", |leadership| {
            terms.push(leadership.fence());
            let terms = terms.clone();
            async move {
                if terms.len() < 3 {
                    std::future::pending::<()>().await;
                }
                terms
            }
        })
        .await
    });
    for _ in 0..2 {
        settle().await;
        // The next renewal notices.
        site.kv().await.delete("{lock:a}:holder").await.unwrap();
        site.pass(5 * SECOND).await;
    }
    settle().await;
    assert!(task.is_finished());
    let terms = task.await.unwrap().unwrap();
    assert!(
        terms.len() == 3 && terms.is_sorted_by(|a, b| a < b),
        "{terms:?}"
    );
    assert_eq!(election(&site).await.leader().await.unwrap(), None);
}

#[tokio::test]
async fn who_stops_leading_resigns() {
    let site = Site::new();
    let ann = election(&site).await;
    let task = tokio::spawn(async move { ann.lead("ann", |_| std::future::pending::<()>()).await });
    settle().await;
    let bob = election(&site).await;
    assert!(bob.leader().await.unwrap().is_some());
    task.abort();
    settle().await;
    assert_eq!(bob.leader().await.unwrap(), None);
}

#[tokio::test]
async fn a_campaign_that_is_dropped_anywhere_leaves_no_leader() {
    for polls in 0.. {
        let site = Site::new();
        let ann = slow(&site).await.election("a");
        let is_over = is_over_after(polls, ann.campaign("ann"));
        settle().await;
        let leader = election(&site).await.leader().await.unwrap();
        assert_eq!(leader, None, "after {polls}");
        if is_over {
            assert!(polls > 2, "dropped in between");
            return;
        }
    }
}

#[tokio::test]
async fn a_proclamation_that_is_dropped_anywhere_leaves_one_of_the_two() {
    for polls in 0.. {
        let site = Site::new();
        let ann = slow(&site).await.election("a");
        let leads = ann.campaign("ann").await.unwrap();
        let is_over = is_over_after(polls, leads.proclaim("Ann"));
        settle().await;
        let leader = ann.leader().await.unwrap().unwrap();
        assert!(leader.value == "ann" || leader.value == "Ann");
        leads.proclaim("last").await.unwrap();
        assert_eq!(ann.leader().await.unwrap().unwrap().value, "last");
        if is_over {
            assert!(polls > 2, "dropped in between");
            return;
        }
    }
}

#[tokio::test]
async fn tenants_have_leaders_of_their_own() {
    let site = Site::new();
    let (locks, _) = manager(&site).await;
    let observe = || async { locks.election("a").observe().unwrap() };
    let mut anns = tenant("ann").scope(observe()).await;
    let mut bobs = tenant("bob").scope(observe()).await;
    let election = locks.election("a");
    let first = tenant("ann").scope(election.campaign("ann")).await;
    let second = tenant("bob").scope(election.campaign("bob")).await;
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(told(&mut anns), [some("ann")]);
    assert_eq!(told(&mut bobs), [some("bob")]);
    // Without a context: what is done with a leadership meets the keys of its tenant.
    first.proclaim("Ann").await.unwrap();
    assert_eq!(told(&mut anns), [some("Ann")]);
    first.resign().await;
    assert_eq!(told(&mut anns), [None]);
    assert_eq!(told(&mut bobs), []);
    second.check().unwrap();
}
