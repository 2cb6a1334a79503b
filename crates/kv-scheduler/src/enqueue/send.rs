//! To the store: what may be sent again, and what not.

use super::{Enqueue, Plan, heads::Heads, settle::settle};
use crate::{
    Handle, Scheduler, Task,
    telemetry::{self, Fail},
    transitions,
};
use futures_util::future::join;
use kv_core::{Error, ErrorKind, Outcome, RelativeScore, Result, Score, Txn, TxnReply};
use std::time::Duration;
use tracing::Instrument;

/// So many bytes of envelopes go with one request.
const BATCH_BYTES: usize = 1 << 20;

/// How often a request is sent whose answer does not come.
const SENDINGS: u32 = 4;

/// The pause before the second sending; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// A task that is due later than this cannot be over before its last sending.
const FAR: Duration = Duration::from_secs(60);

/// The same of a task that is due at an instant: our own clock tells how far that is, and may be wrong by
/// hours.
const FAR_BY_OUR_CLOCK: Duration = Duration::from_secs(24 * 3600);

/// Whether a task may be sent once more after a sending that may have been written. One that is due
/// soon may be done and gone by then, and would be done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Again {
    Harmless,
    Harmful,
}

impl Again {
    pub(super) fn of<T>(plan: &Plan<T>) -> Self {
        let is_far = match plan.planned.at {
            RelativeScore::Now(offset) => offset >= FAR.as_micros() as i64,
            RelativeScore::Exact(due) => {
                let now = plan.scheduler.store().clock.now();
                due >= Score::from(now.saturating_add(FAR_BY_OUR_CLOCK))
            }
            _ => false,
        };
        if is_far {
            Self::Harmless
        } else {
            Self::Harmful
        }
    }
}

/// The answer to a task that was sent.
pub(super) struct Sent {
    pub(super) reply: Result<TxnReply>,
    /// Whether it was sent before, and perhaps written.
    pub(super) is_in_doubt: bool,
}

pub(super) async fn one<T: Task>(plan: Plan<T>) -> Result<Handle<T>> {
    let txn = || transitions::schedule(&plan.queue, &plan.planned, transitions::Wake::IfFirst);
    let announced = plan.scheduler.announce([&*plan.queue]);
    // Told first, and so answered first.
    let ((), sent) = join(announced, send_one(&plan.scheduler, txn, Again::of(&plan))).await;
    settle(plan, sent).await
}

/// Schedules many tasks.
pub(crate) async fn many<T: Task>(
    scheduler: &Scheduler,
    tasks: impl IntoIterator<Item = Enqueue<T>>,
) -> Vec<Result<Handle<T>>> {
    let mut handles = Vec::new();
    let mut plans = tasks.into_iter().map(Enqueue::plan).peekable();
    while plans.peek().is_some() {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < scheduler.store().batch && bytes < BATCH_BYTES {
            let Some(plan) = plans.next() else { break };
            if let Ok(plan) = &plan {
                bytes += plan.planned.envelope.as_bytes().len();
            }
            batch.push(plan);
        }
        let span = telemetry::enqueue_many(scheduler.namespace(), T::KIND, batch.len());
        let mut sent = send_batch(scheduler, batch).instrument(span.clone()).await;
        if let Some(error) = sent.iter().find_map(|it| it.as_ref().err()) {
            span.fail(error);
        }
        handles.append(&mut sent);
    }
    #[cfg(feature = "testing")]
    for handle in &mut handles {
        if let Ok(it) = handle
            && let Err(error) = crate::testing::run_inline(it).await
        {
            *handle = Err(error);
        }
    }
    handles
}

async fn send_batch<T: Task>(
    scheduler: &Scheduler,
    batch: Vec<Result<Plan<T>>>,
) -> Vec<Result<Handle<T>>> {
    let good: Vec<_> = batch.iter().filter_map(|it| it.as_ref().ok()).collect();
    let heads = Heads::of(&good);
    let txn = |index: usize| {
        let plan = good[index];
        transitions::schedule(&plan.queue, &plan.planned, heads.wake(index))
    };
    let again: Vec<_> = good.iter().map(|it| Again::of(it)).collect();
    let announced = scheduler.announce(good.iter().map(|it| &*it.queue));
    let ((), sent) = join(announced, send(scheduler, &again, txn)).await;
    heads.tell_for_the_refused(scheduler, &good, &sent).await;
    drop(good);
    let mut sent = sent.into_iter();
    let mut handles = Vec::with_capacity(batch.len());
    for plan in batch {
        handles.push(match plan {
            Err(error) => Err(error),
            Ok(plan) => settle(plan, sent.next().unwrap_or_else(unanswered)).await,
        });
    }
    handles
}

/// Sends a transaction until it is answered, or may not be sent again.
pub(super) async fn send_one(scheduler: &Scheduler, txn: impl Fn() -> Txn, again: Again) -> Sent {
    let mut sent = send(scheduler, &[again], |_| txn()).await;
    sent.pop().unwrap_or_else(unanswered)
}

/// The same with many, each made anew for each sending: hardly any is sent twice.
async fn send(scheduler: &Scheduler, again: &[Again], txn: impl Fn(usize) -> Txn) -> Vec<Sent> {
    let store = scheduler.store();
    let mut sent: Vec<Sent> = again.iter().map(|_| unanswered()).collect();
    let mut open: Vec<usize> = (0..again.len()).collect();
    for sending in 0..SENDINGS {
        if sending > 0 {
            let pause = PAUSE * (1 << (sending - 1));
            let pause = pause.mul_f64(0.5 + fastrand::f64());
            store.clock.sleep(pause).await;
        }
        let request = open.iter().map(|&it| txn(it)).collect();
        match store.commit_all(request).await {
            Ok(replies) => {
                for (&index, reply) in open.iter().zip(replies) {
                    sent[index].reply = reply;
                }
            }
            // One of them is refused for itself, before anything is sent: the others are not.
            Err(error) if error.outcome() == Outcome::Final && open.len() > 1 => {
                for &index in &open {
                    let alone = store.commit_all(vec![txn(index)]).await;
                    let reply = alone.map(|mut it| it.pop());
                    sent[index].reply = reply.and_then(|it| it.unwrap_or_else(|| Err(no_answer())));
                }
            }
            Err(error) => {
                for &index in &open {
                    sent[index].reply = Err(error.duplicate());
                }
            }
        }
        open.retain(|&index| match &sent[index].reply {
            Ok(_) => false,
            Err(error) => match error.outcome() {
                Outcome::NotApplied => true,
                Outcome::Unknown => again[index] == Again::Harmless,
                Outcome::Final => false,
            },
        });
        if open.is_empty() {
            break;
        }
        for &index in &open {
            let is_unknown = |it: &Error| it.outcome() == Outcome::Unknown;
            sent[index].is_in_doubt |= sent[index].reply.as_ref().is_err_and(is_unknown);
        }
    }
    sent
}

fn unanswered() -> Sent {
    Sent {
        reply: Err(no_answer()),
        is_in_doubt: false,
    }
}

fn no_answer() -> Error {
    Error::new(
        ErrorKind::Unexpected,
        "the store answered fewer transactions than it was sent",
    )
}
