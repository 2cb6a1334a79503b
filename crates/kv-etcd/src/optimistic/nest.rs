//! Transactions of more operations than etcd takes in one.
//!
//! A transaction may hold others. Of each level, the longest of its three lists counts against the
//! limit, and what is left is the limit of each transaction inside it, whatever the others hold: 40
//! transactions of 88 operations are one atomic step of 3,520.

use super::run::MOST_OPS;
use crate::{
    answers,
    error::{Answer, Failure},
};
use etcd_client::{Txn, TxnOp, TxnOpResponse, TxnResponse};

/// How many operations stand side by side where they are nested.
const WIDTH: usize = 40;

/// How the operations of one transaction are laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    width: usize,
    limit: usize,
}

impl Shape {
    /// Of a transaction with so many conditions, operations and reads instead of them; `None` if
    /// etcd takes no such transaction.
    pub(super) fn of(conditions: usize, ops: usize, otherwise: usize) -> Option<Self> {
        Self::around(0, conditions, ops, otherwise)
    }

    /// The same where operations are transactions themselves, of so many conditions or operations
    /// each, which need room below their level.
    pub(super) fn around(
        inside: usize,
        conditions: usize,
        ops: usize,
        otherwise: usize,
    ) -> Option<Self> {
        let limit = MOST_OPS.checked_sub(inside).filter(|&it| it > WIDTH)?;
        let most = ops.max(otherwise);
        let width = match most <= limit {
            true => limit,
            false => conditions.max(WIDTH),
        };
        let fits = conditions <= limit && most <= room(width, limit);
        fits.then_some(Self { width, limit })
    }

    /// The operations of the outermost level.
    pub(super) fn nest(self, ops: Vec<TxnOp>) -> Vec<TxnOp> {
        nest(ops, self.width, self.limit)
    }
}

/// The answers in the order of so many operations, however they were nested.
pub(super) fn answers(
    response: &mut TxnResponse,
    shape: Shape,
    ops: usize,
) -> Answer<Vec<TxnOpResponse>> {
    let mut flat = Vec::with_capacity(ops);
    unnest(response, ops, shape.width, shape.limit, &mut flat)?;
    Ok(flat)
}

fn unnest(
    response: &mut TxnResponse,
    ops: usize,
    width: usize,
    limit: usize,
    flat: &mut Vec<TxnOpResponse>,
) -> Answer<()> {
    if ops <= width {
        flat.extend(answers::take(response, ops)?);
        return Ok(());
    }
    let inner = limit - width;
    let share = ops.div_ceil(width);
    let mut rest = ops;
    for answer in answers::take(response, ops.div_ceil(share))? {
        let TxnOpResponse::Txn(mut nested) = answer else {
            return Err(Failure::unexpected_reply());
        };
        let part = share.min(rest);
        match share <= inner {
            true => flat.extend(answers::take(&mut nested, part)?),
            false => unnest(&mut nested, part, inner / 2, inner, flat)?,
        }
        rest -= part;
    }
    Ok(())
}

/// How many operations fit a level of this width.
fn room(width: usize, limit: usize) -> usize {
    let inner = limit - width;
    match inner {
        0 => width,
        1 => width * inner,
        _ => width * inner.max(room(inner / 2, inner)),
    }
}

fn nest(ops: Vec<TxnOp>, width: usize, limit: usize) -> Vec<TxnOp> {
    if ops.len() <= width {
        return ops;
    }
    let inner = limit - width;
    let share = ops.len().div_ceil(width);
    let mut ops = ops.into_iter();
    let mut nested = Vec::with_capacity(width);
    loop {
        let part: Vec<_> = ops.by_ref().take(share).collect();
        if part.is_empty() {
            return nested;
        }
        let part = match share <= inner {
            true => part,
            false => nest(part, inner / 2, inner),
        };
        nested.push(TxnOp::txn(Txn::new().and_then(part)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_known_before_it_is_sent() {
        let fits = |conditions, ops| Shape::of(conditions, ops, 0).is_some();
        assert!(fits(0, 128) && fits(128, 128) && fits(2, 3_520) && fits(100, 2_800));
        assert!(fits(40, 70_000));
        assert!(fits(127, 127) && !fits(127, 129) && !fits(128, 129) && !fits(129, 1));
        assert!(Shape::of(128, 1, 129).is_none());
    }

    #[test]
    fn room_is_left_for_what_operations_hold_themselves() {
        let fits = |inside, conditions, ops| Shape::around(inside, conditions, ops, 0).is_some();
        assert!(fits(1, 127, 127) && !fits(1, 128, 1) && fits(28, 100, 100) && !fits(28, 101, 1));
        assert!(fits(1, 2, 3_480) && fits(1, 2, 3_520) && !fits(88, 0, 1));
        let used = |ops: usize| {
            let Shape { width, limit } = Shape::around(1, 2, ops, 0).unwrap();
            deepest(ops, width, limit)
        };
        for ops in [100, 127, 128, 3_480, 3_481, 3_500, 3_520, 3_521, 9_000] {
            assert!(used(ops) < MOST_OPS, "{ops}");
        }
    }

    /// How much of etcd's limit the innermost level uses together with those around it.
    fn deepest(ops: usize, width: usize, limit: usize) -> usize {
        if ops <= width {
            return ops;
        }
        let (inner, share) = (limit - width, ops.div_ceil(width));
        width
            + match share <= inner {
                true => share,
                false => deepest(share, inner / 2, inner),
            }
    }
}
