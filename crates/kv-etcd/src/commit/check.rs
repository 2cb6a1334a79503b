//! Whether the steps of a transaction can be done, before any is.

use crate::{
    error::Failure,
    layout::Kind,
    number,
    optimistic::{Planned, View},
};
use kv_core::{Op, Read};

impl View<'_> {
    /// Refuses a step that cannot be done on what is there.
    pub(super) fn check(&mut self, op: &Op) -> Planned<()> {
        match op {
            Op::Read(read) => self.check_read(read),
            Op::Increment { key, by, .. } => {
                let text = self.string(key)?;
                Ok(check_sum(text.as_deref(), *by)?)
            }
            Op::HIncrement { key, field, by } => {
                let text = self.hget(key, field.as_bytes())?;
                Ok(check_sum(text.as_deref(), *by)?)
            }
            Op::HSet { key, .. } | Op::HDel { key, .. } => {
                self.structure(key, Kind::Hash).map(drop)
            }
            Op::ZAdd { key, .. } | Op::ZRem { key, .. } | Op::ZRemRange { key, .. } => {
                self.structure(key, Kind::SortedSet).map(drop)
            }
            Op::NextToken { key, .. } => self.last_token(key).map(drop),
            _ => Ok(()),
        }
    }

    fn check_read(&mut self, read: &Read) -> Planned<()> {
        match read {
            Read::Get { key } | Read::GetMark { key } => self.string(key).map(drop),
            Read::LastToken { key } => self.last_token(key).map(drop),
            Read::HGet { key, .. } | Read::HGetMark { key, .. } => {
                self.structure(key, Kind::Hash).map(drop)
            }
            Read::ZScore { key, .. } | Read::ZCount { key, .. } | Read::ZRange { key, .. } => {
                self.structure(key, Kind::SortedSet).map(drop)
            }
            _ => Ok(()),
        }
    }
}

fn check_sum(text: Option<&[u8]>, by: i64) -> Result<(), Failure> {
    let before = match text {
        Some(text) => number::parse(text).ok_or_else(Failure::not_an_integer)?,
        None => 0,
    };
    before
        .checked_add(by)
        .map(drop)
        .ok_or_else(Failure::overflow)
}
