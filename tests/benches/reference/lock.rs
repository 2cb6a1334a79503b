//! A fenced lock as a competent user writes it: two scripts that the driver calls by their hashes.

use crate::load::Share;
use kv_tests::bench::Outcome;
use redis::{Script, aio::ConnectionManager};
use std::sync::LazyLock;

/// `KEYS`: holder, fence; `ARGV`: name, milliseconds, those for the fence.
static ACQUIRE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local holder = redis.call('GET', KEYS[1])
         if holder then
           return {0, holder, redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2])}
         end
         local time = redis.call('TIME')
         local fence = math.max((tonumber(redis.call('GET', KEYS[2])) or 0) + 1, time[1] * 1000000 + time[2])
         fence = string.format('%.0f', fence)
         redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
         redis.call('SET', KEYS[2], fence, 'PX', ARGV[3])
         return {1, fence}",
    )
});

/// `KEYS`: holder; `ARGV`: name, channel.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
         redis.call('DEL', KEYS[1])
         redis.call('PUBLISH', ARGV[2], '')
         return 1",
    )
});

pub(crate) async fn cycle(mut redis: ConnectionManager, share: Share) -> Outcome {
    let lock = share.own("byhand");
    let (holder, fence) = (format!("{{{lock}}}:holder"), format!("{{{lock}}}:fence"));
    let (free, process) = (format!("{{{lock}}}:free"), fastrand::u128(..));
    for count in 0..share.count() {
        let name = format!("{process:032x}{count:x}");
        let (granted, _fence): (u8, u64) = ACQUIRE
            .key(&holder)
            .key(&fence)
            .arg(&name)
            .arg(15_102)
            .arg(86_400_000)
            .invoke_async(&mut redis)
            .await?;
        let released: u8 = RELEASE
            .key(&holder)
            .arg(&name)
            .arg(&free)
            .invoke_async(&mut redis)
            .await?;
        if (granted, released) != (1, 1) {
            return Err("somebody else held the lock".into());
        }
    }
    Ok(())
}
