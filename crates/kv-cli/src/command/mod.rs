//! One function for each verb.

pub(crate) mod cache;
pub(crate) mod limits;
mod live;
mod locks;
mod span;
mod strings;
mod structures;
mod tasks;

use crate::{
    args::Verb,
    exit::{Exit, Failure},
    output::Output,
};
use kv_core::Kv;

pub(crate) use self::{locks::run as locks, tasks::run as tasks};

pub(crate) async fn run(kv: &Kv, verb: Verb, out: &mut Output<'_>) -> Result<Exit, Failure> {
    match verb {
        Verb::Get { key, raw } => strings::get(kv, key, raw, out).await,
        Verb::Set(set) => strings::set(kv, set, out).await,
        Verb::Del { keys } => strings::del(kv, keys, out).await,
        Verb::Incr { key, by } => strings::incr(kv, key, by, out).await,
        Verb::Ttl { key } => strings::ttl(kv, key, out).await,
        Verb::Scan { prefix, limit } => structures::scan(kv, prefix, limit, out).await,
        Verb::Hgetall { key } => structures::hgetall(kv, key, out).await,
        Verb::Zrange(range) => structures::zrange(kv, range, out).await,
        Verb::Watch(watched) => live::watch(kv, watched, out).await,
        Verb::Wait(wait) => live::wait(kv, wait, out).await,
        Verb::Notify { channel, payload } => live::notify(kv, channel, payload, out).await,
    }
}
