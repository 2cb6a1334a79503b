//! `chaos`: the fault tests again and again, each round with another seed.

use crate::{cargo, flags, interrupt, services::Services};
use anyhow::{Context as _, Result, bail};
use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

const DEFAULT_SECONDS: u64 = 60;

pub(crate) fn run(flags: &flags::Chaos) -> Result<ExitCode> {
    let services = Services::all()?;
    // Building does not count as chaos.
    cargo::run(fault_tests()?.arg("--no-run"))?;

    let first = flags
        .seed
        .unwrap_or_else(|| RandomState::new().hash_one("chaos"));
    let start = Instant::now();
    let time = Duration::from_secs(seconds(flags));
    let mut rounds: u64 = 0;
    while rounds == 0 || (start.elapsed() < time && !interrupt::is_set()) {
        let seed = first.wrapping_add(rounds);
        eprintln!("KV_SEED={seed}");
        let mut round = fault_tests()?;
        round
            .env("KV_SEED", seed.to_string())
            .envs(services.variables());
        let failed = || format!("repeat it with `cargo xtask chaos --seed {seed}`");
        if let Err(error) = cargo::run(&mut round) {
            if interrupt::is_set() {
                bail!("interrupted after {rounds} rounds");
            }
            return Err(error).with_context(failed);
        }
        rounds += 1;
    }
    println!(
        "{rounds} rounds in {:.0} s, none failed",
        start.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

/// Someone who gives only a seed wants that round and no other.
fn seconds(flags: &flags::Chaos) -> u64 {
    match (flags.seconds, flags.seed) {
        (Some(seconds), _) => seconds,
        (None, Some(_)) => 0,
        (None, None) => DEFAULT_SECONDS,
    }
}

fn fault_tests() -> Result<Command> {
    let mut cargo = cargo::with_protoc()?;
    cargo.args([
        "test",
        "--package",
        "kv-tests",
        "--all-features",
        "--test",
        "faults",
    ]);
    Ok(cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_alone_is_one_round() {
        assert_eq!(
            seconds(&flags::Chaos {
                seconds: None,
                seed: Some(1)
            }),
            0
        );
        assert_eq!(
            seconds(&flags::Chaos {
                seconds: Some(5),
                seed: Some(1)
            }),
            5
        );
        assert_eq!(
            seconds(&flags::Chaos {
                seconds: None,
                seed: None
            }),
            DEFAULT_SECONDS
        );
    }
}
