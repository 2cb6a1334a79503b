//! Leases are extended while their tasks run, all of them in one call.

use super::{counts::Ended, station::Station};
use crate::{
    handler::{Claim, StopReason},
    transitions::{self, Extended, Fence},
};
use futures_util::future::{Either, join, join_all, select};
use kv_core::Outcome;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::sync::OwnedMutexGuard;

/// So many leases go with one request.
const BATCH: usize = 200;

/// Extends leases until it is dropped: as long as a handler runs, also while the worker is ending.
pub(crate) async fn renew(station: Arc<Station>) {
    // A call that hangs must not keep losses from being noticed.
    join(keep_extending(&station), notice_losses(&station)).await;
}

async fn keep_extending(station: &Station) {
    let lease = station.settings.lease;
    // Soon enough for several tries before the first lease ends.
    let soon = lease / 12;
    let mut pause = lease / 3;
    loop {
        station.sleep(pause).await;
        pause = match extend_all(station).await {
            Ok(All::Extended) => lease / 3,
            Ok(All::ButEchoes) => soon,
            Err(error) => {
                tracing::warn!(queue = %station.queue.name, %error, "leases could not be extended");
                soon
            }
        };
    }
}

/// A lease that has ended by the local clock is lost, whatever the store says: it can give the task to
/// another now.
async fn notice_losses(station: &Station) {
    loop {
        // New claims end later than this, or say so.
        let look = station.settings.lease / 3;
        tokio::select! {
            () = station.sleep(first_end(station).min(look)) => {}
            () = station.late.notified() => {}
        }
        let now = station.now();
        for claim in station.claims.all() {
            if claim.until() <= now && !is_lost(&claim) {
                lose(station, &claim);
            }
        }
    }
}

/// How long until the first lease ends.
fn first_end(station: &Station) -> Duration {
    let claims = station.claims.all();
    let held = claims.iter().filter(|it| !is_lost(it));
    let first = held.map(|it| it.until()).min();
    first.map_or(Duration::MAX, |it| it.saturating_sub(station.now()))
}

pub(crate) fn lose(station: &Station, claim: &Claim) {
    if !claim.stop(StopReason::Lost) {
        return;
    }
    tracing::warn!(
        queue = %station.queue.name,
        task = ?claim.member,
        "the lease is lost; what the handler returns does not count"
    );
    station.ended(claim, Ended::Lost);
}

fn is_lost(claim: &Claim) -> bool {
    claim.stop_reason() == Some(StopReason::Lost)
}

/// Whether all that were to be extended last as long as they should.
#[derive(Clone, Copy, PartialEq, Eq)]
enum All {
    Extended,
    ButEchoes,
}

async fn extend_all(station: &Station) -> kv_core::Result<All> {
    let young = station.now() + station.settings.lease * 5 / 6;
    let now = station.now();
    let mut claims = station.claims.all();
    // What has ended may be another's by now; and an end that is being sent needs no extension.
    claims.retain(|it| {
        let until = it.until();
        !is_lost(it) && !it.is_sent() && (now..=young).contains(&until)
    });
    let mut all = Ok(All::Extended);
    for batch in claims.chunks(BATCH) {
        let held = hold(station, batch).await;
        let is_whole = held.len() == batch.len();
        match extend(station, held).await {
            Ok(All::Extended) if is_whole => {}
            Ok(_) => all = all.map(|_| All::ButEchoes),
            // The others have their own luck.
            Err(error) => all = Err(error),
        }
    }
    all
}

/// Takes the fences, waiting for what is sent under them: a handler may tell its progress all the time.
async fn hold(
    station: &Station,
    claims: &[Arc<Claim>],
) -> Vec<(Arc<Claim>, OwnedMutexGuard<Fence>)> {
    let patience = station.settings.lease / 12;
    let waiting = claims.iter().map(|claim| async move {
        let fence = pin!(claim.fence.clone().lock_owned());
        match select(fence, station.scheduler.store().clock.sleep(patience)).await {
            Either::Left((fence, _)) => Some((claim.clone(), fence)),
            Either::Right(_) => None,
        }
    });
    join_all(waiting).await.into_iter().flatten().collect()
}

async fn extend(
    station: &Station,
    mut batch: Vec<(Arc<Claim>, OwnedMutexGuard<Fence>)>,
) -> kv_core::Result<All> {
    let lease = station.lease_on_store();
    let txns = batch
        .iter()
        .map(|(_, fence)| transitions::extend(&station.queue, fence, lease))
        .collect();
    let until = station.now() + station.settings.lease;
    // A call that hangs must leave time for others before the leases end.
    let patience = station.settings.lease / 6;
    let store = station.scheduler.store();
    let replies = match store.commit_all_within(txns, patience).await {
        Ok(replies) => replies,
        Err(error) => {
            let is_unknown = error.outcome() == Outcome::Unknown;
            for (_, fence) in &mut batch {
                fence.is_in_doubt |= is_unknown;
            }
            return Err(error);
        }
    };
    let mut all = All::Extended;
    for ((claim, mut held), reply) in batch.into_iter().zip(replies) {
        let extended = reply.and_then(|it| transitions::extended(&held, lease, it));
        let is_cancelled = match extended {
            Ok(Extended::Held {
                fence,
                is_cancelled,
            }) => {
                *held = fence;
                claim.extend_until(until);
                is_cancelled
            }
            Ok(Extended::Echo {
                fence,
                is_cancelled,
            }) => {
                *held = fence;
                all = All::ButEchoes;
                is_cancelled
            }
            Ok(Extended::Lost) => {
                lose(station, &claim);
                continue;
            }
            Err(error) => {
                tracing::warn!(queue = %station.queue.name, %error, "a lease could not be extended");
                held.is_in_doubt |= error.outcome() == Outcome::Unknown;
                all = All::ButEchoes;
                continue;
            }
        };
        if is_cancelled {
            claim.stop(StopReason::Cancelled);
        }
    }
    Ok(all)
}
