//! The same with scripts written by hand for one queue, which know what its keys hold.

use crate::load::Share;
use kv_tests::bench::Outcome;
use redis::{Script, aio::ConnectionManager};
use std::sync::LazyLock;

/// `KEYS`: lease, tries, body, notes, stats; `ARGV`: job, score, tries.
static ACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2]
            or redis.call('HGET', KEYS[2], ARGV[1]) ~= ARGV[3] then return 0 end
         redis.call('ZREM', KEYS[1], ARGV[1])
         redis.call('HDEL', KEYS[2], ARGV[1])
         redis.call('HDEL', KEYS[3], ARGV[1])
         redis.call('HDEL', KEYS[4], ARGV[1])
         redis.call('HINCRBY', KEYS[5], 'done', 1)
         return 1",
    )
});

/// The same for many jobs; tells how many.
static ACK_MANY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local done = 0
         for i = 1, #ARGV, 3 do
           local job = ARGV[i]
           if redis.call('ZSCORE', KEYS[1], job) == ARGV[i + 1]
               and redis.call('HGET', KEYS[2], job) == ARGV[i + 2] then
             redis.call('ZREM', KEYS[1], job)
             redis.call('HDEL', KEYS[2], job)
             redis.call('HDEL', KEYS[3], job)
             redis.call('HDEL', KEYS[4], job)
             redis.call('HINCRBY', KEYS[5], 'done', 1)
             done = done + 1
           end
         end
         return done",
    )
});

/// `KEYS`: ready, lease, tries, body; `ARGV`: how many, for how many microseconds.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000000 + time[2]
         local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
         local lease = string.format('%.0f', now + ARGV[2])
         local out = {}
         for i, job in ipairs(due) do
           redis.call('ZADD', KEYS[2], lease, job)
           out[i] = {job, lease, redis.call('HINCRBY', KEYS[3], job, 1), redis.call('HGET', KEYS[4], job)}
         end
         if #due > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #due - 1) end
         return out",
    )
});

const ACKED: [&str; 5] = [
    "{q}:lease",
    "{q}:tries",
    "{q}:body",
    "{q}:notes",
    "{q}:stats",
];

pub(crate) async fn ack(mut redis: ConnectionManager, share: Share) -> Outcome {
    for job in 0..share.count() {
        let mut call = ACK.prepare_invoke();
        ACKED.iter().for_each(|key| {
            call.key(*key);
        });
        call.arg(format!("job:{job:09}")).arg(job).arg(1);
        let done: usize = call.invoke_async(&mut redis).await?;
        check(done, 1)?;
    }
    Ok(())
}

pub(crate) async fn ack_many(mut redis: ConnectionManager, share: Share) -> Outcome {
    let jobs: Vec<u64> = (0..share.count()).collect();
    for jobs in jobs.chunks(share.batch()) {
        let mut call = ACK_MANY.prepare_invoke();
        ACKED.iter().for_each(|key| {
            call.key(*key);
        });
        for job in jobs {
            call.arg(format!("job:{job:09}")).arg(job).arg(1);
        }
        let done: usize = call.invoke_async(&mut redis).await?;
        check(done, jobs.len())?;
    }
    Ok(())
}

pub(crate) async fn claim_and_ack(mut redis: ConnectionManager, share: Share) -> Outcome {
    let mut left = share.count() as usize;
    while left > 0 {
        let mut call = CLAIM.prepare_invoke();
        call.key("{q}:ready")
            .key("{q}:lease")
            .key("{q}:tries")
            .key("{q}:body");
        call.arg(share.batch()).arg(60_000_000);
        let claimed: Vec<(Vec<u8>, String, i64, Vec<u8>)> = call.invoke_async(&mut redis).await?;
        let mut call = ACK_MANY.prepare_invoke();
        ACKED.iter().for_each(|key| {
            call.key(*key);
        });
        for (job, lease, tries, _) in &claimed {
            call.arg(job).arg(lease).arg(*tries);
        }
        let done: usize = call.invoke_async(&mut redis).await?;
        check(done, claimed.len().max(1))?;
        left = left.saturating_sub(done);
    }
    Ok(())
}

fn check(done: usize, expected: usize) -> Outcome {
    match done == expected {
        true => Ok(()),
        false => Err(format!("{done} instead of {expected} were acknowledged").into()),
    }
}
