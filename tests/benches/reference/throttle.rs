//! The generic cell rate algorithm as a competent user writes it for one key: a script that the
//! driver calls by its hash.

use crate::{load::Share, throttle::check};
use kv_tests::bench::Outcome;
use redis::{Script, aio::ConnectionManager};
use std::sync::LazyLock;

static GCRA: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000000 + time[2]
         local interval, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
         local full = burst * interval
         local tat = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
         local new = tat + cost * interval
         local wait = new - full - now
         if wait > 0 then
           return {0, math.floor((full - tat + now) / interval), wait, tat - now}
         end
         redis.call('SET', KEYS[1], string.format('%.0f', new), 'PX', math.ceil((new - now) / 1000))
         return {1, math.floor((full - new + now) / interval), 0, new - now}",
    )
});

pub(crate) async fn throttle(mut redis: ConnectionManager, share: Share) -> Outcome {
    for key in share.keys() {
        let (_, remaining, _, reset): (u8, u64, u64, u64) = GCRA
            .key(format!("raw:{key}"))
            .arg(600_000)
            .arg(100)
            .arg(1)
            .invoke_async(&mut redis)
            .await?;
        check(remaining, reset)?;
    }
    Ok(())
}
