//! What is proven of a stack while calls and replies are lost inside it.

use crate::journal::{End, Entry, Journal, Totals, judge};
use futures_util::future::{Either, join_all, select};
use kv_conformance::faults::FaultSwitch;
use kv_core::{Clock, Error, ErrorKind, Kv, Outcome, Ttl};
use std::{
    cell::RefCell,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// So many callers at once.
const TASKS: usize = 8;

/// A stack with faults inside.
pub(super) struct Subject {
    pub(super) kv: Kv,
    /// Past the faults, to the same keys: tells the truth.
    pub(super) direct: Kv,
    pub(super) faults: FaultSwitch,
    /// Times the calls.
    pub(super) clock: Arc<dyn Clock>,
    /// No call may take longer.
    pub(super) bound: Duration,
    /// How often each caller does everything, not counting what the breaker refuses.
    pub(super) rounds: usize,
    /// Calls so far, without those that the breaker refused.
    pub(super) progress: Arc<AtomicU64>,
}

/// What the callers saw.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Report {
    pub(super) increments: Totals,
    /// Reads that were answered, and those that failed.
    pub(super) read: usize,
    pub(super) unread: usize,
    /// Calls that the breaker kept from the store.
    pub(super) refused: usize,
    pub(super) longest: Duration,
}

/// Calls from several tasks until all have done their rounds.
///
/// Nothing is applied twice, and what is told as not applied is not; a read tells what is there or
/// fails; and no call takes longer than the bound. The error says which of these does not hold.
pub(super) async fn prove(subject: &Subject) -> Result<Report, String> {
    let set = async |key| subject.direct.set(key, "there").await.map_err(said);
    set("a").await?;
    set("b").await?;
    let tasks = (0..TASKS).map(|task| run(subject, task));
    let mut report = Report::default();
    for (task, ended) in join_all(tasks).await.into_iter().enumerate() {
        let (journal, seen) = ended?;
        let last = subject.direct.increment(counter(task), 0).await;
        let totals = judge(&journal, last.map_err(said)?, subject.bound)?;
        report.increments.acknowledged += totals.acknowledged;
        report.increments.unknown += totals.unknown;
        report.increments.not_applied += totals.not_applied;
        report.read += seen.read;
        report.unread += seen.unread;
        report.refused += seen.refused;
        report.longest = report.longest.max(seen.longest);
    }
    Ok(report)
}

fn counter(task: usize) -> String {
    format!("n:{task}")
}

async fn run(subject: &Subject, task: usize) -> Result<(Journal, Report), String> {
    let kv = &subject.kv;
    let seen = RefCell::new(Report::default());
    let caller = Caller {
        subject,
        seen: &seen,
    };
    let mut journal = Journal::default();
    let mut round = 0;
    while round < subject.rounds {
        let (end, took) = caller.call(kv.increment(counter(task), 1)).await?;
        let is_refused = is_refused(&end);
        let end = End::from(end);
        journal.entries.push(Entry { end, took });
        if is_refused {
            // It comes at once, and would use up the rounds.
            subject.clock.sleep(PAUSE).await;
            continue;
        }
        round += 1;

        let (read, _) = caller.call(kv.get("a")).await?;
        caller.reads(read, &Some("there".into()))?;
        let (read, _) = caller.call(kv.get_many(["a", "never", "b"])).await?;
        let expected = [Some("there".into()), None, Some("there".into())];
        caller.reads(read, &expected.to_vec())?;
        let (read, _) = caller.call(kv.get("never")).await?;
        caller.reads(read, &None)?;

        let own = format!("own:{task}:{round}");
        let (taken, _) = caller
            .call(kv.set_if_absent(&own, "mine", Ttl::Never))
            .await?;
        let is_there = subject.direct.get(&own).await.map_err(said)?.is_some();
        match taken {
            Ok(true) if is_there => {}
            Ok(true) => return Err("an acknowledged write was lost".to_owned()),
            Ok(false) => return Err("a write was refused for what it had done itself".to_owned()),
            Err(error) => {
                outage(&error)?;
                if is_there && error.outcome() != Outcome::Unknown {
                    return Err(format!("it was applied: {error}"));
                }
            }
        }
        // On memory, where nothing waits, the others shall have their turn.
        tokio::task::yield_now().await;
    }
    Ok((journal, seen.into_inner()))
}

struct Caller<'a> {
    subject: &'a Subject,
    seen: &'a RefCell<Report>,
}

impl Caller<'_> {
    /// The end of a call and how long it took, which is bounded.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<(Result<T, Error>, Duration), String> {
        let Subject { clock, bound, .. } = self.subject;
        let start = clock.monotonic();
        let call = std::pin::pin!(call);
        let Either::Left((end, _)) = select(call, clock.sleep(*bound)).await else {
            return Err(format!("a call takes longer than {bound:?}"));
        };
        let took = clock.monotonic().saturating_sub(start);
        let mut seen = self.seen.borrow_mut();
        seen.longest = seen.longest.max(took);
        if is_refused(&end) {
            seen.refused += 1;
        } else {
            self.subject.progress.fetch_add(1, Ordering::AcqRel);
        }
        Ok((end, took))
    }

    fn reads<T: PartialEq>(&self, read: Result<T, Error>, truth: &T) -> Result<(), String> {
        let mut seen = self.seen.borrow_mut();
        match read {
            Ok(answer) if answer == *truth => seen.read += 1,
            Ok(_) => return Err("a read told what is not so".to_owned()),
            Err(error) => {
                outage(&error)?;
                seen.unread += 1;
            }
        }
        Ok(())
    }
}

fn is_refused<T>(end: &Result<T, Error>) -> bool {
    let error = end.as_ref().err();
    error.is_some_and(|it| it.context("retry_after").is_some())
}

/// Refuses errors that no fault explains.
fn outage(error: &Error) -> Result<(), String> {
    match error.kind() {
        ErrorKind::Timeout | ErrorKind::Unavailable => Ok(()),
        kind => Err(format!("no fault explains {kind:?}: {error}")),
    }
}

/// How often a healthy store may still be refused, a rest of the breaker apart.
const PATIENCE: usize = 2_000;
/// Shorter than the breaker rests.
const PAUSE: Duration = Duration::from_millis(5);

/// Without faults the stack works again, by itself.
pub(super) async fn recovers(subject: &Subject) -> Result<(), String> {
    subject.faults.off();
    let mut last = String::new();
    for _ in 0..PATIENCE {
        match subject.kv.get("a").await {
            Ok(_) => return Ok(()),
            Err(error) => last = error.to_string(),
        }
        subject.clock.sleep(PAUSE).await;
    }
    Err(format!("it does not recover: {last}"))
}

fn said(error: impl Display) -> String {
    error.to_string()
}
