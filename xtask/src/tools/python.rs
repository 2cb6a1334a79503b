//! Python with packages of exactly known content, in an environment of our own.

use crate::{cargo, project};
use anyhow::{Context as _, Result, bail};
use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

/// Names the interpreter to use in place of those on `PATH`.
const VARIABLE: &str = "KV_PYTHON";

/// What those on `PATH` may be called, the likeliest first.
const NAMES: [&str; 6] = [
    "python3",
    "python",
    "python3.14",
    "python3.13",
    "python3.12",
    "python3.11",
];

/// Fails, saying why, where the interpreter is of no use. Debian's has no `ensurepip` at first.
const PROBE: &str = "import sys, venv, ensurepip
assert sys.version_info >= (3, 10), 'it is ' + sys.version.split()[0]";

const REMEDY: &str = "Python 3.10 or later with venv is needed: `sudo apt-get install python3-venv` \
     or your system's like, or KV_PYTHON=/path/to/python3";

/// What an environment was made from; written when it is whole.
const MADE_FROM: &str = "requirements.txt";

/// An interpreter with what the file requires, in `target/tools/python`. It is made once, and again
/// when the file changes.
pub(crate) fn environment(requirements: &Path) -> Result<PathBuf> {
    let wanted = fs::read(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let tools = project::tools()?;
    let home = tools.join("python");
    let python = home.join("bin").join("python");
    fs::create_dir_all(&tools).with_context(|| format!("cannot make {}", tools.display()))?;
    let lock_path = tools.join("lock");
    let lock = File::create(&lock_path)
        .and_then(|lock| lock.lock().map(|()| lock))
        .with_context(|| format!("cannot lock {}", lock_path.display()))?;
    let made_from = fs::read(home.join(MADE_FROM)).unwrap_or_default();
    // The interpreter that it was made with may be gone.
    if made_from == wanted && cargo::read(Command::new(&python).arg("--version")).is_ok() {
        return Ok(python);
    }
    if home.exists() {
        fs::remove_dir_all(&home).with_context(|| format!("cannot replace {}", home.display()))?;
    }
    let found = find()?;
    eprintln!(
        "making a Python environment in {} (nothing is installed)",
        home.display()
    );
    cargo::read(Command::new(found).args(["-m", "venv"]).arg(&home)).context(REMEDY)?;
    // Exactly the files that were once looked at, and no code of theirs runs to install them.
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--no-deps"])
        .args(["--require-hashes", "--only-binary", ":all:"])
        .arg("--requirement")
        .arg(requirements);
    cargo::read(&mut pip).context("could not get the packages from PyPI (no network?)")?;
    fs::write(home.join(MADE_FROM), wanted)?;
    drop(lock);
    Ok(python)
}

/// The first interpreter that will do.
fn find() -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|it| !it.is_empty()) {
        let given = PathBuf::from(given);
        probe(&given)
            .with_context(|| format!("{VARIABLE}={} will not do; {REMEDY}", given.display()))?;
        return Ok(given);
    }
    first_of(&env::var_os("PATH").unwrap_or_default())
}

fn first_of(path: &OsString) -> Result<PathBuf> {
    let mut complaints = Vec::new();
    for name in NAMES {
        for candidate in super::executables(path, name) {
            match probe(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(error) => complaints.push(format!("{error:#}")),
            }
        }
    }
    match complaints.first() {
        None => bail!("there is no python3 on PATH; {REMEDY}"),
        Some(complaint) => bail!("{complaint}\n{REMEDY}"),
    }
}

fn probe(python: &Path) -> Result<()> {
    cargo::read(Command::new(python).args(["-c", PROBE])).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A directory with a `python3` that is this script.
    fn path_with(script: &str) -> (tempfile::TempDir, OsString) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("python3");
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().into();
        (directory, path)
    }

    #[test]
    fn who_has_no_python_is_told_what_to_do() {
        let error = first_of(&OsString::new()).unwrap_err().to_string();
        assert!(
            error.contains("no python3") && error.contains(REMEDY),
            "{error}"
        );
    }

    #[test]
    fn one_that_is_too_old_is_told_with_the_reason() {
        let (_directory, path) = path_with("echo 'AssertionError: it is 3.7.1' >&2; exit 1");
        let error = first_of(&path).unwrap_err().to_string();
        assert!(
            error.contains("it is 3.7.1") && error.contains(REMEDY),
            "{error}"
        );
    }

    #[test]
    fn one_that_will_do_is_taken() {
        let (directory, path) = path_with("exit 0");
        assert_eq!(first_of(&path).unwrap(), directory.path().join("python3"));
    }
}
