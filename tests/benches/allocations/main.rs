//! How often a call through each layer allocates, beside the same call without it.
//!
//! A program of its own: to be counted, every allocation takes a detour, which would be measured in the
//! others.

#[path = "../reference/layers.rs"]
mod reference_layers;

use kv_core::{Context, Key, Kv, Value};
use kv_memory::MemoryStore;
use kv_tests::bench::{Claim, Outcome, Row, Suite};
use reference_layers::{Around, Writes, full, layers, transforming};
use std::{
    pin::pin,
    process::ExitCode,
    task::{Poll, Waker},
};
use tokio::runtime::Builder;

fn main() -> Outcome<ExitCode> {
    let mut suite = Suite::begin()?;
    for subject in layers().into_iter().chain([full()]) {
        for op in [Op::Get, Op::Set] {
            if subject.writes != Writes::Refused || op == Op::Get {
                let claim = claim(subject.name, op, subject.limits.allocations);
                row(&mut suite, &claim, subject.around, op);
            }
        }
    }
    for (name, around) in transforming() {
        for op in [Op::Get, Op::Set] {
            row(&mut suite, &claim(name, op, 0.0).told(), around, op);
        }
    }
    Ok(suite.end())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Get,
    Set,
}

impl Op {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
        }
    }

    /// How often a call allocates.
    fn count(self, around: Around) -> Outcome<f64> {
        let store = MemoryStore::default();
        let home = Builder::new_current_thread().enable_all().build()?;
        let plain = home.block_on(Kv::builder(store.clone()).connect())?;
        let kv = home.block_on(around(Kv::builder(store))?.connect())?;
        let kv = kv.bind(Context::tenant("tenant-123"));
        let key = Key::new("key")?;
        let value = Value::from(vec![b'v'; 100]);
        let call = || {
            match self {
                Self::Get => drop(now(kv.get(&key))??),
                Self::Set => now(kv.set(&key, value.clone()))??,
            }
            Outcome::Ok(())
        };
        // One that refuses writes reads what others wrote.
        if now(kv.set(&key, value.clone()))?.is_err() {
            now(plain.set(&key, value.clone()))??;
        }
        // What is made once, by the first call of a thread or the first clone of a key, is not the
        // call's.
        call()?;
        let mut outcome = Ok(());
        let counted = allocation_counter::measure(|| outcome = call());
        outcome?;
        Ok(counted.count_total as f64)
    }
}

fn claim(name: &str, op: Op, limit: f64) -> Claim {
    Claim::allocations_added(format!("layers/{name}/{}/allocations", op.name()), limit)
}

/// With the layer and without it.
fn row(suite: &mut Suite, claim: &Claim, around: Around, op: Op) {
    if !suite.want(&claim.name) {
        return;
    }
    let counts = || Outcome::Ok((op.count(around)?, op.count(Ok)?));
    match counts() {
        Ok(counts) => suite.report(Row::of_figures(claim, [counts])),
        Err(failure) => suite.fail(&claim.name, failure),
    }
}

/// The result of a future that is ready at once, without a runtime that would allocate.
fn now<F: Future>(future: F) -> Outcome<F::Output> {
    let mut context = std::task::Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => Ok(output),
        Poll::Pending => Err("a memory store never waits".into()),
    }
}
