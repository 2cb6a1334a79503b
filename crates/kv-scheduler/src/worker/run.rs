//! One task, from its claim to its end.

use super::{
    counts::add,
    judge::{self, Ending, Judged, Known, Outcome, Over},
    settings::Delivery,
    station::{End, Ends, Station},
};
use crate::{
    TaskError,
    envelope::Envelope,
    handler::{Claim, Ctx, Route, StopReason, TaskRequest, TaskResponse, UNABLE},
    record::Record,
    transitions::Claimed,
};
use futures_util::{
    FutureExt,
    future::{Either, select},
};
use kv_core::{Context, Timestamp};
use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};
use tokio::sync::oneshot;
use tower::ServiceExt;

/// A task that can run.
#[derive(Debug)]
pub(crate) struct Ready {
    claim: Arc<Claim>,
    envelope: Arc<Envelope>,
    route: Route,
    attempt: u32,
    tally: i64,
}

/// Enters a claimed task into the books; what cannot run ends at once. `now` is the store's time.
pub(crate) fn admit(
    station: &Station,
    claimed: Claimed,
    now: Timestamp,
    until: Duration,
) -> Result<Ready, End> {
    let mut route = None;
    let is_known = |kind: &str| {
        route = station.router.find(kind);
        route.is_some()
    };
    let judged = judge::judge(&claimed, now, is_known, UNABLE);
    let (envelope, record, ending) = match judged {
        Judged::Run(envelope, record) => (Some(envelope), record, None),
        Judged::End(envelope, ending) => (envelope, Record::default(), Some(ending)),
    };
    let tally = claimed.fence.tally;
    let attempt = record.attempt(tally);
    let (queue, fence) = (station.queue.clone(), claimed.fence);
    let claim = Arc::new(Claim::new(
        queue,
        fence,
        envelope.clone(),
        record.clone(),
        until,
    ));
    station.claims.insert(claim.clone());
    match (ending, envelope, route) {
        (None, Some(envelope), Some(route)) => Ok(Ready {
            claim,
            envelope,
            route,
            attempt,
            tally,
        }),
        (ending, ..) => {
            let ending = ending.unwrap_or_else(|| judge::release(record));
            Err(End::new(claim, ending))
        }
    }
}

/// Runs the task as often as is agreed.
pub(crate) async fn run(station: Arc<Station>, ready: Ready, ends: Ends) {
    match station.settings.delivery {
        Delivery::AtLeastOnce => run_to_its_end(&station, ready, ends).await,
        Delivery::AtMostOnce => run_once(&station, ready, ends).await,
    }
}

/// Has the task leave the store, then runs its handler.
async fn run_once(station: &Station, ready: Ready, ends: Ends) {
    let (told, written) = oneshot::channel();
    let Ok(place) = ends.reserve().await else {
        return;
    };
    if !ready.claim.take_end() {
        return;
    }
    place.send(End {
        told: Some(told),
        ..End::new(ready.claim.clone(), Ending::Ack(Over::Begun))
    });
    if written.await.is_err() {
        return;
    }
    add(&station.counts.started);
    station.begun.insert(ready.claim.clone());
    let outcome = work(station, &ready).await;
    station.begun.remove(&ready.claim);
    match outcome {
        Outcome::Returned(Ok(_)) => add(&station.counts.succeeded),
        failed => {
            tracing::warn!(
                queue = %station.queue.name,
                task = ?ready.claim.member,
                error = failed.text(),
                "a task failed that is not to be begun again"
            );
            add(&station.counts.failed);
        }
    }
}

/// Runs the handler and hands the end over.
async fn run_to_its_end(station: &Station, ready: Ready, ends: Ends) {
    add(&station.counts.started);
    let claim = &ready.claim;
    let _abandon = AbandonOnPanic { station, claim };
    let outcome = work(station, &ready).await;
    let known = Known {
        envelope: &ready.envelope,
        record: claim.record.lock().clone(),
        tally: ready.tally,
        stop: claim.stop_reason(),
        now: station.scheduler.store().clock.now(),
        chance: fastrand::f64(),
    };
    let ending = judge::settle(outcome, known);
    // Either this task ends the claim or, if it is dropped before, who drops it.
    if let Ok(place) = ends.reserve().await
        && claim.take_end()
    {
        place.send(End::new(claim.clone(), ending));
    }
}

/// Lets go of a claim if we ourselves panic, so that its lease lapses and is not extended for ever.
struct AbandonOnPanic<'a> {
    station: &'a Station,
    claim: &'a Arc<Claim>,
}

impl Drop for AbandonOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() && self.claim.take_end() {
            self.station.claims.remove(self.claim);
            self.station.left.notify_one();
        }
    }
}

/// A task that did not get to its end is given back.
pub(crate) fn released(claim: Arc<Claim>) -> End {
    let record = claim.record.lock().clone();
    End::new(claim, judge::release(record))
}

async fn work(station: &Station, ready: &Ready) -> Outcome {
    let clock = &station.scheduler.store().clock;
    let left = ready
        .envelope
        .deadline()
        .map(|it| it.saturating_since(clock.now()));
    let timeout = ready.envelope.timeout();
    let handler = AssertUnwindSafe(handle(station, ready)).catch_unwind();
    let Some(span) = [left, timeout].into_iter().flatten().min() else {
        return outcome(handler.await);
    };
    match select(pin!(handler), clock.sleep(span)).await {
        Either::Left((returned, _)) => outcome(returned),
        Either::Right(_) => {
            if left == Some(span) {
                ready.claim.stop(StopReason::Deadline);
            }
            Outcome::TimedOut(span)
        }
    }
}

fn outcome(end: std::thread::Result<Result<TaskResponse, TaskError>>) -> Outcome {
    match end {
        Ok(returned) => Outcome::Returned(returned),
        Err(panic) => Outcome::Panicked(panic_text(&*panic).to_owned()),
    }
}

async fn handle(station: &Station, ready: &Ready) -> Result<TaskResponse, TaskError> {
    let request = TaskRequest {
        envelope: ready.envelope.clone(),
        ctx: Ctx::new(
            station.scheduler.clone(),
            ready.envelope.clone(),
            ready.claim.clone(),
            station.data.clone(),
            ready.attempt,
        ),
    };
    let call = ready.route.clone().oneshot(request);
    let call = async { call.await.map_err(TaskError::unboxed) };
    match (&ready.envelope.context, &ready.envelope.trace) {
        (None, None) => call.await,
        (context, trace) => {
            let context = context.clone().unwrap_or_else(Context::new);
            match trace {
                None => context.scope(call).await,
                Some(trace) => context.scope(trace.clone().scope(call)).await,
            }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        return text;
    }
    match panic.downcast_ref::<String>() {
        Some(text) => text,
        None => "with something that is no text",
    }
}
