//! `ci`: everything that must hold, in the order of what fails fastest.

use crate::{
    audit,
    bare::{self, BarePath},
    bench, cargo, clean, example, flags, interrupt, metadata, setup, table, test, tidy,
};
use anyhow::{Context as _, Result, bail};
use std::{
    ffi::OsString,
    process::ExitCode,
    time::{Duration, Instant},
};

pub(crate) fn run(flags: &flags::Ci) -> Result<ExitCode> {
    if flags.clean {
        return clean::run();
    }
    let (rows, result) = run_in_order(&STEPS);
    for line in table::lines(&rows) {
        println!("{line}");
    }
    result.map(|()| ExitCode::SUCCESS)
}

struct Step {
    name: &'static str,
    run: fn() -> Result<Outcome>,
}

enum Outcome {
    Done,
    Skipped(String),
}

/// One feature set throughout, so that nothing is built twice.
const STEPS: [Step; 14] = [
    Step {
        name: "fmt",
        run: fmt,
    },
    Step {
        name: "tidy",
        run: || done(tidy::check()),
    },
    Step {
        name: "audit",
        run: audit,
    },
    Step {
        name: "setup",
        run: || done(setup::run()),
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "test",
        run: || done(test::run(&flags::Test::default())),
    },
    Step {
        name: "doc",
        run: doc,
    },
    Step {
        name: "plain build",
        run: plain_build,
    },
    Step {
        name: "quickstart, memory",
        run: quickstart_on_memory,
    },
    Step {
        name: "quickstart, redis",
        run: || example_on("quickstart", "default_redis"),
    },
    Step {
        name: "quickstart, etcd",
        run: || example_on("quickstart", "default_etcd"),
    },
    Step {
        name: "resilient, redis",
        run: || example_on("resilient", "redis"),
    },
    Step {
        name: "generated docs",
        run: generated_docs,
    },
    Step {
        name: "bench --smoke",
        run: bench_smoke,
    },
];

/// Runs the steps up to the first that fails; the table has a row for each, run or not.
fn run_in_order(steps: &[Step]) -> (Vec<Vec<String>>, Result<()>) {
    let mut rows = vec![table::row(["step", "minutes", "result"])];
    let mut result = Ok(());
    for Step { name, run } in steps {
        if result.is_err() {
            rows.push(table::row([name, "-", "not run"]));
            continue;
        }
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = run();
        let minutes = minutes(start.elapsed());
        let outcome = match outcome {
            Ok(_) if interrupt::is_set() => Err(anyhow::anyhow!("interrupted")),
            outcome => outcome,
        };
        match outcome {
            Ok(Outcome::Done) => rows.push(table::row([name, &minutes, "ok"])),
            Ok(Outcome::Skipped(why)) => {
                rows.push(table::row([name, &minutes, &format!("skipped: {why}")]));
            }
            Err(error) => {
                rows.push(table::row([name, &minutes, "FAILED"]));
                result = Err(error).with_context(|| format!("the step `{name}` failed"));
            }
        }
    }
    (rows, result)
}

fn fmt() -> Result<Outcome> {
    done(cargo::run(
        cargo::command()?.args(["fmt", "--all", "--check"]),
    ))
}

fn audit() -> Result<Outcome> {
    if audit::run()? != ExitCode::SUCCESS {
        bail!("a dependency is not one of ours to take");
    }
    Ok(Outcome::Done)
}

fn clippy() -> Result<Outcome> {
    let arguments = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
    ];
    done(cargo::run(
        cargo::with_protoc()?
            .args(arguments)
            .args(["-D", "warnings"]),
    ))
}

fn doc() -> Result<Outcome> {
    let arguments = ["doc", "--workspace", "--no-deps", "--all-features"];
    done(cargo::run(
        cargo::with_protoc()?
            .args(arguments)
            .env("RUSTDOCFLAGS", "-D warnings"),
    ))
}

/// What a newcomer builds needs neither `protoc` nor a server.
fn plain_build() -> Result<Outcome> {
    done(cargo::run(
        bare::cargo(&BarePath::new()?)?.args(["build", "--examples"]),
    ))
}

fn quickstart_on_memory() -> Result<Outcome> {
    let mut cargo = bare::cargo(&BarePath::new()?)?;
    done(cargo::run(cargo.args(["run", "--example", "quickstart"])))
}

/// With a server beside it.
fn example_on(name: &str, store: &str) -> Result<Outcome> {
    let example = flags::Example {
        name: name.to_owned(),
        arguments: ["--store", store].map(OsString::from).to_vec(),
    };
    if example::run(&example)? != ExitCode::SUCCESS {
        bail!("the example `{name}` failed");
    }
    Ok(Outcome::Done)
}

/// What is written from code must be what the code says now.
fn generated_docs() -> Result<Outcome> {
    let packages = metadata::read()?;
    let examples = metadata::package(&packages, example::PACKAGE)?;
    let mut all = examples.targets_of_kind("example");
    let Some(generate) = all.find(|example| example.name == "generate") else {
        return Ok(Outcome::Skipped(
            "there is no example `generate`".to_owned(),
        ));
    };
    let features = generate.required_features.join(",");
    let arguments = [
        "run",
        "--package",
        example::PACKAGE,
        "--example",
        "generate",
        "--features",
        &features,
        "--",
        "--check",
    ];
    done(cargo::run(cargo::with_protoc()?.args(arguments)))
}

fn bench_smoke() -> Result<Outcome> {
    done(bench::run(&flags::Bench {
        names: Vec::new(),
        compare: false,
        json: false,
        smoke: true,
    }))
}

fn done<T>(result: Result<T>) -> Result<Outcome> {
    result.map(|_| Outcome::Done)
}

fn minutes(time: Duration) -> String {
    format!("{:7.2}", time.as_secs_f64() / 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_at_the_first_failure_and_names_it() {
        let steps = [
            Step {
                name: "one",
                run: || Ok(Outcome::Done),
            },
            Step {
                name: "two",
                run: || Ok(Outcome::Skipped("no reason".to_owned())),
            },
            Step {
                name: "three",
                run: || bail!("broken"),
            },
            Step {
                name: "four",
                run: || panic!("must not run"),
            },
        ];
        let (rows, result) = run_in_order(&steps);
        let results: Vec<&str> = rows.iter().skip(1).map(|row| row[2].as_str()).collect();
        assert_eq!(results, ["ok", "skipped: no reason", "FAILED", "not run"]);
        let error = format!("{:#}", result.unwrap_err());
        assert!(
            error.contains("`three`") && error.contains("broken"),
            "{error}"
        );
    }

    #[test]
    fn time_is_in_minutes() {
        assert_eq!(minutes(Duration::from_secs(90)).trim(), "1.50");
    }
}
