//! Worker processes that are killed and stopped, a server that is restarted, answers that are lost.

mod fleet;
mod journal;

use self::{
    fleet::Fleet,
    journal::{Run, check},
};
use futures_util::{StreamExt, stream};
use kv_conformance::proxy::{FaultProxy, Mode};
use kv_core::{Clock, Kv, Stopwatch, SystemClock};
use kv_scheduler::{Handle, Retry, Scheduler};
use kv_tests::{job::Job, patience, server::Redis};
use std::time::Duration;

const TASKS: usize = 20_000;
const WORKERS: usize = 4;

/// Long enough for any machine: not what is measured.
const PATIENCE: Duration = Duration::from_secs(240);

/// Between two faults.
const PACE: Duration = Duration::from_millis(500);

/// What was really done to them.
#[derive(Clone, Copy, Debug, Default)]
struct Injected {
    kills: u32,
    stops: u32,
    restarts: u32,
    silences: u32,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_is_lost_and_none_is_done_by_two_at_once() {
    let mut server = Redis::start_durable();
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let kv = Kv::builder(patience::redis(&server.url()));
    let kv = kv.connect().await.unwrap();
    let scheduler = Scheduler::new(&kv).unwrap();
    let job = || Job {
        pad: "x".repeat(100),
    };
    // The slower the machine, the more often one loses its worker.
    let task = || {
        scheduler
            .enqueue(job())
            .retry(Retry::default().lapses(1_000))
    };
    let tasks = (0..TASKS).map(|_| task().queue("jobs"));
    let handles: Vec<Handle<Job>> = scheduler
        .enqueue_many(tasks)
        .await
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();

    let mut fleet = Fleet::start(&format!("redis://{}", proxy.address()), WORKERS);
    let admin = scheduler.admin("jobs").unwrap();
    let begun = Stopwatch::start();
    let mut injected = Injected::default();
    let mut done = 0;
    for round in 0.. {
        assert!(
            begun.elapsed() < PATIENCE,
            "{done} of {TASKS} done; {injected:?}"
        );
        SystemClock.sleep(PACE).await;
        match round % 4 {
            0 | 2 => {
                fleet.replace(round % WORKERS);
                injected.kills += 1;
            }
            1 => {
                fleet.stop(round % WORKERS);
                injected.stops += 1;
            }
            _ => {
                proxy.set(Mode::HalfOpen);
                SystemClock.sleep(PACE / 2).await;
                proxy.set(Mode::Pass);
                injected.silences += 1;
                fleet.go_on();
            }
        }
        if round == 6 {
            tokio::task::block_in_place(|| server.restart());
            injected.restarts += 1;
        }
        // While the server is away nothing can be counted.
        if let Ok(counts) = admin.counts().await {
            done = counts.done;
            assert_eq!(counts.dead, 0);
        }
        if done == TASKS as u64 {
            break;
        }
    }
    fleet.go_on();
    let took = begun.elapsed();
    let runs = fleet.end();
    let ends = stream::iter(handles).map(|handle| async move {
        let attempts = handle.status().await.unwrap().unwrap().attempts;
        let result = handle.wait(Duration::ZERO).await.unwrap();
        Run {
            id: handle.id().unwrap().to_string(),
            attempts,
            result,
        }
    });
    let ends: Vec<Run> = ends.buffer_unordered(64).collect().await;
    let verdict = check(&ends, &runs).unwrap();
    println!("{verdict} in {took:.1?}; {injected:?}; {}", proxy.counts());
    assert_eq!(ends.len(), TASKS);
    assert_eq!(injected.restarts, 1);
    assert!(injected.kills > 1 && injected.stops > 1 && injected.silences > 1);
    assert!(proxy.counts().lost_replies > 0);
    let counts = admin.counts().await.unwrap();
    assert_eq!((counts.pending, counts.running, counts.dead), (0, 0, 0));
}
