//! A store as small as can be, which can be copied and compared: what the cache's transactions are made of, and
//! nothing else.

use kv_core::{Guard, Key, Op, OpReply, Read, Timestamp, Txn, TxnReply, Value};
use std::collections::BTreeMap;

/// Nothing that is checked here goes by time.
const NOW: Timestamp = Timestamp::from_micros(0);

#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    strings: BTreeMap<Vec<u8>, Vec<u8>>,
    tokens: BTreeMap<Vec<u8>, u64>,
    token: u64,
}

impl Store {
    pub(super) fn commit(&mut self, txn: &Txn) -> TxnReply {
        if txn.when.iter().all(|guard| self.holds(guard)) {
            let answers = txn.then.iter().map(|op| self.apply(op)).collect();
            return TxnReply::applied(answers).with_now(Some(NOW));
        }
        let answers = txn.otherwise.iter().map(|read| self.read(read)).collect();
        TxnReply::refused(answers).with_now(Some(NOW))
    }

    pub(super) fn value(&self, key: &Key) -> Option<Value> {
        self.strings.get(key.as_bytes()).cloned().map(Value::from)
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::Absent { key } => {
                let key = key.as_bytes();
                !self.strings.contains_key(key) && !self.tokens.contains_key(key)
            }
            Guard::ValueIs { key, mark } => {
                let there = self.strings.get(key.as_bytes()).map(Vec::as_slice);
                there == mark.as_ref().map(|it| it.as_bytes())
            }
            other => panic!("the cache does not use {other:?}"),
        }
    }

    fn apply(&mut self, op: &Op) -> OpReply {
        match op {
            Op::Set { key, content, .. } => {
                let bytes = content.as_bytes().to_vec();
                self.strings.insert(key.as_bytes().to_vec(), bytes);
                OpReply::Done
            }
            Op::Delete { key } => OpReply::Flag(self.strings.remove(key.as_bytes()).is_some()),
            Op::NextToken { key, .. } => {
                self.token += 1;
                self.tokens.insert(key.as_bytes().to_vec(), self.token);
                OpReply::Token(self.token)
            }
            Op::Notify(_) => OpReply::Done,
            Op::Read(read) => self.read(read),
            other => panic!("the cache does not use {other:?}"),
        }
    }

    fn read(&self, read: &Read) -> OpReply {
        let bytes = |key: &Key| self.strings.get(key.as_bytes()).cloned();
        match read {
            Read::Get { key } => OpReply::Value(bytes(key).map(Into::into)),
            Read::GetMark { key } => OpReply::Mark(bytes(key).map(Into::into)),
            Read::LastToken { key } => {
                let last = self.tokens.get(key.as_bytes());
                OpReply::Token(last.copied().unwrap_or(0))
            }
            Read::Now => OpReply::Time(NOW),
            other => panic!("the cache does not use {other:?}"),
        }
    }
}
