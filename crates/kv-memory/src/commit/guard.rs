//! Judging conditions.

use super::at;
use crate::{
    entry::Data,
    moment::Moment,
    number,
    refusal::{Failure, Refusal},
    shard::Shard,
};
use kv_core::{Guard, Mark, RelativeRange, ScoreRange, Timestamp, Value};

impl Shard {
    /// Whether all conditions hold; those behind the first that does not are not looked at.
    pub(crate) fn all_hold(&self, guards: &[Guard], now: &Moment<'_>) -> Result<bool, Failure> {
        for guard in guards {
            if !self.holds(guard, now).map_err(at(guard.key()))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds(&self, guard: &Guard, now: &Moment<'_>) -> Result<bool, Refusal> {
        let slot = self.slot(guard.key());
        Ok(match guard {
            Guard::Exists { .. } => self.get(slot, now).is_some(),
            Guard::Absent { .. } => self.get(slot, now).is_none(),
            Guard::ValueIs { mark, .. } => match self.get(slot, now).map(|it| &it.data) {
                None => mark.is_none(),
                Some(Data::String(value)) => mark.is_some() && is(Some(value), mark.as_ref()),
                Some(Data::Structure(_)) => false,
            },
            Guard::FieldIs { field, mark, .. } => {
                let hash = self.hash(slot, now)?;
                is(hash.and_then(|it| it.get(field)), mark.as_ref())
            }
            Guard::FieldExists { field, .. } => {
                let hash = self.hash(slot, now)?;
                hash.is_some_and(|it| it.get(field).is_some())
            }
            Guard::ScoreIs { member, score, .. } => {
                let zset = self.zset(slot, now)?;
                zset.and_then(|it| it.score(member.as_bytes())) == *score
            }
            Guard::ScoreWithin { member, range, .. } => {
                let zset = self.zset(slot, now)?;
                let score = zset.and_then(|it| it.score(member.as_bytes()));
                score.is_some_and(|it| now.range(*range).contains(it))
            }
            Guard::MemberExists { member, .. } => {
                let zset = self.zset(slot, now)?;
                zset.is_some_and(|it| it.score(member.as_bytes()).is_some())
            }
            Guard::CountBelow { range, limit, .. } => {
                let zset = self.zset(slot, now)?;
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                match zset {
                    None => limit > 0,
                    Some(zset) => zset.holds_fewer(now.range(*range), limit),
                }
            }
            Guard::AtMost { field, limit, .. } => {
                let text = match field {
                    None => self.string(slot, now)?,
                    Some(field) => self.hash(slot, now)?.and_then(|it| it.get(field)),
                };
                let parse = |text: &Value| number::parse(text.as_bytes());
                let count = text.map_or(Some(0), parse).ok_or(Refusal::NotAnInteger)?;
                count <= *limit
            }
            _ => return Err(Refusal::Unsupported),
        })
    }
}

impl Moment<'_> {
    /// A range as it is now. The clock is read only if the range asks for it.
    pub(crate) fn range(&self, range: RelativeRange) -> ScoreRange {
        range.at(match range.is_relative() {
            true => self.time(),
            false => Timestamp::default(),
        })
    }
}

fn is(found: Option<&Value>, mark: Option<&Mark>) -> bool {
    found.map(Value::as_bytes) == mark.map(Mark::as_bytes)
}
