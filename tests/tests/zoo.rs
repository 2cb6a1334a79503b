//! The suite must catch every saboteur of the zoo, each by the cases that are there for it, and pass
//! the store that nobody sabotaged. Each saboteur is a test of its own; a table follows them.

use kv_conformance::{Case, Fixture, Settings, run, run_only, zoo};
use kv_core::Kv;
use kv_memory::{MemoryConfig, MemoryStore};
use libtest_mimic::{Arguments, Failed, Trial};
use parking_lot::Mutex;
use std::{fmt, num::NonZeroUsize, process::ExitCode, sync::Arc, time::Duration};
use tokio::runtime::{Builder, Handle};

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Most cases wait for a deadline, not for a processor.
    args.test_threads.get_or_insert(6);
    let runtime = match Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let table = Arc::new(Mutex::new(Vec::new()));
    let mut trials = vec![intact(runtime.handle())];
    trials.extend(zoo::all().map(|it| trial(it, &table, runtime.handle())));
    let conclusion = libtest_mimic::run(&args, trials);

    let mut table = table.lock();
    table.sort();
    for line in table.iter() {
        println!("{line}");
    }
    conclusion.exit_code()
}

/// The store itself passes, or a verdict on the others means nothing.
fn intact(runtime: &Handle) -> Trial {
    let runtime = runtime.clone();
    Trial::test("nobody", move || {
        let report = runtime.block_on(run(fixture("nobody", None)));
        match report.failed().is_empty() {
            true => Ok(()),
            false => Err(Failed::from(report)),
        }
    })
}

fn trial(
    saboteur: &'static zoo::Saboteur,
    table: &Arc<Mutex<Vec<String>>>,
    runtime: &Handle,
) -> Trial {
    let (table, runtime) = (Arc::clone(table), runtime.clone());
    Trial::test(saboteur.name, move || {
        let verdict = runtime.block_on(judge(saboteur));
        table.lock().push(verdict.to_string());
        match verdict.escaped.as_slice() {
            [] => Ok(()),
            escaped => Err(Failed::from(format!("passed the cases {escaped:?}"))),
        }
    })
}

struct Verdict {
    saboteur: &'static zoo::Saboteur,
    failed: Vec<u16>,
    /// The cases that should have failed and passed.
    escaped: Vec<u16>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.escaped.is_empty() {
            true => "caught",
            false => "ESCAPED",
        };
        let (name, expected) = (self.saboteur.name, self.saboteur.caught_by);
        write!(
            f,
            "{verdict:7} {name:50} expected {expected:?}, failed {:?}",
            self.failed
        )
    }
}

/// Runs the sections of the expected cases.
async fn judge(saboteur: &'static zoo::Saboteur) -> Verdict {
    let expected = |case: &Case| saboteur.caught_by.contains(&case.id);
    let sections: Vec<char> = kv_conformance::all_cases()
        .filter(|case| expected(case))
        .map(|case| case.section)
        .collect();
    let report = run_only(fixture(saboteur.name, Some(saboteur)), |case| {
        sections.contains(&case.section)
    });
    let failed = report.await.failed();
    let caught = saboteur.caught_by.iter().copied();
    Verdict {
        saboteur,
        escaped: caught.filter(|id| !failed.contains(id)).collect(),
        failed,
    }
}

/// A small memory store of its own for every case, each handle sabotaged on its own.
fn fixture(name: &str, saboteur: Option<&'static zoo::Saboteur>) -> Fixture {
    let limit = |bytes| NonZeroUsize::new(bytes).unwrap_or(NonZeroUsize::MIN);
    let config = MemoryConfig::default()
        .max_key_bytes(limit(4 << 10))
        .max_value_bytes(limit(64 << 10));
    // A saboteur may make a case wait for what never comes.
    let settings = Settings::default()
        .slack(Duration::ZERO)
        .case_deadline(Duration::from_secs(30));
    Fixture::per_case(name, move || {
        let store = MemoryStore::new(config.clone());
        move || {
            let builder = Kv::builder(store.clone());
            async move {
                match saboteur {
                    None => builder.connect().await,
                    Some(saboteur) => builder.layer(saboteur.layer()).connect().await,
                }
            }
        }
    })
    .settings(settings)
}
