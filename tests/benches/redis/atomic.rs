//! Claims and acknowledgements of jobs: transactions and moves, against scripts written by hand.

use crate::{Bench, Shape, TURN, atomic_reference, load::Load, load::Share, stage::Stage};
use kv_core::{
    Fate, Field, Guard, Key, KeyGroup, Kv, Mark, Member, Op, RelativeScore, Score, Txn, ZMove,
};
use kv_tests::bench::{Claim, Contest, Outcome, Side, Suite};
use std::time::Duration;

/// The rows.
pub(crate) fn rows(bench: &Bench, suite: &mut Suite) {
    let hundred = Load::new(1, 100);
    let claims = [Claim::server_ratio("redis/ack/1/cpu", 1.5)];
    suite.hold(&claims, || {
        bench.contest(
            shape(bench, &bench.single, held),
            ack,
            atomic_reference::ack,
        )
    });
    let claims = [Claim::server_ratio("redis/ack/100/cpu", 1.2)];
    suite.hold(&claims, || {
        bench.contest(
            shape(bench, &hundred, held),
            ack,
            atomic_reference::ack_many,
        )
    });
    // The reference is ours, one at a time.
    suite.hold(&[Claim::ratio("redis/ack/100/single", 10.0)], || {
        let stage = bench.stage()?;
        let clients = &stage.threads;
        let side = |load: Load| {
            Side::new(move |ops| load.spread((&clients.runtime, &clients.bare), (1, ops), ack))
                .prepared_by(move |ops| held(stage, &Load::new(1, 1), ops))
        };
        Ok(Contest {
            ours: side(hundred.clone()),
            reference: side(Load::new(1, 1)),
            size: TURN,
            meter: Some(Box::new(stage)),
        })
    });
    let claims = [
        Claim::rate("redis/claim_ack/100", 60_000.0),
        Claim::server_micros("redis/claim_ack/100/cpu", 14.0),
    ];
    suite.hold(&claims, || {
        bench.contest(
            shape(bench, &hundred, ready),
            claim_and_ack,
            atomic_reference::claim_and_ack,
        )
    });
}

fn shape<'a>(
    bench: &'a Bench,
    load: &'a Load,
    prepare: fn(&Stage, &Load, u64) -> Outcome,
) -> Shape<'a> {
    Shape {
        load,
        prepare,
        ..bench.single("ack", 1)
    }
}

fn held(stage: &Stage, _: &Load, jobs: u64) -> Outcome {
    stage.fill_jobs("{q}:lease", jobs)
}

fn ready(stage: &Stage, _: &Load, jobs: u64) -> Outcome {
    stage.fill_jobs("{q}:ready", jobs)
}

/// The keys of a queue.
struct Queue {
    ready: Key,
    lease: Key,
    tries: Key,
    body: Key,
    notes: Key,
    stats: Key,
}

impl Queue {
    fn new() -> Outcome<Self> {
        let group = KeyGroup::new("q")?;
        let [ready, lease, tries, body, notes, stats] =
            [":ready", ":lease", ":tries", ":body", ":notes", ":stats"].map(|it| group.key(it));
        Ok(Self {
            ready,
            lease,
            tries,
            body,
            notes,
            stats,
        })
    }

    /// Lets go of a job that is still held with this score, for the so-manieth time.
    fn ack(&self, job: &[u8], score: Score, tries: Mark) -> Txn {
        let field = Field::from(job);
        let gone = |key: &Key| Op::HDel {
            key: key.clone(),
            fields: vec![field.clone()],
        };
        Txn::new()
            .when(Guard::score_is(&self.lease, Member::from(job), score))
            .when(Guard::field_is(&self.tries, field.clone(), tries))
            .then(Op::ZRem {
                key: self.lease.clone(),
                members: vec![job.into()],
            })
            .then(gone(&self.tries))
            .then(gone(&self.body))
            .then(gone(&self.notes))
            .then(Op::HIncrement {
                key: self.stats.clone(),
                field: "done".into(),
                by: 1,
            })
    }
}

/// Acknowledges jobs in batches, of one for that.
async fn ack(kv: Kv, share: Share) -> Outcome {
    let queue = Queue::new()?;
    let jobs: Vec<u64> = (0..share.count()).collect();
    for jobs in jobs.chunks(share.batch()) {
        let txn = |job: &u64| {
            let name = format!("job:{job:09}");
            queue.ack(name.as_bytes(), Score::from(*job as u32), "1".into())
        };
        for reply in kv.commit(jobs.iter().map(txn).collect::<Vec<_>>()).await? {
            check(reply?.applied)?;
        }
    }
    Ok(())
}

/// Claims jobs with their bodies, and acknowledges them, a batch at a time.
async fn claim_and_ack(kv: Kv, share: Share) -> Outcome {
    let queue = Queue::new()?;
    let mut left = share.count();
    while left > 0 {
        let step = ZMove::new(share.batch() as u32)
            .from_counted(&queue.ready, RelativeScore::NOW, &queue.tries)
            .to(&queue.lease, RelativeScore::after(Duration::from_secs(60)))
            .with(&queue.body, Fate::Keep);
        let claimed = kv.zmove(step).await?.members;
        check(!claimed.is_empty())?;
        left = left.saturating_sub(claimed.len() as u64);
        let txns = claimed.iter().map(|it| {
            let (score, tries) = (it.after.unwrap_or(Score::MIN), it.tally.unwrap_or(0));
            queue.ack(it.member.as_bytes(), score, tries.to_string().into())
        });
        for reply in kv.commit(txns.collect::<Vec<_>>()).await? {
            check(reply?.applied)?;
        }
    }
    Ok(())
}

fn check(applied: bool) -> Outcome {
    match applied {
        true => Ok(()),
        false => Err("a job was not held".into()),
    }
}
