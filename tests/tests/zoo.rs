//! The suite must catch every saboteur of the zoo, each by the cases that are there for it, and pass
//! the store that nobody sabotaged. Each saboteur is a test of its own; a table follows them.
//!
//! On memory the sections of those cases run as a whole, on etcd the cases alone; there the
//! conformance tests are the run of the intact store.

use kv_conformance::{Case, Fixture, Settings, run, run_only, zoo};
use kv_core::Kv;
use kv_etcd::{EtcdConfig, EtcdStore};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_tests::server::Etcd;
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
    let etcd = Etcd::start();
    let stores = [Store::Memory, Store::Etcd(etcd.url())];
    let table = Arc::new(Mutex::new(Vec::new()));
    let mut trials = vec![intact(runtime.handle())];
    for store in &stores {
        trials.extend(zoo::all().map(|it| trial(store, it, &table, runtime.handle())));
    }
    let conclusion = libtest_mimic::run(&args, trials);

    let mut table = table.lock();
    table.sort();
    for line in table.iter() {
        println!("{line}");
    }
    conclusion.exit_code()
}

/// What is sabotaged.
#[derive(Clone)]
enum Store {
    Memory,
    /// At this address.
    Etcd(String),
}

impl Store {
    fn name(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Etcd(_) => "etcd",
        }
    }
}

/// The store itself passes, or a verdict on the others means nothing.
fn intact(runtime: &Handle) -> Trial {
    let runtime = runtime.clone();
    Trial::test("memory/nobody", move || {
        let report = runtime.block_on(run(memory("nobody", None)));
        match report.failed().is_empty() {
            true => Ok(()),
            false => Err(Failed::from(report)),
        }
    })
}

fn trial(
    store: &Store,
    saboteur: &'static zoo::Saboteur,
    table: &Arc<Mutex<Vec<String>>>,
    runtime: &Handle,
) -> Trial {
    let (store, table, runtime) = (store.clone(), Arc::clone(table), runtime.clone());
    let name = format!("{}/{}", store.name(), saboteur.name);
    Trial::test(name, move || {
        let verdict = runtime.block_on(judge(&store, saboteur));
        table.lock().push(verdict.to_string());
        match verdict.escaped.as_slice() {
            [] => Ok(()),
            escaped => Err(Failed::from(format!("passed the cases {escaped:?}"))),
        }
    })
}

struct Verdict {
    store: &'static str,
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
            "{:6} {verdict:7} {name:50} expected {expected:?}, failed {:?}",
            self.store, self.failed
        )
    }
}

/// Runs the expected cases, on memory with all of their sections.
async fn judge(store: &Store, saboteur: &'static zoo::Saboteur) -> Verdict {
    let expected = |case: &Case| saboteur.caught_by.contains(&case.id);
    let sections: Vec<char> = kv_conformance::all_cases()
        .filter(|case| expected(case))
        .map(|case| case.section)
        .collect();
    let name = saboteur.name;
    let report = match store {
        Store::Memory => {
            let in_section = |case: &Case| sections.contains(&case.section);
            run_only(memory(name, Some(saboteur)), in_section).await
        }
        Store::Etcd(url) => run_only(etcd(name, saboteur, url), expected).await,
    };
    let failed = report.failed();
    let caught = saboteur.caught_by.iter().copied();
    Verdict {
        store: store.name(),
        saboteur,
        escaped: caught.filter(|id| !failed.contains(id)).collect(),
        failed,
    }
}

/// A small memory store of its own for every case, each handle sabotaged on its own.
fn memory(name: &str, saboteur: Option<&'static zoo::Saboteur>) -> Fixture {
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

/// A root of its own for every saboteur, with the limits of the memory store.
fn etcd(name: &str, saboteur: &'static zoo::Saboteur, url: &str) -> Fixture {
    let mut config = EtcdConfig::from_url(url);
    config.root = Some(format!("zoo-{:016x}/", fastrand::u64(..)));
    config.response_timeout = Duration::from_secs(10);
    config.conflict_timeout = Duration::from_secs(30);
    // There is one clock here.
    config.max_clock_skew = Duration::ZERO;
    (config.max_key_bytes, config.max_value_bytes) = (4 << 10, 64 << 10);
    // What is held goes with its lease.
    let settings = Settings::default()
        .slack(Duration::from_millis(50))
        .held_slack(Duration::from_secs(6))
        .case_deadline(Duration::from_secs(30));
    Fixture::new(name, move || {
        let store = EtcdStore::new(config.clone());
        async move {
            let builder = Kv::builder(store?).layer(saboteur.layer());
            builder.connect().await
        }
    })
    .settings(settings)
}
