//! `interop`: string keys on etcd with a client for Python that nobody here wrote.

use crate::{cargo, project, services::Services, tools};
use anyhow::Result;
use std::process::ExitCode;

/// Where the program, the Python script and its requirements are.
const HOME: &str = "tests/examples/interop";

pub(crate) fn run() -> Result<ExitCode> {
    let requirements = project::root().join(HOME).join("requirements.txt");
    let python = tools::python::environment(&requirements)?;
    let mut services = Services::default();
    services.find_etcd()?;
    let mut cargo = cargo::with_protoc()?;
    // With the features of `test`, so that nothing is built twice.
    cargo
        .args(["run", "--package", "kv-tests", "--all-features"])
        .args(["--example", "interop", "--"])
        .arg(python)
        .envs(services.variables());
    cargo::run_for_code(&mut cargo)
}
