//! How soon a wait is over.
//!
//! The targets are half of what the project that this one succeeds took on such a machine; the
//! reference is the least that the driver can do.

use crate::{
    reference,
    stage::{Lazy, Stage},
};
use kv_core::{Clock, Scope, Stopwatch, SystemClock};
use kv_tests::bench::{Claim, Effort, Figure, Judged, Outcome, Row, Suite};
use std::time::Duration;
use tokio::sync::oneshot;

/// Waits in one round.
const WAITS: u64 = 100;
const LIMIT: Duration = Duration::from_secs(10);

/// Nanoseconds of one wait, ours and the reference's.
type Spans = (f64, f64);

pub(crate) fn rows(suite: &mut Suite) {
    let stage = Lazy::default();
    row(suite, &stage, ("existing", 730_000.0), existing);
    row(suite, &stage, ("woken", 690_000.0), woken);
    row(suite, &stage, ("existing/64", 1_300_000.0), many);
}

fn row(
    suite: &mut Suite,
    stage: &Lazy,
    (name, before): (&str, f64),
    wait: impl AsyncFn(&Stage, &Scope, u64) -> Outcome<Spans>,
) {
    let claim = Claim {
        name: format!("etcd/wait/{name}"),
        figure: Figure::Nanos,
        judged: Judged::Ours,
        target: Some(before / 2.0),
    };
    if !suite.want(&claim.name) {
        return;
    }
    let rounds = match suite.effort() {
        Effort::Full { pairs } => pairs as u64,
        Effort::Smoke => 1,
    };
    let measured = stage.get().and_then(|stage| {
        stage.runtime.block_on(async {
            let scope = Scope::whole(&stage.kv);
            let mut medians = Vec::new();
            for round in 0..rounds {
                let (mut ours, mut reference) = (Vec::new(), Vec::new());
                for wait_number in 0..WAITS {
                    let spans = wait(stage, &scope, round * WAITS + wait_number).await?;
                    ours.push(spans.0);
                    reference.push(spans.1);
                }
                medians.push((median(ours), median(reference)));
            }
            Outcome::Ok(medians)
        })
    });
    match measured {
        Ok(medians) => suite.report(Row::of_figures(&claim, medians)),
        Err(failure) => suite.fail(&claim.name, failure),
    }
}

/// The key is there already.
async fn existing(stage: &Stage, scope: &Scope, _: u64) -> Outcome<Spans> {
    stage.kv.set("there", "value").await?;
    let watch = Stopwatch::start();
    scope.wait_for_key("there", LIMIT).await?;
    let ours = watch.elapsed();
    let mut raw = stage.raw.clone();
    let watch = Stopwatch::start();
    raw.get("there", None).await?;
    Ok(spans(ours, watch.elapsed()))
}

/// The key is written while somebody waits; counted from when the write is sent.
async fn woken(stage: &Stage, scope: &Scope, number: u64) -> Outcome<Spans> {
    let key = format!("woken:{number}");
    let (scope, waited_for) = (scope.clone(), key.clone());
    let waiting = tokio::spawn(async move {
        scope.wait_for_key(&*waited_for, LIMIT).await?;
        Outcome::Ok(Stopwatch::start())
    });
    pause().await;
    let sent = Stopwatch::start();
    stage.kv.set(&*key, "value").await?;
    let over = waiting.await??;
    let ours = sent.elapsed().saturating_sub(over.elapsed());

    let key = format!("by-hand:{number}");
    let mut stream = reference::watch(stage.address(), &key).await?;
    let (ready, told) = oneshot::channel();
    let waiting = tokio::spawn(async move {
        let _ = ready.send(());
        stream.message().await?.ok_or("the watch ended")?;
        Outcome::Ok(Stopwatch::start())
    });
    told.await?;
    pause().await;
    let mut raw = stage.raw.clone();
    let sent = Stopwatch::start();
    raw.put(&*key, "value", None).await?;
    let over = waiting.await??;
    let reference = sent.elapsed().saturating_sub(over.elapsed());
    Ok(spans(ours, reference))
}

/// Long enough to be waiting; if somebody is not yet, the wait only takes less. Both sides pause: after
/// it every thread has to be woken.
async fn pause() {
    let clock = SystemClock;
    let soon = clock.now().saturating_add(Duration::from_millis(3));
    clock.sleep_until(soon).await;
}

/// 64 keys are there already.
async fn many(stage: &Stage, scope: &Scope, number: u64) -> Outcome<Spans> {
    const KEYS: usize = 64;
    let keys: Vec<_> = (0..KEYS).map(|it| format!("ready:{it}")).collect();
    if number == 0 {
        stage.kv.set_many(keys.iter().map(|it| (it, "1"))).await?;
    }
    let watch = Stopwatch::start();
    scope.wait_for_keys("ready:*", KEYS).timeout(LIMIT).await?;
    let ours = watch.elapsed();
    let mut raw = stage.raw.clone();
    let watch = Stopwatch::start();
    if reference::get_many(&mut raw, &keys).await? != KEYS {
        return Err("keys are missing".into());
    }
    Ok(spans(ours, watch.elapsed()))
}

fn spans(ours: Duration, reference: Duration) -> Spans {
    (ours.as_nanos() as f64, reference.as_nanos() as f64)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
