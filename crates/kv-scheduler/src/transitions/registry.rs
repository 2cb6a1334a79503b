//! Who is there: queues and workers, in the group of the registry.

use super::{hdel, hset, zadd, zrem};
use crate::{QueueName, registry::Registry};
use kv_core::{Fate, Member, Op, RelativeScore, Txn, Value, ZMove};
use std::time::Duration;

/// So many workers that are gone are taken out at once.
const BATCH: u32 = 100;

/// These queues were heard of now.
pub(crate) fn register<'a>(
    registry: &Registry,
    queues: impl IntoIterator<Item = &'a QueueName>,
) -> Txn {
    let members = queues
        .into_iter()
        .map(|it| (Member::from(it.as_str()), RelativeScore::NOW));
    Txn::new().then(Op::ZAdd {
        key: registry.queues.clone(),
        members: members.collect(),
        notify_if_first: None,
    })
}

/// The queue is not listed any more.
pub(crate) fn unregister(registry: &Registry, queue: &QueueName) -> Txn {
    Txn::new().then(zrem(&registry.queues, &queue.as_str().into()))
}

/// A worker is there, for so long.
pub(crate) fn enter(registry: &Registry, id: &Member, span: Duration, details: Value) -> Txn {
    Txn::new()
        .then(zadd(&registry.workers, id, RelativeScore::after(span)))
        .then(hset(&registry.details, id, details))
}

/// A worker ends.
pub(crate) fn exit(registry: &Registry, id: &Member) -> Txn {
    Txn::new()
        .then(zrem(&registry.workers, id))
        .then(hdel(&registry.details, id))
}

/// Workers that were not heard of in time are gone.
pub(crate) fn sweep(registry: &Registry) -> ZMove {
    ZMove::new(BATCH)
        .from(&registry.workers, RelativeScore::NOW)
        .with(&registry.details, Fate::Drop)
}
