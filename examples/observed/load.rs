//! A small mixed load: what a service with sessions and counters does.

use crate::stack::Stack;
use futures_util::{
    StreamExt,
    future::{self, poll_immediate},
};
use kv_core::{CallOptions, Clock as _, Context, Kv, Result, SystemClock, Ttl, Watch};
use std::time::Duration;

const WORKERS: usize = 24;
const ROUNDS: usize = 150;

/// How many calls were made and how many failed, as the callers saw it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
}

/// Runs the load, with an outage in the middle.
pub(crate) async fn run(stack: &Stack) -> Result<Told> {
    let tenant = Context::tenant("acme");
    let (kv, local) = (stack.kv.bind(tenant.clone()), stack.local.bind(tenant));
    let watched = Watch::Keys(vec!["session:1".try_into()?]);
    let mut events = kv.watch(watched).await?;
    let mut told = workers(&kv, &local).await;
    stack.trouble.begin_outage();
    told += rounds(&kv, &local, 0, ROUNDS).await;
    stack.trouble.end_outage();
    SystemClock.sleep(Duration::from_millis(200)).await;
    told += workers(&kv, &local).await;

    // No field of a string.
    told.note(kv.hget("session:1", "a").await);
    // Until one takes its time, and is given up.
    let far = kv.with(CallOptions::new().without_near_cache());
    while poll_immediate(Box::pin(far.get("session:1")))
        .await
        .is_some()
    {}
    // The watch tells of the last change at the latest.
    kv.set("session:1", "over").await?;
    events.next().await.transpose()?;
    Ok(told)
}

async fn workers(kv: &Kv, local: &Kv) -> Told {
    let all = (0..WORKERS).map(|worker| rounds(kv, local, worker, ROUNDS / 10));
    let mut told = Told::default();
    future::join_all(all)
        .await
        .into_iter()
        .for_each(|it| told += it);
    told
}

async fn rounds(kv: &Kv, local: &Kv, worker: usize, rounds: usize) -> Told {
    let mut told = Told::default();
    for round in 0..rounds {
        let session = |it: usize| format!("session:{}", it % 64);
        let key = session(worker * 7 + round);
        told.note(kv.set(&key, "a session's state").await);
        told.note(kv.get(&key).await);
        told.note(kv.get_many((round..round + 5).map(session)).await);
        told.note(kv.set_if_absent(&key, "too late", Ttl::Keep).await);
        told.note(kv.increment(format!("visits:{worker}"), 1).await);
        told.note(local.get(&key).await);
    }
    told
}

impl Told {
    fn note<T>(&mut self, answer: Result<T>) {
        self.calls += 1;
        self.failed += u64::from(answer.is_err());
    }
}

impl std::ops::AddAssign for Told {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.failed += other.failed;
    }
}
