//! A cache whose store fails while four processes ask: each loads for itself, or one for all where there is a second store.
//!
//! ```text
//! cargo xtask example second_store
//! ```

use kv_cache::{Cache, Far, Near};
use kv_core::{Error, ErrorKind, Kv, Layer, Outcome, layer_fn};
use kv_memory::MemoryStore;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

const PROCESSES: usize = 4;
const NAMES: usize = 100;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[tokio::main]
async fn main() -> Result<()> {
    let alone = run(None).await?;
    let with_second = run(Some(MemoryStore::default())).await?;
    println!("{PROCESSES} processes ask for {NAMES} names: loads");
    println!("                            one store   with a second");
    for (phase, (alone, second)) in [
        "while all is well",
        "while the first is down",
        "once it is there again",
    ]
    .iter()
    .zip(alone.iter().zip(&with_second))
    {
        println!("{phase:24} {alone:12} {second:15}");
    }
    match (alone, with_second) {
        ([NAMES, each, 0], [NAMES, NAMES, 0]) if each == PROCESSES * NAMES => Ok(()),
        _ => Err("one is to load for all, and nobody what the first store has".into()),
    }
}

/// The loads in each phase.
async fn run(second: Option<MemoryStore>) -> Result<[usize; 3]> {
    let (first, is_down) = (MemoryStore::default(), Arc::new(AtomicBool::new(false)));
    let mut loads = [0; 3];
    // Each phase has names of its own, and the last one those of the first.
    for (phase, names) in ["well", "down", "well"].into_iter().enumerate() {
        is_down.store(names == "down", Ordering::Relaxed);
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..PROCESSES {
            let kv = Kv::builder(first.clone()).layer(broken(&is_down));
            let mut far = Far::new(&kv.connect().await?);
            if let Some(second) = &second {
                far = far.fallback(&Kv::builder(second.clone()).connect().await?);
            }
            let prices = Cache::<str, usize>::builder("prices");
            let prices = prices.near(Near::megabytes(1)).far(far).build()?;
            for name in 0..NAMES {
                let count = count.clone();
                let load =
                    async move { Ok::<_, Infallible>(count.fetch_add(1, Ordering::Relaxed)) };
                prices.cached(&format!("{names} {name}"), load).await?;
            }
            // What it has loaded is there before the next one asks.
            prices.idle().await;
        }
        loads[phase] = count.load(Ordering::Relaxed);
    }
    Ok(loads)
}

/// A way to a store that fails at once, as behind a circuit breaker that is open.
fn broken(is_down: &Arc<AtomicBool>) -> impl Layer + use<> {
    let is_down = is_down.clone();
    layer_fn("broken", move |request, next| {
        if !is_down.load(Ordering::Relaxed) {
            return next.call(request);
        }
        let error = Error::new(ErrorKind::Unavailable, "the store is down");
        Box::pin(async move { Err(error.with_outcome(Outcome::NotApplied)) })
    })
}
