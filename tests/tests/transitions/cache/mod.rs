//! The shared level of the cache. A loader holds a lease on the entry, and a fill without its lease
//! is dropped; so an invalidation, which takes the lease away, wins against every load that began
//! before it.

mod entries;

use crate::{
    site::{Row, row},
    steps::*,
};
use kv_core::{Guard, Key, KeyGroup, Op, Read, Ttl, Txn};

/// How long a loader may take.
const LOAD: u64 = 10;
/// The physical life of an entry: until then a stale one may be served.
const LIFE: u64 = 3600;

struct Entry(KeyGroup);

impl Entry {
    fn new(name: &str) -> Self {
        Self(KeyGroup::new(format!("cache:{name}")).unwrap())
    }

    fn key(&self, name: &str) -> Key {
        self.0.key(format!(":{name}"))
    }
}

/// One channel for the whole cache; it needs no group.
fn channel() -> Key {
    Key::new("cache:changes").unwrap()
}

/// Where processes hear what their copies are no copies of any more; nobody waits there for loads.
fn news() -> Key {
    Key::new("cache:news").unwrap()
}

/// An absent entry is leased to the first who asks. Others get it, or learn who loads it.
fn get_or_lease(entry: &Entry, nonce: &str) -> Txn {
    let data = entry.key("data");
    seen(entry, take_lease(entry, nonce).when(Guard::absent(&data)))
}

/// For an entry that the reader found stale or soon to be: the lease, and what is there by now.
fn refresh_lease(entry: &Entry, nonce: &str) -> Txn {
    let taken = take_lease(entry, nonce);
    seen(entry, reads(entry).into_iter().fold(taken, Txn::then))
}

/// For an entry that a layer cannot read: the lease, or who has it.
fn lease_unread(entry: &Entry, nonce: &str) -> Txn {
    take_lease(entry, nonce)
        .otherwise(Read::GetMark {
            key: entry.key("lease"),
        })
        .otherwise(Read::LastToken {
            key: entry.key("version"),
        })
        .otherwise(Read::Now)
}

/// For who would not load, and does not know the time.
fn look(entry: &Entry) -> Txn {
    let reads = reads(entry).into_iter().fold(Txn::new(), Txn::then);
    reads.then(Read::Now)
}

/// For who knows the time: plain reads, the mark first.
fn glance(entry: &Entry) -> [Key; 2] {
    [entry.key("expired"), entry.key("data")]
}

/// What is there, and whether it was expired.
fn reads(entry: &Entry) -> [Read; 2] {
    let key = |name| entry.key(name);
    [
        Read::Get { key: key("data") },
        Read::Get {
            key: key("expired"),
        },
    ]
}

fn take_lease(entry: &Entry, nonce: &str) -> Txn {
    let lease = entry.key("lease");
    Txn::new()
        .when(Guard::absent(&lease))
        .then(set(lease, mark(nonce), held(LOAD)))
        .then(next_token(entry.key("version")))
        .then(Read::Now)
}

fn seen(entry: &Entry, txn: Txn) -> Txn {
    txn.otherwise(Read::Get {
        key: entry.key("data"),
    })
    .otherwise(Read::GetMark {
        key: entry.key("lease"),
    })
    .otherwise(Read::LastToken {
        key: entry.key("version"),
    })
    .otherwise(Read::Get {
        key: entry.key("expired"),
    })
    .otherwise(Read::Now)
}

/// The message is for those who wait for this entry; it evicts nobody's copy.
fn fill(entry: &Entry, nonce: &str, envelope: &str) -> Txn {
    let lease = entry.key("lease");
    Txn::new()
        .when(Guard::value_is(&lease, nonce))
        .then(set(
            entry.key("data"),
            value(envelope),
            Ttl::In(lifetime(LIFE)),
        ))
        .then(delete(lease.clone()))
        .then(delete(entry.key("expired")))
        .then(notify(channel(), "filled"))
        .otherwise(Read::GetMark { key: lease })
}

/// The second call of a write: as a fill, and copies go.
fn write(entry: &Entry, nonce: &str, envelope: &str) -> Txn {
    fill(entry, nonce, envelope).then(notify(news(), "removed a"))
}

/// The load failed: the next one need not wait.
fn give_up(entry: &Entry, nonce: &str) -> Txn {
    let lease = entry.key("lease");
    Txn::new()
        .when(Guard::value_is(&lease, nonce))
        .then(delete(lease))
        .then(notify(channel(), "failed"))
}

fn invalidate(entry: &Entry) -> Txn {
    Txn::new()
        .then(delete(entry.key("data")))
        .then(delete(entry.key("lease")))
        .then(delete(entry.key("expired")))
        .then(next_token(entry.key("version")))
        .then(notify(channel(), "removed"))
        .then(notify(news(), "removed a"))
}

/// From now on stale, though it may still be served where a loader fails.
fn expire(entry: &Entry) -> Txn {
    let ttl = Ttl::In(lifetime(LIFE));
    Txn::new()
        .then(set(entry.key("expired"), value("1"), ttl))
        .then(delete(entry.key("lease")))
        .then(next_token(entry.key("version")))
        .then(notify(channel(), "expired"))
        .then(notify(news(), "expired a"))
}

/// A write past the loader: first of two calls, the second is a `fill` with the version it got.
fn seize(entry: &Entry, nonce: &str) -> Txn {
    let lease = entry.key("lease");
    Txn::new()
        .then(set(lease, mark(nonce), held(LOAD)))
        .then(next_token(entry.key("version")))
        .then(Read::Now)
}

/// All records of tags are in one group.
fn tags() -> KeyGroup {
    KeyGroup::new("cache").unwrap()
}

fn tag(name: &str, kind: &str) -> Key {
    tags().key(format!(":{kind}:{name}"))
}

fn changes() -> Key {
    tags().key(":changes")
}

/// How long the records of a tag last: longer than any entry.
const TAG: u64 = 60 * DAY;

/// Every entry with this tag is gone, or stale: by one token, however many there are. All entries
/// have the tag `*`, so that the same clears the cache.
fn bump(name: &str, kind: &str) -> Txn {
    let key = tag(name, kind);
    let ttl = Ttl::In(lifetime(TAG));
    Txn::new()
        .then(Op::NextToken { key, ttl })
        .then(Op::NextToken {
            key: changes(),
            ttl: Ttl::Never,
        })
        .then(notify(news(), name))
}

/// The versions of tags, which an entry keeps from before its load on, and that of the changes, which is the same
/// afterwards if none of them was changed meanwhile.
fn versions(names: &[&str]) -> Txn {
    let last = |key| Read::LastToken { key };
    names
        .iter()
        .fold(Txn::new().then(last(changes())), |txn, name| {
            txn.then(last(tag(name, "removed")))
                .then(last(tag(name, "expired")))
        })
}

/// So that the loss of a record does not make the tag what it was before.
fn begin(name: &str, kind: &str) -> Txn {
    let key = tag(name, kind);
    let ttl = Ttl::In(lifetime(TAG));
    Txn::new()
        .when(Guard::absent(&key))
        .then(Op::NextToken {
            key: key.clone(),
            ttl,
        })
        .otherwise(Read::LastToken { key })
}

pub(crate) fn rows() -> Vec<Row> {
    let entry = |name: &str| Entry::new(name);
    vec![
        row("get or lease", get_or_lease(&entry("a"), "n")),
        row(
            "get or lease, with tags",
            [get_or_lease(&entry("b"), "n"), versions(&["t", "*"])],
        ),
        row("lease to refresh", refresh_lease(&entry("c"), "n")),
        row(
            "lease of what cannot be read",
            lease_unread(&entry("d"), "n"),
        ),
        row("look", look(&entry("a"))),
        row("glance", glance(&entry("a"))),
        row("fill", fill(&entry("a"), "n", "v")),
        row("give up", give_up(&entry("c"), "n")),
        row("invalidate", invalidate(&entry("a"))),
        row("expire", expire(&entry("a"))),
        row("write, first call", seize(&entry("a"), "n")),
        row("write, second call", write(&entry("a"), "n", "v")),
        row("remove or expire a tag, clear", bump("*", "removed")),
        row("read tag versions", versions(&["t", "u"])),
        row(
            "begin a tag",
            [begin("u", "removed"), begin("u", "expired")],
        ),
    ]
}
