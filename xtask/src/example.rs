//! `example`: an example with a server beside it.

use crate::{
    cargo, flags, metadata,
    services::{self, Services},
};
use anyhow::{Result, bail};
use std::{
    ffi::OsString,
    process::{Command, ExitCode},
};

/// The package of the examples.
pub(crate) const PACKAGE: &str = "kv-examples";

/// The feature of the examples, and of the factory, that brings the provider.
const ETCD: &str = "etcd";

/// The example that has a dashboard, whose queries are to be parsed.
const OBSERVED: &str = "observed";

/// The example that stops and kills servers, and so needs none of ours or anybody's.
const RESILIENT: &str = "resilient";

pub(crate) fn run(flags: &flags::Example) -> Result<ExitCode> {
    let mut services = Services::default();
    let is_etcd = store(&flags.arguments).is_some_and(|store| store.contains(ETCD));
    let features = is_etcd.then(|| ETCD.to_owned());
    let mut command = command(&flags.name, features.into_iter().collect())?;
    match (flags.name == RESILIENT, is_etcd) {
        (true, true) => _ = command.envs(services::etcd_binaries()?),
        (true, false) => _ = command.envs([services::redis_binary()?]),
        (false, true) => services.find_etcd()?,
        (false, false) => services.find_redis()?,
    }
    command.arg("--").args(&flags.arguments);
    if flags.name == OBSERVED {
        command.envs([services::promtool_binary()?]);
    }
    for (name, value) in services.variables() {
        // Many programs know this name for it.
        if name == "KV_REDIS_URL" {
            command.env("REDIS_URL", &value);
        }
        command.env(name, value);
    }
    cargo::run_for_code(&mut command)
}

/// The store that an example is told to use: `--store NAME` or `--store=NAME`.
fn store(arguments: &[OsString]) -> Option<String> {
    let mut arguments = arguments.iter().map(|it| it.to_string_lossy());
    while let Some(argument) = arguments.next() {
        if argument == "--store" {
            return arguments.next().map(Into::into);
        }
        if let Some(name) = argument.strip_prefix("--store=") {
            return Some(name.to_owned());
        }
    }
    None
}

/// `cargo run` of an example, with these features and those that it needs.
fn command(name: &str, mut features: Vec<String>) -> Result<Command> {
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
    features.extend(example.required_features.iter().cloned());
    if !features.is_empty() {
        cargo.args(["--features", &features.join(",")]);
    }
    Ok(cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_found_however_it_is_written() {
        let named =
            |arguments: &[&str]| store(&arguments.iter().map(OsString::from).collect::<Vec<_>>());
        for arguments in [
            &["--store", "default_etcd"][..],
            &["tasks.jsonl", "--store=default_etcd"],
        ] {
            assert_eq!(named(arguments).as_deref(), Some("default_etcd"));
        }
        assert_eq!(named(&["default_etcd", "--store"]), None);
    }
}
