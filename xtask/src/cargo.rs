//! Running commands, Cargo above all.
//!
//! Plain `std::process`: `server.rs` has to do without anything else, and a second way of running
//! commands beside it (xshell, duct) would earn nothing.

use crate::{project, tools};
use anyhow::{Context as _, Result, bail};
use std::{
    env,
    os::unix::process::ExitStatusExt as _,
    process::{Command, ExitCode, ExitStatus},
};

/// `cargo` in the root of the workspace, as if the user had called it there.
pub(crate) fn command() -> Result<Command> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(project::root());
    forget_xtask(&mut cargo);
    // A relative one would mean another directory in the root.
    cargo.env("CARGO_TARGET_DIR", project::target()?);
    Ok(cargo)
}

/// Takes from a command what `cargo run` told us about xtask. Build scripts that look at it (ring's
/// does) would run again on every change between `cargo test` and `cargo xtask test`.
pub(crate) fn forget_xtask(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(describes_xtask) {
            command.env_remove(name);
        }
    }
}

/// Like [`command`], for what is built with all features: some build scripts need `protoc`.
pub(crate) fn with_protoc() -> Result<Command> {
    let mut cargo = command()?;
    // If there is none for this platform, the build script that misses it says so best.
    if let Ok(protoc) = tools::protoc() {
        cargo.env("PROTOC", protoc.path);
    }
    Ok(cargo)
}

/// Shows and runs a command; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// Shows and runs a command and hands on how it ended.
pub(crate) fn run_for_code(command: &mut Command) -> Result<ExitCode> {
    Ok(exit_code(status(command)?))
}

/// Runs a command quietly and returns what it printed.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run `{}`", shown(command)))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed: {}\n{}",
            shown(command),
            output.status,
            why.trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as one would type it, without its environment.
pub(crate) fn shown(command: &Command) -> String {
    let program = command.get_program();
    // Cargo tells us its whole path; nobody types that.
    let program = match env::var_os("CARGO") {
        Some(cargo) if cargo == program => "cargo".into(),
        _ => program.to_string_lossy(),
    };
    let mut shown = program.into_owned();
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&argument.to_string_lossy());
    }
    shown
}

/// A signal's number is reported as shells do.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}

fn status(command: &mut Command) -> Result<ExitStatus> {
    eprintln!("$ {}", shown(command));
    command
        .status()
        .with_context(|| format!("cannot run `{}`", shown(command)))
}

fn describes_xtask(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_"]
        .iter()
        .any(|start| variable.starts_with(start))
        || [
            "CARGO_BIN_NAME",
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "OUT_DIR",
        ]
        .contains(&variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_one_would_type() {
        let mut command = Command::new("redis-server");
        command.args(["--port", "1"]).env("SECRET", "x");
        assert_eq!(shown(&command), "redis-server --port 1");
    }

    #[test]
    fn removes_only_what_describes_xtask() {
        assert!(describes_xtask("CARGO_PKG_NAME") && describes_xtask("CARGO_MANIFEST_DIR"));
        assert!(!describes_xtask("CARGO_HOME") && !describes_xtask("CARGO_TARGET_DIR"));
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = run(Command::new("sh").args(["-c", "exit 3"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c exit 3") && error.contains('3'),
            "{error}"
        );
    }
}
