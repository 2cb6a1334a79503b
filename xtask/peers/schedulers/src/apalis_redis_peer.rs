//! apalis on its Redis backend.

use crate::{Done, Stage, contest, drains};
use apalis::{layers::WorkerBuilderExt, prelude::*};
use apalis_redis::{Config, RedisStorage};
use kv_tests::{
    bench::{Claim, Outcome, Side, Suite},
    noop::{CONCURRENCY, Noop},
};
use std::sync::Arc;
use tokio::sync::oneshot;

pub(crate) fn rows(suite: &mut Suite) {
    for (claim, backlog, many) in drains("apalis", 5_000) {
        let backlog = suite.amount(backlog);
        suite.hold(&[claim], || {
            // The stage outlives the contest, which borrows it, to the end of the program.
            let stage: &'static Stage = Box::leak(Box::new(Stage::open()?));
            Ok(contest(
                stage.ours(many)?,
                theirs(stage, many)?,
                backlog * many,
            ))
        });
    }
    suite.hold(
        &[Claim::ratio("scheduler/apalis/enqueue/bulk", 1.2)],
        || {
            let stage: &'static Stage = Box::leak(Box::new(Stage::open()?));
            let storage = stage.run.block_on(open(stage, "bulk"))?;
            let side = Side::new(move |tasks| stage.run.block_on(fill(storage.clone(), tasks)));
            let theirs = side.prepared_by(|_| stage.empty());
            Ok(contest(stage.ours_bulk()?, theirs, 5_000))
        },
    );
}

fn theirs(stage: &Stage, many: u64) -> Outcome<Side<'_>> {
    let storages: Outcome<Vec<_>> = (0..many)
        .map(|it| stage.run.block_on(open(stage, &format!("q{it}"))))
        .collect();
    let storages = storages?;
    let filled = storages.clone();
    let mut turn = 0;
    let side = Side::new(move |tasks| {
        turn += 1;
        stage.run.block_on(async {
            for (number, storage) in storages.iter().enumerate() {
                let name = format!("worker-{turn}-{number}");
                drain(storage.clone(), name, tasks / many).await?;
            }
            Ok(())
        })
    });
    Ok(side.prepared_by(move |tasks| {
        stage.empty()?;
        stage.run.block_on(async {
            for storage in &filled {
                fill(storage.clone(), tasks / many).await?;
            }
            Ok(())
        })
    }))
}

async fn open(stage: &Stage, queue: &str) -> Outcome<RedisStorage<Noop>> {
    let connection = apalis_redis::connect(stage.server.url()).await?;
    let config = Config::default()
        .queue(queue)
        .batch_size(CONCURRENCY)
        .lock_tasks(true)
        .emit_events(false)
        .persist_results(false);
    Ok(RedisStorage::new(connection).with_config(config))
}

async fn fill(mut storage: RedisStorage<Noop>, tasks: u64) -> Outcome {
    let mut left = tasks;
    while left > 0 {
        let now = left.min(500);
        let tasks = (0..now).map(|_| Noop::default()).collect();
        storage
            .push_bulk(tasks)
            .await
            .map_err(|it| it.to_string())?;
        left -= now;
    }
    Ok(())
}

/// Does so many, and ends the worker.
async fn drain(storage: RedisStorage<Noop>, name: String, tasks: u64) -> Outcome {
    let done = Done::begin();
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = WorkerBuilder::new(name)
        .backend(storage)
        .concurrency(CONCURRENCY)
        .data((done.clone(), tasks))
        .build(noop);
    let working = tokio::spawn(worker.run_until(async move {
        let _ = stopped.await;
        Ok::<_, std::io::Error>(())
    }));
    done.all().await?;
    let _ = stop.send(());
    drop(working);
    Ok(())
}

async fn noop(_: Noop, done: Data<(Arc<Done>, u64)>) -> Result<(), BoxDynError> {
    let (done, enough) = &done.0;
    done.one(*enough);
    Ok(())
}
