//! Whether the steps of a transaction can be done, before any is.

use super::at;
use crate::{
    moment::Moment,
    refusal::{Failure, Kind, Refusal},
    shard::Shard,
    strings,
};
use kv_core::{Key, Op, Read};

impl Shard {
    /// Judges the steps in order against what is there; the first that cannot be done is the error.
    pub(crate) fn check(&self, ops: &[Op], now: &Moment<'_>) -> Result<(), Failure> {
        for (step, op) in ops.iter().enumerate() {
            match op {
                Op::Read(read) => self.check_read(read, &ops[..step], now)?,
                _ => {
                    if let Some(key) = op.key() {
                        self.check_write(op, key, now).map_err(at(key))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn check_write(&self, op: &Op, key: &Key, now: &Moment<'_>) -> Result<(), Refusal> {
        let slot = self.slot(key);
        match op {
            Op::Set { .. } | Op::Delete { .. } | Op::DeleteIf { .. } | Op::Persist { .. } => Ok(()),
            Op::Increment { by, .. } => match self.string(slot, now)? {
                Some(text) => strings::add(text, *by).map(drop),
                None => Ok(()),
            },
            Op::HSet { .. } | Op::HDel { .. } => self.hash(slot, now).map(drop),
            Op::HIncrement { field, by, .. } => {
                let hash = self.hash(slot, now)?;
                match hash.and_then(|it| it.get(field)) {
                    Some(text) => strings::add(text, *by).map(drop),
                    None => Ok(()),
                }
            }
            Op::ZAdd { .. } | Op::ZRem { .. } | Op::ZRemRange { .. } => {
                self.zset(slot, now).map(drop)
            }
            Op::Expire { expiry, .. } => match now.expiry(*expiry) {
                Some(_) => Ok(()),
                None => Err(Refusal::Unsupported),
            },
            Op::NextToken { .. } => match self.last_token(slot, now)? {
                i64::MAX => Err(Refusal::Overflow),
                _ => Ok(()),
            },
            _ => Err(Refusal::Unsupported),
        }
    }

    /// A read sees what the steps before it make, also of which type.
    fn check_read(&self, read: &Read, before: &[Op], now: &Moment<'_>) -> Result<(), Failure> {
        let Some(key) = read.key() else {
            return Ok(());
        };
        let slot = self.slot(key);
        let wanted = wanted(read);
        let found = match (wanted, read) {
            (_, Read::LastToken { .. }) => self.last_token(slot, now).map(drop),
            (Some(Kind::String), _) => self.string(slot, now).map(drop),
            (Some(Kind::Hash), _) => self.hash(slot, now).map(drop),
            (Some(Kind::ZSet), _) => self.zset(slot, now).map(drop),
            (None, Read::Ttl { .. }) => Ok(()),
            (None, _) => Err(Refusal::Unsupported),
        };
        found.map_err(at(key))?;
        // What is written as a whole is not read by the same transaction.
        let made = before.iter().filter(|op| op.key() == Some(key));
        let mut made = made.filter_map(Op::makes).map(Kind::from);
        let Some(wanted) = wanted else {
            return Ok(());
        };
        match made.find(|found| *found != wanted) {
            Some(found) => Err(at(key)(Refusal::WrongType { found, wanted })),
            None => Ok(()),
        }
    }
}

/// The type that a read asks for, if for one.
fn wanted(read: &Read) -> Option<Kind> {
    match read {
        Read::Get { .. } | Read::GetMark { .. } | Read::LastToken { .. } => Some(Kind::String),
        Read::HGet { .. } | Read::HGetMark { .. } => Some(Kind::Hash),
        Read::ZScore { .. } | Read::ZCount { .. } | Read::ZRange { .. } => Some(Kind::ZSet),
        _ => None,
    }
}
