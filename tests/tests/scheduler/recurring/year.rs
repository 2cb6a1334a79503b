//! A year, by three nodes.

use super::calendar::{BEGIN, Case, END};
use kv_core::{Clock, Kv, Timestamp, VirtualClock};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_scheduler::{Ctx, Data, Misfire, Scheduler, Task, TaskError, Worker};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

#[derive(Serialize, Deserialize)]
struct Chime;

impl Task for Chime {
    const KIND: &'static str = "chime";
    type Output = ();
}

/// A quarter of an hour, in the months when clocks change.
const LONG: (&str, &str) = ("Europe/Berlin", "*/15 * * 3,4,9,10,11 *");

/// The ticks of each schedule, in seconds, in the order in which they were begun.
struct Heard {
    clock: Arc<VirtualClock>,
    ticks: Mutex<BTreeMap<String, Vec<i64>>>,
}

async fn hear(_: Chime, ctx: Ctx, heard: Data<Heard>) -> Result<(), TaskError> {
    let (schedule, tick) = (ctx.schedule().unwrap(), ctx.tick().unwrap());
    assert!(tick <= heard.clock.now(), "{schedule}: {tick:?} is early");
    let mut ticks = heard.ticks.lock();
    let ticks = ticks.entry(schedule.to_owned()).or_default();
    ticks.push(tick.as_micros() / 1_000_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn three_nodes_fire_each_tick_of_a_year_once() {
    let begin = Timestamp::from_micros(BEGIN * 1_000_000);
    let clock = Arc::new(VirtualClock::at(begin));
    let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
    let kv = Kv::builder(store).connect().await.unwrap();
    let heard = Arc::new(Heard {
        clock: clock.clone(),
        ticks: Mutex::default(),
    });
    let nodes: Vec<Worker> = (0..3)
        .map(|_| {
            let scheduler = Scheduler::builder(&kv).clock(clock.clone()).build();
            Worker::new(&scheduler.unwrap())
                .queue("default", 64)
                .data(heard.clone())
                .handle(hear)
        })
        .collect();
    let scheduler = Scheduler::builder(&kv)
        .clock(clock.clone())
        .build()
        .unwrap();
    let mut cases = Case::all();
    // Of the long ones one is enough.
    cases.retain(|it| it.ticks.len() < 4_000 || (it.zone, it.expression) == LONG);
    for (number, case) in cases.iter().enumerate() {
        let name = format!("case-{number}");
        let cron = scheduler.cron(name, case.cron(), Chime);
        let cron = cron.misfire(Misfire::All { max: 1000 });
        cron.upsert().await.unwrap();
    }
    // Nodes are away for a while now and then, but never so long that ticks are dropped.
    let mut chance = fastrand::Rng::with_seed(7);
    let end = Timestamp::from_micros(END * 1_000_000 - 1);
    while clock.now() < end {
        let step = Duration::from_secs(chance.u64(1..200_000));
        clock.advance(step.min(end.saturating_since(clock.now())));
        let (a, b, c) = tokio::join!(nodes[0].drain(), nodes[1].drain(), nodes[2].drain());
        for report in [a, b, c] {
            assert_eq!(report.unwrap().retried, 0);
        }
    }
    let heard = std::mem::take(&mut *heard.ticks.lock());
    for (number, case) in cases.iter().enumerate() {
        let mut found = heard[&format!("case-{number}")].clone();
        // Three nodes begin them, each in order.
        found.sort_unstable();
        assert_eq!(
            found.len(),
            case.ticks.len(),
            "{} {}",
            case.expression,
            case.zone
        );
        assert_eq!(found, case.ticks, "{} {}", case.expression, case.zone);
    }
    let admin = scheduler.admin("default").unwrap();
    assert_eq!(admin.counts().await.unwrap().pending, 0);
}
