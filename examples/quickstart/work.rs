//! Scheduling with a sorted set, and workers that take what is due.

use crate::{journal::Entry, tasks::Task};
use kv_core::{
    Clock, Context, Kv, RangeOptions, Result, Score, ScoreRange, Scores, SystemClock, Timestamp,
};
use std::{collections::BTreeMap, time::Duration};

/// How long what a run leaves behind is kept after its last task is due.
const KEPT: Duration = Duration::from_secs(3600);

/// How many tasks a worker takes at a time.
const BATCH: u32 = 32;

/// How long an idle worker waits at most before it looks again.
const NAP: Duration = Duration::from_millis(20);

/// The keys of one run; each tenant has its own below them.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    run: String,
}

impl Keys {
    pub(crate) fn of_run(start: Timestamp) -> Self {
        Self {
            run: format!("run-{}", start.as_micros()),
        }
    }

    /// Sorted set: task ids by due time.
    pub(crate) fn due(&self) -> String {
        format!("{}:due", self.run)
    }

    /// Hash: payloads by task id, until they are run.
    fn payloads(&self) -> String {
        format!("{}:payloads", self.run)
    }

    /// Hash: tasks run, by worker.
    fn workers(&self) -> String {
        format!("{}:workers", self.run)
    }

    /// Counter: tasks run.
    pub(crate) fn done(&self) -> String {
        format!("{}:done", self.run)
    }

    /// String with a time to live: what became of a task.
    pub(crate) fn result(&self, id: &str) -> String {
        format!("{}:result:{id}", self.run)
    }
}

/// Puts every task into its tenant's sorted set, scored by the time it is due.
pub(crate) async fn schedule(kv: &Kv, keys: &Keys, tasks: &[Task]) -> Result<()> {
    let now = kv.now().await?;
    let mut tenants: BTreeMap<&str, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        tenants.entry(&task.tenant).or_default().push(task);
    }
    for (tenant, tasks) in tenants {
        let kv = kv.bind(Context::tenant(tenant.to_owned()));
        for chunk in tasks.chunks(500) {
            let payloads = chunk.iter().map(|task| (&task.id, &task.payload));
            kv.hset_many(keys.payloads(), payloads).await?;
            let due = chunk
                .iter()
                .map(|task| (&task.id, Score::from(task.run_at)));
            kv.zadd(keys.due(), due).await?;
        }
        // Should the run be broken off, nothing stays for ever.
        let last = tasks
            .iter()
            .map(|task| task.run_at)
            .max()
            .unwrap_or_default();
        let end = last.max(now).saturating_add(KEPT);
        kv.expire(keys.payloads(), end).await?;
        kv.expire(keys.due(), end).await?;
    }
    Ok(())
}

/// Runs due tasks of all tenants in turn until none is left; returns the journal.
pub(crate) async fn work(
    kv: Kv,
    keys: Keys,
    mut tenants: Vec<String>,
    worker: usize,
    ran: impl Fn(u64) + Send,
) -> Result<Vec<Entry>> {
    // Each worker begins with another tenant, so that they spread.
    let first = worker % tenants.len().max(1);
    tenants.rotate_left(first);
    let mut journal = Vec::new();
    loop {
        let before = journal.len();
        for tenant in &tenants {
            // Everything awaited inside sees the tenant: the layers put it into the keys.
            let context = Context::tenant(tenant.clone());
            let entries = context.scope(run_due(&kv, &keys, tenant, worker)).await?;
            ran(entries.len() as u64);
            journal.extend(entries);
        }
        if journal.len() == before && !wait_for_due(&kv, &keys, &tenants).await? {
            return Ok(journal);
        }
    }
}

/// Takes the tenant's first due tasks, runs them and records the work.
async fn run_due(kv: &Kv, keys: &Keys, tenant: &str, worker: usize) -> Result<Vec<Entry>> {
    let at = kv.now().await?;
    let ids = kv.zpopbyscore_many(keys.due(), at, BATCH).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids = ids.iter().map(|id| Ok(id.to_str()?.to_owned()));
    let ids: Vec<String> = ids.collect::<Result<_>>()?;
    let payloads = kv.hget_many(keys.payloads(), &ids).await?;
    let results = ids.iter().zip(payloads).map(|(id, payload)| {
        let length = payload.map_or(0, |it| it.as_bytes().len());
        (
            keys.result(id),
            format!("{length} bytes handled by worker {worker}"),
        )
    });
    // No deadline is named here: the default_ttl layer gives one.
    kv.set_many(results).await?;
    let count = ids.len() as i64;
    kv.increment(keys.done(), count).await?;
    kv.hincrement(keys.workers(), format!("worker-{worker}"), count)
        .await?;
    kv.expire(keys.workers(), KEPT).await?;
    kv.hdel(keys.payloads(), &ids).await?;
    let entry = |id| Entry {
        tenant: tenant.to_owned(),
        id,
        worker,
        at,
    };
    Ok(ids.into_iter().map(entry).collect())
}

/// Waits until the next task may be due; `false` if there is none.
async fn wait_for_due(kv: &Kv, keys: &Keys, tenants: &[String]) -> Result<bool> {
    let first = RangeOptions::default().limit(1).scores(Scores::Include);
    let mut next: Option<Score> = None;
    for tenant in tenants {
        let kv = kv.bind(Context::tenant(tenant.clone()));
        let found = kv
            .zrangebyscore_with(keys.due(), ScoreRange::ALL, first)
            .await?;
        let score = found.first().and_then(|it| it.score);
        next = [next, score].into_iter().flatten().min();
    }
    let Some(next) = next else {
        return Ok(false);
    };
    let now = kv.now().await?;
    let left = Timestamp::from_micros(next.get() as i64).saturating_since(now);
    let clock = SystemClock;
    clock
        .sleep_until(clock.now().saturating_add(left.min(NAP)))
        .await;
    Ok(true)
}
