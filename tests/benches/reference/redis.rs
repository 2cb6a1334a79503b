//! What a competent user writes with the driver alone: one `ConnectionManager`, cloned into every
//! task.

use crate::load::Share;
use kv_tests::bench::Outcome;
use redis::{AsyncCommands, Script, aio::ConnectionManager};
use std::sync::LazyLock;

static POP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
         if #due > 0 then redis.call('ZREMRANGEBYRANK', KEYS[1], 0, #due - 1) end
         return due",
    )
});

pub(crate) async fn connect(url: &str) -> Outcome<ConnectionManager> {
    Ok(redis::Client::open(url)?.get_connection_manager().await?)
}

pub(crate) async fn get(mut redis: ConnectionManager, share: Share) -> Outcome {
    for key in share.keys() {
        let value: Option<Vec<u8>> = redis.get(key).await?;
        share.check_value(value)?;
    }
    Ok(())
}

pub(crate) async fn set(mut redis: ConnectionManager, share: Share) -> Outcome {
    for key in share.keys() {
        let () = redis.set(key, share.bytes()).await?;
    }
    Ok(())
}

pub(crate) async fn set_with_ttl(mut redis: ConnectionManager, share: Share) -> Outcome {
    for key in share.keys() {
        let () = redis.pset_ex(key, share.bytes(), 3_600_000).await?;
    }
    Ok(())
}

pub(crate) async fn zadd(mut redis: ConnectionManager, share: Share) -> Outcome {
    for (member, score) in share.scored() {
        let _new: usize = redis.zadd("set", member, score).await?;
    }
    Ok(())
}

pub(crate) async fn pop(mut redis: ConnectionManager, share: Share) -> Outcome {
    for _ in 0..share.count() {
        let due: Vec<Vec<u8>> = POP
            .key("queue")
            .arg("+inf")
            .arg(share.batch())
            .invoke_async(&mut redis)
            .await?;
        share.check_count(due.len())?;
    }
    Ok(())
}

pub(crate) async fn get_many(mut redis: ConnectionManager, share: Share) -> Outcome {
    for keys in share.batches() {
        let values: Vec<Option<Vec<u8>>> = redis.mget(keys).await?;
        share.check_count(values.into_iter().flatten().count())?;
    }
    Ok(())
}

pub(crate) async fn set_many(mut redis: ConnectionManager, share: Share) -> Outcome {
    for keys in share.batches() {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.set(key, share.bytes()).ignore();
        }
        let () = pipe.query_async(&mut redis).await?;
    }
    Ok(())
}

pub(crate) async fn delete_many(mut redis: ConnectionManager, share: Share) -> Outcome {
    for keys in share.batches() {
        let mut pipe = redis::pipe();
        for key in keys {
            pipe.unlink(key);
        }
        let gone: Vec<usize> = pipe.query_async(&mut redis).await?;
        share.check_count(gone.into_iter().sum())?;
    }
    Ok(())
}
