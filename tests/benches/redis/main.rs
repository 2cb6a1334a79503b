//! The Redis store through `Kv` against the driver alone, on a server of their own.

mod atomic;
#[path = "../reference/atomic.rs"]
mod atomic_reference;
mod cache;
mod figures;
mod layers;
mod limits;
mod load;
mod lock;
#[path = "../reference/lock.rs"]
mod lock_reference;
mod ours;
#[path = "../reference/redis.rs"]
mod reference;
#[path = "../reference/layers.rs"]
#[expect(dead_code, reason = "shared with benchmarks on memory")]
mod reference_layers;
#[path = "../reference/throttle.rs"]
mod reference_throttle;
#[path = "../reference/zipf.rs"]
mod reference_zipf;
mod scheduler;
#[path = "../../../xtask/src/server.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with tests that ask more of a server"
)]
mod server;
mod stage;
mod throttle;
mod watch;

use kv_core::Kv;
use kv_tests::bench::{Claim, Contest, Outcome, Side, Size, Suite};
use load::{Load, Share};
use redis::aio::ConnectionManager;
use stage::{Clients, Stage};
use std::{cell::OnceCell, process::ExitCode, time::Duration};

const TURN: Size = Size::Span(Duration::from_millis(200));

fn main() -> Outcome<ExitCode> {
    if let Some(outcome) = cache::child() {
        outcome?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut suite = Suite::begin()?;
    let bench = Bench {
        stage: OnceCell::new(),
        single: Load::new(10_000, 1),
        limits: Load::new(10_000, 1).below("limit:"),
    };
    bench.singles(&mut suite, "get", ours::get, reference::get);
    bench.singles(&mut suite, "set", ours::set, reference::set);
    bench.singles(&mut suite, "zadd", ours::zadd, reference::zadd);
    bench.singles(&mut suite, "zpop", ours::pop, reference::pop);
    bench.wrapped(&mut suite);
    layers::rows(&bench, &mut suite);
    bench.batches(&mut suite);
    bench.limits(&mut suite);
    limits::rows(&bench, &mut suite);
    cache::rows(&bench, &mut suite);
    atomic::rows(&bench, &mut suite);
    watch::rows(&mut suite);
    scheduler::rows(&bench, &mut suite);
    lock::rows(&bench, &mut suite);
    Ok(suite.end())
}

struct Bench {
    /// The server is started for the first row that is wanted.
    stage: OnceCell<Stage>,
    single: Load,
    /// Keys that hold nothing but limits.
    limits: Load,
}

/// A row beside its claims.
struct Shape<'a> {
    clients: fn(&Stage) -> &Clients,
    ours: fn(&Clients) -> &Kv,
    load: &'a Load,
    tasks: u64,
    size: Size,
    prepare: fn(&Stage, &Load, u64) -> Outcome,
}

impl Bench {
    /// One key or member a call.
    fn singles<O, R>(
        &self,
        suite: &mut Suite,
        op: &str,
        ours: fn(Kv, Share) -> O,
        reference: fn(ConnectionManager, Share) -> R,
    ) where
        O: Future<Output = Outcome> + Send + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        for (tasks, target) in [(1, 0.97), (64, 0.92), (512, 0.90)] {
            let claims = [Claim::ratio(format!("redis/{op}/{tasks}"), target)];
            let contest = || self.contest(self.single(op, tasks), ours, reference);
            suite.hold(&claims, contest);
        }
        for (tasks, target) in [(64, 0.80), (512, 0.75)] {
            let name = format!("redis/ct/{op}/{tasks}");
            let mut claims = vec![Claim::ratio(&name, target)];
            if (op, tasks) == ("get", 64) {
                claims.push(Claim::client_micros_added(format!("{name}/cpu"), 0.3));
            }
            let shape = Shape {
                clients: |stage| &stage.current,
                ..self.single(op, tasks)
            };
            suite.hold(&claims, || self.contest(shape, ours, reference));
        }
    }

    /// Through the layers that every program has; the reference writes its deadline by hand.
    fn wrapped(&self, suite: &mut Suite) {
        let shape = |op| Shape {
            ours: |clients| &clients.wrapped,
            ..self.single(op, 64)
        };
        suite.hold(&[Claim::ratio("redis/wrapped/get/64", 0.92 - 0.03)], || {
            self.contest(shape("get"), ours::get, reference::get)
        });
        suite.hold(&[Claim::ratio("redis/wrapped/set/64", 0.92 - 0.03)], || {
            self.contest(shape("set"), ours::set, reference::set_with_ttl)
        });
    }

    /// Many keys or members a call, one call at a time.
    fn batches(&self, suite: &mut Suite) {
        let hundred = Load::new(10_000, 100);
        suite.hold(&[Claim::ratio("redis/get_many/100", 0.9)], || {
            let shape = Shape {
                load: &hundred,
                ..self.single("get", 1)
            };
            self.contest(shape, ours::get_many, reference::get_many)
        });
        suite.hold(&[Claim::ratio("redis/zpop_many/100", 0.85)], || {
            let shape = Shape {
                load: &hundred,
                ..self.single("zpop", 1)
            };
            self.contest(shape, ours::pop, reference::pop)
        });
        const CALLS: u64 = 10;
        let batch = suite.amount(10_000);
        let thousands = Load::new(CALLS * batch, batch as usize);
        let shape = |op| Shape {
            load: &thousands,
            size: Size::Ops(CALLS),
            ..self.single(op, 1)
        };
        suite.hold(&[Claim::ratio("redis/set_many/10000", 0.8)], || {
            self.contest(shape("set"), ours::set_many, reference::set_many)
        });
        suite.hold(&[Claim::ratio("redis/delete_many/10000", 0.8)], || {
            let shape = Shape {
                prepare: |stage, load, _| stage.fill_keys(load),
                ..shape("delete")
            };
            self.contest(shape, ours::delete_many, reference::delete_many)
        });
    }

    fn single(&self, op: &str, tasks: u64) -> Shape<'_> {
        Shape {
            clients: |stage| &stage.threads,
            ours: |clients| &clients.bare,
            load: &self.single,
            tasks,
            size: TURN,
            prepare: match op {
                "zpop" => |stage, load, ops| stage.fill_queue(ops * load.batch() as u64),
                _ => |_, _, _| Ok(()),
            },
        }
    }

    fn contest<'a, O, R>(
        &'a self,
        shape: Shape<'a>,
        ours: fn(Kv, Share) -> O,
        reference: fn(ConnectionManager, Share) -> R,
    ) -> Outcome<Contest<'a>>
    where
        O: Future<Output = Outcome> + Send + 'static,
        R: Future<Output = Outcome> + Send + 'static,
    {
        let Shape {
            load,
            tasks,
            size,
            prepare,
            ..
        } = shape;
        let stage = self.stage()?;
        let clients = (shape.clients)(stage);
        let kv = (shape.ours)(clients);
        let prepare = move |ops| prepare(stage, load, ops);
        let run = &clients.runtime;
        Ok(Contest {
            ours: Side::new(move |ops| load.spread((run, kv), (tasks, ops), ours))
                .prepared_by(prepare),
            reference: Side::new(move |ops| {
                load.spread((run, &clients.raw), (tasks, ops), reference)
            })
            .prepared_by(prepare),
            size,
            meter: Some(Box::new(stage)),
        })
    }

    fn stage(&self) -> Outcome<&Stage> {
        if let Some(stage) = self.stage.get() {
            return Ok(stage);
        }
        let stage = Stage::open(&self.single)?;
        Ok(self.stage.get_or_init(|| stage))
    }
}
