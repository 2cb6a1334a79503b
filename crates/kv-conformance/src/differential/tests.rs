use super::{
    Common, Differential, Failure, Floors, Mismatch, Summary, generate::Generator, lane::Lane,
};
use kv_core::{
    COMMANDS, Capabilities, Capability, CapabilitySet, Cursor, Key, Kv, Layer, Prefixes, Reply,
    Result, ScanFrom, ScanPage, SetOptions, SetReply, Store, Timestamp, Value, layer_fn,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

const EVERYTHING: Common = Common {
    can: CapabilitySet::ALL,
};
const EPOCH: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// Unconditional strings without deadlines: the least on which a trace makes sense.
#[derive(Default)]
struct Strings(Mutex<BTreeMap<Key, Value>>);

impl Store for Strings {
    fn name(&self) -> &'static str {
        "strings"
    }

    fn capabilities(&self) -> Capabilities {
        let can = [Capability::Strings, Capability::Scan, Capability::StoreTime];
        Capabilities::new(CapabilitySet::from_iter(can))
    }

    async fn get(&self, key: Key) -> Result<Option<Value>> {
        Ok(self.0.lock().get(&key).cloned())
    }

    async fn get_many(&self, keys: Vec<Key>) -> Result<Vec<Option<Value>>> {
        let map = self.0.lock();
        Ok(keys.iter().map(|key| map.get(key).cloned()).collect())
    }

    async fn set_with(&self, key: Key, value: Value, _: SetOptions) -> Result<SetReply> {
        self.0.lock().insert(key, value);
        Ok(SetReply::applied())
    }

    async fn set_many_with(
        &self,
        items: Vec<(Key, Value)>,
        _: SetOptions,
    ) -> Result<Vec<Result<bool>>> {
        let mut map = self.0.lock();
        let wrote = items.into_iter().map(|(key, value)| {
            map.insert(key, value);
            Ok(true)
        });
        Ok(wrote.collect())
    }

    async fn delete_many(&self, keys: Vec<Key>) -> Result<u64> {
        let mut map = self.0.lock();
        let there = keys.iter().filter(|key| map.remove(*key).is_some());
        Ok(there.count() as u64)
    }

    async fn exists_many(&self, keys: Vec<Key>) -> Result<u64> {
        let map = self.0.lock();
        let keys = BTreeSet::from_iter(keys);
        Ok(keys.iter().filter(|key| map.contains_key(*key)).count() as u64)
    }

    async fn scan_page(&self, prefixes: Prefixes, from: ScanFrom, limit: u32) -> Result<ScanPage> {
        let map = self.0.lock();
        let past = |key: &Key| match &from {
            ScanFrom::Cursor(last) => key.as_bytes() > last.as_bytes(),
            _ => true,
        };
        let found = map.keys().filter(|key| prefixes.contain(key) && past(key));
        let keys: Vec<Key> = found.take(limit as usize).cloned().collect();
        let full = keys.len() == limit as usize;
        let last = keys.last().filter(|_| full);
        let next = last.map(|key| Cursor::new(key.bytes().clone()));
        Ok(ScanPage::new(keys, next))
    }

    async fn clear_prefixes(&self, prefixes: Prefixes) -> Result<u64> {
        let mut map = self.0.lock();
        let before = map.len();
        map.retain(|key, _| !prefixes.contain(key));
        Ok((before - map.len()) as u64)
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(EPOCH)
    }
}

async fn sound() -> Kv {
    let builder = Kv::builder(Strings::default());
    builder.connect().await.unwrap()
}

async fn sabotaged(layer: impl Layer) -> Kv {
    let builder = Kv::builder(Strings::default()).layer(layer);
    builder.connect().await.unwrap()
}

async fn mismatch(other: Kv) -> Mismatch {
    let test = Differential::new(3).commands(4_000).lanes(4);
    match test.run(&sound().await, &[sound().await, other]).await {
        Err(Failure::Mismatch(mismatch)) => *mismatch,
        other => panic!("the sabotage was not found: {other:?}"),
    }
}

#[tokio::test]
async fn equal_stores_agree_and_are_left_clean() {
    let (one, other) = (sound().await, sound().await);
    let test = Differential::new(1).commands(4_000).lanes(4);
    let summary = test.run(&one, std::slice::from_ref(&other)).await.unwrap();
    assert!(summary.commands >= 4_000, "{summary}");
    assert!(
        summary.changed > 800 && summary.telling > 1_600,
        "{summary}"
    );
    let left = one.scan_page(Prefixes::from(""), ScanFrom::Start, 10);
    assert_eq!(left.await.unwrap().keys, []);
}

#[tokio::test]
async fn a_wrong_reply_is_found_and_its_trace_made_short() {
    let reversed = layer_fn("reversed", |request, next| {
        Box::pin(async move {
            Ok(match next.call(request).await? {
                Reply::GetMany(mut values) => {
                    values.reverse();
                    Reply::GetMany(values)
                }
                other => other,
            })
        })
    });
    let found = mismatch(sabotaged(reversed).await).await;
    assert_eq!(found.operation, "get_many", "{found}");
    assert_eq!(found.said[0].reply, found.said[1].reply, "{found}");
    assert_ne!(found.said[0].reply, found.said[2].reply, "{found}");
    assert_eq!(found.said[2].store, "Kv(strings > reversed)");
    let shortest = found.shortest.as_ref().expect("it shows every time");
    assert_eq!(shortest.len(), 2, "a write and the read: {found}");
    assert!(found.to_string().contains("seed 3"), "{found}");
}

#[tokio::test]
async fn a_lost_write_is_found_by_its_effect() {
    let forgetful = layer_fn("forgetful", |request, next| {
        Box::pin(async move {
            match request.command {
                kv_core::Command::Set { ref value, .. } if value.as_bytes().is_empty() => {
                    Ok(Reply::Set(SetReply::applied()))
                }
                _ => next.call(request).await,
            }
        })
    });
    let found = mismatch(sabotaged(forgetful).await).await;
    assert_ne!(found.operation, "set_with", "{found}");
    assert!(found.shortest.is_some_and(|steps| steps.len() == 2));
}

#[tokio::test]
async fn what_happens_only_once_is_told_with_its_history() {
    let calls = AtomicU64::new(0);
    let once = layer_fn("once", move |request, next| {
        let wrong = calls.fetch_add(1, Ordering::Relaxed) == 2_000;
        Box::pin(async move {
            match next.call(request).await {
                Ok(_) if wrong => Err(kv_core::Error::unsupported("once")),
                reply => reply,
            }
        })
    });
    let found = mismatch(sabotaged(once).await).await;
    assert_eq!(found.shortest, None, "{found}");
    assert!(found.said[2].reply.starts_with("Unsupported"), "{found}");
    assert!(!found.history.is_empty() && found.history.len() <= 12);
}

#[test]
fn a_seed_always_makes_the_same_trace() {
    let trace = |seed| {
        let lane = Lane::new(seed, 0, EPOCH);
        let steps = Generator::new(&lane, EVERYTHING).trace(500);
        format!("{steps:?}").replace(&format!("diff.{seed}."), "")
    };
    assert_eq!(trace(1), trace(1));
    assert_ne!(trace(1), trace(2));
}

#[test]
fn a_trace_calls_every_command_of_the_table() {
    let lane = Lane::new(1, 0, EPOCH);
    let steps = Generator::new(&lane, EVERYTHING).trace(6_000);
    let called: BTreeSet<_> = steps.iter().map(|step| step.name()).collect();
    for spec in COMMANDS {
        assert!(called.contains(spec.name), "{} is never called", spec.name);
    }
}

#[test]
fn a_run_that_tested_little_is_refused() {
    let mut summary = Summary::new(0, CapabilitySet::ALL);
    summary.commands = 100;
    let refusal = |summary: &Summary| summary.check(Floors::default()).unwrap_err();
    assert!(refusal(&summary).contains("never called"));
    summary.by_command = COMMANDS.iter().map(|spec| (spec.name, 1)).collect();
    summary.telling = 90;
    summary.changed = 19;
    assert!(refusal(&summary).contains("only 19 of 100 commands changed"));
    summary.changed = 20;
    summary.check(Floors::default()).unwrap();
    summary.telling = 39;
    assert!(refusal(&summary).contains("telling"));
}
