//! `example`: an example with a Redis server beside it.

use crate::{cargo, flags, metadata, services::Services};
use anyhow::{Result, bail};
use std::process::{Command, ExitCode};

/// The package of the examples.
pub(crate) const PACKAGE: &str = "kv-examples";

pub(crate) fn run(flags: &flags::Example) -> Result<ExitCode> {
    let services = Services::redis()?;
    let mut command = command(&flags.name)?;
    command.arg("--").args(&flags.arguments);
    for (name, value) in services.variables() {
        // Many programs know this name for it.
        if name == "KV_REDIS_URL" {
            command.env("REDIS_URL", &value);
        }
        command.env(name, value);
    }
    cargo::run_for_code(&mut command)
}

/// `cargo run` of an example, with the features that it needs.
fn command(name: &str) -> Result<Command> {
    let packages = metadata::read()?;
    let package = metadata::package(&packages, PACKAGE)?;
    let examples: Vec<_> = package.targets_of_kind("example").collect();
    let Some(example) = examples.iter().find(|example| example.name == name) else {
        let names: Vec<&str> = examples
            .iter()
            .map(|example| example.name.as_str())
            .collect();
        bail!(
            "there is no example `{name}`; there are: {}",
            names.join(", ")
        );
    };
    let mut cargo = cargo::with_protoc()?;
    cargo.args(["run", "--release", "--package", PACKAGE, "--example", name]);
    if !example.required_features.is_empty() {
        cargo.args(["--features", &example.required_features.join(",")]);
    }
    Ok(cargo)
}
