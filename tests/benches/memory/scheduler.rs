//! The scheduler in memory, where there is nothing but itself to wait for.

use crate::Store;
use kv_tests::{
    bench::{Claim, Contest, Outcome, Side, Size, Suite},
    noop::Backlog,
};
use tokio::runtime::Builder;

/// Tasks in a turn.
const TASKS: u64 = 50_000;

pub(crate) fn rows(suite: &mut Suite) {
    let size = Size::Ops(suite.amount(TASKS));
    let claims = [
        Claim::rate("memory/scheduler/drain", 300_000.0),
        Claim::ratio("memory/scheduler/drain/threads", 0.0).told(),
    ];
    // The reference is ours on a single thread.
    suite.hold(&claims, || {
        Ok(Contest {
            ours: drain(Builder::new_multi_thread().worker_threads(2))?,
            reference: drain(&mut Builder::new_current_thread())?,
            size,
            meter: None,
        })
    });
}

fn drain(runtime: &mut Builder) -> Outcome<Side<'static>> {
    let runtime = std::rc::Rc::new(runtime.enable_all().build()?);
    let store = Store::open()?;
    let (backlog, filled) = (
        Backlog::new(&store.kv, "drain")?,
        Backlog::new(&store.kv, "drain")?,
    );
    let run = runtime.clone();
    // As a worker in service: in a task, and not on the thread that waits for all.
    let side = Side::new(move |tasks| {
        let (backlog, _store) = (backlog.clone(), &store);
        run.block_on(run.spawn(async move { backlog.drain(tasks).await }))?
    });
    Ok(side.prepared_by(move |tasks| runtime.block_on(filled.fill(tasks))))
}
