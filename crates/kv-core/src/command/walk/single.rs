//! What is shown to a visitor as it is, and what holds nothing for one.

use super::{Parts, Walk, Walker};
use crate::{
    Expiry, Field, Key, Mark, Member, Order, Place, Prefixes, RangeOptions, Result, Score,
    ScoreBound, ScoreRange, Scores, TimeToLive, Timestamp, Ttl, Value, command::Cursor,
};

impl Walk for Key {
    const PARTS: Parts = Parts::KEYS;

    fn as_key(&self) -> Option<&Key> {
        Some(self)
    }

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.key(self)?;
        walker.at = Place {
            key: Some(self),
            ..Place::default()
        };
        Ok(())
    }
}

impl Walk for Prefixes {
    const PARTS: Parts = Parts::KEYS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.prefixes(self)
    }
}

impl Walk for Value {
    const PARTS: Parts = Parts::VALUES;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.value(walker.at, self)
    }
}

impl Walk for Mark {
    const PARTS: Parts = Parts::MARKS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.mark(walker.at, self)
    }
}

impl Walk for Field {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.field(self)?;
        walker.at.field = Some(self.as_bytes());
        Ok(())
    }
}

impl Walk for Member {
    const PARTS: Parts = Parts::NONE;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.member(self)
    }
}

impl Walk for Ttl {
    const PARTS: Parts = Parts::TTLS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.ttl(self)
    }
}

impl Walk for Expiry {
    const PARTS: Parts = Parts::TTLS;

    fn walk<'a>(&'a mut self, walker: &mut Walker<'_, 'a>) -> Result<()> {
        walker.visitor.expiry(self)
    }
}

macro_rules! opaque {
    ($($ty:ty),* $(,)?) => {$(
        impl Walk for $ty {
            const PARTS: Parts = Parts::NONE;

            fn walk<'a>(&'a mut self, _: &mut Walker<'_, 'a>) -> Result<()> {
                Ok(())
            }
        }
    )*};
}

opaque!(
    (),
    crate::RelativeRange,
    crate::RelativeScore,
    Cursor,
    Order,
    RangeOptions,
    Score,
    ScoreBound,
    ScoreRange,
    Scores,
    TimeToLive,
    Timestamp,
    bool,
    i64,
    u32,
    u64,
);
