//! Claims and acknowledgements of jobs in batches.

use crate::{
    load::{Load, Share},
    reference_claims,
    stage::{Lazy, Stage, key},
};
use kv_core::{
    ClaimOrder, Fate, Field, Guard, Key, Kv, Member, Moved, Op, RelativeScore, Score, Txn, ZMove,
};
use kv_tests::bench::{Claim, Contest, Figure, Judged, Outcome, Side, Size, Suite};
use std::{cell::Cell, time::Duration};

/// Jobs a call.
const BATCH: usize = 40;
/// Jobs a turn.
const JOBS: u64 = 2_000;
/// How many claim at once.
const RIVALS: u64 = 8;
const BODY: &str = "0123456789012345678901234567890123456789012345678901234567890123456789";

pub(crate) fn rows(suite: &mut Suite) {
    let load = Load::new(1, BATCH);
    let size = Size::Ops(suite.amount(JOBS));
    let stage = Lazy::default();
    let claims = [
        Claim::ratio("etcd/claim_ack/40", 0.8),
        Claim::rate("etcd/claim_ack/40/rate", 4_000.0),
    ];
    suite.hold(&claims, || {
        let (stage, load) = (stage.get()?, &load);
        let run = &stage.runtime;
        let fill_raw = move |jobs| {
            stage.compact()?;
            run.block_on(reference_claims::fill(stage.raw.clone(), jobs, BODY))
        };
        Ok(Contest {
            ours: Side::new(move |jobs| load.spread((run, &stage.kv), (1, jobs), claim_and_ack))
                .prepared_by(move |jobs| fill(stage, jobs)),
            reference: Side::new(move |jobs| {
                load.spread(
                    (run, &stage.raw),
                    (1, jobs),
                    reference_claims::claim_and_ack,
                )
            })
            .prepared_by(fill_raw),
            size,
            meter: Some(Box::new(stage)),
        })
    });
    let contested = Lazy::default();
    let size = Size::Ops(suite.amount(2 * JOBS));
    suite.hold(&[Claim::ratio("etcd/claim_ack/40/rivals", 0.8)], || {
        let (stage, load) = (contested.get()?, &load);
        let stores = (0..RIVALS).map(|_| stage.runtime.block_on(stage.another()));
        let stores = stores.collect::<Outcome<Vec<Kv>>>()?;
        let one = stores[..1].to_vec();
        // The reference is ours without a rival.
        let side = |stores: Vec<Kv>| {
            Side::new(move |jobs| drain(stage, &stores, load, jobs))
                .prepared_by(move |jobs| fill(stage, jobs))
        };
        Ok(Contest {
            ours: side(stores),
            reference: side(one),
            size,
            meter: Some(Box::new(stage)),
        })
    });
    depth(suite, &load);
}

/// What a claim costs where many are queued, and where few are.
fn depth(suite: &mut Suite, load: &Load) {
    const CLAIMED: u64 = 10 * BATCH as u64;
    let stage = Lazy::default();
    let (many, few) = (suite.amount(100_000), suite.amount(1_000));
    let claim = Claim {
        name: "etcd/claim/100000".to_owned(),
        figure: Figure::Nanos,
        judged: Judged::Cost,
        target: Some(1.3),
    };
    suite.hold(&[claim], || {
        let stage = stage.get()?;
        let run = &stage.runtime;
        let side = |name: &'static str, depth: u64| {
            // Jobs are numbered on; those with the lowest numbers have been claimed.
            let (claimed, queued) = (Cell::new(0), Cell::new(0));
            let claim = move |jobs| {
                run.block_on(async {
                    let queue = Queue::new(name)?;
                    let mut left = jobs as usize;
                    while left > 0 {
                        let most = left.min(load.batch());
                        let claimed = queue.claim(&stage.kv, most, ClaimOrder::Strict).await?;
                        check(!claimed.is_empty())?;
                        left -= claimed.len();
                    }
                    Ok(())
                })
            };
            Side::new(claim).prepared_by(move |jobs| {
                let until = claimed.get() + depth;
                run.block_on(queue_up(&stage.kv, name, queued.get()..until))?;
                queued.set(until);
                claimed.set(claimed.get() + jobs);
                stage.compact()
            })
        };
        Ok(Contest {
            ours: side("deep", many),
            reference: side("shallow", few),
            size: Size::Ops(CLAIMED),
            meter: Some(Box::new(stage)),
        })
    });
}

/// All stores claim until nothing is left.
fn drain(stage: &Stage, stores: &[Kv], load: &Load, jobs: u64) -> Outcome {
    stage.runtime.block_on(async {
        let queue = Queue::new("q")?;
        let work = stores.iter().map(|kv| {
            let (kv, queue, batch) = (kv.clone(), queue.clone(), load.batch());
            tokio::spawn(async move {
                let mut done = 0;
                loop {
                    let claimed = queue.claim(&kv, batch, ClaimOrder::Relaxed).await?;
                    if claimed.is_empty() {
                        return Outcome::Ok(done);
                    }
                    queue.ack(&kv, &claimed).await?;
                    done += claimed.len() as u64;
                }
            })
        });
        let mut done = 0;
        for work in work.collect::<Vec<_>>() {
            done += work.await??;
        }
        check(done == jobs)
    })
}

async fn claim_and_ack(kv: Kv, share: Share) -> Outcome {
    let queue = Queue::new("q")?;
    let mut left = share.count();
    while left > 0 {
        let claimed = queue.claim(&kv, share.batch(), ClaimOrder::Strict).await?;
        check(!claimed.is_empty())?;
        queue.ack(&kv, &claimed).await?;
        left = left.saturating_sub(claimed.len() as u64);
    }
    Ok(())
}

/// So many jobs, all due, each with a body; and nothing of those before.
fn fill(stage: &Stage, jobs: u64) -> Outcome {
    stage.compact()?;
    stage.runtime.block_on(queue_up(&stage.kv, "q", 0..jobs))
}

async fn queue_up(kv: &Kv, name: &str, jobs: std::ops::Range<u64>) -> Outcome {
    let queue = Queue::new(name)?;
    let jobs: Vec<u64> = jobs.collect();
    for jobs in jobs.chunks(1_000) {
        let job = |it: &u64| format!("job:{it:09}");
        let members = jobs.iter().map(|it| (job(it), Score::from(*it as u32)));
        kv.zadd(&queue.ready, members.collect::<Vec<_>>()).await?;
        let bodies = jobs.iter().map(|it| (job(it), BODY));
        kv.hset_many(&queue.body, bodies.collect::<Vec<_>>())
            .await?;
    }
    Ok(())
}

/// The keys of a queue.
#[derive(Clone)]
struct Queue {
    ready: Key,
    lease: Key,
    tries: Key,
    body: Key,
}

impl Queue {
    fn new(name: &str) -> Outcome<Self> {
        let key = |it: &str| key(format!("{{{name}}}:{it}"));
        Ok(Self {
            ready: key("ready")?,
            lease: key("lease")?,
            tries: key("tries")?,
            body: key("body")?,
        })
    }

    async fn claim(&self, kv: &Kv, batch: usize, order: ClaimOrder) -> Outcome<Vec<Moved>> {
        let step = ZMove::new(batch as u32)
            .from_counted(&self.ready, RelativeScore::NOW, &self.tries)
            .to(&self.lease, RelativeScore::after(Duration::from_secs(60)))
            .with(&self.body, Fate::Keep)
            .order(order);
        Ok(kv.zmove(step).await?.members)
    }

    /// Lets go of jobs that are still held, each on its own.
    async fn ack(&self, kv: &Kv, claimed: &[Moved]) -> Outcome {
        let txns = claimed.iter().map(|it| {
            let (score, tries) = (it.after.unwrap_or(Score::MIN), it.tally.unwrap_or(0));
            let job = it.member.as_bytes();
            let gone = |key: &Key| Op::HDel {
                key: key.clone(),
                fields: vec![Field::from(job)],
            };
            Txn::new()
                .when(Guard::score_is(&self.lease, Member::from(job), score))
                .when(Guard::field_is(
                    &self.tries,
                    Field::from(job),
                    tries.to_string(),
                ))
                .then(Op::ZRem {
                    key: self.lease.clone(),
                    members: vec![job.into()],
                })
                .then(gone(&self.tries))
                .then(gone(&self.body))
        });
        for reply in kv.commit(txns.collect::<Vec<_>>()).await? {
            check(reply?.applied)?;
        }
        Ok(())
    }
}

fn check(expected: bool) -> Outcome {
    match expected {
        true => Ok(()),
        false => Err("a job was not held, or was lost".into()),
    }
}
