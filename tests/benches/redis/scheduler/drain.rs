//! How fast tasks are done that are due: no-op handlers, a hundred at a time, one worker.

use crate::{Bench, Shape, atomic_reference, load::Load, stage::Stage};
use kv_core::{Clock, SystemClock};
use kv_tests::{
    bench::{Claim, Contest, Outcome, Side, Size, Suite},
    noop::Backlog,
};
use std::time::Duration;

/// Tasks in a turn.
const TASKS: u64 = 20_000;

/// Tasks in a small backlog, and how many such backlogs are one turn.
const SMALL: (u64, u64) = (1_000, 50);

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(super) fn rows(bench: &Bench, suite: &mut Suite) {
    let tasks = suite.amount(TASKS);
    let claims = [
        Claim::rate("redis/scheduler/drain", 50_000.0),
        Claim::server_micros("redis/scheduler/drain/cpu", 15.0),
        Claim::ratio("redis/scheduler/drain/by_hand", 0.0).told(),
    ];
    let hundred = Load::new(1, 100);
    suite.hold(&claims, || {
        let stage = bench.stage()?;
        let by_hand = bench.contest(
            Shape {
                load: &hundred,
                size: Size::Ops(tasks),
                prepare: |stage, _, jobs| stage.fill_jobs("{q}:ready", jobs),
                ..bench.single("ack", 1)
            },
            |_, _| async { Ok(()) },
            atomic_reference::claim_and_ack,
        )?;
        Ok(Contest {
            ours: drain(stage, "drain")?,
            ..by_hand
        })
    });
    let (small, many) = (suite.amount(SMALL.0), SMALL.1);
    suite.hold(&[Claim::ratio("redis/scheduler/drain/1000", 0.8)], || {
        let stage = bench.stage()?;
        Ok(contest(
            stage,
            several(stage, many)?,
            drain(stage, "one")?,
            small * many,
        ))
    });
    let deep = suite.amount(1_000_000);
    suite.hold(
        &[Claim::ratio("redis/scheduler/drain/1000000", 0.8)],
        || {
            let stage = bench.stage()?;
            Ok(contest(
                stage,
                off_the_top(stage, deep)?,
                drain(stage, "shallow")?,
                tasks,
            ))
        },
    );
    suite.hold(&[Claim::ratio("redis/scheduler/drain/far", 0.9)], || {
        let stage = bench.stage()?;
        let far = backlog(stage, "far")?;
        let at = SystemClock.now().saturating_add(YEAR);
        stage.threads.runtime.block_on(far.fill_at(deep, at))?;
        Ok(contest(
            stage,
            drain(stage, "far")?,
            drain(stage, "near")?,
            tasks,
        ))
    });
}

fn contest<'a>(stage: &'a Stage, ours: Side<'a>, reference: Side<'a>, tasks: u64) -> Contest<'a> {
    Contest {
        ours,
        reference,
        size: Size::Ops(tasks),
        meter: Some(Box::new(stage)),
    }
}

fn backlog(stage: &Stage, queue: &str) -> Outcome<Backlog> {
    Backlog::new(&stage.threads.bare, queue)
}

/// All of one backlog.
fn drain<'a>(stage: &'a Stage, queue: &str) -> Outcome<Side<'a>> {
    let run = &stage.threads.runtime;
    let (backlog, filled) = (backlog(stage, queue)?, backlog(stage, queue)?);
    let side = Side::new(move |tasks| run.block_on(backlog.drain(tasks)));
    Ok(side.prepared_by(move |tasks| run.block_on(filled.fill(tasks))))
}

/// Backlogs of equal size, one after the other.
fn several(stage: &Stage, many: u64) -> Outcome<Side<'_>> {
    let run = &stage.threads.runtime;
    let all: Outcome<Vec<_>> = (0..many)
        .map(|it| backlog(stage, &format!("small{it}")))
        .collect();
    let all = all?;
    let filled = all.clone();
    let side = Side::new(move |tasks| {
        run.block_on(async {
            for backlog in &all {
                backlog.drain(tasks / many).await?;
            }
            Ok(())
        })
    });
    Ok(side.prepared_by(move |tasks| {
        run.block_on(async {
            for backlog in &filled {
                backlog.fill(tasks / many).await?;
            }
            Ok(())
        })
    }))
}

/// So many of a backlog that stays this deep.
fn off_the_top(stage: &Stage, deep: u64) -> Outcome<Side<'_>> {
    let run = &stage.threads.runtime;
    let (backlog, filled) = (backlog(stage, "deep")?, backlog(stage, "deep")?);
    run.block_on(backlog.fill(deep))?;
    let side = Side::new(move |tasks| run.block_on(backlog.do_some(tasks)));
    Ok(side.prepared_by(move |tasks| run.block_on(filled.fill(tasks))))
}
