//! A store that answers as it is told to, and a clock that moves only while nothing else can.

use kv_core::{
    BoxFuture, Capabilities, CapabilitySet, Clock, Command, Context, Error, ErrorKind, Events, Kv,
    Layer, Outcome, Reply, Request, Result, Service, SetReply, VirtualClock, Watch,
};
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::pending,
    pin::pin,
    sync::Arc,
    task::{Context as Task, Poll, Waker},
    time::Duration,
};

/// What becomes of one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// An answer: a miss, a count of nothing, a write that was applied.
    Answer,
    /// The same after this long.
    After(Duration),
    /// An error with its outcome.
    Fail(ErrorKind, Outcome),
    /// The same after this long.
    FailAfter(Duration, ErrorKind, Outcome),
    /// Somebody further in has given up on the call already.
    GivenUp,
    /// An answer to a batch in which one item failed.
    FailItem(ErrorKind),
    /// No end.
    Hang,
}

pub(crate) const DOWN: Step = Step::Fail(ErrorKind::Unavailable, Outcome::NotApplied);
pub(crate) const LOST: Step = Step::Fail(ErrorKind::Unavailable, Outcome::Unknown);

/// Looks whether a future has ended.
pub(crate) fn poll<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
    let mut task = Task::from_waker(Waker::noop());
    std::pin::Pin::new(future).poll(&mut task)
}

/// The innermost service: follows the steps, then only answers.
#[derive(Clone, Default)]
pub(crate) struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    /// When each call came.
    calls: Arc<Mutex<Vec<Duration>>>,
    pub(crate) clock: VirtualClock,
    /// What it cannot do.
    pub(crate) lacks: CapabilitySet,
}

impl Script {
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let script = Self::default();
        script.then(steps);
        script
    }

    /// Adds steps.
    pub(crate) fn then(&self, steps: impl IntoIterator<Item = Step>) {
        self.steps.lock().extend(steps);
    }

    /// How many calls came since the last look.
    pub(crate) fn calls(&self) -> usize {
        self.calls.lock().drain(..).len()
    }

    /// When the calls since the last look came, by the clock.
    pub(crate) fn times(&self) -> Vec<Duration> {
        std::mem::take(&mut self.calls.lock())
    }

    /// A connected handle on a layer around this.
    pub(crate) fn under(&self, layer: impl Layer) -> Kv {
        let kv = Kv::from_service(layer.wrap(Arc::new(self.clone())));
        self.run(kv.connect()).unwrap();
        kv
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    /// Runs a future to its end and lets a millisecond pass whenever it waits.
    pub(crate) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..600_000 {
            if let Poll::Ready(it) = future.as_mut().poll(&mut Task::from_waker(Waker::noop())) {
                return it;
            }
            self.clock.advance(Duration::from_millis(1));
        }
        panic!("it does not end within ten minutes");
    }

    /// Ends as told, with the error of one item if the batch is to have one.
    fn step(&self) -> BoxFuture<'static, Result<Option<Error>>> {
        self.calls.lock().push(self.clock.monotonic());
        let step = self.steps.lock().pop_front();
        let clock = self.clock.clone();
        Box::pin(async move {
            match step.unwrap_or(Step::Answer) {
                Step::Answer => Ok(None),
                Step::FailItem(kind) => Ok(Some(Error::new(kind, "as told"))),
                Step::After(span) => {
                    clock.sleep(span).await;
                    Ok(None)
                }
                Step::Fail(kind, outcome) => Err(Error::new(kind, "as told").with_outcome(outcome)),
                Step::FailAfter(span, kind, outcome) => {
                    clock.sleep(span).await;
                    Err(Error::new(kind, "as told").with_outcome(outcome))
                }
                Step::GivenUp => Err(Error::new(ErrorKind::Unavailable, "as told").as_last_word()),
                Step::Hang => pending().await,
            }
        })
    }
}

impl Service for Script {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<Reply>> {
        let step = self.step();
        Box::pin(async move {
            Ok(match step.await? {
                None => answer(&request.command),
                Some(error) => Reply::SetMany(vec![Ok(true), Err(error)]),
            })
        })
    }

    fn watch(&self, _: Watch, _: Option<Context>) -> BoxFuture<'_, Result<Events>> {
        let step = self.step();
        Box::pin(async move {
            step.await?;
            Ok(Box::pin(futures_util::stream::empty()) as Events)
        })
    }

    fn capabilities(&self) -> Capabilities {
        let all = CapabilitySet::ALL.iter();
        Capabilities::new(all.filter(|&it| !self.lacks.has(it)).collect())
    }

    fn name(&self) -> String {
        "script".to_owned()
    }

    fn inner(&self) -> Option<&dyn Service> {
        None
    }
}

fn answer(command: &Command) -> Reply {
    match command {
        Command::Get { .. } => Reply::Get(None),
        Command::GetMany { keys } => Reply::GetMany(vec![None; keys.len()]),
        Command::Set { .. } => Reply::Set(SetReply::applied()),
        Command::SetMany { items, .. } => Reply::SetMany(items.iter().map(|_| Ok(true)).collect()),
        Command::Delete { .. } => Reply::Delete(0),
        Command::Increment { .. } => Reply::Increment(1),
        Command::Clear { .. } => Reply::Clear(0),
        Command::ZPopByScore { .. } => Reply::ZPopByScore(Vec::new()),
        other => panic!("no answer to {other:?}"),
    }
}
