//! Locks: a lease with a fence, plain and fair; readers and a writer; permits; elections; latches.
//! The holder's name is a nonce made anew for each acquisition.

mod exclusive;
mod fair;
mod shared;

use self::fair::{acquire_in_turn, enqueue, leave, release_fair, skip, stay};
use crate::{
    site::{Row, row},
    steps::*,
};
use kv_core::{Guard, Key, KeyGroup, Op, Read, RelativeRange, RelativeScore, Score, Ttl, Txn};

const LEASE: u64 = 15;
/// How long a waiter that says nothing counts as alive.
const WAITER: u64 = 5;

struct Lock(KeyGroup);

impl Lock {
    fn new(name: &str) -> Self {
        Self(KeyGroup::new(format!("lock:{name}")).unwrap())
    }

    fn key(&self, name: &str) -> Key {
        self.0.key(format!(":{name}"))
    }
}

/// A refusal tells who holds it, for how long, and the fence: mine if the name is mine.
fn acquire(lock: &Lock, nonce: &str) -> Txn {
    let (holder, fence) = (lock.key("holder"), lock.key("fence"));
    Txn::new()
        .when(Guard::absent(&holder))
        .then(set(holder.clone(), mark(nonce), held(LEASE)))
        .then(next_token(fence.clone()))
        .otherwise(Read::GetMark {
            key: holder.clone(),
        })
        .otherwise(Read::Ttl { key: holder })
        .otherwise(Read::LastToken { key: fence })
}

fn renew(lock: &Lock, nonce: &str) -> Txn {
    let holder = lock.key("holder");
    Txn::new()
        .when(Guard::value_is(&holder, nonce))
        .then(hold(holder.clone(), LEASE))
        .then(expire(lock.key("fence"), DAY))
        .otherwise(Read::GetMark { key: holder })
}

/// Also the forced release of a holder that was seen: never of the one after it.
fn release(lock: &Lock, nonce: &str) -> Txn {
    let holder = lock.key("holder");
    Txn::new()
        .when(Guard::value_is(&holder, nonce))
        .then(delete(holder.clone()))
        .then(notify(lock.key("free"), ""))
        .otherwise(Read::GetMark { key: holder })
}

/// Several locks of one group, all or none.
fn acquire_all(locks: &Lock, names: &[&str], nonce: &str) -> Txn {
    let with = |txn: Txn, name: &&str| {
        let (holder, fence) = (
            locks.key(&format!("{name}:holder")),
            locks.key(&format!("{name}:fence")),
        );
        txn.when(Guard::absent(&holder))
            .then(set(holder.clone(), mark(nonce), held(LEASE)))
            .then(next_token(fence.clone()))
            .otherwise(Read::GetMark { key: holder })
            .otherwise(Read::LastToken { key: fence })
    };
    names.iter().fold(Txn::new(), with)
}

/// A reader, while there is no writer and none that wants to be.
fn read_lock(lock: &Lock, nonce: &str, lease: impl Into<RelativeScore>) -> Txn {
    let (readers, writer) = (lock.key("readers"), lock.key("writer"));
    Txn::new()
        .when(Guard::absent(&writer))
        .when(Guard::count_below(lock.key("intents"), live(), 1))
        .then(purge(readers.clone()))
        .then(zadd(readers.clone(), nonce, lease))
        .then(next_token(lock.key("fence")))
        .otherwise(Read::ZScore {
            key: readers,
            member: nonce.into(),
        })
        .otherwise(Read::Ttl { key: writer })
        .otherwise(Read::ZRange {
            key: lock.key("intents"),
            range: live(),
            limit: 1,
        })
}

/// A lease that has lapsed cannot be renewed: a writer may have come since.
fn read_renew(lock: &Lock, nonce: &str) -> Txn {
    let readers = lock.key("readers");
    Txn::new()
        .when(Guard::absent(lock.key("writer")))
        .when(Guard::score_within(&readers, nonce, live()))
        .then(zadd(readers, nonce, seconds(LEASE)))
}

fn read_unlock(lock: &Lock, nonce: &str) -> Txn {
    let readers = lock.key("readers");
    Txn::new()
        .when(Guard::member_exists(&readers, nonce))
        .then(zrem(readers, nonce))
        .then(notify(lock.key("write"), ""))
}

/// Says that a writer waits, and takes the lock if nobody reads. A crash ends the intent in time.
fn write_lock(lock: &Lock, nonce: &str, intent: impl Into<RelativeScore>) -> [Txn; 2] {
    let (readers, writer, intents) = (lock.key("readers"), lock.key("writer"), lock.key("intents"));
    let intend = Txn::new().then(zadd(intents.clone(), nonce, intent));
    let take = Txn::new()
        .when(Guard::absent(&writer))
        .when(Guard::count_below(&readers, live(), 1))
        .then(set(writer.clone(), mark(nonce), held(LEASE)))
        .then(next_token(lock.key("fence")))
        .then(zrem(intents, nonce))
        .then(purge(readers.clone()))
        .otherwise(Read::GetMark { key: writer })
        .otherwise(Read::ZCount {
            key: readers,
            range: live(),
        })
        .otherwise(Read::LastToken {
            key: lock.key("fence"),
        });
    [intend, take]
}

fn write_unlock(lock: &Lock, nonce: &str) -> Txn {
    let writer = lock.key("writer");
    Txn::new()
        .when(Guard::value_is(&writer, nonce))
        .then(delete(writer.clone()))
        .then(zrem(lock.key("intents"), nonce))
        .then(notify(lock.key("read"), ""))
        .then(notify(lock.key("write"), ""))
        .otherwise(Read::GetMark { key: writer })
}

/// A holder of weight w is w members. Refused once the number of permits is another than known.
fn permits(
    lock: &Lock,
    nonce: &str,
    weight: u64,
    total: u64,
    lease: impl Into<RelativeScore>,
) -> Txn {
    let (holders, size, lease) = (lock.key("holders"), lock.key("size"), lease.into());
    let each = |place| (format!("{nonce}#{place}").into(), lease);
    let members = (0..weight).map(each).collect();
    Txn::new()
        .when(Guard::value_is(&size, total.to_string()))
        .when(Guard::count_below(&holders, live(), total + 1 - weight))
        .then(purge(holders.clone()))
        .then(Op::ZAdd {
            key: holders.clone(),
            members,
            notify_if_first: None,
        })
        .then(next_token(lock.key("fence")))
        .otherwise(Read::GetMark { key: size })
        .otherwise(Read::ZScore {
            key: holders.clone(),
            member: format!("{nonce}#0").into(),
        })
        .otherwise(Read::ZRange {
            key: holders,
            range: live(),
            limit: 1,
        })
}

fn give_permits(lock: &Lock, nonce: &str, weight: u64) -> Txn {
    let members = (0..weight)
        .map(|place| format!("{nonce}#{place}").into())
        .collect();
    let holders = lock.key("holders");
    Txn::new()
        .when(Guard::member_exists(&holders, format!("{nonce}#0")))
        .then(Op::ZRem {
            key: holders,
            members,
        })
        .then(notify(lock.key("free"), ""))
}

fn resize(lock: &Lock, permits: u64) -> Txn {
    Txn::new()
        .then(set(lock.key("size"), mark(permits.to_string()), Ttl::Never))
        .then(notify(lock.key("free"), ""))
}

/// The published value ends with the lease of who published it.
fn campaign(lock: &Lock, nonce: &str, address: &str) -> Txn {
    acquire(lock, nonce)
        .then(set(lock.key("leader"), value(address), held(LEASE)))
        .then(notify(lock.key("elected"), ""))
        .otherwise(Read::Get {
            key: lock.key("leader"),
        })
}

fn renew_leader(lock: &Lock, nonce: &str) -> Txn {
    renew(lock, nonce).then(hold(lock.key("leader"), LEASE))
}

/// With a lease of its own: what keeps the time to live of nothing would stay for ever.
fn proclaim(lock: &Lock, nonce: &str, address: &str) -> Txn {
    Txn::new()
        .when(Guard::value_is(lock.key("holder"), nonce))
        .then(set(lock.key("leader"), value(address), held(LEASE)))
        .then(notify(lock.key("elected"), ""))
}

fn resign(lock: &Lock, nonce: &str) -> Txn {
    release(lock, nonce)
        .then(delete(lock.key("leader")))
        .then(notify(lock.key("elected"), ""))
}

/// A latch and a barrier: the first says how many are needed, each participant counts once, however often
/// it says so, and all of it ends some time after the last.
fn arrive(lock: &Lock, participant: &str, needed: u32) -> [Txn; 2] {
    let (count, arrived) = (lock.key("count"), lock.key("arrived"));
    let begin = Txn::new()
        .when(Guard::absent(&count))
        .then(set(
            count.clone(),
            mark(needed.to_string()),
            Ttl::In(lifetime(DAY)),
        ))
        .then(delete(arrived.clone()));
    let arrive = Txn::new()
        .when(Guard::value_is(&count, needed.to_string()))
        .then(zadd(arrived.clone(), participant, 0))
        .then(Read::ZCount {
            key: arrived.clone(),
            range: RelativeRange::ALL,
        })
        .then(expire(count.clone(), DAY))
        .then(expire(arrived, DAY))
        .then(notify(lock.key("arrivals"), ""))
        .otherwise(Read::GetMark { key: count });
    [begin, arrive]
}

/// At the resource, in its own group: a later holder's write is never undone by an earlier one.
fn fenced_put(resource: &Key, fence: u64, text: &str) -> Txn {
    fenced(resource, fence)
        .then(Op::HSet {
            key: resource.clone(),
            fields: vec![
                ("v".into(), value(text)),
                ("fence".into(), mark(fence.to_string())),
            ],
        })
        .then(persist(resource.clone()))
}

/// The fence stays for a day, so that it is not forgotten with the value: longer than a holder that
/// lost its lease can take to find out.
fn fenced_delete(resource: &Key, fence: u64) -> Txn {
    fenced(resource, fence)
        .then(hdel(resource.clone(), "v"))
        .then(hset(resource.clone(), "fence", mark(fence.to_string())))
        .then(expire(resource.clone(), DAY))
}

fn fenced(resource: &Key, fence: u64) -> Txn {
    let seen = Read::HGetMark {
        key: resource.clone(),
        field: "fence".into(),
    };
    Txn::new()
        .when(Guard::field_at_most(
            resource,
            "fence",
            i64::try_from(fence).unwrap(),
        ))
        .otherwise(seen)
}

pub(crate) fn rows() -> Vec<Row> {
    let lock = |name: &str| Lock::new(name);
    let resource = &Key::new("orders/42").unwrap();
    vec![
        row("acquire", acquire(&lock("a"), "n")),
        row(
            "renew, batch",
            [renew(&lock("a"), "n"), renew(&lock("b"), "n")],
        ),
        row("release, force-release", release(&lock("a"), "n")),
        row("acquire several", acquire_all(&lock("c"), &["x", "y"], "n")),
        row("fair: enqueue", enqueue(&lock("d"), "n", seconds(WAITER))),
        row(
            "fair: acquire in turn",
            acquire_in_turn(&lock("d"), "n", 1.into()),
        ),
        row("fair: stay", stay(&lock("d"), "n")),
        row(
            "fair: skip the silent",
            [
                skip(&lock("d"), "x"),
                acquire_in_turn(&lock("d"), "n", 1.into()),
            ],
        ),
        row("fair: release", release_fair(&lock("d"), "n")),
        row("fair: leave", leave(&lock("d"), "n")),
        row("read lock", read_lock(&lock("e"), "n", seconds(LEASE))),
        row("read lock: renew", read_renew(&lock("e"), "n")),
        row("read lock: release", read_unlock(&lock("e"), "n")),
        row(
            "write lock, with intent",
            write_lock(&lock("e"), "n", seconds(WAITER)),
        ),
        row("write lock: release", write_unlock(&lock("e"), "n")),
        row("permits", permits(&lock("f"), "n", 2, 5, seconds(LEASE))),
        row("permits: release", give_permits(&lock("f"), "n", 2)),
        row("permits: resize", resize(&lock("f"), 5)),
        row("election: campaign", campaign(&lock("g"), "n", "host")),
        row("election: renew", renew_leader(&lock("g"), "n")),
        row("election: proclaim", proclaim(&lock("g"), "n", "host")),
        row("election: resign", resign(&lock("g"), "n")),
        row("latch, barrier: arrive", arrive(&lock("h"), "p", 3)),
        row("fenced put", fenced_put(resource, 7, "v")),
        row("fenced delete", fenced_delete(resource, 7)),
    ]
}
