//! The report at the end of a run.

use crate::{
    journal::{Entry, Fault},
    tasks::Task,
};
use kv_core::PhysicalKey;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// What a run produced.
pub(crate) struct Run<'a> {
    pub(crate) stack: String,
    pub(crate) tasks: &'a [Task],
    pub(crate) journal: &'a [Entry],
    pub(crate) faults: &'a [Fault],
    /// The store's own counters, by tenant.
    pub(crate) counted: &'a BTreeMap<String, i64>,
    pub(crate) took: Duration,
    pub(crate) sample: Option<(PhysicalKey, Duration)>,
    pub(crate) bad_lines: usize,
}

/// Prints the report; whether all is well.
pub(crate) fn print(run: &Run<'_>) -> bool {
    println!("\nstore      {}", run.stack);
    println!(
        "tasks      {} in {:.2} s: {:.0} per second",
        run.journal.len(),
        run.took.as_secs_f64(),
        run.journal.len() as f64 / run.took.as_secs_f64()
    );
    println!("           (a list is no faster than the times its tasks are due at)");
    match run.bad_lines {
        0 => {}
        1 => println!("refused    1 line, told above"),
        lines => println!("refused    {lines} lines, told above"),
    }
    print_tenants(run);
    if let Some((key, left)) = &run.sample {
        println!(
            "a result is stored at `{key}` and lives for {} s more\n",
            left.as_secs()
        );
    }
    let counted = run.counted.values().sum::<i64>() == run.tasks.len() as i64;
    let checks = [
        ("there was something to run", !run.tasks.is_empty()),
        ("each run exactly once", !run.faults.iter().any(once)),
        (
            "none early",
            !run.faults
                .iter()
                .any(|it| matches!(it, Fault::Early { .. })),
        ),
        (
            "order kept",
            !run.faults
                .iter()
                .any(|it| matches!(it, Fault::Reordered { .. })),
        ),
        ("counters agree", counted),
    ];
    for (what, held) in checks {
        println!("{} {what}", if held { "ok    " } else { "FAILED" });
    }
    const SHOWN: usize = 20;
    for fault in run.faults.iter().take(SHOWN) {
        println!("       {fault}");
    }
    if let Some(more) = run.faults.len().checked_sub(SHOWN + 1) {
        println!("       and {} more", more + 1);
    }
    checks.iter().all(|(_, held)| *held)
}

fn print_tenants(run: &Run<'_>) {
    let due: HashMap<_, _> = run
        .tasks
        .iter()
        .map(|it| ((&*it.tenant, &*it.id), it.run_at))
        .collect();
    let mut late: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for entry in run.journal {
        if let Some(run_at) = due.get(&(&*entry.tenant, &*entry.id)) {
            let lateness = entry.at.saturating_since(*run_at);
            late.entry(&entry.tenant).or_default().push(lateness);
        }
    }
    println!(
        "\n{:<24} {:>8} {:>12} {:>12}",
        "tenant", "tasks", "late p50", "late p99"
    );
    for (tenant, mut late) in late {
        late.sort_unstable();
        let at = |part: usize| {
            format!(
                "{:.2} ms",
                late[(late.len() - 1) * part / 100].as_secs_f64() * 1e3
            )
        };
        println!(
            "{tenant:<24} {:>8} {:>12} {:>12}",
            late.len(),
            at(50),
            at(99)
        );
    }
    println!();
}

fn once(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Duplicated { .. } | Fault::Lost { .. } | Fault::Unknown { .. }
    )
}
