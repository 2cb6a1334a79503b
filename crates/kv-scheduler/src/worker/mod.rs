//! Does the tasks of some queues.

mod collect;
mod counts;
mod dispatch;
mod finish;
mod hints;
mod judge;
mod presence;
mod renew;
mod run;
mod settings;
mod station;
mod stop;

use self::{
    counts::Counts,
    dispatch::{Until, dispatch},
    presence::Attendance,
    station::Claims,
};
use crate::{
    BoxError, Scheduler, Task, TaskRequest, TaskResponse,
    handler::{Handler, Route, Router, SharedData},
    queue::Queue,
    recurring::keep_firing,
    scheduler::DEFAULT_QUEUE,
    telemetry::QueueMeters,
};
use kv_core::{ClaimOrder, Error, ErrorKind, Result};
use std::{borrow::Cow, fmt, num::NonZeroUsize, pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Notify, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};

pub(crate) use self::{
    counts::Ended,
    settings::{LEASES, Settings},
    station::Station,
};
pub use self::{
    counts::Report,
    settings::{Delivery, Serve},
};

/// So many ends of tasks may wait to be written.
const ENDS: usize = 1024;

/// So many requests with ends of tasks are under way at once.
const FINISHERS: usize = 2;

/// Does the tasks of some queues: any number of workers, in any number of processes, share the work.
///
/// A task is done at least once. A worker that dies gives its tasks back when their leases end; one
/// that hangs cannot do harm to the books afterwards, since all it writes is fenced.
///
/// ```
/// # use kv_scheduler::{Scheduler, Task, TaskError, Worker, Data};
/// # use std::{sync::Arc, time::Duration};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Mail { to: String }
/// # impl Task for Mail { const KIND: &'static str = "mail"; type Output = (); }
/// # struct Smtp;
/// async fn send_mail(mail: Mail, smtp: Data<Smtp>) -> Result<(), TaskError> {
/// #   let _ = (mail.to, smtp);
///     Ok(())
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> kv_core::Result<()> {
/// # let kv = kv_core::Kv::builder(kv_memory::MemoryStore::default()).connect().await?;
/// # let scheduler = Scheduler::new(&kv)?;
/// let worker = Worker::new(&scheduler)
///     .queue("mail", 64)
///     .data(Arc::new(Smtp))
///     .lease(Duration::from_secs(30))
///     .handle(send_mail);
/// # let shutdown = async {};
/// let report = worker.run_until(shutdown).await?;
/// # assert_eq!(report.started, 0);
/// # Ok(())
/// # }
/// ```
pub struct Worker {
    scheduler: Scheduler,
    queues: Vec<(Cow<'static, str>, usize)>,
    settings: Settings,
    name: Option<Cow<'static, str>>,
    router: Router,
    data: SharedData,
}

impl Worker {
    /// So many tasks of a queue at a time where nothing is said. The compiler sees that it is not zero.
    pub(crate) const CONCURRENCY: NonZeroUsize = NonZeroUsize::new(16).expect("it is not zero");

    /// A worker that has no handlers yet. Without [`queue`](Self::queue) it serves `default`, 16 tasks
    /// at a time.
    pub fn new(scheduler: &Scheduler) -> Self {
        Self {
            scheduler: scheduler.clone(),
            queues: Vec::new(),
            settings: Settings::default(),
            name: None,
            router: Router::default(),
            data: SharedData::default(),
        }
    }

    /// Serves this queue too, so many tasks at a time.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<Cow<'static, str>>, concurrency: usize) -> Self {
        self.queues.push((queue.into(), concurrency));
        self
    }

    /// What operators know it by ([`Scheduler::workers`]): the number of its process if nothing is said.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Does this kind of task: an async function of the task and what else it [asks
    /// for](crate::FromCtx). A task of a kind that has none is left to other workers; a kind that has two
    /// is refused when the work begins.
    #[must_use]
    pub fn handle<T: Task, A: 'static>(mut self, handler: impl Handler<T, A>) -> Self {
        self.router.add(handler);
        self
    }

    /// Puts a layer of tower around each of the handlers that were added before: around each by itself,
    /// so that one that limits concurrency does so for each kind.
    #[must_use]
    pub fn layer<L, S>(mut self, layer: L) -> Self
    where
        L: Layer<Route, Service = S>,
        S: Service<TaskRequest, Response = TaskResponse> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
    {
        self.router.wrap(&layer);
        self
    }

    /// What handlers can ask for as [`Data`](crate::Data), one of each type.
    #[must_use]
    pub fn data<D: Send + Sync + 'static>(mut self, data: Arc<D>) -> Self {
        self.data.insert(data);
        self
    }

    /// A task is taken for lost if its worker has not been heard of for so long: 30 seconds if nothing
    /// is said, 100 ms to a day. It is no bound on how long a task may take. What is lost comes back
    /// after this time; each running task costs a write every third of it.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long running tasks have to end when the worker does: 25 seconds if nothing is said. Then
    /// their tokens are cancelled; a second later they are dropped and given back.
    #[must_use]
    pub fn stop_within(mut self, span: Duration) -> Self {
        self.settings.stop_within = span;
        self
    }

    /// In which order the priorities are served.
    #[must_use]
    pub fn serve(mut self, serve: Serve) -> Self {
        self.settings.serve = serve;
        self
    }

    /// Whether tasks of one priority are claimed strictly in the order in which they are due, as they
    /// are if nothing is said. On etcd, where claims of many processes get in each other's way, a
    /// relaxed order lets them spread over what is due; elsewhere it changes nothing.
    #[must_use]
    pub fn order(mut self, order: ClaimOrder) -> Self {
        self.settings.order = order;
        self
    }

    /// How often a task is begun whose worker dies.
    #[must_use]
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.settings.delivery = delivery;
        self
    }

    /// How long what failed for good is kept: 30 days if nothing is said.
    #[must_use]
    pub fn keep_dead(mut self, span: Duration) -> Self {
        self.settings.keep_dead = span;
        self
    }

    /// How many tasks are kept that succeeded, and how many that failed for good; the next to go is
    /// the one whose time ends first. 10,000 of each if nothing is said.
    #[must_use]
    pub fn keep_at_most(mut self, tasks: u64) -> Self {
        self.settings.most_kept = tasks;
        self
    }

    /// Works until the signal comes, then ends: nothing new is claimed, and what runs ends or is given
    /// back. Errors of the store are waited out.
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for settings that make no sense, before anything
    /// is claimed.
    ///
    /// # Cancel safety
    /// Dropped, it drops the handlers; their tasks come back when their leases end.
    pub async fn run_until(self, signal: impl Future<Output = ()>) -> Result<Report> {
        let token = CancellationToken::new();
        let until = Until::Stopped(token.clone());
        let mut work = pin!(self.work(&until));
        tokio::select! {
            report = &mut work => return report,
            () = signal => token.cancel(),
        }
        work.await
    }

    /// Does what is due until nothing is: for tests, and for jobs that are run by something else. What
    /// becomes due later, be it a retry, waits. What a task schedules to be done at once is done too.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until), and the store's.
    pub async fn drain(&self) -> Result<Report> {
        let mut report = Report::default();
        loop {
            let pass = self.work(&Until::Drained).await?;
            report = report.and(&pass);
            // A task of one queue may have scheduled one in a queue that was done already.
            if pass == Report::default() || self.queues.len() < 2 {
                return Ok(report);
            }
        }
    }

    async fn work(&self, until: &Until) -> Result<Report> {
        let queues = self.parse()?;
        let counts = Arc::new(Counts::default());
        let attendance = Attendance::new(&self.scheduler, self.name.as_deref(), &queues);
        // All that is spawned ends with these two.
        let (mut dispatchers, mut background) = (JoinSet::new(), JoinSet::new());
        let mut finishers = JoinSet::new();
        let mut stations = Vec::with_capacity(queues.len());
        for (queue, places) in queues {
            let station = self.station(queue, counts.clone());
            stations.push(station.clone());
            let (ends, received) = mpsc::channel(ENDS);
            let received = Arc::new(Mutex::new(received));
            for _ in 0..FINISHERS {
                finishers.spawn(finish::finish(station.clone(), received.clone()));
            }
            background.spawn(renew::renew(station.clone()));
            background.spawn(hints::listen(station.clone()));
            background.spawn(collect::collect(station.clone()));
            if matches!(until, Until::Stopped(_)) {
                background.spawn(keep_firing(station.clone()));
            }
            dispatchers.spawn(dispatch(station, places, until.clone(), ends));
        }
        if matches!(until, Until::Stopped(_)) {
            background.spawn(attendance.clone().keep());
        }
        while let Some(ended) = dispatchers.join_next().await {
            ended.map_err(crashed)??;
        }
        // The leases of what is still to be written are extended meanwhile.
        while let Some(ended) = finishers.join_next().await {
            ended.map_err(crashed)?;
        }
        match until {
            // It has not worked long enough to do so in passing.
            Until::Drained => {
                for station in &stations {
                    collect::collect_once(station).await;
                    collect::look(station).await;
                }
                let queues = stations.iter().map(|it| &*it.queue);
                self.scheduler.announce(queues).await;
            }
            Until::Stopped(_) => {
                background.shutdown().await;
                attendance.leave().await;
            }
        }
        Ok(counts.report())
    }

    fn station(&self, queue: Arc<Queue>, counts: Arc<Counts>) -> Arc<Station> {
        let namespace = &queue.namespace;
        Arc::new(Station {
            meters: QueueMeters::new(namespace, &queue.name, self.router.kinds()),
            scheduler: self.scheduler.clone(),
            queue,
            settings: self.settings.clone(),
            router: self.router.clone(),
            data: Arc::new(self.data.clone()),
            counts,
            claims: Claims::default(),
            begun: Claims::default(),
            hint: Notify::new(),
            ticks: Notify::new(),
            left: Notify::new(),
            crowded: Notify::new(),
            late: Notify::new(),
        })
    }

    pub(crate) fn parse(&self) -> Result<Vec<(Arc<Queue>, usize)>> {
        let refuse = |message: &str| Err(Error::new(ErrorKind::InvalidArgument, message));
        if let Some(kind) = self.router.doubled() {
            let message = "a kind has two handlers, of which only one can do it: Worker::handle";
            return Err(Error::new(ErrorKind::InvalidArgument, message).with_context("kind", kind));
        }
        if self.router.is_empty() {
            return refuse("the worker has no handler: Worker::handle");
        }
        if !LEASES.contains(&self.settings.lease) {
            return refuse("a lease must be 100 ms to a day: Worker::lease");
        }
        let usual = [(Cow::Borrowed(DEFAULT_QUEUE), Self::CONCURRENCY.get())];
        let queues = if self.queues.is_empty() {
            &usual[..]
        } else {
            &self.queues
        };
        let mut parsed: Vec<(Arc<Queue>, usize)> = Vec::with_capacity(queues.len());
        for (name, places) in queues {
            if *places == 0 {
                return refuse("a queue needs a concurrency of at least 1: Worker::queue");
            }
            let queue = self.scheduler.queue(name)?;
            if parsed.iter().any(|(it, _)| it.name == queue.name) {
                return refuse("a queue is served once: Worker::queue");
            }
            parsed.push((queue, *places));
        }
        Ok(parsed)
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("queues", &self.queues)
            .field("kinds", &self.router)
            .finish_non_exhaustive()
    }
}

fn crashed(error: tokio::task::JoinError) -> Error {
    Error::new(ErrorKind::Unexpected, "a part of the worker has crashed").with_source(error)
}
