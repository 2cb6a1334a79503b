//! Claims tasks whenever one may be due and a place is free, and never asks in between.

use super::{
    run::{self, Admitted, Moment, Ready},
    settings::Settings,
    station::{Ends, Station},
    stop::stop,
};
use crate::{
    recurring::fire_due,
    transitions::{self, Claimed},
};
use kv_core::{Outcome, Score, Timestamp, ZMoved};
use std::{sync::Arc, time::Duration};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// So many tasks are claimed at once.
const BATCH: usize = 100;

/// The pauses after a claim that failed: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// When to end.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    /// When this is cancelled.
    Stopped(CancellationToken),
    /// When nothing is due and nothing runs.
    Drained,
}

impl Until {
    async fn stopped(&self) {
        match self {
            Self::Stopped(token) => token.cancelled().await,
            Self::Drained => std::future::pending().await,
        }
    }

    fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped(token) if token.is_cancelled())
    }

    /// Whether all is done, after a claim that found nothing.
    fn is_over(&self, station: &Station, running: &JoinSet<()>) -> bool {
        matches!(self, Self::Drained) && running.is_empty() && station.claims.is_empty()
    }
}

/// Claims and runs tasks until told to end, then waits for those that run.
pub(crate) async fn dispatch(
    station: Arc<Station>,
    places: usize,
    until: Until,
    ends: Ends,
) -> kv_core::Result<()> {
    let _places = station.meters.serve(places);
    let mut running = JoinSet::new();
    let mut next = Next::Now;
    let mut pause = PAUSES.0;
    let mut batch = BATCH;
    while !until.is_stopped() {
        while let Some(ended) = running.try_join_next() {
            notice_panic(&station, ended);
        }
        let free = places - running.len();
        if free > 0 && next == Next::Now {
            // What runs, or is being written, can still make something due.
            let was_quiet = running.is_empty() && station.claims.is_empty();
            next = match claim(&station, free.min(batch), &mut running, &ends).await {
                Ok(Next::At(_)) if was_quiet && until.is_over(&station, &running) => {
                    if fire_due(&station).await?.tasks == 0 {
                        return Ok(());
                    }
                    Next::Now
                }
                Ok(next) => {
                    (pause, batch) = (PAUSES.0, (2 * batch).min(BATCH));
                    next
                }
                Err(error) if matches!(until, Until::Drained) => return Err(error),
                Err(error) => {
                    tracing::warn!(queue = %station.queue.name, %error, "no tasks can be claimed");
                    if error.outcome() == Outcome::Unknown {
                        // Perhaps so many tasks are too long an answer; none of those that were
                        // claimed in vain is to pay for it again and again.
                        batch = (batch / 2).max(1);
                    }
                    let wait = pause.mul_f64(0.5 + fastrand::f64());
                    pause = (pause * 2).min(PAUSES.1);
                    Next::At(station.now() + wait)
                }
            };
            continue;
        }
        if matches!(until, Until::Drained) && running.is_empty() {
            if !station.claims.is_empty() {
                station.left.notified().await;
            }
            next = Next::Now;
            continue;
        }
        next = rest(&station, &until, &mut running, next).await;
    }
    stop(&station, running, &ends).await;
    Ok(())
}

/// When to claim again.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    /// As soon as a place is free.
    Now,
    /// At this moment of the clock's `monotonic`, or when a hint comes.
    At(Duration),
}

/// Waits until there is something to do.
async fn rest(station: &Station, until: &Until, running: &mut JoinSet<()>, next: Next) -> Next {
    let due = async {
        match next {
            Next::At(at) => station.sleep(at.saturating_sub(station.now())).await,
            // There is no place: nothing else than its end can help.
            Next::Now => std::future::pending().await,
        }
    };
    tokio::select! {
        () = until.stopped() => next,
        () = station.hint.notified(), if next != Next::Now => Next::Now,
        () = due => Next::Now,
        Some(ended) = running.join_next(), if !running.is_empty() => {
            notice_panic(station, ended);
            next
        }
    }
}

/// Handlers' own panics end their attempts; this one was ours.
fn notice_panic(station: &Station, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(queue = %station.queue.name, %error, "a part of the worker has crashed");
    }
}

/// Claims up to so many tasks and starts them.
async fn claim(
    station: &Arc<Station>,
    limit: usize,
    running: &mut JoinSet<()>,
    ends: &Ends,
) -> kv_core::Result<Next> {
    let Settings {
        serve,
        order,
        lease,
        ..
    } = station.settings;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let priorities = serve.next();
    let on_store = station.lease_on_store();
    let step = transitions::claim(&station.queue, limit, on_store, priorities, order);
    let until = station.now() + lease;
    let moved = station.scheduler.store().zmove(step).await?;
    let next = when_next(station, &moved);
    let now = moved.now;
    for member in moved.members {
        let claimed = Claimed::read(member, priorities);
        match claimed.map(|it| run::admit(station, it, Moment { now, until })) {
            Ok(Admitted::Run(ready)) => start(station, ready, running, ends),
            Ok(Admitted::End(end)) => {
                end.claim.take_end();
                // Nobody else waits for a place, and there are as many as are claimed at once.
                _ = ends.send(end).await;
            }
            Ok(Admitted::Late) => {}
            Err(error) => {
                tracing::error!(queue = %station.queue.name, %error, "a claim cannot be read");
            }
        }
    }
    if until.saturating_sub(station.now()) < lease * 2 / 3 {
        station.late.notify_one();
    }
    Ok(next)
}

fn start(station: &Arc<Station>, ready: Ready, running: &mut JoinSet<()>, ends: &Ends) {
    running.spawn(run::run(station.clone(), ready, ends.clone()));
}

/// The local timer only decides when to ask; what is due the store decides.
fn when_next(station: &Station, moved: &ZMoved) -> Next {
    if moved.more {
        return Next::Now;
    }
    let tick = station.settings.safety_tick();
    let due = moved
        .next
        .map(|score| time_of(score).saturating_since(moved.now));
    Next::At(station.now() + due.map_or(tick, |it| it.min(tick)))
}

fn time_of(score: Score) -> Timestamp {
    Timestamp::from_micros(score.get() as i64)
}
