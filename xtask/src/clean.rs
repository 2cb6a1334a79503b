//! `ci --clean`: the whole check as on the first day: a fresh clone, an empty target directory,
//! nothing installed.

use crate::{bare::BarePath, cargo, project};
use anyhow::{Context as _, Result, bail};
use std::{
    path::Path,
    process::{Command, ExitCode},
};

pub(crate) fn run() -> Result<ExitCode> {
    let commit = cargo::read(&mut git(&["rev-parse", "--verify", "HEAD"]))
        .context("`ci --clean` clones the last commit, but there is none")?;
    if !cargo::read(&mut git(&["status", "--porcelain"]))?.is_empty() {
        eprintln!("note: what is not committed is not checked");
    }
    let place = tempfile::Builder::new()
        .prefix("kv-clean-")
        .tempdir()
        .context("cannot make a temporary directory")?;
    let clone = place.path().join("clone");
    cargo::run(git(&["clone", "--quiet", "--no-checkout", "."]).arg(&clone))?;
    cargo::run(git_in(&clone, &["checkout", "--quiet", "--detach"]).arg(commit.trim()))?;

    let path = BarePath::new()?;
    // By its name on the path, as a newcomer would; not the very binary that runs us.
    let mut check = Command::new("cargo");
    path.apply(&mut check)
        .args(["xtask", "ci"])
        .current_dir(&clone);
    cargo::forget_xtask(&mut check);
    check.env_remove("CARGO");
    check.env("CARGO_TARGET_DIR", clone.join("target"));
    cargo::run(&mut check)?;
    let changed = cargo::read(&mut git_in(&clone, &["status", "--porcelain"]))?;
    if !changed.is_empty() {
        bail!(
            "the check changed the clone (an old Cargo.lock, or a test writes there):\n{changed}"
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn git(arguments: &[&str]) -> Command {
    git_in(project::root(), arguments)
}

fn git_in(directory: &Path, arguments: &[&str]) -> Command {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(directory);
    git
}
