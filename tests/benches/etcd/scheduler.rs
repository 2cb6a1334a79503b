//! The scheduler on etcd.

use crate::stage::Lazy;
use kv_tests::{
    bench::{Claim, Contest, Side, Size, Suite},
    noop::Backlog,
};

/// Tasks in a turn.
const TASKS: u64 = 4_000;

pub(crate) fn rows(suite: &mut Suite) {
    let size = Size::Ops(suite.amount(TASKS));
    let stage = Lazy::default();
    let claims = [
        Claim::rate("etcd/scheduler/drain", 3_000.0),
        Claim::ratio("etcd/scheduler/drain/enqueue", 0.0).told(),
    ];
    // The reference schedules them.
    suite.hold(&claims, || {
        let stage = stage.get()?;
        let run = &stage.runtime;
        let of = |queue: &str| Backlog::new(&stage.kv, queue);
        let (drained, filled, scheduled, done) = (of("a")?, of("a")?, of("b")?, of("b")?);
        let scheduling = Side::new(move |tasks| run.block_on(scheduled.fill(tasks)));
        let mut waiting = 0;
        Ok(Contest {
            ours: Side::new(move |tasks| run.block_on(drained.drain(tasks))).prepared_by(
                move |tasks| {
                    stage.compact()?;
                    run.block_on(filled.fill(tasks))
                },
            ),
            reference: scheduling.prepared_by(move |tasks| {
                run.block_on(done.drain(waiting))?;
                waiting = tasks;
                stage.compact()
            }),
            size,
            meter: Some(Box::new(stage)),
        })
    });
}
