//! Tasks that write and tasks that read, all the time.

use crate::{
    journal::{End, Entry, Journal, Stored},
    stack::Stack,
};
use kv_core::{
    Clock, Error, ErrorKind, Field, Key, KeyGroup, Kv, Op, Outcome, Result, Stopwatch, SystemClock,
    Ttl, Txn, Value,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};
use tokio::task::{JoinError, JoinHandle, JoinSet};

/// How long a task rests between two calls.
const REST: Duration = Duration::from_millis(4);

const PROFILES: u64 = 64;

/// What a task asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Write,
    Read,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Answered,
    TimedOut,
    Unavailable,
    /// By the circuit breaker.
    Refused,
    /// By the concurrency limit.
    Overloaded,
    Wrong(ErrorKind),
}

/// A call as its caller saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) deed: Deed,
    pub(crate) end: Ending,
    pub(crate) took: Duration,
}

/// What readers saw.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Answers that are not what was written, a miss among them.
    pub(crate) wrong: u64,
}

/// The running tasks.
pub(crate) struct Load {
    goes_on: Arc<AtomicBool>,
    calls: Receiver<Call>,
    writers: JoinSet<Journal>,
    readers: JoinSet<Reads>,
    latest: JoinHandle<Duration>,
}

/// How many calls a second so many tasks make if none of them takes any time.
pub(crate) fn rate(tasks: u16) -> f64 {
    f64::from(tasks) / REST.as_secs_f64()
}

/// What the readers read, in both stores.
pub(crate) async fn prepare(stack: &Stack) -> Result<()> {
    for number in 0..PROFILES {
        stack.reads.set(profile(number), content(number)).await?;
    }
    Ok(())
}

/// What the store has in the end.
pub(crate) async fn stored(direct: &Kv, writers: usize) -> Result<Stored> {
    let keys = Keys::new()?;
    let counter = async || direct.increment(&keys.counter(), 0).await;
    loop {
        let before = counter().await?;
        let mut applied = Vec::new();
        for writer in 0..writers {
            let counts = direct.hgetall(&keys.ledger(writer)).await?;
            applied.push(counts.into_iter().map(parse).collect::<Result<_>>()?);
        }
        // What nobody waits for any more can still arrive, and would be seen in one place only.
        if counter().await? == before {
            return Ok(Stored {
                counter: before,
                applied,
            });
        }
    }
}

impl Load {
    pub(crate) fn start(stack: &Stack, tasks: usize) -> Self {
        let goes_on = Arc::new(AtomicBool::new(true));
        let (told, calls) = mpsc::channel();
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for task in 0..tasks {
            let caller = Caller {
                goes_on: Arc::clone(&goes_on),
                told: told.clone(),
            };
            match task % 2 {
                0 => _ = writers.spawn(write(stack.writes.clone(), task / 2, caller)),
                _ => _ = readers.spawn(read(stack.reads.clone(), task as u64, caller)),
            }
        }
        Self {
            latest: tokio::spawn(latest(Arc::clone(&goes_on))),
            goes_on,
            calls,
            writers,
            readers,
        }
    }

    /// The calls that have ended since this was asked last.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.try_iter().collect()
    }

    /// Lets the calls under way end; what the writers wrote down, what the readers saw, and by how much
    /// a timer was late at most.
    pub(crate) async fn stop(mut self) -> Result<(Vec<Journal>, Reads, Duration), JoinError> {
        self.goes_on.store(false, Ordering::Relaxed);
        let mut journals = Vec::new();
        while let Some(journal) = self.writers.join_next().await {
            journals.push(journal?);
        }
        journals.sort_unstable_by_key(|it| it.writer);
        let mut all = Reads::default();
        while let Some(reads) = self.readers.join_next().await {
            let Reads {
                answered,
                failed,
                wrong,
            } = reads?;
            all.answered += answered;
            all.failed += failed;
            all.wrong += wrong;
        }
        Ok((journals, all, self.latest.await?))
    }
}

/// What each task has.
struct Caller {
    goes_on: Arc<AtomicBool>,
    told: Sender<Call>,
}

impl Caller {
    /// Makes a call and tells of it, then rests. `None` when it is time to stop.
    async fn call<T>(
        &self,
        deed: Deed,
        call: impl Future<Output = Result<T>>,
    ) -> Option<Result<T>> {
        if !self.goes_on.load(Ordering::Relaxed) {
            return None;
        }
        let watch = Stopwatch::start();
        let answer = call.await;
        let call = Call {
            deed,
            end: answer.as_ref().err().map_or(Ending::Answered, Ending::of),
            took: watch.elapsed(),
        };
        // Nobody listens to the last ones.
        let _ = self.told.send(call);
        SystemClock.sleep(REST).await;
        Some(answer)
    }
}

/// Adds one to the counter all the time, and in the same step one to the call's own number.
async fn write(kv: Kv, writer: usize, caller: Caller) -> Journal {
    let mut journal = Journal::new(writer);
    let Ok(keys) = Keys::new() else {
        return journal;
    };
    for id in 0.. {
        let add = Txn::new()
            .then(Op::Increment {
                key: keys.counter(),
                by: 1,
                ttl_if_created: Ttl::Never,
            })
            .then(Op::HIncrement {
                key: keys.ledger(writer),
                field: Field::from(id.to_string()),
                by: 1,
            });
        let Some(answer) = caller.call(Deed::Write, kv.commit_one(add)).await else {
            break;
        };
        let end = match answer.map_err(|error| (error.kind(), error.outcome())) {
            Ok(_) => End::Acknowledged,
            Err((_, Outcome::Unknown)) => End::Unknown,
            Err((_, Outcome::NotApplied)) => End::NotApplied,
            Err((kind, Outcome::Final)) => End::Wrong(kind),
        };
        journal.entries.push(Entry { id, end });
    }
    journal
}

async fn read(kv: Kv, first: u64, caller: Caller) -> Reads {
    let mut reads = Reads::default();
    for round in first.. {
        let number = round % PROFILES;
        let Some(answer) = caller.call(Deed::Read, kv.get(profile(number))).await else {
            break;
        };
        match answer {
            Ok(Some(value)) if value == *content(number) => reads.answered += 1,
            Ok(_) => reads.wrong += 1,
            Err(_) => reads.failed += 1,
        }
    }
    reads
}

/// By how much a timer beside the calls is late at most, which is the machine's doing.
async fn latest(goes_on: Arc<AtomicBool>) -> Duration {
    let mut latest = Duration::ZERO;
    while goes_on.load(Ordering::Relaxed) {
        let watch = Stopwatch::start();
        SystemClock.sleep(REST).await;
        latest = latest.max(watch.elapsed().saturating_sub(REST));
    }
    latest
}

impl Ending {
    pub(crate) fn is_answered(self) -> bool {
        self == Self::Answered
    }

    fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Timeout => Self::TimedOut,
            ErrorKind::Unavailable if error.context("retry_after").is_some() => Self::Refused,
            ErrorKind::Unavailable => Self::Unavailable,
            ErrorKind::Overloaded => Self::Overloaded,
            kind => Self::Wrong(kind),
        }
    }
}

/// The keys of the counter, which belong together.
struct Keys(KeyGroup);

impl Keys {
    fn new() -> Result<Self> {
        Ok(Self(KeyGroup::new("resilient")?))
    }

    fn counter(&self) -> Key {
        self.0.key(":counter")
    }

    /// Hash: how often each of a writer's calls was applied.
    fn ledger(&self, writer: usize) -> Key {
        self.0.key(format!(":ledger:{writer}"))
    }
}

fn profile(number: u64) -> String {
    format!("profile:{number}")
}

fn content(number: u64) -> String {
    format!("the profile of {number}")
}

/// A call's number and how often it was applied.
fn parse((id, times): (Field, Value)) -> Result<(u64, i64)> {
    let strange = |_| Error::new(ErrorKind::Codec, "the ledger holds what no writer wrote");
    let id = id.to_str()?.parse().map_err(strange)?;
    let times = times.to_str()?.parse().map_err(strange)?;
    Ok((id, times))
}
