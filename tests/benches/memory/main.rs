//! The memory store through `Kv` against bare collections.

mod cache;
mod hot;
mod layers;
mod limits;
mod maps;
mod near;
mod plain;
#[path = "../reference/governor.rs"]
mod reference_governor;
#[path = "../reference/layers.rs"]
mod reference_layers;
#[path = "../reference/map.rs"]
mod reference_map;
#[path = "../reference/zipf.rs"]
mod reference_zipf;
#[path = "../reference/zset.rs"]
mod reference_zset;
mod scheduler;
mod throttle;
mod zset;

use kv_core::{Kv, Store as Provider};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_tests::bench::{Outcome, Suite};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

fn main() -> Outcome<ExitCode> {
    if let Some(outcome) = zset::child().or_else(limits::child) {
        outcome?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut suite = Suite::begin()?;
    maps::rows(&mut suite);
    hot::rows(&mut suite);
    near::rows(&mut suite);
    layers::rows(&mut suite);
    throttle::rows(&mut suite);
    limits::rows(&mut suite);
    cache::rows(&mut suite);
    zset::rows(&mut suite);
    scheduler::rows(&mut suite);
    Ok(suite.end())
}

/// A store as a program opens it, with the runtime that its sweeper lives in.
struct Store {
    kv: Kv,
    _home: Runtime,
}

impl Store {
    fn open() -> Outcome<Self> {
        Self::over(MemoryStore::new(MemoryConfig::default()))
    }

    fn over(store: impl Provider) -> Outcome<Self> {
        let home = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let kv = home.block_on(Kv::builder(store).connect())?;
        Ok(Self { kv, _home: home })
    }
}

/// Runs a future on this thread, as a program with a runtime of its own on each thread does.
fn block_on<F: Future>(future: F) -> Outcome<F::Output> {
    Ok(Builder::new_current_thread().build()?.block_on(future))
}
