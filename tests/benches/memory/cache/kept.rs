//! How many reads hit where one in twenty entries has room, against moka with room for as many.

use super::{VALUE, builder};
use crate::reference_zipf::zipf;
use kv_tests::bench::{Claim, Effort, Figure, Outcome, Row, Suite};
use std::convert::Infallible;
use tokio::runtime::{Builder, Runtime};

pub(super) fn rows(suite: &mut Suite) {
    let claim = Claim {
        figure: Figure::Hits,
        ..Claim::ratio("cache/kept/zipf", 0.99)
    };
    if !suite.want(&claim.name) {
        return;
    }
    let rounds = match suite.effort() {
        Effort::Full { .. } => 3,
        Effort::Smoke => 1,
    };
    let keys = suite.amount(1_000_000);
    let names: Vec<String> = (0..keys).map(|it| format!("key:{it:012}")).collect();
    let round = |seed| {
        let reads = zipf(keys, 3 * keys, seed);
        let names = reads.iter().map(|it| names[*it as usize].as_str());
        Ok((ours(names.clone(), keys)?, moka(names, keys)))
    };
    let figures: Outcome<Vec<_>> = (0..rounds).map(round).collect();
    match figures {
        Ok(figures) => suite.report(Row::of_figures(&claim, figures)),
        Err(failure) => suite.fail(&claim.name, failure),
    }
}

/// The part of reads that hit, after as many as there are keys.
fn ours<'a>(names: impl Iterator<Item = &'a str>, keys: u64) -> Outcome<f64> {
    let cache = builder(weight()? * (keys / 20)).build()?;
    let mut before = 0;
    let mut reads = 0;
    let runtime = runtime()?;
    runtime.block_on(async {
        for name in names {
            if reads == keys {
                before = cache.stats().near_hits;
            }
            reads += 1;
            let load = |_| async { Ok::<_, Infallible>(VALUE.to_owned()) };
            cache.get_or_load(name, load).await?;
        }
        Outcome::Ok(())
    })?;
    let hits = cache.stats().near_hits - before;
    Ok(hits as f64 / (reads - keys) as f64)
}

/// What one entry weighs.
fn weight() -> Outcome<u64> {
    let cache = builder(1 << 20).build()?;
    runtime()?.block_on(cache.set("key:000000000000", VALUE.to_owned()))?;
    Ok(cache.near_size().1)
}

/// Loads have a time limit.
fn runtime() -> Outcome<Runtime> {
    Ok(Builder::new_current_thread().enable_time().build()?)
}

fn moka<'a>(names: impl Iterator<Item = &'a str>, keys: u64) -> f64 {
    let cache = moka::sync::Cache::<String, &str>::new(keys / 20);
    let (mut reads, mut hits) = (0, 0);
    for name in names {
        reads += 1;
        match cache.get(name) {
            Some(_) => hits += u64::from(reads > keys),
            None => cache.insert(name.to_owned(), VALUE),
        }
    }
    hits as f64 / (reads - keys) as f64
}
