//! Judging conditions.

use crate::{
    error::Failure,
    layout::Layout,
    number,
    optimistic::{Planned, View},
    place::Found,
};
use kv_core::{Guard, Key, Mark};

impl View<'_> {
    /// Whether a condition holds.
    pub(crate) fn holds(&mut self, guard: &Guard) -> Planned<bool> {
        Ok(match guard {
            Guard::Exists { key } => self.is_there(key)?,
            Guard::Absent { key } => !self.is_there(key)?,
            Guard::ValueIs { key, mark } => match (self.look(key)?, mark) {
                (Found::String(content, _), Some(mark)) => content.value == mark.as_bytes(),
                (Found::String(..), None) | (_, Some(_)) => false,
                (_, None) => !self.is_there(key)?,
            },
            Guard::FieldIs { key, field, mark } => {
                let found = self.hget(key, field.as_bytes())?;
                found.as_deref() == mark.as_ref().map(Mark::as_bytes)
            }
            Guard::FieldExists { key, field } => self.hget(key, field.as_bytes())?.is_some(),
            Guard::ScoreIs { key, member, score } => self.zscore(key, member.as_bytes())? == *score,
            Guard::ScoreWithin { key, member, range } => {
                let range = range.at(self.now);
                let score = self.zscore(key, member.as_bytes())?;
                score.is_some_and(|score| range.contains(score))
            }
            Guard::MemberExists { key, member } => self.zscore(key, member.as_bytes())?.is_some(),
            Guard::CountBelow { key, range, limit } => {
                let range = range.at(self.now);
                self.holds_fewer(key, range, *limit)?
            }
            Guard::AtMost { key, field, limit } => {
                let text = match field {
                    Some(field) => self.hget(key, field.as_bytes())?,
                    None => self.string(key)?,
                };
                let count = match text {
                    Some(text) => number::parse(&text).ok_or_else(Failure::not_an_integer)?,
                    None => 0,
                };
                count <= *limit
            }
            _ => return Err(Failure::unsupported("this condition").into()),
        })
    }
}

/// The key that a condition wants to be free.
pub(super) fn wants_nothing(guard: &Guard) -> Option<&Key> {
    match guard {
        Guard::Absent { key } | Guard::ValueIs { key, mark: None } => Some(key),
        _ => None,
    }
}

/// The element that a condition looks at.
pub(crate) fn element(layout: &Layout, guard: &Guard) -> Option<Vec<u8>> {
    match guard {
        Guard::FieldIs { key, field, .. } | Guard::FieldExists { key, field } => {
            Some(layout.field(key.as_bytes(), field.as_bytes()))
        }
        Guard::AtMost { key, field, .. } => {
            Some(layout.field(key.as_bytes(), field.as_ref()?.as_bytes()))
        }
        Guard::ScoreIs { key, member, .. }
        | Guard::ScoreWithin { key, member, .. }
        | Guard::MemberExists { key, member } => {
            Some(layout.member(key.as_bytes(), member.as_bytes()))
        }
        _ => None,
    }
}
