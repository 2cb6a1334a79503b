//! What scheduling costs, beside a script written by hand that refuses an id which is there and tells
//! workers if the task is the first.

use crate::{Bench, load::Load, load::Share, stage::Stage};
use kv_tests::{
    bench::{Claim, Contest, Outcome, Side, Suite},
    noop::Backlog,
};
use redis::{Script, aio::ConnectionManager};
use std::sync::LazyLock;

/// The length of an envelope with a payload of 120 bytes.
const ENVELOPE: usize = 144;

/// `KEYS`: task, due; `ARGV`: channel, then id and envelope of each.
static SCHEDULE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = string.format('%.0f', time[1] * 1000000 + time[2])
         local done = 0
         for i = 2, #ARGV, 2 do
           local id = ARGV[i]
           if redis.call('HSETNX', KEYS[1], id, ARGV[i + 1]) == 1 then
             local first = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
             redis.call('ZADD', KEYS[2], now, id)
             if redis.call('ZRANGE', KEYS[2], 0, 0)[1] ~= first then
               redis.call('PUBLISH', ARGV[1], '')
             end
             done = done + 1
           end
         end
         return done",
    )
});

pub(super) fn rows(bench: &Bench, suite: &mut Suite) {
    for tasks in [1, 64] {
        let claim = Claim::ratio(format!("redis/scheduler/enqueue/{tasks}"), 0.85);
        suite.hold(&[claim], || contest(bench, 1, tasks));
    }
    let claim = Claim::ratio("redis/scheduler/enqueue/bulk", 0.0).told();
    suite.hold(&[claim], || contest(bench, 500, 1));
}

fn contest(bench: &Bench, batch: usize, clients: u64) -> Outcome<Contest<'_>> {
    let stage = bench.stage()?;
    let (run, raw) = (&stage.threads.runtime, &stage.threads.raw);
    let backlog = Backlog::new(&stage.threads.bare, "enqueue")?;
    let load = Load::new(1, batch);
    let by_hand = load.clone();
    let ours = Side::new(move |tasks| load.spread((run, &backlog), (clients, tasks), schedule));
    let reference =
        Side::new(move |tasks| by_hand.spread((run, raw), (clients, tasks), schedule_by_hand));
    Ok(Contest {
        ours: ours.prepared_by(|_| empty(stage)),
        reference: reference.prepared_by(|_| empty(stage)),
        size: crate::TURN,
        meter: Some(Box::new(stage)),
    })
}

/// Neither adds to what the last turn has left.
fn empty(stage: &Stage) -> Outcome {
    stage.unlink(&[
        "{tasks:enqueue}:task",
        "{tasks:enqueue}:due:1",
        "{hand}:task",
        "{hand}:due",
    ])
}

async fn schedule(backlog: Backlog, share: Share) -> Outcome {
    if share.batch() > 1 {
        return backlog.fill(share.count()).await;
    }
    for _ in 0..share.count() {
        backlog.task().await?;
    }
    Ok(())
}

async fn schedule_by_hand(mut redis: ConnectionManager, share: Share) -> Outcome {
    // As long as ours: the payload, and what else is known of a task.
    let envelope = vec![b'x'; ENVELOPE];
    let mut left = share.count() as usize;
    while left > 0 {
        let now = left.min(share.batch());
        let mut call = SCHEDULE.prepare_invoke();
        call.key("{hand}:task").key("{hand}:due").arg("{hand}:wake");
        for _ in 0..now {
            let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
            call.arg(id).arg(&envelope);
        }
        let done: usize = call.invoke_async(&mut redis).await?;
        if done != now {
            return Err(format!("{done} of {now} were scheduled").into());
        }
        left -= now;
    }
    Ok(())
}
