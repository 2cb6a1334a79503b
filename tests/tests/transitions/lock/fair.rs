//! A lock by order of arrival. Waiters stand in a sorted set by the time they came, and say now and
//! then that they are alive in another; each takes the lock itself when its turn has come, so that
//! it is never given to a dead one.

use super::{exclusive::mark_of, *};
use crate::site::{Site, heard};

use kv_core::{ScoreBound, TxnReply};

/// What a waiter learns: its ticket, who holds the lock, its fence and for how long, who is first,
/// who falls silent next.
pub(super) fn outlook(lock: &Lock, nonce: &str) -> [Read; 6] {
    let (queue, alive, holder) = (lock.key("queue"), lock.key("alive"), lock.key("holder"));
    [
        Read::ZScore {
            key: queue.clone(),
            member: nonce.into(),
        },
        Read::GetMark {
            key: holder.clone(),
        },
        Read::Ttl { key: holder },
        Read::LastToken {
            key: lock.key("fence"),
        },
        Read::ZRange {
            key: queue,
            range: RelativeRange::ALL,
            limit: 1,
        },
        Read::ZRange {
            key: alive,
            range: RelativeRange::ALL,
            limit: 8,
        },
    ]
}

/// Takes a place in the queue, and the lock at once if nobody else is there.
pub(super) fn enqueue(lock: &Lock, nonce: &str, alive: impl Into<RelativeScore>) -> [Txn; 2] {
    let (queue, living) = (lock.key("queue"), lock.key("alive"));
    let arrive = Txn::new()
        .when(Guard::member_absent(&queue, nonce))
        .then(zadd(queue.clone(), nonce, RelativeScore::NOW))
        .then(zadd(living, nonce, alive));
    let alone = take_place(lock, nonce)
        .when(Guard::member_exists(&queue, nonce))
        .when(Guard::count_below(&queue, RelativeRange::ALL, 2));
    [arrive, alone]
}

/// Acquires it if it is free and nobody came before this ticket.
pub(super) fn acquire_in_turn(lock: &Lock, nonce: &str, ticket: Score) -> Txn {
    let before = RelativeRange::new(RelativeRange::ALL.min, ScoreBound::Excluded(ticket));
    take_place(lock, nonce)
        .when(Guard::score_is(lock.key("queue"), nonce, ticket))
        .when(Guard::count_below(lock.key("queue"), before, 1))
}

pub(super) fn take_place(lock: &Lock, nonce: &str) -> Txn {
    let holder = lock.key("holder");
    let txn = Txn::new()
        .when(Guard::absent(&holder))
        .then(set(holder, mark(nonce), held(LEASE)))
        .then(next_token(lock.key("fence")))
        .then(zrem(lock.key("queue"), nonce))
        .then(zrem(lock.key("alive"), nonce))
        .then(Read::ZRange {
            key: lock.key("queue"),
            range: RelativeRange::ALL,
            limit: 1,
        });
    outlook(lock, nonce).into_iter().fold(txn, Txn::otherwise)
}

/// Says that a waiter still waits. One that was taken for dead is told that it has no place.
pub(super) fn stay(lock: &Lock, nonce: &str) -> Txn {
    Txn::new()
        .when(Guard::member_exists(lock.key("queue"), nonce))
        .then(zadd(lock.key("alive"), nonce, seconds(WAITER)))
}

/// Takes a silent waiter out of the queue, unless it has spoken up meanwhile.
pub(super) fn skip(lock: &Lock, waiter: &str) -> Txn {
    Txn::new()
        .when(Guard::score_within(lock.key("alive"), waiter, lapsed()))
        .then(zrem(lock.key("alive"), waiter))
        .then(zrem(lock.key("queue"), waiter))
}

/// Also drops a place in the queue that a re-sent arrival left behind.
pub(super) fn release_fair(lock: &Lock, nonce: &str) -> Txn {
    release(lock, nonce)
        .then(zrem(lock.key("queue"), nonce))
        .then(zrem(lock.key("alive"), nonce))
}

pub(super) fn leave(lock: &Lock, nonce: &str) -> Txn {
    Txn::new()
        .then(zrem(lock.key("queue"), nonce))
        .then(zrem(lock.key("alive"), nonce))
        .then(notify(lock.key("free"), ""))
}

async fn ticket_of(site: &Site, lock: &Lock, nonce: &str) -> Option<Score> {
    site.kv.zscore(lock.key("queue"), nonce).await.unwrap()
}

/// The ticket of a waiter that has to wait.
fn ticket([arrived, mut waits]: [TxnReply; 2]) -> Score {
    assert!(arrived.applied && !waits.applied);
    waits.score(0).unwrap().unwrap()
}

async fn a_fair_lock_goes_by_arrival(site: Site) {
    let lock = Lock::new("a");
    let [arrived, taken] = site
        .commit_all(enqueue(&lock, "ann", seconds(WAITER)))
        .await;
    assert!(arrived.applied && taken.applied);
    // The reply got lost: she holds it, and the stray place goes with the release.
    let [_, mut again] = site
        .commit_all(enqueue(&lock, "ann", seconds(WAITER)))
        .await;
    assert_eq!(again.mark(1).unwrap(), mark_of("ann"));
    let stray = ticket_of(&site, &lock, "ann").await;
    assert!(stray.is_some());
    let bob = ticket(
        site.commit_all(enqueue(&lock, "bob", seconds(WAITER)))
            .await,
    );

    while site.kv.now().await.unwrap().as_micros() as f64 <= bob.get() {}
    let cid = ticket(
        site.commit_all(enqueue(&lock, "cid", seconds(WAITER)))
            .await,
    );
    assert!(cid > bob);
    // Enqueued again, a waiter keeps its ticket.
    let [arrived, mut waits] = site
        .commit_all(enqueue(&lock, "bob", seconds(WAITER)))
        .await;
    assert!(!arrived.applied);
    assert_eq!(waits.score(0).unwrap(), Some(bob));

    let mut events = site.listen(lock.key("free")).await;
    assert!(site.commit(release_fair(&lock, "ann")).await.applied);
    heard(&mut events).await;
    // Free, but somebody came before.
    let dan = site
        .commit_all(enqueue(&lock, "dan", seconds(WAITER)))
        .await;
    assert!(!dan[1].applied);
    site.commit(leave(&lock, "dan")).await;
    heard(&mut events).await;

    let mut early = site.commit(acquire_in_turn(&lock, "cid", cid)).await;
    assert!(!early.applied);
    assert_eq!(early.members(4).unwrap()[0].member, "bob");
    let mut in_turn = site.commit(acquire_in_turn(&lock, "bob", bob)).await;
    assert!(in_turn.applied);
    assert_eq!(in_turn.members(4).unwrap()[0].member, "cid", "the next");
    let mut again = site.commit(acquire_in_turn(&lock, "bob", bob)).await;
    assert_eq!(again.mark(1).unwrap(), mark_of("bob"));
    assert!(again.token(3).unwrap() > 0);
    // A ticket that is not the one it has: after a pause it stands elsewhere.
    site.commit(release_fair(&lock, "bob")).await;
    assert!(
        !site
            .commit(acquire_in_turn(&lock, "cid", bob))
            .await
            .applied
    );

    assert!(
        site.commit(acquire_in_turn(&lock, "cid", cid))
            .await
            .applied
    );
    for set in ["queue", "alive"] {
        assert!(!site.kv.exists(lock.key(set)).await.unwrap(), "{set}");
    }
}

async fn a_silent_waiter_is_skipped_and_a_living_one_is_not(site: Site) {
    let lock = Lock::new("a");
    site.commit_all(enqueue(&lock, "ann", seconds(WAITER)))
        .await;
    ticket(site.commit_all(enqueue(&lock, "dead", LAPSED)).await);
    let bob = site
        .commit_all(enqueue(&lock, "bob", seconds(WAITER)))
        .await;
    let [_, mut outlook] = bob;
    let ticket = outlook.score(0).unwrap().unwrap();
    assert_eq!(outlook.members(5).unwrap()[0].member, "dead");
    site.commit(release_fair(&lock, "ann")).await;
    let [skipped, taken] = site
        .commit_all([skip(&lock, "dead"), acquire_in_turn(&lock, "bob", ticket)])
        .await;
    assert!(skipped.applied && taken.applied);
    assert!(!site.kv.exists(lock.key("alive")).await.unwrap());

    // Who has no place cannot take the lock, even if only one stands in the queue.
    site.commit(release_fair(&lock, "bob")).await;
    site.commit_all(enqueue(&lock, "eve", seconds(WAITER)))
        .await;
    site.commit_all(enqueue(&lock, "fay", seconds(WAITER)))
        .await;
    site.commit(release_fair(&lock, "eve")).await;
    let [_, alone] = enqueue(&lock, "gus", seconds(WAITER));
    assert!(!site.commit(alone).await.applied);
    // The silent one comes back, and is told that its place is gone.

    let mut back = site.commit(stay(&lock, "dead")).await;
    assert!(!back.applied && back.mark(0).is_err());
    site.commit_all(enqueue(&lock, "cid", LAPSED)).await;
    assert!(site.commit(stay(&lock, "cid")).await.applied);
    assert!(!site.commit(skip(&lock, "cid")).await.applied);
    assert!(site.commit(leave(&lock, "cid")).await.applied);
    assert!(!site.commit(stay(&lock, "cid")).await.applied);
}

crate::on_each_store! {
    a_fair_lock_goes_by_arrival
    a_silent_waiter_is_skipped_and_a_living_one_is_not
}
