//! The contender: the same work as the reference's, through `Kv`.

use crate::load::Share;
use kv_core::{Kv, Score};
use kv_tests::bench::Outcome;

pub(crate) async fn get(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        let value = kv.get(key).await?;
        share.check_value(value)?;
    }
    Ok(())
}

pub(crate) async fn set(kv: Kv, share: Share) -> Outcome {
    for key in share.keys() {
        kv.set(key, share.value()).await?;
    }
    Ok(())
}

pub(crate) async fn zadd(kv: Kv, share: Share) -> Outcome {
    for (member, score) in share.scored() {
        kv.zadd("set", [(member, score)]).await?;
    }
    Ok(())
}

pub(crate) async fn pop(kv: Kv, share: Share) -> Outcome {
    for _ in 0..share.count() {
        let due = kv
            .zpopbyscore_many("queue", Score::MAX, share.batch() as u32)
            .await?;
        share.check_count(due.len())?;
    }
    Ok(())
}

pub(crate) async fn get_many(kv: Kv, share: Share) -> Outcome {
    for keys in share.batches() {
        let values = kv.get_many(keys).await?;
        share.check_count(values.into_iter().flatten().count())?;
    }
    Ok(())
}

pub(crate) async fn set_many(kv: Kv, share: Share) -> Outcome {
    for keys in share.batches() {
        kv.set_many(keys.iter().map(|key| (key, share.value())))
            .await?;
    }
    Ok(())
}

pub(crate) async fn delete_many(kv: Kv, share: Share) -> Outcome {
    for keys in share.batches() {
        let gone = kv.delete_many(keys).await?;
        share.check_count(gone as usize)?;
    }
    Ok(())
}
