//! What programs do that schedule tasks, cancel them, and move them about.

use crate::{
    clock::ProcessClock,
    ledger::KEYS,
    rules::{Facts, Unanswered},
    work::{Attempt, End, Job},
};
use fastrand::Rng;
use kv_scheduler::{Disposition, Enqueue, Handle, Priority, Retention, Retry, Scheduler, Unique};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A program that schedules.
pub(crate) struct Client {
    pub(crate) scheduler: Scheduler,
    pub(crate) clock: Arc<ProcessClock>,
    /// Whether each task gets an id from here.
    pub(crate) names_all: bool,
}

/// What the clients know.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) handles: Mutex<Vec<Arc<Handle<Job>>>>,
    /// The numbers of the tasks of which it was said that they are scheduled.
    pub(crate) accepted: Mutex<Vec<usize>>,
    pub(crate) unanswered: Unanswered,
    pub(crate) under_way: AtomicUsize,
}

/// Counts a call as under way as long as it is there.
struct UnderWay(Arc<Known>);

impl UnderWay {
    fn new(known: &Arc<Known>) -> Self {
        known.under_way.fetch_add(1, Ordering::Relaxed);
        Self(known.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has a client let the queue go on.
pub(crate) fn resume(client: &Client, known: &Arc<Known>) {
    let admin = client.scheduler.admin("default").unwrap();
    spawn(
        UnderWay::new(known),
        async move { drop(admin.resume().await) },
    );
}

/// Has a client do something.
pub(crate) fn act(
    rng: &mut Rng,
    client: &Client,
    known: &Arc<Known>,
    facts: &mut Vec<Facts>,
) -> &'static str {
    let guard = UnderWay::new(known);
    let handle = {
        let handles = known.handles.lock();
        (!handles.is_empty()).then(|| handles[rng.usize(..handles.len())].clone())
    };
    let what = if facts.is_empty() { 0 } else { rng.u32(..100) };
    match (what, handle) {
        (0..55, _) | (_, None) => {
            let number = facts.len();
            let task = enqueue(rng, client, number, known, facts);
            let known = known.clone();
            spawn(guard, async move { take(&known, number, task.await) });
            "schedule"
        }
        (55..60, _) => {
            let first = facts.len();
            let tasks: Vec<_> = (first..first + 3)
                .map(|number| enqueue(rng, client, number, known, facts))
                .collect();
            let scheduler = client.scheduler.clone();
            let known = known.clone();
            spawn(guard, async move {
                let handles = scheduler.enqueue_many(tasks).await;
                (first..)
                    .zip(handles)
                    .for_each(|(number, handle)| take(&known, number, handle));
            });
            "schedule many"
        }
        (60..78, Some(handle)) => {
            spawn(guard, async move { drop(handle.cancel().await) });
            "cancel"
        }
        (78..84, Some(handle)) => {
            let delay = Duration::from_millis(rng.u64(..5_000));
            let at = client.clock.true_time().saturating_add(delay);
            spawn(guard, async move { drop(handle.reschedule(at).await) });
            "reschedule"
        }
        (84..88, Some(handle)) => {
            spawn(guard, async move { drop(handle.run_now().await) });
            "run now"
        }
        (88..92, Some(handle)) => {
            spawn(guard, async move { drop(handle.status().await) });
            "status"
        }
        (92..96, _) => {
            let admin = client.scheduler.admin("default").unwrap();
            spawn(guard, async move { drop(admin.requeue_all().await) });
            "requeue"
        }
        (what, _) => {
            let admin = client.scheduler.admin("default").unwrap();
            spawn(guard, async move {
                let done = if what < 98 {
                    admin.pause().await
                } else {
                    admin.resume().await
                };
                drop(done);
            });
            "pause or resume"
        }
    }
}

fn spawn(guard: UnderWay, act: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        act.await;
        drop(guard);
    });
}

fn take(known: &Known, number: usize, handle: kv_core::Result<Handle<Job>>) {
    known.unanswered.lock().remove(&number);
    if let Ok(handle) = handle {
        if matches!(
            handle.disposition(),
            Disposition::Scheduled | Disposition::Replaced
        ) {
            known.accepted.lock().push(number);
        }
        known.handles.lock().push(Arc::new(handle));
    }
}

fn enqueue(
    rng: &mut Rng,
    client: &Client,
    number: usize,
    known: &Known,
    facts: &mut Vec<Facts>,
) -> Enqueue<Job> {
    let attempts = rng.usize(1..4);
    let attempts = (1..=attempts)
        .map(|it| attempt(rng, it == attempts))
        .collect();
    let task = client.scheduler.enqueue(Job { number, attempts });
    let least = Duration::from_millis([0, 200][rng.usize(..2)]);
    let retry = Retry::exponential(least, 5 * least);
    let lapses = rng.u32(..4);
    let retry = retry.attempts(rng.u32(1..5)).lapses(lapses);
    let mut task = task.retry(retry).priority(Priority::ALL[rng.usize(..3)]);
    task = match rng.u32(..40) {
        0..16 => task,
        16..28 => task.delay(Duration::from_millis(rng.u64(..4_000))),
        28..39 => {
            // An instant that came from elsewhere, whatever this clock shows.
            task.at(client
                .clock
                .true_time()
                .saturating_add(Duration::from_millis(rng.u64(..4_000))))
        }
        // So far ahead that it may be sent again.
        _ => {
            known.unanswered.lock().insert(number);
            task.delay(Duration::from_millis(rng.u64(60_000..65_000)))
        }
    };
    if rng.bool() {
        task = task.retention(Retention::keep(Duration::from_millis(rng.u64(1..30_000))));
    }
    // Ids that are made break ties by chance.
    if rng.u32(..4) == 0 || client.names_all {
        task = task.id(format!("n{number}"));
    }
    if rng.u32(..20) == 0 {
        task = task.timeout(Duration::from_millis(500));
    }
    let key = (rng.u32(..3) == 0).then(|| rng.usize(..KEYS));
    if let Some(key) = key {
        let unique = Unique::by_key(format!("k{key}"));
        task = task.unique(match rng.u32(..3) {
            0 => unique,
            1 => unique.replace(),
            _ => unique.extend(),
        });
    }
    facts.push(Facts::of(key, lapses));
    task
}

fn attempt(rng: &mut Rng, is_last: bool) -> Attempt {
    let millis = match rng.u32(..4) {
        0 => 0,
        1 => rng.u64(..200),
        2 => rng.u64(..2_000),
        _ => rng.u64(..12_000),
    };
    let end = match rng.u32(..20) {
        0..12 => End::Succeed,
        12..16 => End::Fail,
        16 if is_last => End::Succeed,
        16 => End::Snooze,
        17 => End::Die,
        18 => End::Cancel,
        _ => End::Panic,
    };
    Attempt {
        millis,
        end,
        obeys: rng.u32(..3) > 0,
        tells_progress: rng.u32(..4) == 0,
    }
}
