//! `tidy`: the rules of the house that no compiler knows. One rule a file.

mod closure;
mod dependencies;
mod lua;
mod manifests;
mod names;
mod paths;
mod readmes;
mod size;
mod sources;
mod time;
mod unfinished;

use crate::{cargo, example, metadata, project};
use anyhow::{Result, bail};
use sources::Source;
use std::{
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(crate) fn run() -> Result<ExitCode> {
    check()?;
    Ok(ExitCode::SUCCESS)
}

/// Shows everything that breaks a rule; it is an error if anything does.
pub(crate) fn check() -> Result<()> {
    let mut findings = findings()?;
    findings.sort();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} places are not tidy", findings.len());
    }
    eprintln!("tidy");
    Ok(())
}

/// Something to put right.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Finding {
    path: PathBuf,
    /// From 1.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &Path, line: usize, what: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

fn findings() -> Result<Vec<Finding>> {
    let sources = sources::read(project::root())?;
    let packages = metadata::read()?;
    // What examples use are development dependencies of their package.
    let arguments = [
        "tree",
        "--edges",
        "normal,dev",
        "--prefix",
        "none",
        "--package",
    ];
    let tree = cargo::read(cargo::command()?.args(arguments).arg(example::PACKAGE))?;
    Ok([
        size::check(&sources),
        names::check(&sources),
        unfinished::check(&sources),
        paths::check(&sources),
        time::check(&sources),
        lua::check(&sources),
        readmes::check(&sources),
        manifests::check(&packages),
        dependencies::check(&packages),
        closure::check(&tree),
    ]
    .concat())
}
