//! Doing what was checked.

use super::at;
use crate::{
    moment::Moment,
    number,
    refusal::{Failure, Refusal},
    shard::{Shard, Slot},
};
use kv_core::{
    Content, Key, Mark, Member, Notice, Op, OpReply, RangeOptions, RelativeScore, Score,
    ScoredMember, Scores, SetOptions, Timestamp, Ttl, Value,
};
use std::mem;

/// How far ahead of the clock tokens can run when many are taken at once: a second, a million of them.
const AHEAD: i64 = 1_000_000;

impl Shard {
    /// Does steps that were checked; all or, for want of room, none. They are taken only if they are
    /// done. What is at the other keys named is not evicted for them.
    pub(crate) fn apply(
        &mut self,
        ops: &mut Vec<Op>,
        others: impl FnOnce() -> Vec<Key>,
        now: &Moment<'_>,
    ) -> Result<Vec<OpReply>, Failure> {
        let advance = self.advance(ops, others, now)?;
        let mut notices = Vec::new();
        let run = |op| self.run(op, &mut notices, now);
        let answers = mem::take(ops).into_iter().map(run).collect();
        self.settle(advance, now);
        self.books.send(&notices);
        answers
    }

    fn run(
        &mut self,
        op: Op,
        notices: &mut Vec<Notice>,
        now: &Moment<'_>,
    ) -> Result<OpReply, Failure> {
        match op {
            Op::Read(read) => self.answer(&read, now),
            Op::Notify(notice) => {
                notices.push(notice);
                Ok(OpReply::Done)
            }
            _ => match op.key().cloned() {
                Some(key) => self.write(op, &key, notices, now).map_err(at(&key)),
                None => Ok(OpReply::Done),
            },
        }
    }

    fn write(
        &mut self,
        op: Op,
        key: &Key,
        notices: &mut Vec<Notice>,
        now: &Moment<'_>,
    ) -> Result<OpReply, Refusal> {
        let slot = self.slot(key);
        Ok(match op {
            Op::Set { content, ttl, .. } => {
                self.set(slot, &mut value(content), &ttl.into(), now)?;
                OpReply::Done
            }
            Op::Delete { .. } => OpReply::Flag(self.delete(slot, now)),
            Op::DeleteIf { mark, .. } => {
                OpReply::Flag(self.has(slot, &mark, now) && self.delete(slot, now))
            }
            Op::Increment {
                by, ttl_if_created, ..
            } => OpReply::Integer(self.increment(slot, by, ttl_if_created, now)?),
            Op::HSet { fields, .. } => {
                let parse = |(field, content)| (field, value(content));
                let mut fields = fields.into_iter().map(parse).collect();
                OpReply::Count(self.hset(slot, &mut fields, now)?)
            }
            Op::HDel { fields, .. } => OpReply::Count(self.hdel(slot, &fields, now)?),
            Op::HIncrement { field, by, .. } => {
                OpReply::Integer(self.hincrement(slot, &field, by, now)?)
            }
            Op::ZAdd {
                members,
                notify_if_first,
                ..
            } => {
                let parse = |(member, score)| (member, now.score(score));
                let members: Vec<_> = members.into_iter().map(parse).collect();
                OpReply::Count(self.zadd_telling(slot, &members, notify_if_first, notices, now)?)
            }
            Op::ZRem { members, .. } => OpReply::Count(self.zrem(slot, &members, now)?),
            Op::ZRemRange { range, limit, .. } => {
                let options = RangeOptions::default().limit(limit);
                let range = now.range(range);
                let zset = self.zset(slot, now)?;
                let found = zset.map(|it| it.by_score(range, &options));
                let member = |it: ScoredMember| it.member;
                let members: Vec<_> = found.into_iter().flatten().map(member).collect();
                OpReply::Count(self.zrem(slot, &members, now)?)
            }
            Op::Expire { expiry, .. } => {
                let deadline = now.expiry(expiry).ok_or(Refusal::Unsupported)?;
                OpReply::Flag(self.expire(slot, deadline, now))
            }
            Op::Persist { .. } => OpReply::Flag(self.persist(slot, now)),
            Op::NextToken { ttl, .. } => OpReply::Token(self.next_token(slot, ttl, now)?),
            _ => return Err(Refusal::Unsupported),
        })
    }

    /// Whether a string is there that has exactly these bytes.
    pub(crate) fn has(&self, slot: Slot<'_>, mark: &Mark, now: &Moment<'_>) -> bool {
        let found = self.string(slot, now).ok().flatten();
        found.is_some_and(|it| it.as_bytes() == mark.as_bytes())
    }

    /// Adds members, and notes down the message if one of them comes to be the first.
    fn zadd_telling(
        &mut self,
        slot: Slot<'_>,
        members: &[(Member, Score)],
        notice: Option<Notice>,
        notices: &mut Vec<Notice>,
        now: &Moment<'_>,
    ) -> Result<u64, Refusal> {
        let Some(notice) = notice else {
            return self.zadd(slot, members, now);
        };
        let before = self.head(slot, now)?;
        let added = self.zadd(slot, members, now)?;
        let head = self.head(slot, now)?;
        let given = |head: &ScoredMember| members.iter().any(|(it, _)| *it == head.member);
        if head != before && head.as_ref().is_some_and(given) {
            notices.push(notice);
        }
        Ok(added)
    }

    /// The member with the lowest score.
    pub(crate) fn head(
        &self,
        slot: Slot<'_>,
        now: &Moment<'_>,
    ) -> Result<Option<ScoredMember>, Refusal> {
        let zset = self.zset(slot, now)?;
        Ok(zset.and_then(|it| it.by_rank(0, 0, Scores::Include).pop()))
    }

    fn next_token(&mut self, slot: Slot<'_>, ttl: Ttl, now: &Moment<'_>) -> Result<u64, Refusal> {
        let token = self.following_token(slot, now)?;
        let mut text = number::print(token);
        self.set(slot, &mut text, &SetOptions::from(ttl), now)?;
        // A record far ahead of the clock is its owner's doing, and no reason to lift the others.
        if token.saturating_sub(now.micros()) < AHEAD {
            self.issued = self.issued.max(token);
        }
        Ok(token.unsigned_abs())
    }

    /// The token behind the last one; always positive.
    pub(crate) fn following_token(&self, slot: Slot<'_>, now: &Moment<'_>) -> Result<i64, Refusal> {
        let last = self.last_token(slot, now)?;
        let next = last.checked_add(1).ok_or(Refusal::Overflow)?;
        Ok(next.max(now.micros()).max(self.issued + 1))
    }
}

impl Moment<'_> {
    /// A score as it is now. The clock is read only if the score asks for it.
    pub(crate) fn score(&self, score: RelativeScore) -> Score {
        score.at(match score.is_relative() {
            true => self.time(),
            false => Timestamp::default(),
        })
    }
}

fn value(content: Content) -> Value {
    match content {
        Content::Value(value) => value,
        Content::Mark(mark) => Value::new(mark.into_bytes()),
    }
}
