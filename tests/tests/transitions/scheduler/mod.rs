//! The scheduler. A task is in exactly one sorted set of its queue, and that is its state; its
//! envelope, record and number of claims are fields of hashes. A claim is fenced by the score of
//! its lease together with the number of claims.

mod claims;
mod planning;
mod recurring;

use self::recurring::{fire, fire_or_skip};
use crate::{
    site::{Row, row},
    steps::*,
};
use kv_core::{
    Fate, Guard, Key, KeyGroup, Mark, Moved, Read, RelativeRange, RelativeScore, Score, Ttl, Txn,
    ZMove,
};

const LEASE: u64 = 30;
const KEPT: u64 = 24 * 3600;

struct Queue(KeyGroup);

impl Queue {
    fn new() -> Self {
        Self(KeyGroup::new("mail").unwrap())
    }

    fn due(&self, priority: u8) -> Key {
        self.0.key(format!(":due:{priority}"))
    }

    fn key(&self, name: &str) -> Key {
        self.0.key(format!(":{name}"))
    }

    fn unique(&self, name: &str) -> Key {
        self.0.key(format!(":unique:{name}"))
    }
}

struct Task {
    id: &'static str,
    priority: u8,
    unique: Option<&'static str>,
}

fn plain(id: &'static str) -> Task {
    Task {
        id,
        priority: 1,
        unique: None,
    }
}

fn unique(id: &'static str, key: &'static str) -> Task {
    Task {
        unique: Some(key),
        ..plain(id)
    }
}

/// What a claimer holds.
#[derive(Clone, Debug)]
struct Claim {
    id: String,
    score: Score,
    tally: i64,
}

impl From<&Moved> for Claim {
    fn from(moved: &Moved) -> Self {
        Self {
            id: moved.member.to_str().unwrap().to_owned(),
            score: moved.after.unwrap(),
            tally: moved.tally.unwrap(),
        }
    }
}

fn schedule(queue: &Queue, task: &Task, at: impl Into<RelativeScore>) -> Txn {
    let (id, due) = (task.id, queue.due(task.priority));
    let txn = Txn::new()
        .when(Guard::field_absent(queue.key("task"), id))
        .then(hset(queue.key("task"), id, value(format!("body of {id}"))))
        .then(zadd_waking(due, id, at, queue.key("wake")));
    match task.unique {
        None => txn,
        Some(unique) => txn
            .when(Guard::absent(queue.unique(unique)))
            .then(set(queue.unique(unique), mark(id), Ttl::Never))
            .otherwise(Read::GetMark {
                key: queue.unique(unique),
            }),
    }
}

/// The owner of the unique key that the refusal named gives way, unless it runs already.
fn replace(queue: &Queue, task: &Task, owner: &str, at: impl Into<RelativeScore>) -> Txn {
    let (due, unique) = (queue.due(task.priority), queue.unique(task.unique.unwrap()));
    let body = hset(
        queue.key("task"),
        task.id,
        value(format!("body of {}", task.id)),
    );
    Txn::new()
        .when(Guard::value_is(&unique, owner))
        .when(Guard::member_exists(&due, owner))
        .then(zrem(due.clone(), owner))
        .then(hdel(queue.key("task"), owner))
        .then(hdel(queue.key("meta"), owner))
        .then(hdel(queue.key("tally"), owner))
        .then(body)
        .then(zadd_waking(due, task.id, at, queue.key("wake")))
        .then(set(unique.clone(), mark(task.id), Ttl::Never))
        .otherwise(Read::GetMark { key: unique })
}

/// The owner keeps its place in the queue's books and starts later.
fn extend_unique(queue: &Queue, task: &Task, owner: &str, at: impl Into<RelativeScore>) -> Txn {
    let (due, unique) = (queue.due(task.priority), queue.unique(task.unique.unwrap()));
    Txn::new()
        .when(Guard::value_is(&unique, owner))
        .when(Guard::member_exists(&due, owner))
        .then(zadd_waking(due, owner, at, queue.key("wake")))
        .otherwise(Read::GetMark { key: unique })
}

/// Lapsed leases first, then the priorities in the order the claimer rolled.
fn claim(queue: &Queue, limit: u32, priorities: &[u8], lease: impl Into<RelativeScore>) -> ZMove {
    let (now, tally) = (RelativeScore::NOW, queue.key("tally"));
    let step = ZMove::new(limit)
        .when(Guard::field_absent(queue.key("control"), "paused"))
        .from_counted(queue.key("lease"), now, &tally);
    let with_due =
        |step: ZMove, priority: &u8| step.from_counted(queue.due(*priority), now, &tally);
    let step = priorities.iter().fold(step, with_due);
    step.to(queue.key("lease"), lease)
        .with(queue.key("task"), Fate::Keep)
        .with(queue.key("meta"), Fate::Keep)
}

/// Refused once the caps are others than the claimer knows.
fn claim_capped(queue: &Queue, limit: u32, caps: &str, capacity: u64) -> ZMove {
    claim(queue, limit, &[0, 1, 2], seconds(LEASE))
        .when(Guard::field_is(queue.key("control"), "caps", caps))
        .capacity(capacity)
}

/// At most once: what is claimed is gone.
fn pop(queue: &Queue, limit: u32) -> ZMove {
    ZMove::new(limit)
        .from(queue.due(1), RelativeScore::NOW)
        .with(queue.key("task"), Fate::Take)
}

fn claimed(queue: &Queue, claim: &Claim) -> Txn {
    let (lease, tally, id) = (queue.key("lease"), queue.key("tally"), claim.id.as_str());
    Txn::new()
        .when(Guard::score_is(&lease, id, claim.score))
        .when(Guard::field_is(&tally, id, claim.tally.to_string()))
        .otherwise(Read::ZScore {
            key: lease,
            member: id.into(),
        })
        .otherwise(Read::HGetMark {
            key: tally,
            field: id.into(),
        })
        .otherwise(Read::HGetMark {
            key: queue.key("cancel"),
            field: id.into(),
        })
}

fn extend(queue: &Queue, claim: &Claim) -> Txn {
    let id = claim.id.as_str();
    claimed(queue, claim)
        .then(zadd(queue.key("lease"), id, seconds(LEASE)))
        .then(Read::HGetMark {
            key: queue.key("cancel"),
            field: id.into(),
        })
}

fn finish(queue: &Queue, task: &Task, claim: &Claim) -> Txn {
    let id = claim.id.as_str();
    let txn = claimed(queue, claim)
        .then(zrem(queue.key("lease"), id))
        .then(hdel(queue.key("cancel"), id));
    match task.unique {
        None => txn,
        Some(unique) => txn.then(delete_if(queue.unique(unique), id)),
    }
}

fn ack(queue: &Queue, task: &Task, claim: &Claim) -> Txn {
    ["task", "meta", "tally"]
        .into_iter()
        .fold(finish(queue, task, claim), |txn, hash| {
            txn.then(hdel(queue.key(hash), &claim.id))
        })
}

fn ack_keeping(queue: &Queue, task: &Task, claim: &Claim, result: &str) -> Txn {
    let id = claim.id.as_str();
    finish(queue, task, claim)
        .then(zadd(queue.key("done"), id, seconds(KEPT)))
        .then(hset(queue.key("result"), id, value(result)))
        .then(notify(queue.key("results"), id))
}

/// Retry, snooze and release: they differ in when, and in what the record says of the attempt.
fn again(queue: &Queue, claim: &Claim, at: impl Into<RelativeScore>, record: &str) -> Txn {
    let id = claim.id.as_str();
    claimed(queue, claim)
        .when(Guard::field_absent(queue.key("cancel"), id))
        .then(zrem(queue.key("lease"), id))
        .then(zadd_waking(queue.due(1), id, at, queue.key("wake")))
        .then(hset(queue.key("meta"), id, value(record)))
}

fn bury(queue: &Queue, task: &Task, claim: &Claim, error: &str) -> Txn {
    let (id, dead) = (claim.id.as_str(), queue.key("dead"));
    finish(queue, task, claim)
        .then(zadd(dead.clone(), id, seconds(KEPT)))
        .then(hset(queue.key("meta"), id, value(error)))
        .then(Read::ZCount {
            key: dead,
            range: RelativeRange::ALL,
        })
}

/// What is due goes; what runs is told. Of the two at most one applies.
fn cancel(queue: &Queue, task: &Task) -> [Txn; 2] {
    let (id, due, lease) = (task.id, queue.due(task.priority), queue.key("lease"));
    let due = ["task", "meta", "tally"].into_iter().fold(
        Txn::new()
            .when(Guard::member_exists(&due, id))
            .then(zrem(due, id)),
        |txn, hash| txn.then(hdel(queue.key(hash), id)),
    );
    let due = match task.unique {
        None => due,
        Some(unique) => due.then(delete_if(queue.unique(unique), id)),
    };
    let leased = Txn::new()
        .when(Guard::member_exists(lease, id))
        .then(hset(queue.key("cancel"), id, mark("1")))
        .then(notify(queue.key("cancelled"), id));
    [due, leased]
}

fn reschedule(queue: &Queue, task: &Task, at: impl Into<RelativeScore>) -> Txn {
    let due = queue.due(task.priority);
    Txn::new()
        .when(Guard::member_exists(&due, task.id))
        .then(zadd_waking(due, task.id, at, queue.key("wake")))
        .otherwise(Read::ZScore {
            key: queue.key("lease"),
            member: task.id.into(),
        })
}

fn change(queue: &Queue, task: &Task, version: Option<&str>, next: &str, body: &str) -> Txn {
    let (key, field) = (queue.key("version"), task.id.into());
    let mark_of = |text: &str| Mark::from(text);
    let unchanged = Guard::FieldIs {
        key,
        field,
        mark: version.map(mark_of),
    };
    Txn::new()
        .when(Guard::member_exists(queue.due(task.priority), task.id))
        .when(unchanged)
        .then(hset(queue.key("task"), task.id, value(body)))
        .then(hset(queue.key("version"), task.id, mark(next)))
        .otherwise(Read::HGetMark {
            key: queue.key("version"),
            field: task.id.into(),
        })
}

/// Tasks whose time to be kept is over, with all that belongs to them; nobody wants to read it.
fn collect(queue: &Queue, set: &str) -> ZMove {
    ["task", "meta", "tally", "result"].into_iter().fold(
        ZMove::new(200).from(queue.key(set), RelativeScore::NOW),
        |step, hash| step.with(queue.key(hash), Fate::Drop),
    )
}

fn requeue(queue: &Queue, task: &Task, record: &str) -> Txn {
    let (dead, id) = (queue.key("dead"), task.id);
    Txn::new()
        .when(Guard::member_exists(&dead, id))
        .then(zrem(dead, id))
        .then(hset(queue.key("meta"), id, value(record)))
        .then(zadd_waking(
            queue.due(task.priority),
            id,
            RelativeScore::NOW,
            queue.key("wake"),
        ))
}

fn pause(queue: &Queue) -> Txn {
    Txn::new().then(hset(queue.key("control"), "paused", mark("1")))
}

fn resume(queue: &Queue) -> Txn {
    Txn::new()
        .then(hdel(queue.key("control"), "paused"))
        .then(notify(queue.key("wake"), ""))
}

fn set_caps(queue: &Queue, caps: &str) -> Txn {
    Txn::new()
        .then(hset(queue.key("control"), "caps", mark(caps)))
        .then(notify(queue.key("wake"), ""))
}

/// In another group than any queue.
fn register(name: &str) -> Txn {
    let queues = KeyGroup::new("registry").unwrap().key(":queues");
    Txn::new().then(zadd(queues, name, RelativeScore::NOW))
}

pub(crate) fn rows() -> Vec<Row> {
    let (queue, task) = (&Queue::new(), &unique("u", "report"));
    let tick = |number: i32| Score::from(number);
    let mine = &Claim {
        id: "u".into(),
        score: tick(1),
        tally: 1,
    };
    let steps: [Txn; 2] = [
        schedule(queue, &plain("a"), 0),
        schedule(queue, &plain("b"), 0),
    ];
    vec![
        row("schedule, bulk", steps),
        row("schedule, unique (keep)", schedule(queue, task, 0)),
        row("schedule, unique (replace)", replace(queue, task, "w", 0)),
        row(
            "schedule, unique (extend)",
            extend_unique(queue, task, "w", 0),
        ),
        row("claim", claim(queue, 100, &[0, 1, 2], seconds(LEASE))),
        row("claim, capped", claim_capped(queue, 100, "v1", 10)),
        row("claim at most once", pop(queue, 100)),
        row(
            "extend leases, bulk",
            [
                extend(queue, mine),
                extend(
                    queue,
                    &Claim {
                        id: "x".into(),
                        ..mine.clone()
                    },
                ),
            ],
        ),
        row("ack", ack(queue, task, mine)),
        row("ack, result kept", ack_keeping(queue, task, mine, "42")),
        row(
            "retry, snooze, release",
            again(queue, mine, seconds(5), "retried"),
        ),
        row("dead-letter", bury(queue, task, mine, "failed")),
        row("cancel", cancel(queue, task)),
        row("reschedule, run now", reschedule(queue, task, 0)),
        row("change payload", change(queue, task, None, "1", "new")),
        row("cron fire", fire(queue, "nightly", tick(10), tick(20))),
        row(
            "cron fire or skip",
            fire_or_skip(queue, "nightly", tick(10), tick(20)),
        ),
        row("collect done and dead", collect(queue, "done")),
        row("requeue dead", requeue(queue, task, "requeued")),
        row("pause", pause(queue)),
        row("resume", resume(queue)),
        row("set caps", set_caps(queue, "v1")),
        row("register queue", register("mail")),
    ]
}
