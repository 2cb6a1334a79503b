//! Whether the steps of a transaction can be done, before any is.

use crate::{
    error::Failure,
    layout::Kind,
    number,
    optimistic::{Planned, View},
};
use kv_core::{Op, Read};

impl View<'_> {
    /// Refuses a step that cannot be done on what is there, after the steps before it.
    pub(super) fn check(&mut self, op: &Op, before: &[Op]) -> Planned<()> {
        match op {
            Op::Read(read) => self.check_read(read, before),
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

    /// A read sees what the steps before it make, also of which type.
    fn check_read(&mut self, read: &Read, before: &[Op]) -> Planned<()> {
        let wanted = match read {
            Read::Get { key } | Read::GetMark { key } => self.string(key).map(|_| None)?,
            Read::LastToken { key } => self.last_token(key).map(|_| None)?,
            Read::HGet { key, .. } | Read::HGetMark { key, .. } => {
                self.structure(key, Kind::Hash)?;
                Some(Kind::Hash)
            }
            Read::ZScore { key, .. } | Read::ZCount { key, .. } | Read::ZRange { key, .. } => {
                self.structure(key, Kind::SortedSet)?;
                Some(Kind::SortedSet)
            }
            _ => return Ok(()),
        };
        // What is written as a whole is not read by the same transaction.
        let mut made = before.iter().filter(|op| op.key() == read.key());
        match made.any(|op| op.makes().is_some_and(|made| Some(made) != wanted)) {
            true => Err(Failure::wrong_type().into()),
            false => Ok(()),
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
