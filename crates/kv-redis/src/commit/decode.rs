//! The replies of the scripts.

use super::lua;
use crate::{
    decode,
    error::{Answer, Failure},
};
use kv_core::{
    Error, Key, Mark, Op, OpReply, Outcome, Read, Result, Scores, Timestamp, Txn, TxnReply,
};
use redis::Value;

/// The reply to one transaction: the next in the list of answers.
pub(super) fn txn(
    answers: &mut impl Iterator<Item = Value>,
    txn: &Txn,
    now: Option<Timestamp>,
) -> Result<TxnReply> {
    let Some(Value::Int(code)) = answers.next() else {
        return Err(Failure::unexpected_reply().into());
    };
    match code & 3 {
        0 => Ok(TxnReply::refused(refused(answers, txn)?).with_now(now)),
        1 => Ok(TxnReply::applied(applied(code >> 2, answers, txn)?).with_now(now)),
        _ => Err(failed(code, answers, |step| key(txn, step))),
    }
}

/// The error in `{2, step, error}`, or with 3 if something was written before it.
pub(crate) fn failed<'a>(
    code: i64,
    mut parts: impl Iterator<Item = Value>,
    key: impl FnOnce(i64) -> Option<&'a Key>,
) -> Error {
    let (Some(Value::Int(step)), Some(Value::BulkString(line))) = (parts.next(), parts.next())
    else {
        return Failure::unexpected_reply().into();
    };
    let failure = Failure::caught(&line);
    let error = match key(step) {
        Some(key) => failure.about(key),
        None => failure.into(),
    };
    match code {
        2 => error,
        _ => error.with_outcome(Outcome::Unknown),
    }
}

/// All answers are taken out of the list, also where one of them makes no sense.
fn applied(
    mut flags: i64,
    answers: &mut impl Iterator<Item = Value>,
    txn: &Txn,
) -> Result<Vec<OpReply>> {
    let mut left = lua::FLAGS;
    let ops = txn.then.iter();
    let replies: Vec<_> = ops
        .map(|op| {
            let is_flag = left > 0 && is_flag(op);
            let answer = match is_flag {
                true => {
                    left -= 1;
                    let flag = flags & 1;
                    flags >>= 1;
                    op_reply(op, &mut std::iter::once(Value::Int(flag)))
                }
                false => op_reply(op, answers),
            };
            answer.map_err(|failure| match op.key() {
                Some(key) => failure.about(key),
                None => failure.into(),
            })
        })
        .collect();
    replies.into_iter().collect()
}

fn refused(answers: &mut impl Iterator<Item = Value>, txn: &Txn) -> Result<Vec<OpReply>> {
    let reads = txn.otherwise.iter();
    let replies: Vec<_> = reads
        .map(|read| {
            let answer = next(answers).and_then(|answer| read_reply(read, answer));
            answer.map_err(|failure| match read.key() {
                Some(key) => failure.about(key),
                None => failure.into(),
            })
        })
        .collect();
    replies.into_iter().collect()
}

/// The key of a step, whose numbers run from 1 through conditions and both branches.
fn key(txn: &Txn, step: i64) -> Option<&Key> {
    let step = usize::try_from(step - 1).ok()?;
    if let Some(guard) = txn.when.get(step) {
        return Some(guard.key());
    }
    let step = step - txn.when.len();
    if let Some(op) = txn.then.get(step) {
        return op.key();
    }
    txn.otherwise.get(step - txn.then.len())?.key()
}

fn op_reply(op: &Op, answers: &mut impl Iterator<Item = Value>) -> Answer<OpReply> {
    let mut next = || next(answers);
    Ok(match op {
        Op::Set { .. } | Op::Notify(_) => OpReply::Done,
        Op::Delete { .. } | Op::DeleteIf { .. } | Op::Expire { .. } | Op::Persist { .. } => {
            OpReply::Flag(decode::flag(next()?)?)
        }
        Op::Increment { .. } | Op::HIncrement { .. } => OpReply::Integer(decode::integer(next()?)?),
        Op::HSet { .. }
        | Op::HDel { .. }
        | Op::ZAdd { .. }
        | Op::ZRem { .. }
        | Op::ZRemRange { .. } => OpReply::Count(decode::count(next()?)?),
        Op::NextToken { .. } => OpReply::Token(decode::count(next()?)?),
        Op::Read(read) => read_reply(read, next()?)?,
        // Refused before it was sent.
        _ => return Err(Failure::unexpected_reply()),
    })
}

fn read_reply(read: &Read, answer: Value) -> Answer<OpReply> {
    Ok(match read {
        Read::Get { .. } | Read::HGet { .. } => OpReply::Value(decode::string(answer)?),
        Read::GetMark { .. } | Read::HGetMark { .. } => {
            let value = decode::string(answer)?;
            OpReply::Mark(value.map(|it| Mark::new(it.into_bytes())))
        }
        Read::Ttl { .. } => OpReply::Ttl(decode::time_to_live(answer)?),
        Read::ZScore { .. } => OpReply::Score(decode::score(answer)?),
        Read::ZCount { .. } => OpReply::Count(decode::count(answer)?),
        Read::ZRange { .. } => OpReply::Members(decode::members(answer, Scores::Include)?),
        Read::LastToken { .. } => OpReply::Token(decode::count(answer)?),
        Read::Now => OpReply::Time(time(answer)?),
        _ => return Err(Failure::unexpected_reply()),
    })
}

/// The server's time.
pub(crate) fn time(answer: Value) -> Answer<Timestamp> {
    decode::integer(answer).map(Timestamp::from_micros)
}

fn next(answers: &mut impl Iterator<Item = Value>) -> Answer<Value> {
    answers.next().ok_or_else(Failure::unexpected_reply)
}

/// Whether the answer of a step is 0 or 1, as `Step::is_flag` says it.
fn is_flag(op: &Op) -> bool {
    match op {
        Op::Delete { .. } | Op::DeleteIf { .. } | Op::Expire { .. } | Op::Persist { .. } => true,
        Op::HSet { fields, .. } => fields.len() == 1,
        Op::HDel { fields, .. } => fields.len() == 1,
        Op::ZRem { members, .. } => members.len() == 1,
        Op::ZAdd { members, .. } => members.len() == 1,
        _ => false,
    }
}
