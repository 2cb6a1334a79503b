//! Schedules: their ticks, and how they are written and read. Each transition may be sent again: what it
//! compares with is not so any more once it was written.

use super::{Place, Planned, field, hdel, hset, schedule::enter, tell, zadd, zadd_waking, zrem};
use crate::queue::{PAUSED, Queue};
use kv_core::{
    Guard, Key, Mark, Member, Op, Read, RelativeRange, RelativeScore, Result, Score, ScoredMember,
    Timestamp, Txn, TxnReply, Value,
};

/// So many ticks are looked at together.
const LOOK: u32 = 200;

/// Looks for the next ticks; behind this one, if it is given.
pub(crate) fn next_ticks(queue: &Queue, behind: Option<Score>) -> Txn {
    Txn::new()
        .then(Read::ZRange {
            key: queue.recurring.next.clone(),
            range: behind.map_or(RelativeRange::ALL, |it| RelativeRange::above(it.into())),
            limit: LOOK,
        })
        .then(Read::HGetMark {
            key: queue.control.clone(),
            field: PAUSED.into(),
        })
        .then(Read::Now)
}

/// The next ticks of a queue.
#[derive(Debug)]
pub(crate) struct Looked {
    pub(crate) ticks: Vec<ScoredMember>,
    /// Behind which tick there may be more.
    pub(crate) end: Option<Score>,
    /// The queue is paused.
    pub(crate) is_paused: bool,
    pub(crate) now: Timestamp,
}

/// Reads the answer.
pub(crate) fn looked(mut reply: TxnReply) -> Result<Looked> {
    let ticks = reply.members(0)?;
    let last = ticks.last().filter(|_| ticks.len() == LOOK as usize);
    Ok(Looked {
        end: last.and_then(|it| it.score),
        ticks,
        is_paused: reply.mark(1)?.is_some(),
        now: reply.time(2)?,
    })
}

/// Reads all that is known of a schedule.
pub(crate) fn inspect(queue: &Queue, schedule: &Member) -> Txn {
    let keys = &queue.recurring;
    let mark = |key: &Key| Read::HGetMark {
        key: key.clone(),
        field: field(schedule),
    };
    Txn::new()
        .then(Read::HGet {
            key: keys.spec.clone(),
            field: field(schedule),
        })
        .then(Read::ZScore {
            key: keys.next.clone(),
            member: schedule.clone(),
        })
        .then(mark(&keys.print))
        .then(mark(&keys.last))
        .then(mark(&keys.wait))
        .then(mark(&keys.paused))
        .then(Read::Now)
}

/// All that is known of a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) spec: Option<Value>,
    pub(crate) next: Option<Score>,
    pub(crate) print: Option<Mark>,
    pub(crate) last: Option<Last>,
    /// The same as it is stored.
    stored_last: Option<Mark>,
    pub(crate) wait: Option<Mark>,
    pub(crate) is_paused: bool,
    pub(crate) now: Timestamp,
}

/// Reads the answer.
pub(crate) fn known(mut reply: TxnReply) -> Result<Known> {
    let stored_last = reply.mark(3)?;
    Ok(Known {
        spec: reply.value(0)?,
        next: reply.score(1)?,
        print: reply.mark(2)?,
        last: stored_last.as_ref().and_then(Last::decode),
        stored_last,
        wait: reply.mark(4)?,
        is_paused: reply.mark(5)?.is_some(),
        now: reply.time(6)?,
    })
}

/// The instant that a score stands for.
pub(crate) fn time_of(score: Score) -> Timestamp {
    Timestamp::from_micros(score.get() as i64)
}

/// The last tick of a schedule, and the last that became a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Last {
    pub(crate) tick: Timestamp,
    pub(crate) task: Option<Timestamp>,
}

impl Last {
    pub(crate) fn encode(self) -> Mark {
        let tick = self.tick.as_micros();
        match self.task {
            None => tick.to_string().into(),
            Some(task) => format!("{tick} {}", task.as_micros()).into(),
        }
    }

    fn decode(mark: &Mark) -> Option<Self> {
        let mut numbers = mark.to_str().ok()?.split(' ').map(str::parse);
        let tick = Timestamp::from_micros(numbers.next()?.ok()?);
        let task = numbers.next().transpose().ok()?;
        Some(Self {
            tick,
            task: task.map(Timestamp::from_micros),
        })
    }
}

/// A tick that is due, as it was seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) schedule: Member,
    pub(crate) score: Score,
    pub(crate) print: Mark,
    /// The last task and where it is, if that mattered.
    pub(crate) previous: Option<(Member, Option<Place>)>,
}

impl Seen {
    /// Holds while all is as it was seen: of many workers only one moves the tick on.
    fn is_so(&self, queue: &Queue) -> Txn {
        let (keys, schedule) = (&queue.recurring, &self.schedule);
        let txn = Txn::new()
            .when(Guard::score_is(&keys.next, schedule, self.score))
            .when(Guard::field_is(
                &keys.print,
                field(schedule),
                self.print.clone(),
            ))
            .when(Guard::field_absent(&queue.control, PAUSED));
        match &self.previous {
            None => txn,
            Some((task, None)) => txn.when(Guard::field_absent(&queue.task, field(task))),
            Some((task, Some(place))) => txn.when(Guard::member_exists(place.set(queue), task)),
        }
    }
}

/// When a schedule is looked at next.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    At(Timestamp),
    /// When the task ends that this names.
    AtEnd(Mark),
    Never,
}

/// What becomes of the last task when there is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Previous {
    Stays,
    /// It is asked to stop if it runs, and is gone if it waits.
    GivesWay,
}

/// The tick becomes a task.
pub(crate) fn fire(
    queue: &Queue,
    seen: &Seen,
    task: &Planned,
    last: Last,
    next: &Next,
    previous: Previous,
) -> Txn {
    let txn = seen
        .is_so(queue)
        .when(Guard::field_absent(&queue.task, field(&task.member)));
    let txn = move_on(queue, seen, last, next, txn);
    let txn = match &seen.previous {
        Some((old, Some(place))) if previous == Previous::GivesWay => {
            give_way(queue, old, *place, txn)
        }
        _ => txn,
    };
    enter(queue, task, txn, super::Wake::IfFirst)
}

/// The tick becomes no task.
pub(crate) fn pass(queue: &Queue, seen: &Seen, last: Last, next: &Next) -> Txn {
    move_on(queue, seen, last, next, seen.is_so(queue))
}

/// The tick's task is there already: it has an id that somebody else gave a task too.
pub(crate) fn pass_taken(
    queue: &Queue,
    seen: &Seen,
    task: &Member,
    last: Last,
    next: &Next,
) -> Txn {
    let txn = seen
        .is_so(queue)
        .when(Guard::field_exists(&queue.task, field(task)));
    move_on(queue, seen, last, next, txn)
}

/// What a schedule is to be, as long as it is what was seen of it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) spec: Value,
    pub(crate) print: Mark,
    pub(crate) next: Option<Timestamp>,
}

/// Writes a schedule, new or changed. A task of it that waits or runs goes on; the schedule waits for
/// none any more.
pub(crate) fn write(queue: &Queue, schedule: &Member, seen: &Known, it: &Written) -> Txn {
    let keys = &queue.recurring;
    let txn = as_seen(queue, schedule, seen)
        .then(zadd(&keys.names, schedule, 0.into()))
        .then(hset(&keys.spec, schedule, it.spec.clone()))
        .then(set_mark(&keys.print, schedule, it.print.clone()))
        .then(hdel(&keys.wait, schedule));
    arm(queue, schedule, it.next, txn)
}

/// Gives a schedule a tick that has none: it was paused, or waits for a task that is over.
pub(crate) fn revive(
    queue: &Queue,
    schedule: &Member,
    seen: &Known,
    next: Option<Timestamp>,
) -> Txn {
    let keys = &queue.recurring;
    let txn = as_seen(queue, schedule, seen)
        .when(Guard::member_absent(&keys.next, schedule))
        .when(mark_is(&keys.wait, schedule, seen.wait.clone()))
        .then(hdel(&keys.paused, schedule))
        .then(hdel(&keys.wait, schedule));
    arm(queue, schedule, next, txn)
}

/// The schedule has no ticks until it is resumed.
pub(crate) fn pause_schedule(queue: &Queue, schedule: &Member) -> Txn {
    let keys = &queue.recurring;
    Txn::new()
        .when(Guard::field_exists(&keys.print, field(schedule)))
        .then(zrem(&keys.next, schedule))
        .then(hdel(&keys.wait, schedule))
        .then(set_mark(&keys.paused, schedule, "1".into()))
}

/// Nothing is left of the schedule; its tasks stay.
pub(crate) fn remove(queue: &Queue, schedule: &Member) -> Txn {
    let keys = &queue.recurring;
    let hashes = [
        &keys.spec,
        &keys.print,
        &keys.last,
        &keys.wait,
        &keys.paused,
    ];
    let txn = Txn::new()
        .when(Guard::field_exists(&keys.print, field(schedule)))
        .then(zrem(&keys.next, schedule))
        .then(zrem(&keys.names, schedule));
    hashes
        .into_iter()
        .fold(txn, |txn, key| txn.then(hdel(key, schedule)))
}

/// What the end of a task does to the schedule that it came of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AtEnd {
    pub(crate) schedule: Member,
    /// What the schedule waits for, as far as is known.
    pub(crate) wait: Option<Mark>,
    /// Its next tick, if it waits for this task.
    pub(crate) next: Option<RelativeScore>,
}

impl AtEnd {
    /// Reads what the schedule waits for.
    pub(super) fn wait_of(&self, queue: &Queue) -> Read {
        Read::HGetMark {
            key: queue.recurring.wait.clone(),
            field: field(&self.schedule),
        }
    }

    /// Adds it to the end of a task.
    pub(crate) fn join(&self, queue: &Queue, mut txn: Txn) -> Txn {
        let (keys, schedule) = (&queue.recurring, &self.schedule);
        txn = txn.when(mark_is(&keys.wait, schedule, self.wait.clone()));
        if let Some(next) = self.next {
            let steps = [
                zadd_waking(&keys.next, schedule, next, &keys.wake),
                hdel(&keys.wait, schedule),
            ];
            // In front: the last answer of an end tells how many are kept.
            txn.then.splice(0..0, steps);
        }
        txn
    }
}

/// The schedule is what was seen of it, and no tick has come since: the next one was computed from the
/// last.
fn as_seen(queue: &Queue, schedule: &Member, seen: &Known) -> Txn {
    let keys = &queue.recurring;
    let paused = seen.is_paused.then(|| "1".into());
    Txn::new()
        .when(mark_is(&keys.print, schedule, seen.print.clone()))
        .when(mark_is(&keys.paused, schedule, paused))
        .when(mark_is(&keys.last, schedule, seen.stored_last.clone()))
}

fn arm(queue: &Queue, schedule: &Member, next: Option<Timestamp>, txn: Txn) -> Txn {
    let keys = &queue.recurring;
    txn.then(match next {
        Some(next) => zadd_waking(&keys.next, schedule, next.into(), &keys.wake),
        None => zrem(&keys.next, schedule),
    })
}

fn move_on(queue: &Queue, seen: &Seen, last: Last, next: &Next, txn: Txn) -> Txn {
    let (keys, schedule) = (&queue.recurring, &seen.schedule);
    let txn = txn.then(set_mark(&keys.last, schedule, last.encode()));
    match next {
        // Whoever sleeps until this tick looks again then.
        Next::At(next) => txn.then(zadd(&keys.next, schedule, (*next).into())),
        Next::Never => txn.then(zrem(&keys.next, schedule)),
        Next::AtEnd(wait) => {
            txn.then(zrem(&keys.next, schedule))
                .then(set_mark(&keys.wait, schedule, wait.clone()))
        }
    }
}

fn give_way(queue: &Queue, task: &Member, place: Place, txn: Txn) -> Txn {
    match place {
        Place::Due(priority, _) => txn
            .then(zrem(queue.due(priority), task))
            .then(hdel(&queue.task, task))
            .then(hdel(&queue.meta, task))
            .then(hdel(&queue.tally, task))
            .then(tell(&queue.ended, task)),
        Place::Lease(_) => txn
            .then(hset(&queue.cancel, task, "1".into()))
            .then(tell(&queue.cancelled, task)),
        Place::Done(_) | Place::Dead(_) => txn,
    }
}

fn set_mark(key: &Key, member: &Member, mark: Mark) -> Op {
    Op::HSet {
        key: key.clone(),
        fields: vec![(field(member), mark.into())],
    }
}

fn mark_is(key: &Key, member: &Member, mark: Option<Mark>) -> Guard {
    Guard::FieldIs {
        key: key.clone(),
        field: field(member),
        mark,
    }
}
