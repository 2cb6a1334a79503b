//! How late tasks begin, on a worker that has nothing else to do.

use crate::figures::at_most;
use kv_core::{Clock, Kv, Stopwatch, SystemClock, Timestamp};
use kv_redis::{RedisConfig, RedisStore};
use kv_scheduler::{Data, Scheduler, Task, TaskError, Worker};
use kv_tests::{
    bench::{Effort, Figure, Outcome, Row, Suite},
    server::Redis,
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
};

/// Tasks in one round.
const TASKS: u64 = 200;

/// The shortest pause between two tasks, and the longest delay.
const PAUSE: Duration = Duration::from_millis(2);
const DELAY: Duration = Duration::from_millis(500);

pub(super) fn rows(suite: &mut Suite) {
    let millis = |name, target: f64| at_most(name, Figure::Nanos, target * 1e6);
    let rows = [
        ("redis/scheduler/start/p50", 1.0, Kind::Now, 0.50),
        ("redis/scheduler/start/p99", 5.0, Kind::Now, 0.99),
        ("redis/scheduler/late/p50", 5.0, Kind::Delayed, 0.50),
        ("redis/scheduler/late/p99", 5.0, Kind::Delayed, 0.99),
    ];
    for kind in [Kind::Now, Kind::Delayed] {
        let rows = rows
            .iter()
            .filter(|(name, _, of, _)| *of == kind && suite.want(name));
        let rows: Vec<_> = rows.copied().collect();
        if rows.is_empty() {
            continue;
        }
        match rounds(suite, kind) {
            Ok(rounds) => {
                for (name, target, _, part) in rows {
                    let figures = rounds.iter().map(|it| (quantile(it, part), 0.0));
                    suite.report(Row::of_figures(&millis(name, target), figures));
                }
            }
            Err(failure) => suite.fail(rows[0].0, failure),
        }
    }
}

/// When tasks are due.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// At once: from the call that schedules them to the first line of their handler.
    Now,
    /// Later: from the time they are due at, by the one clock of this machine.
    Delayed,
}

/// Nanoseconds, in order of size, of each round.
fn rounds(suite: &Suite, kind: Kind) -> Outcome<Vec<Vec<f64>>> {
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs,
        Effort::Smoke => 1,
    };
    let tasks = match suite.effort() {
        Effort::Full { .. } => TASKS,
        Effort::Smoke => 10,
    };
    let server = Redis::start();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = RedisStore::new(RedisConfig::from_url(server.url()))?;
        let kv = Kv::builder(store).connect().await?;
        let scheduler = Scheduler::new(&kv)?;
        let (begun, mut received) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = Worker::new(&scheduler).data(Arc::new(begun)).handle(tell);
        let worker = tokio::spawn(worker.run_until(async move {
            let _ = stopped.await;
        }));
        let mut all = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let mut nanos = match kind {
                Kind::Now => at_once(&scheduler, &mut received, tasks).await?,
                Kind::Delayed => delayed(&scheduler, &mut received, tasks).await?,
            };
            nanos.sort_by(f64::total_cmp);
            all.push(nanos);
        }
        let _ = stop.send(());
        worker.await??;
        Ok(all)
    })
}

async fn at_once(
    scheduler: &Scheduler,
    begun: &mut mpsc::UnboundedReceiver<Begun>,
    tasks: u64,
) -> Outcome<Vec<f64>> {
    let mut nanos = Vec::new();
    for _ in 0..tasks {
        let pause = PAUSE.mul_f64(1.0 + 4.0 * fastrand::f64());
        SystemClock.sleep(pause).await;
        let watch = Stopwatch::start();
        let scheduled = async {
            scheduler.enqueue(Tell { due: 0 }).await?;
            Outcome::Ok(())
        };
        let told = async {
            begun.recv().await.ok_or("the worker has ended")?;
            Outcome::Ok(watch.elapsed())
        };
        let ((), took) = tokio::try_join!(scheduled, told)?;
        nanos.push(took.as_nanos() as f64);
    }
    Ok(nanos)
}

async fn delayed(
    scheduler: &Scheduler,
    begun: &mut mpsc::UnboundedReceiver<Begun>,
    tasks: u64,
) -> Outcome<Vec<f64>> {
    // None is due before all are scheduled.
    let first = SystemClock.now().saturating_add(DELAY);
    let all = (0..tasks).map(|_| {
        let due = first.saturating_add(DELAY.mul_f64(fastrand::f64()));
        scheduler.schedule_at(
            due,
            Tell {
                due: due.as_micros(),
            },
        )
    });
    for scheduled in scheduler.enqueue_many(all).await {
        scheduled?;
    }
    let mut nanos = Vec::new();
    for _ in 0..tasks {
        let begun = begun.recv().await.ok_or("the worker has ended")?;
        let due = Timestamp::from_micros(begun.due);
        if begun.at < due {
            return Err(format!("a task began {:?} early", due.saturating_since(begun.at)).into());
        }
        nanos.push(begun.at.saturating_since(due).as_nanos() as f64);
    }
    Ok(nanos)
}

#[derive(Serialize, Deserialize)]
struct Tell {
    due: i64,
}

impl Task for Tell {
    const KIND: &'static str = "tell";
    type Output = ();
}

struct Begun {
    due: i64,
    at: Timestamp,
}

async fn tell(task: Tell, begun: Data<mpsc::UnboundedSender<Begun>>) -> Result<(), TaskError> {
    let at = SystemClock.now();
    // Nobody listens when the round is over.
    let _ = begun.send(Begun { due: task.due, at });
    Ok(())
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = (sorted.len() as f64 * part) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}
