//! Reads within a transaction.

use super::op::Pending;
use crate::{
    error::Failure,
    number,
    optimistic::{Planned, Query, View, What},
    place::Found,
    zsets::parse,
};
use bytes::Bytes;
use kv_core::{Key, Mark, OpReply, RangeOptions, Read, ScoredMember, Scores, Value};

impl View<'_> {
    /// Reads on what is known. For branches that write nothing, and for what is in the plan's hands.
    pub(super) fn answer_now(&mut self, read: &Read) -> Planned<Pending> {
        Ok(Pending::Ready(match read {
            Read::ZCount { key, range } => {
                let range = range.at(self.now);
                OpReply::Count(self.zcount(key, range)?)
            }
            Read::ZRange { key, range, limit } => {
                let options = RangeOptions::default()
                    .limit(*limit)
                    .scores(Scores::Include);
                OpReply::Members(self.zrangebyscore(key, range.at(self.now), &options)?)
            }
            _ => self.answer_exactly(read)?,
        }))
    }

    /// Reads as part of the transaction: what is listed or counted is read behind the writes so far.
    pub(super) fn answer_then(&mut self, read: &Read) -> Planned<Pending> {
        match read {
            _ if self.reads_by_facts => Ok(Pending::Ready(self.answer_by_facts(read)?)),
            Read::ZCount { key, range } => {
                let Some(range) = self.scores_of(key, range.at(self.now))? else {
                    return Ok(Pending::Ready(OpReply::Count(0)));
                };
                let (limit, what) = (0, What::Count);
                Ok(Pending::Counted(self.read(Query { range, limit, what })))
            }
            Read::ZRange { key, range, limit } => {
                let Some(range) = self.scores_of(key, range.at(self.now))? else {
                    return Ok(Pending::Ready(OpReply::Members(Vec::new())));
                };
                let (limit, what) = (i64::from(*limit), What::Keys);
                let slot = self.read(Query { range, limit, what });
                let prefix = self.layout.index(key.as_bytes()).from_key.len();
                Ok(Pending::Listed { slot, prefix })
            }
            _ => Ok(Pending::Ready(self.answer_exactly(read)?)),
        }
    }

    /// Reads on what is known and was written so far; all that is listed or counted becomes a
    /// condition.
    fn answer_by_facts(&mut self, read: &Read) -> Planned<OpReply> {
        let (key, range, limit) = match read {
            Read::ZCount { key, range } => (key, range, 0),
            Read::ZRange { key, range, limit } => (key, range, u64::from(*limit)),
            _ => return self.answer_exactly(read),
        };
        let found = match self.scores_of(key, range.at(self.now))? {
            Some(range) => {
                let found = self.list(&range, limit, What::All)?;
                let full = limit > 0 && found.entries.len() as u64 == limit;
                match found.entries.last() {
                    Some((last, _)) if full => self.rely_unwritten(range.up_to(last)),
                    _ => self.rely_unwritten(range),
                }
                found.entries.clone()
            }
            None => Vec::new(),
        };
        let mut members = Vec::with_capacity(found.len());
        for (entry, _) in &found {
            self.point(entry)?;
            let (member, score) = parse(self.layout, key, entry)?;
            members.push(ScoredMember::new(member, Some(score)));
        }
        Ok(match read {
            Read::ZCount { .. } => OpReply::Count(members.len() as u64),
            _ => OpReply::Members(members),
        })
    }

    /// The string at a key.
    pub(crate) fn string(&mut self, key: &Key) -> Planned<Option<Bytes>> {
        match self.look_inside(key)? {
            Found::Nothing => Ok(None),
            Found::String(content, _) => Ok(Some(content.value)),
            Found::Structure(..) => Err(Failure::wrong_type().into()),
        }
    }

    fn answer_exactly(&mut self, read: &Read) -> Planned<OpReply> {
        let value = |found: Option<Bytes>| OpReply::Value(found.map(Value::new));
        let mark = |found: Option<Bytes>| OpReply::Mark(found.map(Mark::new));
        Ok(match read {
            Read::Get { key } => value(self.string(key)?),
            Read::GetMark { key } => mark(self.string(key)?),
            Read::Ttl { key } => OpReply::Ttl(self.time_to_live(key)?),
            Read::HGet { key, field } => value(self.hget(key, field.as_bytes())?),
            Read::HGetMark { key, field } => mark(self.hget(key, field.as_bytes())?),
            Read::ZScore { key, member } => OpReply::Score(self.zscore(key, member.as_bytes())?),
            Read::LastToken { key } => OpReply::Token(self.last_token(key)?),
            Read::Now => OpReply::Time(self.now),
            _ => return Err(Failure::unsupported("this read").into()),
        })
    }

    /// The last token of a key, 0 if there is no record.
    pub(super) fn last_token(&mut self, key: &Key) -> Planned<u64> {
        let Some(text) = self.string(key)? else {
            return Ok(0);
        };
        let token = number::parse(&text).filter(|&it| it > 0);
        Ok(token.ok_or_else(Failure::not_an_integer)?.unsigned_abs())
    }
}
