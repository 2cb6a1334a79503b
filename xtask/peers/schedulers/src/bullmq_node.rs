//! BullMQ as it is used most, on Node: a script that times itself.

use crate::{MANY, SMALL, Stage};
use kv_tests::bench::{Claim, Effort, Outcome, Row, Suite};
use std::{env, fs, path::PathBuf, process::Command, time::Instant};

const SCRIPT: &str = include_str!("drain.mjs");

pub(crate) fn rows(suite: &mut Suite) {
    let rows = [
        (
            Claim::ratio(format!("scheduler/bullmq_node/drain/{SMALL}"), 1.2),
            SMALL,
            MANY,
        ),
        (
            Claim::ratio("scheduler/bullmq_node/drain/20000", 3.0),
            20_000,
            1,
        ),
    ];
    for (claim, backlog, many) in rows {
        if !suite.want(&claim.name) {
            continue;
        }
        match rounds(suite, suite.amount(backlog), many) {
            Ok(figures) => suite.report(Row::of_figures(&claim, figures)),
            Err(failure) => suite.fail(&claim.name, failure),
        }
    }
}

/// Tasks a second, ours and theirs.
fn rounds(suite: &Suite, backlog: u64, many: u64) -> Outcome<Vec<(f64, f64)>> {
    let place = install()?;
    let stage = Stage::open()?;
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs,
        Effort::Smoke => 1,
    };
    let tasks = (backlog * many) as f64;
    let mut figures = Vec::new();
    for _ in 0..rounds {
        stage.empty()?;
        let all: Outcome<Vec<_>> = (0..many)
            .map(|it| stage.backlog(format!("q{it}")))
            .collect();
        let all = all?;
        let ours = stage.run.block_on(async {
            for queue in &all {
                queue.fill(backlog).await?;
            }
            let begun = Instant::now();
            for queue in &all {
                queue.drain(backlog).await?;
            }
            Outcome::Ok(tasks / begun.elapsed().as_secs_f64())
        })?;
        stage.empty()?;
        let address = stage.server.url().replace("redis://", "");
        let told = Command::new("node")
            .current_dir(&place)
            .arg("drain.mjs")
            .args([address, backlog.to_string(), many.to_string()])
            .output()?;
        if !told.status.success() {
            return Err(String::from_utf8_lossy(&told.stderr).into_owned().into());
        }
        let seconds: f64 = String::from_utf8(told.stdout)?.trim().parse()?;
        figures.push((ours, tasks / seconds));
    }
    Ok(figures)
}

/// Into the peers' own directory of the target.
fn install() -> Outcome<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").ok_or("CARGO_TARGET_DIR must be set")?;
    let place = PathBuf::from(target).join("bullmq-node");
    fs::create_dir_all(&place)?;
    fs::write(place.join("drain.mjs"), SCRIPT)?;
    let package =
        r#"{"private":true,"type":"module","dependencies":{"bullmq":"6.7.0","ioredis":"5.8.2"}}"#;
    fs::write(place.join("package.json"), package)?;
    let npm = Command::new("npm")
        .current_dir(&place)
        .args(["install", "--no-audit", "--no-fund", "--silent"])
        .output()
        .map_err(|error| format!("npm: {error}"))?;
    match npm.status.success() {
        true => Ok(place),
        false => Err(String::from_utf8_lossy(&npm.stderr).into_owned().into()),
    }
}
