//! Every case of the contract on every stack, each as a test of its own, named like
//! `memory/bare/A-03 set then get`.
//!
//! Redis comes in three columns: one server, a cluster of two primaries, and one server behind a proxy
//! that holds every piece back. etcd comes in two, as it is and behind such a proxy. Of what is behind
//! a proxy, the sections run where order matters most; `KV_MATRIX=full` runs all of it, and puts both
//! servers under each layer alone, too.

mod columns;
mod stacks;

use columns::{etcd, memory, redis};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_tests::server::Cluster;
use stacks::{bare, full_stack, layers, shaping_layers, sharing_layers, whole_stack};
use std::{
    env,
    error::Error,
    net::{SocketAddr, ToSocketAddrs},
    process::ExitCode,
    time::Duration,
};

fn main() -> ExitCode {
    let mut args = libtest_mimic::Arguments::from_args();
    // Most cases wait for a deadline, not for a processor.
    args.test_threads.get_or_insert(16);
    let (Ok(redis), Ok(etcd)) = (env::var("KV_REDIS_URL"), env::var("KV_ETCD_URL")) else {
        eprintln!(
            "the conformance tests need a Redis server and an etcd: run cargo xtask test, or set \
             KV_REDIS_URL and KV_ETCD_URL"
        );
        return ExitCode::FAILURE;
    };
    let matrix = match env::var("KV_MATRIX").as_deref() {
        Ok("full") => Matrix::Full,
        _ => Matrix::Usual,
    };
    match run(&args, &Servers { redis, etcd }, matrix) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the stacks could not be built: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Where they are.
struct Servers {
    redis: String,
    etcd: String,
}

fn run(
    args: &libtest_mimic::Arguments,
    servers: &Servers,
    matrix: Matrix,
) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()?;
    let cluster = Cluster::start();
    let url = &servers.redis;
    let proxies = [url, &servers.etcd].map(|url| {
        let proxy = runtime.block_on(FaultProxy::start(address(url)?))?;
        proxy.set(Mode::Delay(DELAY));
        Ok::<_, Box<dyn Error>>(proxy)
    });
    let [before_redis, before_etcd] = proxies;
    let (before_redis, before_etcd) = (before_redis?, before_etcd?);
    let behind = |scheme, proxy: &FaultProxy| format!("{scheme}://{}", proxy.address());

    let (bare, mut layers, full, whole) = (bare(), layers()?, full_stack()?, whole_stack()?);
    layers.extend(shaping_layers()?);
    layers.extend(sharing_layers()?);
    let mut fixtures = Vec::new();
    for stack in [&bare, &full, &whole].into_iter().chain(&layers) {
        fixtures.push(memory(stack));
    }
    for stack in [&bare, &full, &whole] {
        fixtures.push(redis("redis", stack, url));
        fixtures.push(redis("cluster", stack, &cluster.url()));
        fixtures.push(etcd("etcd", stack, &servers.etcd));
    }
    if matrix == Matrix::Full {
        fixtures.extend(layers.iter().map(|stack| redis("redis", stack, url)));
        fixtures.extend(
            layers
                .iter()
                .map(|stack| etcd("etcd", stack, &servers.etcd)),
        );
    }
    let delayed = [
        redis("delayed", &full, &behind("redis", &before_redis)),
        etcd("etcd-delayed", &full, &behind("etcd", &before_etcd)),
    ];
    let trials = |fixture| kv_conformance::trials(fixture, runtime.handle());
    let mut all: Vec<_> = fixtures.iter().flat_map(trials).collect();
    let mut slow: Vec<_> = delayed.iter().flat_map(trials).collect();
    if matrix == Matrix::Usual {
        slow.retain(|trial| is_about_order(trial.name()));
    }
    all.extend(slow);
    Ok(libtest_mimic::run(args, all).exit_code())
}

/// How long the proxy holds back every piece, in both directions.
const DELAY: Duration = Duration::from_micros(500);

/// Whether a case is about transactions, watches or limits, or is one of those that they rest on.
fn is_about_order(name: &str) -> bool {
    let case = name.rsplit('/').next().unwrap_or(name);
    let sections = [
        "I-", "J-", "T-", "C-38 ", "C-45 ", "D-54 ", "E-64 ", "G-88 ", "L-129 ",
    ];
    sections.iter().any(|it| case.starts_with(it))
}

/// Where the server of a `redis://host:port/db` listens.
fn address(url: &str) -> Result<SocketAddr, Box<dyn Error>> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    let found = host.to_socket_addrs()?.next();
    found.ok_or_else(|| format!("no address for {host}").into())
}

/// Which stacks are put on Redis; memory is cheap and has them all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matrix {
    /// None, and all layers.
    Usual,
    /// Each layer alone, too.
    Full,
}
