//! Which queues and workers there are.

use crate::site::{Do, HOUR, Log, Site, obey};
use kv_core::{Error, ErrorKind, Kv, Timestamp, VirtualClock, layer_fn};
use kv_memory::{MemoryConfig, MemoryStore};
use kv_scheduler::{KnownQueue, Scheduler, Worker};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

async fn names(scheduler: &Scheduler) -> Vec<String> {
    let queues = scheduler.queues().await.unwrap();
    queues.iter().map(|it| it.name.to_string()).collect()
}

async fn a_queue_is_known_from_its_first_task_until_it_is_forgotten(site: Site) {
    assert_eq!(names(&site.scheduler).await, [""; 0]);
    let later = |queue: &'static str| {
        site.scheduler
            .schedule_in(HOUR, Do::Succeed(1))
            .queue(queue)
    };
    let first = later("mail").await.unwrap();
    for handle in site.scheduler.enqueue_many([later("a"), later("b")]).await {
        handle.unwrap();
    }
    let other = site.another().await;
    assert_eq!(names(&other).await, ["a", "b", "mail"]);
    let now = site.kv.now().await.unwrap();
    let seen = other.queues().await.unwrap();
    let is_recent = |it: &KnownQueue| now.saturating_since(it.seen) < HOUR / 60;
    assert!(seen.iter().all(is_recent), "{seen:?}");

    let admin = site.scheduler.admin("mail").unwrap();
    assert!(!admin.forget().await.unwrap(), "it has a task");
    first.cancel().await.unwrap();
    admin.pause().await.unwrap();
    assert!(!admin.forget().await.unwrap(), "it is paused");
    admin.resume().await.unwrap();
    assert!(admin.forget().await.unwrap());
    assert_eq!(names(&other).await, ["a", "b"]);
    later("mail").await.unwrap();
    assert_eq!(names(&other).await, ["a", "b", "mail"]);
}

async fn many_queues_are_listed_whole_and_once(site: Site) {
    let expected: Vec<_> = (0..230).map(|it| format!("q{it:03}")).collect();
    let tasks = expected.iter().map(|queue| {
        let task = site.scheduler.schedule_in(HOUR, Do::Succeed(1));
        task.queue(queue.clone())
    });
    for handle in site.scheduler.enqueue_many(tasks).await {
        handle.unwrap();
    }
    assert_eq!(names(&site.scheduler).await, expected);
}

async fn a_worker_is_known_while_it_runs(site: Site) {
    let worker = site.worker().name("mailer").queue("mail", 3).queue("z", 7);
    let (stop, running) = crate::waiting::spawn(worker);
    let workers = loop {
        let workers = site.scheduler.workers().await.unwrap();
        if !workers.is_empty() {
            break workers;
        }
        tokio::task::yield_now().await;
    };
    let worker = &workers[0];
    let queues: Vec<_> = worker
        .queues
        .iter()
        .map(|(it, n)| (it.as_str(), *n))
        .collect();
    assert_eq!(queues, [("mail", 3), ("z", 7)]);
    assert_eq!(
        (&*worker.name, worker.process),
        ("mailer", std::process::id())
    );
    assert!(worker.gone_at > site.kv.now().await.unwrap());
    while names(&site.scheduler).await != ["mail", "z"] {
        tokio::task::yield_now().await;
    }
    stop.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(site.scheduler.workers().await.unwrap(), []);
}

crate::on_each_store! {
    a_queue_is_known_from_its_first_task_until_it_is_forgotten
    many_queues_are_listed_whole_and_once
    a_worker_is_known_while_it_runs
}

/// A store that refuses all that has to do with the registry.
#[tokio::test]
async fn a_registry_that_cannot_be_written_stops_nobody() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let layer = layer_fn("no registry", move |request, next| {
        let is_registry = format!("{:?}", request.command).contains("{tasks}");
        if is_registry && down.load(Ordering::SeqCst) {
            let error = Error::new(ErrorKind::Unavailable, "down");
            return Box::pin(async { Err(error) });
        }
        next.call(request)
    });
    let clock = Arc::new(VirtualClock::at(Timestamp::from_micros(1_000_000)));
    let store = MemoryStore::with_clock(MemoryConfig::default(), clock.clone());
    let kv = Kv::builder(store).layer(layer).connect().await.unwrap();
    let scheduler = Scheduler::builder(&kv)
        .clock(clock.clone())
        .build()
        .unwrap();
    for _ in 0..2 {
        scheduler.enqueue(Do::Succeed(1)).await.unwrap();
    }
    let log = Arc::new(Log::default());
    let worker = Worker::new(&scheduler).data(log).handle(obey);
    assert_eq!(worker.drain().await.unwrap().succeeded, 2);
    is_down.store(false, Ordering::SeqCst);
    assert_eq!(names(&scheduler).await, [""; 0]);
    clock.advance(Duration::from_secs(5));
    scheduler.enqueue(Do::Succeed(1)).await.unwrap();
    assert_eq!(names(&scheduler).await, ["default"]);
}
