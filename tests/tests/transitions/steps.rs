//! Short ways to write the steps that transitions are made of.

use kv_core::{
    Content, Expiry, Key, Lifetime, Mark, Member, Notice, Op, RelativeRange, RelativeScore, Ttl,
};
use std::time::Duration;

/// In seconds.
pub(crate) const DAY: u64 = 24 * 3600;

pub(crate) fn seconds(count: u64) -> RelativeScore {
    RelativeScore::after(Duration::from_secs(count))
}

/// Before now: what has this deadline has lapsed.
pub(crate) const LAPSED: RelativeScore = RelativeScore::Now(-1);

/// Deadlines that are still to come.
pub(crate) fn live() -> RelativeRange {
    RelativeRange::above(RelativeScore::NOW)
}

/// Deadlines that have passed.
pub(crate) fn lapsed() -> RelativeRange {
    RelativeRange::up_to(RelativeScore::NOW)
}

pub(crate) fn lifetime(seconds: u64) -> Lifetime {
    Lifetime::new(Duration::from_secs(seconds)).unwrap()
}

pub(crate) fn held(seconds: u64) -> Ttl {
    Ttl::Held(lifetime(seconds))
}

pub(crate) fn mark(text: impl Into<String>) -> Content {
    Mark::from(text.into()).into()
}

pub(crate) fn value(text: impl Into<String>) -> Content {
    kv_core::Value::from(text.into()).into()
}

pub(crate) fn set(key: Key, content: Content, ttl: Ttl) -> Op {
    Op::Set { key, content, ttl }
}

pub(crate) fn delete(key: Key) -> Op {
    Op::Delete { key }
}

pub(crate) fn delete_if(key: Key, text: &str) -> Op {
    let mark = Mark::from(text);
    Op::DeleteIf { key, mark }
}

pub(crate) fn hset(key: Key, field: &str, content: Content) -> Op {
    let fields = vec![(field.into(), content)];
    Op::HSet { key, fields }
}

pub(crate) fn hdel(key: Key, field: &str) -> Op {
    let fields = vec![field.into()];
    Op::HDel { key, fields }
}

pub(crate) fn zadd(key: Key, member: &str, score: impl Into<RelativeScore>) -> Op {
    let members = vec![(Member::from(member), score.into())];
    Op::ZAdd {
        key,
        members,
        notify_if_first: None,
    }
}

/// Wakes who sleeps until the head of the set is due, if this becomes the head.
pub(crate) fn zadd_waking(
    key: Key,
    member: &str,
    score: impl Into<RelativeScore>,
    channel: Key,
) -> Op {
    let members = vec![(Member::from(member), score.into())];
    Op::ZAdd {
        key,
        members,
        notify_if_first: Some(Notice::new(channel, member)),
    }
}

pub(crate) fn zrem(key: Key, member: &str) -> Op {
    let members = vec![member.into()];
    Op::ZRem { key, members }
}

/// Removes what has lapsed, a bounded number at a time.
pub(crate) fn purge(key: Key) -> Op {
    Op::ZRemRange {
        key,
        range: lapsed(),
        limit: 200,
    }
}

pub(crate) fn hold(key: Key, seconds: u64) -> Op {
    let expiry = Expiry::Held(lifetime(seconds));
    Op::Expire { key, expiry }
}

pub(crate) fn expire(key: Key, seconds: u64) -> Op {
    let expiry = Expiry::In(lifetime(seconds));
    Op::Expire { key, expiry }
}

pub(crate) fn persist(key: Key) -> Op {
    Op::Persist { key }
}

pub(crate) fn notify(channel: Key, text: &str) -> Op {
    Op::Notify(Notice::new(channel, text))
}

/// The record outlives every lease and message that its tokens are compared in.
pub(crate) fn next_token(key: Key) -> Op {
    let ttl = Ttl::In(lifetime(DAY));
    Op::NextToken { key, ttl }
}
