//! Futures of the other kinds of locks, of leaders, latches and barriers, dropped wherever they wait.

use super::{LEASE, MOST, slow, slow_kv, within};
use crate::site::{LONG, Site};
use futures_util::{StreamExt, stream::FuturesUnordered};
use kv_core::Kv;
use kv_lock::LockManager;
use kv_tests::{kinds::Kind, patience::until};
use std::time::Duration;
use tokio::{task::JoinSet, time::timeout};

const KINDS: [Kind; 6] = [
    Kind::Fair,
    Kind::Read,
    Kind::Write,
    Kind::Permits,
    Kind::Election,
    Kind::Several,
];

/// A kind of lock, asked for where each call has places to be dropped in, and elsewhere.
struct Place {
    kind: Kind,
    kv: Kv,
    slow: LockManager,
    other: LockManager,
}

impl Place {
    /// Nobody holds it, and nobody is in the way of those who come.
    async fn is_free(&self, when: usize) {
        let (kind, name) = (self.kind, self.kind.name());
        until(
            &format!("{kind:?} is given back after {when}"),
            async || {
                let held = kind.held(&self.kv, name).await.unwrap();
                held + kind.waiting(&self.kv, name).await.unwrap() == 0
            },
        )
        .await;
        let next = kind.rival().acquire(&self.other, name).await.unwrap();
        next.release().await;
    }
}

async fn an_acquisition_leaves_nothing(site: Site) {
    with_each(&site, |place| async move {
        for polls in 0..MOST {
            let acquired = place.kind.acquire(&place.slow, place.kind.name());
            let acquired = within(polls, acquired).await;
            let is_over = acquired.is_some();
            drop(acquired);
            place.is_free(polls).await;
            if is_over {
                assert!(polls > 2, "dropped in between");
                return;
            }
        }
        panic!("{:?} never comes to its end", place.kind);
    })
    .await;
}

async fn a_try_leaves_nothing(site: Site) {
    with_each(&site, |place| async move {
        for polls in 0..MOST {
            let tried = place.kind.try_acquire(&place.slow, place.kind.name());
            let tried = within(polls, tried).await;
            let is_over = tried.is_some();
            drop(tried);
            place.is_free(polls).await;
            if is_over {
                return;
            }
        }
        panic!("{:?} never comes to its end", place.kind);
    })
    .await;
}

async fn a_release_goes_on(site: Site) {
    with_each(&site, |place| async move {
        for polls in 0..MOST {
            let held = place.kind.acquire(&place.slow, place.kind.name()).await;
            let released = within(polls, held.unwrap().release()).await;
            place.is_free(polls).await;
            if released.is_some() {
                return;
            }
        }
        panic!("{:?} never comes to its end", place.kind);
    })
    .await;
}

/// One that waits is dropped wherever it does; who is behind it gets the lock.
async fn a_waiter_makes_room(site: Site) {
    with_each(&site, |place| async move {
        let (kind, name) = (place.kind, place.kind.name());
        for polls in 0..12 {
            let held = kind.rival().acquire(&place.other, name).await.unwrap();
            let first = within(polls, kind.acquire(&place.slow, name));
            // It may wait already, and is not polled any more then.
            let first = timeout(Duration::from_millis(30), first).await;
            assert!(!matches!(first, Ok(Some(_))), "{kind:?} is held");
            let behind = {
                let locks = place.slow.clone();
                tokio::spawn(async move { kind.acquire(&locks, name).await })
            };
            held.release().await;
            behind.await.unwrap().unwrap().release().await;
            place.is_free(polls).await;
        }
    })
    .await;
}

async fn a_proclamation_is_done_or_not(site: Site) {
    let election = slow(&site).await.election("a");
    let leads = election.campaign("0").await.unwrap();
    let mut before = "0".to_owned();
    for polls in 0..MOST {
        let value = format!("{polls}!");
        let done = within(polls, leads.proclaim(value.as_str())).await;
        let leader = election.leader().await.unwrap().unwrap();
        assert_eq!(leader.term, leads.fence());
        let now = leader.value.to_str().unwrap().to_owned();
        assert!(now == value || now == before, "{now} after {polls}");
        leads.check().unwrap();
        if done.is_some() {
            assert_eq!(now, value);
            leads.resign().await;
            assert_eq!(election.leader().await.unwrap(), None);
            return;
        }
        // Whatever was under way then comes before this.
        leads.proclaim("between").await.unwrap();
        before = "between".to_owned();
    }
    panic!("it never comes to its end");
}

async fn an_arrival_counts_at_most_once(site: Site) {
    let locks = slow(&site).await;
    for polls in 0..MOST {
        let latch = locks.latch(polls.to_string(), 2).timeout(LONG);
        let done = within(polls, latch.arrive("x")).await;
        assert_eq!(latch.arrive("x").await.unwrap().arrived, 1, "after {polls}");
        // Not asked again when it was told in vain; it never opens.
        let waits = within(polls, latch.wait());
        let waits = timeout(Duration::from_millis(30), waits).await;
        assert!(!matches!(waits, Ok(Some(_))), "open after {polls}");
        assert_eq!(latch.arrive("y").await.unwrap().arrived, 2, "after {polls}");
        latch.wait().await.unwrap();
        if done.is_some() {
            return;
        }
    }
    panic!("it never comes to its end");
}

async fn a_party_may_enter_and_leave_again(site: Site) {
    let (locks, other) = (slow(&site).await, site.another().await);
    for polls in 0..12 {
        let name = polls.to_string();
        let (ours, theirs) = (locks.barrier(&name, 2), other.barrier(&name, 2));
        let (ours, theirs) = (ours.timeout(LONG), theirs.timeout(LONG));
        let enters = within(polls, ours.enter("x"));
        let enters = timeout(Duration::from_millis(30), enters).await;
        assert!(!matches!(enters, Ok(Some(_))), "alone after {polls}");
        let (x, y) = tokio::join!(ours.enter("x"), theirs.enter("y"));
        x.and(y).unwrap();
        let leaves = within(polls, ours.leave("x"));
        let leaves = timeout(Duration::from_millis(30), leaves).await;
        assert!(!matches!(leaves, Ok(Some(_))), "alone after {polls}");
        let (x, y) = tokio::join!(ours.leave("x"), theirs.leave("y"));
        x.and(y).unwrap();
    }
}

/// The program ends with what goes on in the background: the leases end what it held and where it
/// waited, and nobody renews them.
#[test]
fn a_program_that_ends_is_not_in_the_way() {
    std::thread::scope(|scope| {
        scope.spawn(|| ends_on(Site::memory()));
        scope.spawn(|| ends_on(Site::redis()));
        scope.spawn(|| ends_on(Site::etcd()));
    });
}

fn ends_on(site: impl Future<Output = Site>) {
    const POLLS: [usize; 9] = [1, 2, 3, 4, 5, 6, 8, 10, MOST];
    let lasts = runtime();
    let site = lasts.block_on(site);
    let dies = runtime();
    let kept = dies.block_on(async {
        let kv = slow_kv(&site).await;
        let locks = LockManager::builder(&kv).lease(Duration::from_millis(200));
        let locks = locks.build().unwrap();
        let mut kept = JoinSet::new();
        for kind in KINDS {
            for polls in POLLS {
                let locks = locks.clone();
                kept.spawn(async move {
                    let name = format!("{}/{polls}", kind.name());
                    let held = within(polls, kind.acquire(&locks, &name)).await;
                    let waits = kind.rival().acquire(&locks, &name);
                    let waits = within(polls, timeout(Duration::from_millis(30), waits)).await;
                    (held, waits)
                });
            }
        }
        kept.join_all().await
    });
    dies.shutdown_background();
    std::mem::forget(kept);
    lasts.block_on(async {
        let kv = site.builder().connect().await.unwrap();
        let locks = LockManager::builder(&kv).wait(2 * LONG).build().unwrap();
        let mut next = JoinSet::new();
        for kind in KINDS {
            for polls in POLLS {
                let locks = locks.clone();
                next.spawn(async move {
                    let name = format!("{}/{polls}", kind.name());
                    let next = kind.rival().acquire(&locks, &name).await;
                    next.unwrap().release().await;
                });
            }
        }
        next.join_all().await;
    });
}

fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
}

/// All kinds at the same time: most of it is waiting.
async fn with_each<F>(site: &Site, test: impl Fn(Place) -> F)
where
    F: Future<Output = ()>,
{
    let other = site.builder().connect().await.unwrap();
    let other = LockManager::builder(&other).lease(LEASE).wait(LONG);
    let (slow, other) = (slow(site).await, other.build().unwrap());
    // Each is polled only when it is woken itself.
    let mut tests = FuturesUnordered::new();
    for kind in KINDS {
        tests.push(test(Place {
            kind,
            kv: site.kv.clone(),
            slow: slow.clone(),
            other: other.clone(),
        }));
    }
    while tests.next().await.is_some() {}
}

crate::on_each_store! {
    an_acquisition_leaves_nothing
    a_try_leaves_nothing
    a_release_goes_on
    a_waiter_makes_room
    a_proclamation_is_done_or_not
    an_arrival_counts_at_most_once
    a_party_may_enter_and_leave_again
}
