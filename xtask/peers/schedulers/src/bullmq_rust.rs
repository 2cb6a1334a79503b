//! BullMQ's edition for Rust.

use crate::{Done, Stage, contest, drains};
use bullmq::{BulkJob, Job, Queue, QueueOptions, Worker, WorkerOptions, types::RemoveOnFinish};
use kv_tests::{
    bench::{Claim, Outcome, Side, Suite},
    noop::{CONCURRENCY, Noop},
};
use std::{cell::RefCell, rc::Rc};

/// A worker that is told to end.
type Ending = tokio::task::JoinHandle<Result<(), bullmq::Error>>;

pub(crate) fn rows(suite: &mut Suite) {
    for (claim, backlog, many) in drains("bullmq_rust", 20_000) {
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
        &[Claim::ratio("scheduler/bullmq_rust/enqueue/bulk", 1.2)],
        || {
            let stage: &'static Stage = Box::leak(Box::new(Stage::open()?));
            let side = Side::new(|tasks| stage.run.block_on(fill(stage, "bulk".into(), tasks)));
            let theirs = side.prepared_by(|_| stage.empty());
            Ok(contest(stage.ours_bulk()?, theirs, 20_000))
        },
    );
}

fn theirs(stage: &Stage, many: u64) -> Outcome<Side<'_>> {
    let working: Rc<RefCell<Vec<Ending>>> = Rc::default();
    let ended = working.clone();
    let side = Side::new(move |tasks| {
        stage.run.block_on(async {
            for number in 0..many {
                let worker = drain(stage, format!("q{number}"), tasks / many).await?;
                let ending = tokio::spawn(async move { worker.close(10_000).await });
                working.borrow_mut().push(ending);
            }
            Ok(())
        })
    });
    Ok(side.prepared_by(move |tasks| {
        let last: Vec<_> = ended.borrow_mut().drain(..).collect();
        stage.run.block_on(async {
            for ending in last {
                ending.await??;
            }
            Outcome::Ok(())
        })?;
        stage.empty()?;
        stage.run.block_on(async {
            for number in 0..many {
                fill(stage, format!("q{number}"), tasks / many).await?;
            }
            Ok(())
        })
    }))
}

async fn fill(stage: &Stage, queue: String, tasks: u64) -> Outcome {
    let mut options = QueueOptions::default();
    options.connection.url = stage.server.url();
    let queue = Queue::with_options(&queue, options).await?;
    let mut left = tasks;
    while left > 0 {
        let now = left.min(500);
        let jobs = (0..now).map(|_| BulkJob::new("noop", Noop::default()));
        queue.add_bulk(jobs.collect()).await?;
        left -= now;
    }
    Ok(())
}

/// Does so many; the worker is still there.
async fn drain(stage: &Stage, queue: String, tasks: u64) -> Outcome<Worker> {
    let done = Done::begin();
    let mut options = WorkerOptions::default();
    options.connection.url = stage.server.url();
    options.concurrency = CONCURRENCY;
    options.remove_on_complete = Some(RemoveOnFinish::Bool(true));
    let counted = done.clone();
    let work = move |job: Job, _| {
        let done = counted.clone();
        async move {
            let _: Noop = serde_json::from_value(job.data().clone())?;
            done.one(tasks);
            Ok(serde_json::Value::Null)
        }
    };
    let worker = Worker::with_options(&queue, work, options).await?;
    done.all().await?;
    Ok(worker)
}
