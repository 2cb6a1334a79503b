//! A tick comes while the last task waits or runs.

use super::{NONE, Ping, Site};
use crate::{Misfire, Overlap, Report, Worker};
use tokio::{sync::oneshot, task::JoinHandle};

/// A worker that runs until it is told to stop.
struct Running {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Report>,
}

impl Running {
    fn start(worker: Worker) -> Self {
        let (stop, stopped) = oneshot::channel();
        let worker = tokio::spawn(async move {
            let signal = async { _ = stopped.await };
            worker.run_until(signal).await.unwrap()
        });
        Self { stop, worker }
    }

    async fn stop(self) -> Report {
        self.stop.send(()).unwrap();
        self.worker.await.unwrap()
    }
}

/// A site whose schedule has a task that runs until it is told to stop.
async fn hanging(overlap: Overlap) -> (Site, Running) {
    let site = Site::new().await;
    let ten = site.every_ten(Ping::Hang).overlap(overlap);
    ten.misfire(Misfire::All { max: 9 }).upsert().await.unwrap();
    let running = Running::start(site.worker());
    site.pass(10).await;
    site.begun().await;
    assert_eq!(site.ticks(), [10]);
    (site, running)
}

impl Site {
    /// Lets seconds pass while a worker runs.
    async fn pass(&self, seconds: u32) {
        for _ in 0..seconds {
            self.clock.advance(super::SECOND);
            self.settle().await;
        }
    }

    /// Whoever can do something has done it.
    async fn settle(&self) {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
    }

    async fn cancel(&self, tick: i64) {
        let id = format!("cron:ping:{}", self.at(tick).as_micros());
        let task = self.scheduler.task::<Ping>("default", &id).unwrap();
        task.cancel().await.unwrap();
        self.settle().await;
    }

    async fn pending(&self) -> u64 {
        let admin = self.scheduler.admin("default").unwrap();
        admin.counts().await.unwrap().pending
    }
}

#[tokio::test]
async fn each_tick_is_a_task_of_its_own() {
    let (site, running) = hanging(Overlap::Allow).await;
    site.pass(20).await;
    assert_eq!(site.ticks(), [20, 30]);
    for tick in [10, 20, 30] {
        site.cancel(tick).await;
    }
    assert_eq!(running.stop().await.cancelled, 3);
}

#[tokio::test]
async fn ticks_are_dropped_while_one_runs() {
    let (site, running) = hanging(Overlap::Skip).await;
    site.pass(25).await;
    assert_eq!((site.ticks(), site.pending().await), (vec![], 0));
    site.cancel(10).await;
    site.pass(5).await;
    assert_eq!(site.ticks(), [40]);
    site.cancel(40).await;
    assert_eq!(running.stop().await.cancelled, 2);
}

#[tokio::test]
async fn one_tick_waits_while_one_runs() {
    let (site, running) = hanging(Overlap::QueueOne).await;
    site.pass(25).await;
    assert_eq!((site.ticks(), site.pending().await), (vec![], 0));
    let admin = site.scheduler.admin("default").unwrap();
    let [listed] = &admin.schedules().await.unwrap()[..] else {
        panic!("one schedule");
    };
    let task = format!("cron:ping:{}", site.at(10).as_micros());
    assert_eq!(listed.waits_for.as_ref().unwrap().as_str(), task);
    site.cancel(10).await;
    assert_eq!(site.ticks(), [30]);
    site.pass(5).await;
    // The next is where it would have been.
    site.cancel(30).await;
    assert_eq!(site.ticks(), [40]);
    site.cancel(40).await;
    site.pass(4).await;
    assert_eq!(site.ticks(), NONE);
    site.pass(6).await;
    assert_eq!(site.ticks(), [50]);
    site.cancel(50).await;
    assert_eq!(running.stop().await.cancelled, 4);
}

#[tokio::test]
async fn the_tick_that_waits_is_not_too_late_for_that() {
    let (site, running) = hanging(Overlap::QueueOne).await;
    let grace = super::SECOND;
    let strict = site.every_ten(Ping::Hang).overlap(Overlap::QueueOne);
    let strict = strict.misfire(Misfire::Skip { grace });
    strict.upsert().await.unwrap();
    site.pass(19).await;
    assert_eq!((site.ticks(), site.pending().await), (vec![], 0));
    site.cancel(10).await;
    assert_eq!(site.ticks(), [20]);
    site.cancel(20).await;
    running.stop().await;
}

#[tokio::test]
async fn the_one_that_runs_is_asked_to_stop() {
    let (site, running) = hanging(Overlap::CancelRunning).await;
    site.pass(10).await;
    assert_eq!(site.ticks(), [20]);
    site.cancel(20).await;
    assert_eq!(running.stop().await.cancelled, 2);
}

#[tokio::test]
async fn one_that_waits_counts_as_one() {
    for (overlap, waiting) in [
        (Overlap::Allow, vec![10, 20, 30]),
        (Overlap::Skip, vec![10]),
        (Overlap::QueueOne, vec![10]),
        (Overlap::CancelRunning, vec![30]),
    ] {
        let site = Site::new().await;
        // Nobody takes the tasks: they are put off for a worker that can.
        let ten = site.every_ten(Ping::Succeed).overlap(overlap);
        ten.upsert().await.unwrap();
        let other = Worker::new(&site.scheduler).handle(other);
        for _ in 0..3 {
            site.clock.advance(10 * super::SECOND);
            other.drain().await.unwrap();
        }
        let pending = site.pending().await;
        assert_eq!(pending, waiting.len() as u64, "{overlap:?}");
        assert_eq!(
            site.after(10).await,
            [&waiting[..], &[40]].concat(),
            "{overlap:?}"
        );
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Other;

impl crate::Task for Other {
    const KIND: &'static str = "other";
    type Output = ();
}

async fn other(_: Other) -> Result<(), crate::TaskError> {
    Ok(())
}
