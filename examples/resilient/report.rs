//! The report at the end of a run.

use crate::{
    Phase, Seen,
    journal::{FaultKind, Journal, Stored, Verdict},
    load::Reads,
    stack,
};
use std::{collections::BTreeMap, time::Duration};

/// What may come on top of what the stack allows a call, and of how late the machine's timers were: an
/// outage lasts for two seconds, so a call that no layer ended shows, and what is merely slow does not.
const SLACK: Duration = Duration::from_secs(1);

/// What a run produced.
pub(crate) struct Run<'a> {
    pub(crate) phases: &'a BTreeMap<Phase, Seen>,
    pub(crate) journals: &'a [Journal],
    pub(crate) reads: Reads,
    pub(crate) stored: &'a Stored,
    pub(crate) longest: Duration,
    /// By how much a timer was late at most.
    pub(crate) latest: Duration,
}

/// Prints the report; whether all is well.
pub(crate) fn print(run: &Run<'_>) -> bool {
    let verdict = Verdict::of(run.journals, run.stored);
    let fell_back: u64 = run.phases.values().map(|it| it.fell_back).sum();
    println!(
        "\nincrements {} acknowledged, {} in doubt ({} of them applied), {} refused and not applied",
        verdict.acknowledged, verdict.unknown, verdict.unknown_applied, verdict.not_applied
    );
    println!("counter    {}", run.stored.counter);
    println!(
        "reads      {} answered, {fell_back} of them by the second store; {} failed",
        run.reads.answered, run.reads.failed
    );
    println!(
        "longest    {:.0} ms, of {:.0} that the layers allow; timers were late by up to {:.0} ms\n",
        run.longest.as_secs_f64() * 1e3,
        stack::LONGEST.as_secs_f64() * 1e3,
        run.latest.as_secs_f64() * 1e3
    );
    let checks = checks(run, &verdict);
    for (what, held) in &checks {
        println!("{} {what}", if *held { "ok    " } else { "FAILED" });
    }
    const SHOWN: usize = 20;
    for fault in verdict.faults.iter().take(SHOWN) {
        println!("       {fault}");
    }
    if let Some(more) = verdict.faults.len().checked_sub(SHOWN + 1) {
        println!("       and {} more", more + 1);
    }
    checks.iter().all(|(_, held)| *held)
}

fn checks(run: &Run<'_>, verdict: &Verdict) -> Vec<(&'static str, bool)> {
    let in_doubt = verdict.acknowledged..=verdict.acknowledged + verdict.unknown;
    let applied = run.stored.applied.iter().flat_map(|it| it.values());
    let phases = |is_outage| {
        let of = move |(phase, _): &(&Phase, &Seen)| phase.is_outage() == is_outage;
        run.phases.iter().filter(of).map(|(_, seen)| seen)
    };
    vec![
        (
            "there was something to do, and it was done",
            verdict.acknowledged > 0 && run.reads.answered > 0,
        ),
        (
            "no increment was applied twice",
            !verdict.has(|it| it == FaultKind::Twice),
        ),
        (
            "none that was acknowledged is lost",
            !verdict.has(|it| it == FaultKind::Lost),
        ),
        (
            "none that was told as not applied is there",
            !verdict.has(|it| matches!(it, FaultKind::Applied | FaultKind::Stray)),
        ),
        (
            "every error is one that an outage explains",
            !verdict.has(|it| matches!(it, FaultKind::Strange(_))),
        ),
        (
            "the counter is what was acknowledged, and at most what is in doubt more",
            in_doubt.contains(&run.stored.counter),
        ),
        (
            "the counter is the sum of what was applied",
            applied.sum::<i64>() == run.stored.counter,
        ),
        (
            "every read was answered, and with what was written",
            run.reads.failed == 0 && run.reads.wrong == 0,
        ),
        (
            "in each outage the breaker opened and reads fell back",
            phases(true).all(|it| it.was_open && it.fell_back > 0),
        ),
        (
            "after each it closed again by itself",
            phases(false).all(|it| it.is_closed && it.answered > 0),
        ),
        (
            "no call took longer than the layers allow, and what a busy machine adds",
            run.longest <= stack::LONGEST + run.latest + SLACK,
        ),
    ]
}
