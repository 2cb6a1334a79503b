//! A `PATH` as on a machine where nobody has installed what xtask supplies.

use crate::{cargo, tools};
use anyhow::{Context as _, Result};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// The search path and the directories that it needs.
#[derive(Debug)]
pub(crate) struct BarePath {
    value: OsString,
    // Removed when nobody needs the path any more.
    _links: tempfile::TempDir,
}

impl BarePath {
    /// `PATH` without the servers and `protoc`. A directory that holds one of them (`/usr/bin`)
    /// is replaced by a directory of links to all the rest.
    pub(crate) fn new() -> Result<Self> {
        let names = tools::ALL.map(|tool| tool.name);
        let links = tempfile::tempdir().context("cannot make a temporary directory")?;
        let value = without(
            &env::var_os("PATH").unwrap_or_default(),
            &names,
            links.path(),
        )?;
        Ok(Self {
            value,
            _links: links,
        })
    }

    /// Gives a command this path and takes every variable that names a server or a tool.
    pub(crate) fn apply<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        for (name, _) in env::vars_os() {
            if name == "PROTOC" || name == "REDIS_URL" || name.to_string_lossy().starts_with("KV_")
            {
                command.env_remove(name);
            }
        }
        command.env("PATH", &self.value)
    }
}

/// Cargo on such a path.
pub(crate) fn cargo(path: &BarePath) -> Result<Command> {
    let mut cargo = cargo::command()?;
    path.apply(&mut cargo);
    Ok(cargo)
}

fn without(path: &OsStr, names: &[&str], links: &Path) -> Result<OsString> {
    let directories = env::split_paths(path)
        .enumerate()
        .map(|(number, directory)| {
            if names.iter().any(|name| directory.join(name).exists()) {
                linked(&directory, names, &links.join(number.to_string()))
            } else {
                Ok(directory)
            }
        });
    let directories: Vec<PathBuf> = directories.collect::<Result<_>>()?;
    Ok(env::join_paths(directories)?)
}

fn linked(directory: &Path, names: &[&str], links: &Path) -> Result<PathBuf> {
    let cannot = || format!("cannot link the programs of {}", directory.display());
    fs::create_dir(links).with_context(cannot)?;
    for entry in fs::read_dir(directory).with_context(cannot)? {
        let entry = entry.with_context(cannot)?;
        if !names.iter().any(|name| entry.file_name() == *name) {
            symlink(entry.path(), links.join(entry.file_name())).with_context(cannot)?;
        }
    }
    Ok(links.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_the_named_programs_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let [system, other, links] = ["system", "other", "links"].map(|n| place.path().join(n));
        for directory in [&system, &other, &links] {
            fs::create_dir(directory).unwrap();
        }
        for program in [
            system.join("redis-server"),
            system.join("git"),
            other.join("cargo"),
        ] {
            fs::write(program, "").unwrap();
        }
        let path = env::join_paths([&system, &other]).unwrap();
        let bare = without(&path, &["redis-server", "protoc"], &links).unwrap();
        let directories: Vec<PathBuf> = env::split_paths(&bare).collect();
        assert_eq!(
            directories[1], other,
            "a directory without them stays as it is"
        );
        assert!(directories[0].join("git").exists());
        assert!(!directories[0].join("redis-server").exists());
    }
}
