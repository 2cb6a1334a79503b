//! Readers, writers and holders of permits, recorded in several processes: never more at once than may be.

use crate::{
    history::{
        Grant,
        crowd::{Crowd, Crowded, Share},
        moment,
    },
    site::{LONG, Site},
};
use kv_conformance::faults::{Fault, FaultsLayer, Odds, Plan};
use kv_core::Kv;
use kv_lock::{LockError, LockManager};
use kv_tests::kinds::{Held, Kind};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Barrier, task::JoinSet};

/// More than all readers together.
const ALONE: u64 = 1000;

const PERMITS: u64 = 4;

/// What a task wants, again and again.
#[derive(Clone, Copy)]
enum Want {
    Read,
    Write,
    Permits(u32),
}

impl Want {
    async fn acquire(self, locks: &LockManager) -> Result<Held, LockError> {
        match self {
            Self::Read => Kind::Read.acquire(locks, "a").await,
            Self::Write => Kind::Write.acquire(locks, "a").await,
            Self::Permits(count) => {
                let permits = locks.semaphore("a", PERMITS);
                Ok(Held::Permits(permits.acquire(count).await?))
            }
        }
    }

    fn weight(self) -> u64 {
        match self {
            Self::Read => 1,
            Self::Write => ALONE,
            Self::Permits(count) => count.into(),
        }
    }

    /// Whether all who want this hold it together at the beginning.
    fn is_shared(self) -> bool {
        matches!(self, Self::Read | Self::Permits(1))
    }
}

/// Two of each for each process, who begin when those that can have met.
const READERS_AND_WRITERS: [Want; 3] = [Want::Read, Want::Read, Want::Write];
const HOLDERS: [Want; 3] = [Want::Permits(1), Want::Permits(2), Want::Permits(3)];

async fn readers_and_writers_keep_apart(site: Site) {
    let processes = quiet(&site).await;
    let found = race(&site, processes, READERS_AND_WRITERS, ALONE).await;
    assert_eq!(found.held, found.shares, "{found}");
    assert!(found.at_once >= 4, "{found}");
}

async fn readers_and_writers_keep_apart_in_spite_of_faults(site: Site) {
    let processes = faulty(&site).await;
    race(&site, processes, READERS_AND_WRITERS, ALONE).await;
}

async fn permits_are_never_too_many(site: Site) {
    let processes = quiet(&site).await;
    let found = race(&site, processes, HOLDERS, PERMITS).await;
    assert_eq!(found.held, found.shares, "{found}");
    assert!(found.at_once >= 2, "{found}");
}

async fn permits_are_never_too_many_in_spite_of_faults(site: Site) {
    let processes = faulty(&site).await;
    race(&site, processes, HOLDERS, PERMITS).await;
}

async fn race(site: &Site, processes: Vec<LockManager>, wants: [Want; 3], limit: u64) -> Crowded {
    const TIMES: usize = 6;
    let begin = Arc::new(Barrier::new(processes.len() * wants.len()));
    let mut races = JoinSet::new();
    for locks in &processes {
        for want in wants {
            let (locks, kv, begin) = (locks.clone(), site.kv.clone(), begin.clone());
            races.spawn(take(locks, kv, want, TIMES, begin));
        }
    }
    let shares = races.join_all().await.concat();
    let found = Crowd { limit, shares }.check().unwrap();
    println!("{found}");
    assert_eq!(found.shares, processes.len() * wants.len() * TIMES);
    found
}

/// Takes it so many times; tells what it saw.
async fn take(
    locks: LockManager,
    kv: Kv,
    want: Want,
    times: usize,
    begin: Arc<Barrier>,
) -> Vec<Share> {
    if !want.is_shared() {
        begin.wait().await;
    }
    let mut shares = Vec::new();
    for round in 0..times {
        let asked = moment(&kv).await.unwrap();
        let held = want.acquire(&locks).await.unwrap();
        let granted = moment(&kv).await.unwrap();
        let is_held = held.check().is_ok();
        if round == 0 && want.is_shared() {
            begin.wait().await;
        }
        // Long enough that others come who must not.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let last = moment(&kv).await.unwrap();
        let last = if held.check().is_ok() { last } else { granted };
        let grant = Grant {
            fence: held.fence(),
            asked,
            granted,
            held: is_held.then_some((granted, last)),
        };
        let weight = want.weight();
        shares.push(Share { grant, weight });
        held.release().await;
    }
    shares
}

/// Nobody's lease ends.
async fn quiet(site: &Site) -> Vec<LockManager> {
    let mut processes = Vec::new();
    for _ in 0..2 {
        let kv = site.builder().connect().await.unwrap();
        let locks = LockManager::builder(&kv).lease(Duration::from_secs(60));
        processes.push(locks.wait(LONG).build().unwrap());
    }
    processes
}

/// With answers that are lost, calls that are not sent, and calls that are sent twice.
async fn faulty(site: &Site) -> Vec<LockManager> {
    let mut processes = Vec::new();
    for seed in 0..2 {
        let odds = Odds::none()
            .and(Fault::ApplyThenFail, 0.15)
            .and_then(|it| it.and(Fault::FailBefore, 0.1))
            .and_then(|it| it.and(Fault::Duplicate, 0.15));
        let faults = FaultsLayer::new(Plan::random(seed, odds.unwrap()));
        let faults = faults.only(|it| it.name == "commit");
        let kv = site.builder().layer(faults).connect().await.unwrap();
        // A release that nobody heard of is waited out.
        let locks = LockManager::builder(&kv).lease(Duration::from_secs(1));
        processes.push(locks.wait(LONG).build().unwrap());
    }
    processes
}

crate::on_each_store! {
    readers_and_writers_keep_apart
    readers_and_writers_keep_apart_in_spite_of_faults
    permits_are_never_too_many
    permits_are_never_too_many_in_spite_of_faults
}
