//! `bench`: runs the benchmarks of the `tests` package and sums up which rows met their target.

mod peers;
mod rows;

use crate::{cargo, flags, metadata, services};
use anyhow::{Context as _, Result, bail};
use rows::{Report, Style};
use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
};

const PACKAGE: &str = "kv-tests";

pub(crate) fn run(flags: &flags::Bench) -> Result<ExitCode> {
    let style = match (flags.json, flags.smoke) {
        (true, _) => Style::Json,
        (false, true) => Style::Names,
        (false, false) => Style::Text,
    };
    let mut report = Report::new(style);
    let mut command = benchmarks(flags)?;
    let status = stream(&mut command, &mut report)?;
    if !status.success() {
        bail!("`{}` failed: {status}", cargo::shown(&command));
    }
    if flags.compare {
        peers::run(flags, &mut report)?;
    }
    if report.is_empty() && !flags.smoke {
        bail!(
            "no benchmark printed a row; is there one whose name contains {:?}?",
            flags.names
        );
    }
    if flags.smoke {
        eprintln!("every benchmark ran for an instant; numbers mean nothing");
    } else {
        report.sum_up();
    }
    Ok(ExitCode::SUCCESS)
}

/// One `cargo bench` over all benchmarks. They choose by name themselves, and always print JSON
/// to us, because we want to count.
fn benchmarks(flags: &flags::Bench) -> Result<Command> {
    let packages = metadata::read()?;
    let package = metadata::package(&packages, PACKAGE)?;
    let mut cargo = cargo::with_protoc()?;
    cargo.args(["bench", "--package", PACKAGE, "--all-features"]);
    let before = cargo.get_args().count();
    for bench in package.targets_of_kind("bench") {
        cargo.args(["--bench", &bench.name]);
    }
    if cargo.get_args().count() == before {
        bail!("the package {PACKAGE} has no [[bench]]");
    }
    cargo.args(["--", "--json"]);
    if flags.smoke {
        cargo.arg("--smoke");
    }
    cargo
        .args(&flags.names)
        .envs([services::redis_binary()?])
        .envs(services::etcd_binaries()?);
    Ok(cargo)
}

/// Runs a command whose output is rows.
fn stream(command: &mut Command, report: &mut Report) -> Result<ExitStatus> {
    let mut child = spawn(command)?;
    read_rows(&mut child, report)?;
    Ok(child.wait()?)
}

fn spawn(command: &mut Command) -> Result<Child> {
    eprintln!("$ {}", cargo::shown(command));
    command.stdout(Stdio::piped());
    command
        .spawn()
        .with_context(|| format!("cannot run `{}`", cargo::shown(command)))
}

/// Reads to the end of its output.
fn read_rows(child: &mut Child, report: &mut Report) -> Result<()> {
    let Some(output) = child.stdout.take() else {
        return Ok(());
    };
    for line in BufReader::new(output).split(b'\n') {
        report.line(&String::from_utf8_lossy(&line?));
    }
    Ok(())
}

/// The arguments that a peer gets, the same as a benchmark of ours.
fn arguments(flags: &flags::Bench) -> Vec<OsString> {
    let mut arguments = vec!["--json".into()];
    arguments.extend(flags.names.iter().map(OsString::from));
    arguments
}
