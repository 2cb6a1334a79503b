//! What is to become of a task, decided without a store: when it was claimed, and when its handler has
//! ended.

use crate::{
    TaskError,
    envelope::Envelope,
    error::Verdict,
    handler::{StopReason, TaskResponse},
    record::Record,
    stored::Unreadable,
    telemetry::Failed,
    transitions::Claimed,
};
use kv_core::{RelativeScore, Timestamp, Value};
use std::{sync::Arc, time::Duration};

/// How a claim is to end.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// Over, and nothing is kept.
    Ack(Over),
    /// Over, and this is kept so long.
    Keep(Value, Duration),
    /// Due again.
    Again(Again, RelativeScore, Record),
    /// Failed for good.
    Bury(Record),
}

/// Why nothing is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Succeeded,
    Cancelled,
    /// It is to begin now, and never again.
    Begun,
}

/// Why a task comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// The attempt failed.
    Retried,
    /// The handler put it off.
    Snoozed,
    /// The worker ends.
    Released,
    /// This worker cannot do it, another may.
    Unable,
}

/// What is to become of a task that was claimed.
#[derive(Clone, Debug)]
pub(crate) enum Judged {
    /// Its handler is to run.
    Run(Arc<Envelope>, Record),
    /// It ends at once.
    End(Option<Arc<Envelope>>, Ending),
}

/// Judges a task that was claimed. `now` is the store's time.
pub(crate) fn judge(
    claimed: &Claimed,
    now: Timestamp,
    is_known: impl FnOnce(&str) -> bool,
    unable: Duration,
) -> Judged {
    let tally = claimed.fence.tally;
    let record = Record::decode(claimed.record.as_ref(), tally);
    let bury = |record: Record, why: &str| Ending::Bury(record.with_error(why, now));
    let later = |record: Record| {
        Ending::Again(
            Again::Unable,
            RelativeScore::after(unable),
            record.refunded(),
        )
    };
    // Another worker may be able to; burying it would let a missing key end every task.
    if let Some(error) = &claimed.unreadable {
        tracing::error!(task = ?claimed.fence.member, %error, "a task cannot be read here");
        let record = match claimed.record {
            Some(_) => record,
            // Perhaps it is what cannot be read, and is written over.
            None => record.renewed(tally - 1),
        };
        return Judged::End(None, later(record));
    }
    let envelope = match claimed.envelope.as_ref().map(Envelope::decode) {
        Some(Ok(envelope)) => Arc::new(envelope),
        Some(Err(Unreadable::Later)) => return Judged::End(None, later(record)),
        Some(Err(Unreadable::Damaged)) => {
            let why = "what is stored of the task cannot be read";
            return Judged::End(None, bury(record, why));
        }
        None => {
            let why = "nothing is stored of the task but its place in the queue";
            return Judged::End(None, bury(record, why));
        }
    };
    let lapses = record.lapses(tally);
    let ending = if claimed.is_cancelled {
        Ending::Ack(Over::Cancelled)
    } else if lapses > envelope.retry.max_lapses() {
        let why = format!(
            "the lease has lapsed {lapses} times: its workers died or hung, or the answers to \
             their claims were lost"
        );
        bury(record, &why)
    } else if envelope.deadline().is_some_and(|it| it <= now) {
        bury(record, "its deadline has passed")
    } else if !is_known(&envelope.kind) {
        later(record)
    } else {
        return Judged::Run(envelope, record);
    };
    Judged::End(Some(envelope), ending)
}

/// How a handler has ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Returned(Result<TaskResponse, TaskError>),
    Panicked(String),
    /// It took longer than an attempt may.
    TimedOut(Duration),
}

impl Outcome {
    /// How the handler failed, if it did.
    pub(crate) fn failure(&self) -> Option<Failed> {
        match self {
            Self::Returned(Ok(_)) => None,
            Self::Returned(Err(error)) => match error.verdict() {
                Verdict::Snooze(_) | Verdict::Cancel => None,
                _ => Some(Failed::Returned),
            },
            Self::Panicked(_) => Some(Failed::Panicked),
            Self::TimedOut(_) => Some(Failed::TimedOut),
        }
    }

    /// What went wrong.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Returned(Ok(_)) => String::new(),
            Self::Returned(Err(error)) => error.text(),
            Self::Panicked(message) => format!("panicked: {message}"),
            Self::TimedOut(span) => format!("took longer than {span:?}"),
        }
    }
}

/// What is known when a handler has ended.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    pub(crate) envelope: &'a Envelope,
    pub(crate) record: Record,
    pub(crate) tally: i64,
    pub(crate) stop: Option<StopReason>,
    /// By the worker's clock.
    pub(crate) now: Timestamp,
    /// Between 0 and 1.
    pub(crate) chance: f64,
}

/// Judges a task whose handler has ended.
pub(crate) fn settle(outcome: Outcome, known: Known<'_>) -> Ending {
    let text = outcome.text();
    let verdict = match outcome {
        Outcome::Returned(Ok(response)) => return succeeded(response, known.envelope),
        Outcome::Returned(Err(error)) => error.verdict(),
        Outcome::Panicked(_) | Outcome::TimedOut(_) => Verdict::Retry,
    };
    let attempt = known.record.attempt(known.tally);
    let failed = |record: Record| record.failed(&text, known.now);
    let retry = known.envelope.retry;
    match (verdict, known.stop) {
        (Verdict::Cancel, _) | (_, Some(StopReason::Cancelled)) => Ending::Ack(Over::Cancelled),
        (Verdict::Dead, _) => Ending::Bury(failed(known.record)),
        (_, Some(StopReason::Deadline)) => {
            let text = format!("its deadline has passed: {text}");
            Ending::Bury(known.record.failed(&text, known.now))
        }
        (Verdict::Snooze(delay), _) => {
            let at = RelativeScore::after(delay);
            Ending::Again(Again::Snoozed, at, known.record.refunded())
        }
        // It was told to stop in the midst of its work; this was not its fault.
        (_, Some(StopReason::Shutdown)) => release(known.record),
        (Verdict::Retry, _) => match retry.delay(attempt, known.chance) {
            None => Ending::Bury(failed(known.record)),
            Some(delay) => retried(delay, failed(known.record)),
        },
        (Verdict::RetryAfter(_), _) if attempt >= retry.max_attempts() => {
            Ending::Bury(failed(known.record))
        }
        (Verdict::RetryAfter(delay), _) => retried(delay, failed(known.record)),
    }
}

/// The task is given back as it was.
pub(crate) fn release(record: Record) -> Ending {
    Ending::Again(Again::Released, RelativeScore::NOW, record.refunded())
}

fn succeeded(response: TaskResponse, envelope: &Envelope) -> Ending {
    match (response.result, envelope.retention.done()) {
        (Some(result), Some(span)) => Ending::Keep(result, span),
        _ => Ending::Ack(Over::Succeeded),
    }
}

fn retried(delay: Duration, record: Record) -> Ending {
    Ending::Again(Again::Retried, RelativeScore::after(delay), record)
}
