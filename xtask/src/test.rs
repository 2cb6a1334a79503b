//! `test`: all tests, with the servers they need.

use crate::{
    cargo,
    flags::{self, Matrix},
    services::{self, Services},
};
use anyhow::Result;
use std::{ffi::OsString, process::ExitCode};

pub(crate) fn run(flags: &flags::Test) -> Result<ExitCode> {
    let services = Services::all()?;
    let mut cargo = cargo::with_protoc()?;
    cargo.arg("test");
    // Cargo would let `--workspace` win over the package that was asked for.
    if !names_a_package(&flags.arguments) {
        cargo.arg("--workspace");
    }
    // Cargo takes it once.
    if !flags.arguments.iter().any(|it| it == "--all-features") {
        cargo.arg("--all-features");
    }
    cargo
        .args(&flags.arguments)
        .envs(services.variables())
        .envs([services::promtool_binary()?]);
    if flags.matrix == Matrix::Full {
        cargo.env("KV_MATRIX", "full");
    }
    cargo::run(&mut cargo)?;
    Ok(ExitCode::SUCCESS)
}

fn names_a_package(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .map(|argument| argument.to_string_lossy())
        .take_while(|argument| argument != "--")
        .any(|argument| {
            argument.starts_with("--package")
                || (argument.starts_with("-p") && !argument.starts_with("--"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_replaces_the_workspace() {
        let named = |arguments: &[&str]| {
            names_a_package(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
        };
        assert!(named(&["-p", "kv-redis"]) && named(&["--package=kv-redis"]));
        assert!(!named(&["set_with_ttl"]) && !named(&["--", "-p"]));
    }
}
