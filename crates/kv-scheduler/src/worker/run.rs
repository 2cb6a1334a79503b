//! One task, from its claim to its end.

use super::{
    counts::{Ended, add},
    judge::{self, Ending, Judged, Known, Outcome, Over},
    renew::lose,
    settings::Delivery,
    station::{End, Ends, Station},
};
use crate::{
    TaskError,
    envelope::Envelope,
    handler::{Claim, Ctx, Route, StopReason, TaskRequest, TaskResponse, UNABLE},
    record::Record,
    telemetry::{self, Fail},
    transitions::{Claimed, Recorded},
};
use futures_util::{
    FutureExt,
    future::{Either, poll_fn, select},
};
use kv_core::Timestamp;
use std::{any::Any, panic::AssertUnwindSafe, pin::pin, sync::Arc, task::Poll, time::Duration};
use tokio::sync::oneshot;
use tower::ServiceExt;
use tracing::Instrument;

/// A task that can run.
#[derive(Debug)]
pub(crate) struct Ready {
    attempt: Attempt,
    route: Route,
}

/// What is known of an attempt before it begins.
#[derive(Debug)]
struct Attempt {
    claim: Arc<Claim>,
    envelope: Arc<Envelope>,
    number: u32,
    tally: i64,
    /// By the clock's `monotonic`, from the store's time at the claim.
    deadline: Option<Duration>,
}

/// What becomes of a task that was claimed.
#[derive(Debug)]
pub(crate) enum Admitted {
    Run(Ready),
    End(End),
    /// Its lease ended before we heard of it: it is another's, or will be.
    Late,
}

/// When a task was claimed, by two clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The store's time.
    pub(crate) now: Timestamp,
    /// Until when the lease lasts at least, by the local clock's `monotonic`.
    pub(crate) until: Duration,
}

/// Enters a claimed task into the books; what cannot run ends at once.
pub(crate) fn admit(station: &Station, claimed: Claimed, moment: Moment) -> Admitted {
    let Moment { now, until } = moment;
    let lateness = claimed.from.map(|_| now.saturating_since(claimed.since));
    if until <= station.now() {
        tracing::warn!(
            queue = %station.queue.name,
            task = ?claimed.fence.member,
            "a lease had ended before the answer to its claim was read"
        );
        station.counts.ended(Ended::Lost);
        station.meters.claimed(None, lateness);
        station.meters.ended(None, Ended::Lost);
        return Admitted::Late;
    }
    let recorded = match (&claimed.record, &claimed.unreadable) {
        (None, None) => Recorded::Never,
        _ => Recorded::Perhaps,
    };
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
    let kind = envelope.as_deref().map(|it| &*it.kind);
    station.meters.claimed(kind, lateness);
    let tally = claimed.fence.tally;
    let number = record.attempt(tally);
    let claim = Arc::new(Claim::new(
        station.queue.clone(),
        claimed.fence,
        envelope.clone(),
        claimed.from,
        record.clone(),
        recorded,
        until,
    ));
    if let Some(old) = station.claims.insert(claim.clone()) {
        // Its lease has lapsed, else we had not got it again.
        lose(station, &old);
    }
    match (ending, envelope, route) {
        (None, Some(envelope), Some(route)) => {
            let left = envelope.deadline().map(|it| it.saturating_since(now));
            let attempt = Attempt {
                deadline: left.map(|it| station.now().saturating_add(it)),
                claim,
                envelope,
                number,
                tally,
            };
            Admitted::Run(Ready { attempt, route })
        }
        (ending, ..) => {
            let ending = ending.unwrap_or_else(|| judge::release(record));
            Admitted::End(End::new(claim, ending))
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
    let Ready { attempt, route } = ready;
    let (told, written) = oneshot::channel();
    let Ok(place) = ends.reserve().await else {
        return;
    };
    if !attempt.claim.take_end() {
        return;
    }
    place.send(End {
        told: Some(told),
        ..End::new(attempt.claim.clone(), Ending::Ack(Over::Begun))
    });
    if written.await.is_err() {
        return;
    }
    add(&station.counts.started);
    station.begun.insert(attempt.claim.clone());
    let outcome = work(station, &attempt, route).await;
    station.begun.remove(&attempt.claim);
    match outcome {
        Outcome::Returned(Ok(_)) => station.ended(&attempt.claim, Ended::Succeeded),
        failed => {
            tracing::warn!(
                queue = %station.queue.name,
                task = ?attempt.claim.member,
                error = failed.text(),
                "a task failed that is not to be begun again"
            );
            station.ended(&attempt.claim, Ended::Failed);
        }
    }
}

/// Runs the handler and hands the end over.
async fn run_to_its_end(station: &Station, ready: Ready, ends: Ends) {
    add(&station.counts.started);
    let Ready { attempt, route } = ready;
    let claim = &attempt.claim;
    let _abandon = AbandonOnPanic { station, claim };
    let outcome = work(station, &attempt, route).await;
    let known = Known {
        envelope: &attempt.envelope,
        record: claim.record.lock().clone(),
        tally: attempt.tally,
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

/// Runs the handler, and tells how long it took.
async fn work(station: &Station, attempt: &Attempt, route: Route) -> Outcome {
    let (claim, envelope) = (&attempt.claim, &attempt.envelope);
    let span = telemetry::process(&station.queue, &claim.member, envelope, attempt.number);
    let _slot = station.meters.run();
    let begun = station.now();
    let outcome = run_handler(station, attempt, route)
        .instrument(span.clone())
        .await;
    let took = station.now().saturating_sub(begun);
    let failed = outcome.failure();
    station.meters.ran(&envelope.kind, took, failed);
    if let Some(failed) = failed {
        span.fail_by(failed);
    }
    outcome
}

async fn run_handler(station: &Station, attempt: &Attempt, route: Route) -> Outcome {
    let clock = &station.scheduler.store().clock;
    let left = attempt.deadline.map(|it| it.saturating_sub(station.now()));
    let timeout = attempt.envelope.timeout();
    let mut handler = pin!(AssertUnwindSafe(handle(station, attempt, route)).catch_unwind());
    let Some(span) = [left, timeout].into_iter().flatten().min() else {
        return outcome(handler.await);
    };
    // What ends without a pause needs no timer.
    let first = poll_fn(|cx| Poll::Ready(handler.as_mut().poll(cx)));
    if let Poll::Ready(returned) = first.await {
        return outcome(returned);
    }
    match select(handler, clock.sleep(span)).await {
        Either::Left((returned, _)) => outcome(returned),
        Either::Right(_) => {
            if left == Some(span) {
                attempt.claim.stop(StopReason::Deadline);
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

async fn handle(
    station: &Station,
    attempt: &Attempt,
    route: Route,
) -> Result<TaskResponse, TaskError> {
    let request = TaskRequest {
        envelope: attempt.envelope.clone(),
        ctx: Ctx::new(
            station.scheduler.clone(),
            attempt.envelope.clone(),
            attempt.claim.clone(),
            station.data.clone(),
            attempt.number,
        ),
    };
    let call = route.oneshot(request);
    let call = async { call.await.map_err(TaskError::unboxed) };
    match (attempt.envelope.context(), &attempt.envelope.trace) {
        (None, None) => call.await,
        (context, trace) => {
            let context = context.unwrap_or_default();
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
