//! A store that is paused, killed and started again under load, and what callers see of it through
//! layers against trouble.
//!
//! ```text
//! cargo xtask example resilient                  # brings a redis-server along
//! cargo xtask example resilient --store etcd
//! cargo run --release --example resilient        # with a redis-server that is installed
//! ```

mod curve;
mod journal;
mod load;
mod report;
#[path = "../../xtask/src/server.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with tests that ask more of a server"
)]
mod server;
mod site;
mod stack;

use clap::Parser;
use curve::Curve;
use kv_core::{Clock, SystemClock};
use load::{Call, Deed, Load};
use report::Run;
use site::{Server, StoreKind};
use stack::Stack;
use std::{collections::BTreeMap, error::Error, fmt, io, process::ExitCode, time::Duration};
use tokio::task::{JoinHandle, spawn_blocking};

/// Pauses, kills and restarts a store under load and checks that nothing was applied twice, nothing
/// acknowledged was lost, and every read was answered.
#[derive(Parser)]
struct Args {
    /// The store; its server is started here.
    #[arg(long, value_enum, default_value_t = StoreKind::Redis)]
    store: StoreKind,
    /// How many tasks call the store; half of them write.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(2..=1000))]
    tasks: u16,
    /// How long the server stays in each state at least, in milliseconds.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(250..))]
    phase: u64,
}

/// What has happened to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Healthy,
    Paused,
    Resumed,
    Killed,
    Restarted,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Healthy,
        Self::Paused,
        Self::Resumed,
        Self::Killed,
        Self::Restarted,
    ];

    /// Does to the server what the phase is called after.
    fn begin(self, server: &mut Server) -> io::Result<()> {
        match self {
            Self::Healthy => Ok(()),
            Self::Paused => server.pause(),
            Self::Resumed => server.resume(),
            Self::Killed => server.kill(),
            Self::Restarted => server.restart(),
        }
    }

    fn is_outage(self) -> bool {
        matches!(self, Self::Paused | Self::Killed)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "healthy",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Killed => "killed",
            Self::Restarted => "restarted",
        })
    }
}

/// How much time a line of the curve is about.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long we wait for what has to happen in a phase before we say that it does not.
const PATIENCE: Duration = Duration::from_secs(15);

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(it) = cause {
                eprintln!("  caused by: {it}");
                cause = it.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args) -> Result<bool, Box<dyn Error>> {
    let mut server = Server::start(args.store)?;
    let stack = Stack::open(&server).await?;
    load::prepare(&stack).await?;
    println!("writes     {:?}", stack.writes);
    println!("reads      {:?}\n", stack.reads);

    let load = Load::start(&stack, args.tasks.into());
    let mut curve = Curve::new(&stack, load::rate(args.tasks));
    let mut phases = BTreeMap::new();
    for phase in Phase::ALL {
        // It takes its time, which the load does not wait for.
        let turn = spawn_blocking(move || phase.begin(&mut server).map(|()| server));
        let seen = go_through(phase, args.phase, &turn, &load, &mut curve, &stack).await;
        server = turn.await??;
        phases.insert(phase, seen);
    }
    let (journals, reads, latest) = load.stop().await?;
    let stored = load::stored(&stack.direct, journals.len()).await?;
    let run = Run {
        phases: &phases,
        journals: &journals,
        reads,
        stored: &stored,
        longest: curve.longest(),
        latest,
    };
    let well = report::print(&run);
    for kv in [&stack.writes, &stack.reads, &stack.direct] {
        kv.close().await;
    }
    Ok(well)
}

/// What was seen of a phase.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    answered: u64,
    fell_back: u64,
    /// Whether the breaker refused calls in it.
    was_open: bool,
    /// Whether it let them through at the end of it.
    is_closed: bool,
}

/// Lets the phase last, and longer until what it is there for has happened.
async fn go_through(
    phase: Phase,
    millis: u64,
    turn: &JoinHandle<io::Result<Server>>,
    load: &Load,
    curve: &mut Curve<'_>,
    stack: &Stack,
) -> Seen {
    let clock = SystemClock;
    let start = clock.monotonic();
    let mut seen = Seen::default();
    loop {
        clock.sleep(INTERVAL).await;
        let calls = load.calls();
        let line = curve.print(phase, &calls);
        let is_written = |it: &Call| it.deed == Deed::Write && it.end.is_answered();
        seen.answered += line.answered;
        seen.fell_back += line.fell_back;
        seen.was_open |= line.refused > 0;
        seen.is_closed = stack.is_closed();
        let lasted = clock.monotonic().saturating_sub(start);
        let is_over = turn.is_finished()
            && match phase.is_outage() {
                true => seen.was_open && seen.fell_back > 0,
                false => seen.is_closed && calls.iter().any(is_written),
            };
        if lasted > PATIENCE || (is_over && lasted >= Duration::from_millis(millis)) {
            return seen;
        }
    }
}
