//! A worker as a process of its own, which a test can kill and stop. It ends with its parent.
//!
//! Arguments: the URL of the store, a queue, a file for its journal, how many tasks at a time, the
//! lease and how long a task takes, both in milliseconds. The journal has a line for each handler that
//! was begun: the task's id and the number of the attempt.

use kv_core::{Clock, Kv, SystemClock};
use kv_scheduler::{Ctx, Data, Scheduler, Task, TaskError, Worker};
use kv_tests::job::Job;
use std::{
    env, error, fs,
    io::{Read, Write},
    process,
    sync::Arc,
    thread,
    time::Duration,
};

type Outcome<T = ()> = Result<T, Box<dyn error::Error + Send + Sync>>;

struct Site {
    journal: fs::File,
    work: Duration,
}

#[tokio::main]
async fn main() -> Outcome {
    end_with_parent();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, queue, journal, places, lease, work] = &arguments[..] else {
        return Err("wrong arguments".into());
    };
    let millis =
        |text: &str| Ok::<_, std::num::ParseIntError>(Duration::from_millis(text.parse()?));
    let site = Site {
        journal: fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(journal)?,
        work: millis(work)?,
    };
    let kv = Kv::builder(kv_redis::RedisStore::from_url(url)?)
        .connect()
        .await?;
    Worker::new(&Scheduler::new(&kv)?)
        .queue(queue.clone(), places.parse()?)
        .lease(millis(lease)?)
        .keep_at_most(u64::MAX)
        .data(Arc::new(site))
        .handle(work_on)
        .run_until(std::future::pending())
        .await?;
    Ok(())
}

/// Its result is the number of the attempt.
async fn work_on(_: Job, ctx: Ctx, site: Data<Site>) -> Result<<Job as Task>::Output, TaskError> {
    let line = format!("{} {}\n", ctx.id()?, ctx.attempt());
    // One write, so that lines of several processes do not mix.
    (&site.journal).write_all(line.as_bytes())?;
    SystemClock.sleep(site.work).await;
    Ok(ctx.attempt())
}

/// The parent holds the other end of our input; it closes when the parent ends, even killed.
fn end_with_parent() {
    thread::spawn(|| {
        let mut rest = Vec::new();
        _ = std::io::stdin().read_to_end(&mut rest);
        process::exit(1);
    });
}
