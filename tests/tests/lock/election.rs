//! Elections: one leads, who observes learns of it, a leader that died is followed by another.

use crate::site::{LONG, Site, died_holding};
use futures_util::{StreamExt, future};
use kv_lock::{Leaders, Release};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

async fn next(leaders: &mut Leaders) -> Option<String> {
    let leader = tokio::time::timeout(LONG, leaders.next()).await;
    let leader = leader.unwrap().unwrap().unwrap();
    leader.map(|it| it.value.to_str().unwrap().to_owned())
}

/// What came in between may go unseen.
async fn until(leaders: &mut Leaders, wanted: Option<&str>) {
    while next(leaders).await.as_deref() != wanted {}
}

async fn one_leads_and_the_others_observe(site: Site) {
    let other = site.another().await.election("a");
    let mut leaders = other.observe().unwrap();
    assert_eq!(next(&mut leaders).await, None);
    let leads = site.locks.election("a").campaign("ann").await.unwrap();
    assert_eq!(next(&mut leaders).await.as_deref(), Some("ann"));
    assert!(other.try_campaign("bob").await.unwrap().is_none());
    leads.proclaim("Ann").await.unwrap();
    assert_eq!(next(&mut leaders).await.as_deref(), Some("Ann"));
    let leader = other.leader().await.unwrap().unwrap();
    assert_eq!((leader.value, leader.term), ("Ann".into(), leads.fence()));
    assert_eq!(leads.resign().await, Release::Released);
    assert_eq!(next(&mut leaders).await, None);
    assert_eq!(other.leader().await.unwrap(), None);
}

/// Nobody may wait for the end of a lease in this test.
async fn candidates_lead_in_turn_never_two_at_a_time(site: Site) {
    let is_led = Arc::<AtomicBool>::default();
    let observer = site.locks.election("a");
    let mut leaders = observer.observe().unwrap();
    let mut candidates = Vec::new();
    for number in 0..6 {
        let election = site.another().await.election("a");
        let election = election.lease(Duration::from_secs(600)).wait(LONG);
        let is_led = is_led.clone();
        candidates.push(tokio::spawn(async move {
            let mut terms = Vec::new();
            for _ in 0..3 {
                let leads = election.campaign(number.to_string()).await.unwrap();
                assert!(!is_led.swap(true, Ordering::SeqCst));
                terms.push(leads.fence());
                tokio::task::yield_now().await;
                leads.check().unwrap();
                is_led.store(false, Ordering::SeqCst);
                leads.resign().await;
            }
            terms
        }));
    }
    let terms = future::join_all(candidates).await;
    let mut terms: Vec<_> = terms.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(terms.len(), 18);
    terms.sort_unstable();
    terms.dedup();
    assert_eq!(terms.len(), 18);
    until(&mut leaders, None).await;
}

async fn a_leader_that_died_is_followed(site: Site) {
    let lease = Duration::from_secs(2);
    let died = died_holding(&site, move |locks| async move {
        locks
            .election("a")
            .lease(lease)
            .grace(lease / 10)
            .campaign("ann")
            .await
            .unwrap()
    })
    .await;
    let mut leaders = site.locks.election("a").observe().unwrap();
    assert_eq!(next(&mut leaders).await.as_deref(), Some("ann"));
    let leads = site
        .locks
        .election("a")
        .wait(LONG)
        .campaign("bob")
        .await
        .unwrap();
    assert!(leads.fence() > died.fence());
    until(&mut leaders, Some("bob")).await;
    drop(leads);
    until(&mut leaders, None).await;
    std::mem::forget(died);
}

async fn lost_answers_do_no_harm(site: Site) {
    let other = site.another().await.election("a");
    let mut last = None;
    site.lost_answers.on();
    for round in 0..20 {
        let leads = site
            .locks
            .election("a")
            .wait(LONG)
            .campaign("ann")
            .await
            .unwrap();
        assert!(last < Some(leads.fence()));
        last = Some(leads.fence());
        // Three answers may be lost one after the other.
        let value = round.to_string();
        while leads.proclaim(value.as_str()).await.is_err() {
            leads.check().unwrap();
        }
        let leader = other.leader().await.unwrap().unwrap();
        assert_eq!((leader.value, leader.term), (value.into(), leads.fence()));
        assert_ne!(leads.resign().await, Release::Expired);
    }
    site.lost_answers.off();
    let mut leaders = other.observe().unwrap();
    until(&mut leaders, None).await;
}

crate::on_each_store! {
    one_leads_and_the_others_observe
    candidates_lead_in_turn_never_two_at_a_time
    a_leader_that_died_is_followed
    lost_answers_do_no_harm
}
