//! What was kept of ended tasks is let go when its time is over, or when it is too much.

use super::station::Station;
use crate::transitions;
use futures_util::future::join;
use kv_core::{Key, Op, OpReply, Read, RelativeRange, RelativeScore, Result, Score, Txn};
use std::{sync::Arc, time::Duration};

/// How often to look; each worker does, so it is often enough.
const PAUSE: Duration = Duration::from_secs(30);

/// So many go with one request.
const BATCH: u32 = 100;

/// Collects until it is dropped.
pub(crate) async fn collect(station: Arc<Station>) {
    let pause = || station.sleep(PAUSE.mul_f64(0.5 + fastrand::f64()));
    // A queue that keeps as much as it may is crowded all the time: that must not put off the look. And
    // two that let go of the same surplus would let go of twice as much.
    join(
        async {
            loop {
                tokio::select! {
                    () = pause() => {}
                    () = station.crowded.notified() => {}
                }
                collect_once(&station).await;
            }
        },
        async {
            loop {
                pause().await;
                look(&station).await;
            }
        },
    )
    .await;
}

/// Lets go of what has had its time by now, and of what is too much.
pub(crate) async fn collect_once(station: &Station) {
    let queue = &station.queue;
    for set in [&queue.done, &queue.dead] {
        if let Err(error) = collect_from(station, set).await {
            tracing::warn!(queue = %queue.name, %error, "what ended could not be let go");
        }
    }
}

/// Tells how many tasks there are.
pub(crate) async fn look(station: &Station) {
    let queue = &station.queue;
    let overview = async {
        let admin = station.scheduler.admin(queue.name.as_str())?;
        admin.overview().await
    };
    match overview.await {
        Ok(overview) => station.meters.seen(&overview),
        Err(error) => tracing::debug!(queue = %queue.name, %error, "tasks could not be counted"),
    }
}

async fn collect_from(station: &Station, set: &Key) -> Result<()> {
    let store = station.scheduler.store();
    let let_go = async |upto, limit| {
        store
            .zmove(transitions::collect(&station.queue, set, upto, limit))
            .await
    };
    while let_go(RelativeScore::NOW, BATCH).await?.more {}
    loop {
        let surplus = transitions::surplus(count(station, set).await?, station.settings.most_kept);
        if surplus == 0 {
            return Ok(());
        }
        // What would have ended first goes first.
        let_go(Score::MAX.into(), surplus.min(BATCH)).await?;
    }
}

async fn count(station: &Station, set: &Key) -> Result<u64> {
    let read = Read::ZCount {
        key: set.clone(),
        range: RelativeRange::ALL,
    };
    let txn = Txn::new().then(Op::Read(read));
    let reply = station.scheduler.store().commit(txn).await?;
    Ok(match reply.answers.first() {
        Some(OpReply::Count(count)) => *count,
        _ => 0,
    })
}
