//! The project's own tools: `cargo xtask VERB`.
//!
//! One verb a file. Works from any directory and as any user; needs nothing installed and leaves
//! nothing outside `target/`. It depends on no crate of this workspace, because it must build
//! before they do.

mod audit;
mod bare;
mod bench;
mod cargo;
mod chaos;
mod ci;
mod clean;
mod example;
mod flags;
mod interop;
mod interrupt;
mod metadata;
mod project;
mod protoc;
// The `tests` package shares this file and uses what we do not: pausing, restarting, passwords.
#[allow(dead_code, unused_imports)]
mod server;
mod services;
mod setup;
mod table;
mod test;
mod tidy;
mod tools;

use anyhow::Result;
use clap::Parser as _;
use flags::{Verb, Xtask};
use std::process::ExitCode;

fn main() -> ExitCode {
    let verb = Xtask::parse().verb;
    match interrupt::install().and_then(|()| run(&verb)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<ExitCode> {
    match verb {
        Verb::Audit => audit::run(),
        Verb::Bench(flags) => bench::run(flags),
        Verb::Chaos(flags) => chaos::run(flags),
        Verb::Ci(flags) => ci::run(flags),
        Verb::Example(flags) => example::run(flags),
        Verb::Interop => interop::run(),
        Verb::Protoc => protoc::run(),
        Verb::Services(flags) => services::run(flags),
        Verb::Setup => setup::run(),
        Verb::Test(flags) => test::run(flags),
        Verb::Tidy => tidy::run(),
    }
}
