//! Every change that a task can go through, as the store's own atomic commands: pure functions that
//! build a transaction and read its answer. `docs/decisions/0001-transitions.md` is the table.

mod claim;
mod control;
mod finish;
mod recurring;
mod registry;
mod schedule;

pub(crate) use self::{
    claim::{Claimed, Extended, Fence, Order, claim, extend, extended, look},
    control::{
        Found, Place, cancel, collect, find, found, pause, requeue, reschedule, resume, surplus,
    },
    finish::{
        Finished, Owned, Recorded, ack, ack_cancelled, ack_keeping, again, bury, in_the_way, note,
        noted,
    },
    recurring::{
        AtEnd, Known, Last, Next, Previous, Seen, Written, fire, inspect, known, looked,
        next_ticks, pass, pass_taken, pause_schedule, remove, revive, time_of, write,
    },
    registry::{enter, exit, register, sweep, unregister},
    schedule::{Planned, Refusal, Wake, extend_unique, inherit, refusal, replace, schedule},
};

use kv_core::{Field, Key, Member, Notice, Op, RelativeScore, Value};

fn zadd(key: &Key, member: &Member, score: RelativeScore) -> Op {
    Op::ZAdd {
        key: key.clone(),
        members: vec![(member.clone(), score)],
        notify_if_first: None,
    }
}

/// The message goes out if the queue has to wake earlier than before.
fn zadd_waking(key: &Key, member: &Member, score: RelativeScore, wake: &Key) -> Op {
    Op::ZAdd {
        key: key.clone(),
        members: vec![(member.clone(), score)],
        notify_if_first: Some(Notice::new(wake, "")),
    }
}

fn zrem(key: &Key, member: &Member) -> Op {
    Op::ZRem {
        key: key.clone(),
        members: vec![member.clone()],
    }
}

fn hset(key: &Key, member: &Member, value: Value) -> Op {
    Op::HSet {
        key: key.clone(),
        fields: vec![(field(member), value.into())],
    }
}

fn hdel(key: &Key, member: &Member) -> Op {
    Op::HDel {
        key: key.clone(),
        fields: vec![field(member)],
    }
}

/// A hash has a field for each member of the sets.
fn field(member: &Member) -> Field {
    Field::new(member.clone().into_bytes())
}

/// Tells the end of a task to who waits for it.
fn tell(channel: &Key, member: &Member) -> Op {
    Op::Notify(Notice::new(
        channel,
        Value::new(member.clone().into_bytes()),
    ))
}
