//! `protoc`: prints where it is, for `PROTOC=$(cargo xtask protoc) cargo build --all-features`.

use crate::tools;
use anyhow::Result;
use std::process::ExitCode;

pub(crate) fn run() -> Result<ExitCode> {
    println!("{}", tools::protoc()?.path.display());
    Ok(ExitCode::SUCCESS)
}
