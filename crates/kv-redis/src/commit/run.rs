//! One call of a script, for neighbours of one shape and one group.

use super::{
    about,
    cache::{Generated, Scripts},
    decode,
    encode::{Arg, Encoder},
    shape::{Shape, Step},
};
use crate::{
    encode::{self, By, digits},
    error::Answer,
};
use kv_core::{Key, Result, Txn, TxnReply};
use redis::{Cmd, RedisWrite, Value};
use std::sync::Arc;

/// How many transactions one call executes at most: it holds up everybody else meanwhile.
const TXNS: usize = 100;
/// How many steps and elements they have at most; one transaction may have more.
const STEPS: usize = 4000;
/// How many bytes they have at most; one transaction may have more.
const BYTES: usize = 256 << 10;

/// One call.
pub(super) struct Run<'a> {
    shape: Shape,
    script: Arc<Generated>,
    keys: Vec<&'a Key>,
    args: Vec<Arg<'a>>,
    length: usize,
    steps: usize,
    bytes: usize,
    /// All have the same keys.
    alike: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(scripts: &Scripts, encoder: &mut Encoder<'a>, bytes: usize) -> Self {
        let shape = encoder.shape.clone();
        Self {
            script: scripts.of(&shape),
            keys: std::mem::take(&mut encoder.keys),
            steps: steps(encoder),
            args: std::mem::take(&mut encoder.args),
            shape,
            length: 1,
            bytes,
            alike: true,
        }
    }

    /// Takes one more transaction, if it fits.
    pub(super) fn join(&mut self, encoder: &mut Encoder<'a>, bytes: usize) -> bool {
        let more = steps(encoder);
        let full = self.length >= TXNS || self.bytes + bytes > BYTES || self.steps + more > STEPS;
        if full || self.shape != encoder.shape {
            return false;
        }
        let group = encoder.keys.first().map(|key| key.group());
        if group != self.group() {
            return false;
        }
        self.alike &= self.keys[..encoder.keys.len()] == encoder.keys[..];
        self.keys.append(&mut encoder.keys);
        self.args.append(&mut encoder.args);
        self.length += 1;
        self.steps += more;
        self.bytes += bytes;
        true
    }

    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The group of its keys; without keys there is none.
    pub(super) fn group(&self) -> Option<&'a [u8]> {
        self.keys.first().map(|key| key.group())
    }

    /// Whether it may send messages.
    pub(super) fn tells(&self) -> bool {
        let tells = |step: &Step| matches!(step, Step::Notify | Step::ZAdd { wakes: true, .. });
        self.shape.then.iter().any(|(_, step)| tells(step))
    }

    pub(super) fn hash(&self) -> &str {
        &self.script.hash
    }

    pub(super) fn call(&self, by: By) -> Cmd {
        let apart = usize::from(self.shape.keys);
        let (keys, apart) = match self.alike {
            true => (&self.keys[..apart], 0),
            false => (&self.keys[..], apart),
        };
        let head = [digits(self.length as u64), digits(apart as u64)];
        let head = head.map(Arg::Text);
        call(&self.script, by, keys, head.iter().chain(&self.args))
    }

    /// Answers each of its transactions.
    pub(super) fn answer(
        self,
        reply: Answer<Value>,
        txns: &[Txn],
        answers: &mut Vec<Result<TxnReply>>,
    ) {
        let replies = reply.and_then(|reply| {
            let mut replies = crate::decode::list(reply)?.into_iter();
            let now = match self.script.tells_time {
                true => replies.next().map(decode::time).transpose()?,
                false => None,
            };
            Ok((replies, now))
        });
        match replies {
            Ok((mut replies, now)) => {
                answers.extend(txns.iter().map(|txn| decode::txn(&mut replies, txn, now)));
            }
            Err(failure) => {
                answers.extend(txns.iter().map(|txn| Err(about(failure.clone(), txn))));
            }
        }
    }
}

/// A call of a script on these keys.
pub(crate) fn call<'a>(
    script: &Generated,
    by: By,
    keys: &[&Key],
    args: impl Iterator<Item = &'a Arg<'a>> + Clone,
) -> Cmd {
    let (name, script) = match by {
        By::Hash => ("EVALSHA", &script.hash),
        By::Text => ("EVAL", &script.code),
    };
    let count = digits(keys.len() as u64);
    let bytes = script.len()
        + keys.iter().map(|key| key.as_bytes().len()).sum::<usize>()
        + args.clone().map(|arg| arg.as_ref().len()).sum::<usize>();
    let length = 2 + keys.len() + args.clone().count();
    let mut command = encode::command(name, length, bytes + 20);
    command.write_arg(script.as_bytes());
    command.write_arg(count.as_bytes());
    keys.iter()
        .for_each(|key| command.write_arg(key.as_bytes()));
    args.for_each(|arg| command.write_arg(arg.as_ref()));
    command
}

fn steps(encoder: &Encoder<'_>) -> usize {
    let shape = &encoder.shape;
    shape.when.len() + shape.then.len() + shape.otherwise.len() + encoder.args.len()
}
