//! Writes that a later holder's is never undone by.

use super::REMEMBER;
use crate::{Fence, Stale};
use kv_core::{Expiry, Field, Guard, Key, Lifetime, Mark, Op, Read, Result, Txn, TxnReply, Value};
use std::num::ParseIntError;

const VALUE: &str = "v";
const FENCE: &str = "fence";

/// A later holder's write is never undone by an earlier one.
pub(crate) fn fenced_put(resource: &Key, fence: Fence, value: Value) -> Result<Txn> {
    Ok(fenced(resource, fence)?
        .then(Op::HSet {
            key: resource.clone(),
            fields: vec![(Field::from(VALUE), value.into()), seen(fence)],
        })
        .then(Op::Persist {
            key: resource.clone(),
        }))
}

/// The fence outlives the value, else an earlier holder could write again.
pub(crate) fn fenced_delete(resource: &Key, fence: Fence) -> Result<Txn> {
    Ok(fenced(resource, fence)?
        .then(Op::HDel {
            key: resource.clone(),
            fields: vec![VALUE.into()],
        })
        .then(Op::HSet {
            key: resource.clone(),
            fields: vec![seen(fence)],
        })
        .then(Op::Expire {
            key: resource.clone(),
            expiry: Expiry::In(Lifetime::new(REMEMBER)?),
        }))
}

pub(crate) fn fenced_written(mut reply: TxnReply) -> Result<Result<(), Stale>> {
    if reply.applied {
        return Ok(Ok(()));
    }
    let seen = reply.mark(0)?.unwrap_or_default();
    let number = seen.to_str()?.parse().map_err(|source: ParseIntError| {
        kv_core::Error::new(
            kv_core::ErrorKind::Codec,
            "the fence at the resource is no number",
        )
        .with_source(source)
    })?;
    Ok(Err(Stale {
        seen: Fence::from_number(number),
    }))
}

/// Reads, and tells the resource of the fence, so that an earlier holder's write cannot come between
/// this and what the reader makes of it. The first of the two sees to it that where no value is the
/// fence stays for a day from now, neither less nor for ever; the second tells.
pub(crate) fn fenced_get(resource: &Key, fence: Fence) -> Result<Vec<Txn>> {
    let stamp = Op::HSet {
        key: resource.clone(),
        fields: vec![seen(fence)],
    };
    let begin = fenced(resource, fence)?
        .when(Guard::field_absent(resource, VALUE))
        .then(stamp.clone())
        .then(Op::Expire {
            key: resource.clone(),
            expiry: Expiry::In(Lifetime::new(REMEMBER)?),
        });
    let read = fenced(resource, fence)?
        .then(stamp)
        .then(Op::Read(Read::HGet {
            key: resource.clone(),
            field: VALUE.into(),
        }));
    Ok(vec![begin, read])
}

pub(crate) fn fenced_read(replies: Vec<Result<TxnReply>>) -> Result<Result<Option<Value>, Stale>> {
    let mut reply = None;
    for it in replies {
        reply = Some(it?);
    }
    let mut reply = reply.unwrap_or_default();
    if reply.applied {
        return Ok(Ok(reply.value(1)?));
    }
    Ok(fenced_written(reply)?.map(|()| None))
}

fn fenced(resource: &Key, fence: Fence) -> Result<Txn> {
    let limit = i64::try_from(fence.get())?;
    Ok(Txn::new()
        .when(Guard::field_at_most(resource, FENCE, limit))
        .otherwise(Read::HGetMark {
            key: resource.clone(),
            field: FENCE.into(),
        }))
}

fn seen(fence: Fence) -> (Field, kv_core::Content) {
    (FENCE.into(), Mark::from(fence.to_string()).into())
}
