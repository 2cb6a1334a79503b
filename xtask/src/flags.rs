//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;

/// The project's own tools.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub(crate) struct Xtask {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Check licences and sources of all dependencies.
    Audit,
    /// Run the benchmarks and say which rows met their target.
    Bench(Bench),
    /// Run the fault tests with fresh seeds for a while.
    Chaos(Chaos),
    /// Check everything, in the order of what fails fastest.
    Ci(Ci),
    /// Run an example with a Redis server beside it, or etcd for a store that is named after it.
    Example(Example),
    /// Check what other clients see on etcd, with one for Python that it brings along.
    Interop,
    /// Print the path of `protoc`.
    Protoc,
    /// Run servers until Ctrl-C or the end of the input, or for as long as a command runs.
    Services(Services),
    /// Find the servers and tools; download what is missing (Debian, Ubuntu), without root.
    Setup,
    /// Run all tests, with servers.
    Test(Test),
    /// Check the rules of the house.
    Tidy,
}

#[derive(Args, Debug)]
pub(crate) struct Bench {
    /// Only benchmarks whose name contains one of these.
    pub(crate) names: Vec<String>,
    /// Run the peers in `xtask/peers` too.
    #[arg(long)]
    pub(crate) compare: bool,
    /// Print one JSON object a row.
    #[arg(long)]
    pub(crate) json: bool,
    /// Run each for an instant, only to see that it runs.
    #[arg(long, conflicts_with = "compare")]
    pub(crate) smoke: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Chaos {
    /// How long to go on; the round that runs then is finished.
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// The first seed; alone, it is the only one.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

#[derive(Args, Debug)]
pub(crate) struct Ci {
    /// In a fresh clone of HEAD, with an empty target directory and nothing installed.
    #[arg(long)]
    pub(crate) clean: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Example {
    /// The example's name.
    pub(crate) name: String,
    /// What to tell it.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Args, Debug)]
pub(crate) struct Services {
    /// Start a Redis Cluster of two primaries too: `KV_REDIS_CLUSTER_URL`.
    #[arg(long)]
    pub(crate) cluster: bool,
    /// Start an etcd of one node too: `KV_ETCD_URL`.
    #[arg(long)]
    pub(crate) etcd: bool,
    /// Start an etcd cluster of three nodes too: `KV_ETCD_CLUSTER_URL`.
    #[arg(long)]
    pub(crate) etcd_cluster: bool,
    /// A command to run with the servers' addresses in its environment.
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

#[derive(Args, Debug, Default)]
pub(crate) struct Test {
    /// How many combinations of providers and layers to run.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) matrix: Matrix,
    /// Arguments of `cargo test`, such as a test's name or `-p kv-redis`.
    #[arg(last = true)]
    pub(crate) arguments: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Matrix {
    /// Each layer alone on memory, the full stack on every store.
    #[default]
    Lean,
    /// The full cross product.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn an_example_gets_its_flags_as_they_are() {
        let Verb::Example(example) =
            Xtask::parse_from(["xtask", "example", "chat", "--room", "-x"]).verb
        else {
            panic!("not an example");
        };
        assert_eq!(
            (example.name.as_str(), example.arguments.len()),
            ("chat", 2)
        );
    }
}
