//! Reads within a transaction.

use super::at;
use crate::{
    moment::Moment,
    number,
    refusal::{Failure, Refusal},
    shard::{Shard, Slot},
};
use kv_core::{Key, Mark, OpReply, RangeOptions, Read, Scores, Value};

impl Shard {
    /// Reads, in order; the first that cannot be done is the error.
    pub(crate) fn answers(
        &self,
        reads: &[Read],
        now: &Moment<'_>,
    ) -> Result<Vec<OpReply>, Failure> {
        reads.iter().map(|read| self.answer(read, now)).collect()
    }

    pub(crate) fn answer(&self, read: &Read, now: &Moment<'_>) -> Result<OpReply, Failure> {
        match read.key() {
            Some(key) => self.answer_at(key, read, now).map_err(at(key)),
            None => Ok(OpReply::Time(now.time())),
        }
    }

    fn answer_at(&self, key: &Key, read: &Read, now: &Moment<'_>) -> Result<OpReply, Refusal> {
        let slot = self.slot(key);
        let mark = |value: &Value| Mark::new(value.clone().into_bytes());
        Ok(match read {
            Read::Get { .. } => OpReply::Value(self.string(slot, now)?.cloned()),
            Read::GetMark { .. } => OpReply::Mark(self.string(slot, now)?.map(mark)),
            Read::Ttl { .. } => OpReply::Ttl(self.time_to_live(slot, now)),
            Read::HGet { field, .. } => {
                let hash = self.hash(slot, now)?;
                OpReply::Value(hash.and_then(|it| it.get(field)).cloned())
            }
            Read::HGetMark { field, .. } => {
                let hash = self.hash(slot, now)?;
                OpReply::Mark(hash.and_then(|it| it.get(field)).map(mark))
            }
            Read::ZScore { member, .. } => {
                let zset = self.zset(slot, now)?;
                OpReply::Score(zset.and_then(|it| it.score(member.as_bytes())))
            }
            Read::ZCount { range, .. } => {
                let zset = self.zset(slot, now)?;
                let count = zset.map_or(0, |it| it.count(now.range(*range)));
                OpReply::Count(count as u64)
            }
            Read::ZRange { range, limit, .. } => {
                let zset = self.zset(slot, now)?;
                let options = RangeOptions::default()
                    .limit(*limit)
                    .scores(Scores::Include);
                let found = zset.map(|it| it.by_score(now.range(*range), &options));
                OpReply::Members(found.unwrap_or_default())
            }
            Read::LastToken { .. } => OpReply::Token(self.last_token(slot, now)?.unsigned_abs()),
            _ => return Err(Refusal::Unsupported),
        })
    }

    /// The last token, 0 if there is no record; never negative.
    pub(crate) fn last_token(&self, slot: Slot<'_>, now: &Moment<'_>) -> Result<i64, Refusal> {
        let Some(text) = self.string(slot, now)? else {
            return Ok(0);
        };
        let token = number::parse(text.as_bytes()).filter(|it| *it > 0);
        token.ok_or(Refusal::NotAnInteger)
    }
}
