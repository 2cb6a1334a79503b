//! A thousand who miss the same entry at once: how often it is loaded, and how much longer than the load the
//! last of them waits.

use super::{VALUE, builder};
use kv_core::{Clock, Stopwatch, SystemClock};
use kv_tests::bench::{Claim, Effort, Figure, Judged, Outcome, Row, Suite};
use std::{
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Builder, task::JoinSet};

const CALLERS: u64 = 1_000;

const LOAD: Duration = Duration::from_millis(50);

pub(super) fn rows(suite: &mut Suite) {
    let at_most = |name: &str, figure, target| Claim {
        name: format!("cache/stampede/{name}"),
        figure,
        judged: Judged::Ours,
        target: Some(target),
    };
    let loads = at_most("loads", Figure::Loads, 1.0);
    let late = at_most("late", Figure::Nanos, 5e6);
    if !suite.want(&loads.name) && !suite.want(&late.name) {
        return;
    }
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs,
        Effort::Smoke => 1,
    };
    let rounds: Outcome<Vec<_>> = (0..rounds).map(|_| round()).collect();
    match rounds {
        Ok(rounds) => {
            let (counts, nanos): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
            for (claim, figures) in [(&loads, counts), (&late, nanos)] {
                if suite.want(&claim.name) {
                    let figures = figures.into_iter().map(|it| (it, 0.0));
                    suite.report(Row::of_figures(claim, figures));
                }
            }
        }
        Err(failure) => suite.fail(&loads.name, failure),
    }
}

/// How many loads there were, and the nanoseconds from the load's end to the last answer.
fn round() -> Outcome<(f64, f64)> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let cache = builder(1 << 20).build()?;
        let loads = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(OnceLock::new());
        let mut asking = JoinSet::new();
        for _ in 0..CALLERS {
            let (cache, loads, ended) = (cache.clone(), loads.clone(), ended.clone());
            asking.spawn(async move {
                let load = {
                    let ended = ended.clone();
                    move |_| async move {
                        loads.fetch_add(1, Ordering::Relaxed);
                        SystemClock.sleep(LOAD).await;
                        ended.get_or_init(Stopwatch::start);
                        Ok::<_, Infallible>(VALUE.to_owned())
                    }
                };
                cache.get_or_load("wanted", load).await?;
                Outcome::Ok(ended.get().map_or(Duration::MAX, |it| it.elapsed()))
            });
        }
        let mut last = Duration::ZERO;
        while let Some(waited) = asking.join_next().await {
            last = last.max(waited??);
        }
        Ok((loads.load(Ordering::Relaxed) as f64, last.as_nanos() as f64))
    })
}
