//! The scheduler as it is, in several processes on one store, with everything in between in the hands of
//! a seed: which call arrives when and which does not, who dies, who stands still, whose clock is set.
//! After every write the store is compared with what it was, and each change must be one that is
//! allowed, to whom it is allowed: the invariants I1 to I7, I9 and I11 to I13 of `docs/decisions/0012`.
//!
//! `KV_SEED=7 cargo test -p kv-scheduler --test simulation -- --nocapture` tells what happens in one of
//! them; `KV_SEEDS=100000` runs so many, `KV_MATRIX=full` 20,000.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod chaos;
mod clients;
mod clock;
mod ledger;
mod network;
mod rest;
mod rules;
mod run;
mod work;

use self::{rules::History, run::Simulation};
use fastrand::Rng;
use std::env;

/// How many things happen before all comes to rest.
const STEPS: usize = 220;

const USUAL: u64 = 1_000;

const FULL: u64 = 20_000;

/// What there was to see in a simulation.
struct Seen {
    history: History,
    sum: u64,
}

fn simulate(seed: u64, is_told: bool) -> Result<Seen, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    // What the scheduler itself throws dice for.
    fastrand::seed(seed);
    runtime.block_on(async {
        let mut simulation = Simulation::new(Rng::with_seed(seed), is_told).await;
        let is_calm = simulation.chaos.is_calm();
        for _ in 0..STEPS {
            simulation.step().await?;
        }
        simulation.come_to_rest().await?;
        let lapses: u32 = simulation
            .history
            .facts
            .iter()
            .map(|it| it.all_lapses)
            .sum();
        if is_calm && lapses > 0 {
            return Err(format!("I4: {lapses} leases lapsed for no reason"));
        }
        let sum = simulation.trace.sum;
        let history = simulation.end().await?;
        Ok(Seen { history, sum })
    })
}

fn fail(seed: u64, why: &str) -> ! {
    panic!("seed {seed}: {why}\nKV_SEED={seed} repeats it");
}

/// The share of all seeds that one test runs: there are two, for two processors.
fn run_seeds(share: u64) {
    if let Ok(seed) = env::var("KV_SEED") {
        let seed: u64 = seed.parse().expect("KV_SEED is not a number");
        if seed % 2 == share
            && let Err(why) = simulate(seed, true)
        {
            fail(seed, &why);
        }
        return;
    }
    let seeds: u64 = match (env::var("KV_SEEDS"), env::var("KV_MATRIX")) {
        (Ok(seeds), _) => seeds.parse().expect("KV_SEEDS is not a number"),
        (_, Ok(matrix)) if matrix == "full" => FULL,
        _ => USUAL,
    };
    let (mut starts, mut lapses) = (0, 0);
    for seed in (share..seeds).step_by(2) {
        match simulate(seed, false) {
            Ok(seen) => {
                starts += seen.history.facts.iter().map(|it| it.starts).sum::<u32>();
                lapses += seen
                    .history
                    .facts
                    .iter()
                    .map(|it| it.all_lapses)
                    .sum::<u32>();
            }
            Err(why) => fail(seed, &why),
        }
    }
    println!("{starts} starts, {lapses} lapses");
    assert!(lapses > 0 && starts > lapses, "nothing has happened");
}

#[test]
fn half_of_the_seeds_keep_all_invariants() {
    run_seeds(0);
}

#[test]
fn the_other_half_does_too() {
    run_seeds(1);
}

#[test]
fn the_same_seed_is_the_same_simulation() {
    for seed in 0..20 {
        let [first, again] = [(); 2].map(|()| simulate(seed, false).map(|it| it.sum));
        assert_eq!(first, again, "seed {seed}");
    }
}
