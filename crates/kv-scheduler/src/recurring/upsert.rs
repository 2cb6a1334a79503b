//! Schedules are declared: what is written is what the program says, and nothing if that was said before.

use super::{
    Recurring, ScheduleName,
    policy::{Misfire, Overlap},
    rearm::Wait,
    spec::{Spec, Tick, is_later},
    timing::{Rule, Timing},
};
use crate::{
    Scheduler, Task,
    envelope::Envelope,
    queue::Queue,
    scheduler::DEFAULT_QUEUE,
    stored::Unreadable,
    transitions::{self, Known, Place, Written},
};
use kv_core::{Error, ErrorKind, Mark, Member, Outcome, Result, Timestamp, Txn, TxnReply};
use std::{sync::Arc, time::Duration};

/// How often a schedule may change under our hands.
const ROUNDS: u32 = 16;

/// How often a request is sent whose answer does not come.
const SENDINGS: u32 = 4;

/// The pause before the second sending; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// The most ticks that are made up for.
const MOST: u32 = 1000;

/// What became of a schedule that was declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Upserted {
    /// What was done.
    pub change: Change,
    /// Its next tick; `None` if it is paused, waits for its task to end, or is over.
    pub next: Option<Timestamp>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is new.
    Created,
    /// It was there as it is; its next tick stays.
    Unchanged,
    /// It was there and is another now; its next tick was computed anew.
    Changed,
    /// A newer program wrote it in a form that this one does not know. It was left alone.
    Newer,
}

impl<T: Task> Recurring<T> {
    /// Writes the schedule to the store, if it is not there as it is. Every process may do so when it
    /// starts: of a schedule that is there unchanged the next tick stays, so restarts shift nothing.
    /// A schedule that the program does not declare any more goes on until it is
    /// [removed](crate::Admin::remove_schedule).
    ///
    /// # Errors
    /// [`InvalidArgument`](ErrorKind::InvalidArgument) for a name that is none, an interval or a policy
    /// that makes no sense, or a schedule that has no tick; [`TooLarge`](ErrorKind::TooLarge) if the task
    /// has more than 256 KiB; else the store's. May be sent again.
    ///
    /// # Cancel safety
    /// Dropped, it leaves the schedule written or not.
    pub async fn upsert(self) -> Result<Upserted> {
        let name = self.name.clone();
        let named = |error: Error| error.with_context("schedule", name.escape_debug());
        self.plan().map_err(named)?.write().await.map_err(named)
    }

    fn plan(self) -> Result<Plan> {
        let name = ScheduleName::new(&self.name)?;
        self.timing.check(self.jitter)?;
        let misfire = parse_misfire(&self.timing, self.misfire)?;
        let overlap = parse_overlap(&self.timing, self.overlap)?;
        let options = self.options;
        let queue = options.queue.as_deref().unwrap_or(DEFAULT_QUEUE);
        let queue = self.scheduler.queue(queue)?;
        let payload = options.codec.encode(&self.task)?.into_bytes();
        let context = self.context.as_ref();
        let mut envelope = Envelope::new(T::KIND, payload, Timestamp::default())
            .with_context(context)
            .with_timeout(options.timeout);
        envelope.codec = options.codec;
        envelope.priority = options.priority;
        envelope.retry = options.retry;
        envelope.retention = options.retention;
        envelope.trace = self.trace;
        // What is too long shall say so now, not at each tick.
        let longest = Timestamp::from_micros(i64::MAX);
        let tick = Tick::new(name.as_str(), longest, self.timing.delay());
        envelope.of_tick(tick, longest).encode()?;
        let rule = Rule::parse(&self.timing)
            .map_err(|_| Error::new(ErrorKind::Unexpected, "a rule that was parsed cannot be"))?;
        let mut spec = Spec::new(self.timing, envelope)
            .with_jitter(self.jitter)
            .between(self.start, self.until);
        spec.misfire = misfire;
        spec.overlap = overlap;
        Ok(Plan {
            schedule: name.member(context),
            scheduler: self.scheduler,
            print: spec.print()?,
            queue,
            spec,
            rule,
        })
    }
}

/// A schedule whose every option has been parsed.
struct Plan {
    scheduler: Scheduler,
    queue: Arc<Queue>,
    schedule: Member,
    spec: Spec,
    rule: Rule,
    print: Mark,
}

impl Plan {
    async fn write(self) -> Result<Upserted> {
        // A sending whose answer was lost is found written in the next round.
        let mut in_doubt = None;
        for _ in 0..ROUNDS {
            let known = inspect(&self.scheduler, &self.queue, &self.schedule).await?;
            let (change, next) = match &known.print {
                None => (Change::Created, Some(self.first(&known)?)),
                Some(print) if *print == self.print && is_readable(&known) => {
                    let next = match self.revived(&known).await? {
                        None => None,
                        Some(next) => {
                            let txn = transitions::revive(
                                &self.queue,
                                &self.schedule,
                                &known,
                                Some(next),
                            );
                            if !send(&self.scheduler, txn).await.reply?.applied {
                                continue;
                            }
                            Some(next)
                        }
                    };
                    return Ok(Upserted {
                        change: in_doubt.unwrap_or(Change::Unchanged),
                        next: next.or(known.next.map(transitions::time_of)),
                    });
                }
                Some(print) if is_later(print) => {
                    return Ok(Upserted {
                        change: Change::Newer,
                        next: known.next.map(transitions::time_of),
                    });
                }
                Some(_) => (Change::Changed, Some(self.kept_or_first(&known)?)),
            };
            let written = Written {
                spec: self.spec.encode()?,
                print: self.print.clone(),
                next: next.filter(|_| !known.is_paused),
            };
            let next = written.next;
            let txn = transitions::write(&self.queue, &self.schedule, &known, &written);
            let sent = send(&self.scheduler, txn).await;
            if sent.is_in_doubt {
                in_doubt = in_doubt.or(Some(change));
            }
            if sent.reply?.applied {
                return Ok(Upserted { change, next });
            }
        }
        Err(changed_again())
    }

    /// The next tick: the one that is there, due or not, if only other things have changed.
    fn kept_or_first(&self, known: &Known) -> Result<Timestamp> {
        let is_same =
            |spec: &Spec| spec.timing == self.spec.timing && spec.start() == self.spec.start();
        let before = known.spec.as_ref().and_then(|it| Spec::decode(it).ok());
        let next = known.next.map(transitions::time_of);
        let kept = next.filter(|it| self.spec.until().is_none_or(|until| *it <= until));
        match (before.filter(is_same), kept) {
            (Some(_), Some(next)) => Ok(next),
            _ => self.first(known),
        }
    }

    /// The first tick from now on. One that was before does not come again, whatever the clocks say.
    fn first(&self, known: &Known) -> Result<Timestamp> {
        first(&self.rule, &self.spec, known).ok_or_else(|| {
            let message = "the schedule has no tick: it ends before its first one";
            Error::new(ErrorKind::InvalidArgument, message)
                .with_context("timing", &self.spec.timing)
        })
    }

    /// The next tick of a schedule that has none: it waits for a task that is over and whose end did not
    /// know, or was given up for what a clock said then.
    async fn revived(&self, known: &Known) -> Result<Option<Timestamp>> {
        if known.next.is_some() || known.is_paused {
            return Ok(None);
        }
        let task = known.wait.as_ref().and_then(Wait::decode);
        let Some(Wait { task, .. }) = task else {
            return Ok(first(&self.rule, &self.spec, known));
        };
        let found = self.scheduler.find(&self.queue, &task).await?;
        Ok(match found.map(|it| it.place) {
            Some(Place::Due(..) | Place::Lease(_)) => None,
            _ => first(&self.rule, &self.spec, known),
        })
    }
}

/// Whether the spec is not damaged; one that is has to be written anew.
fn is_readable(known: &Known) -> bool {
    let spec = known.spec.as_ref().map(Spec::decode);
    matches!(spec, Some(Ok(_) | Err(Unreadable::Later)))
}

/// The first tick of a schedule from now on.
pub(super) fn first(rule: &Rule, spec: &Spec, known: &Known) -> Option<Timestamp> {
    let after = known.last.map_or(known.now, |it| it.tick.max(known.now));
    let next = rule.first(after, spec.start())?;
    spec.until()
        .is_none_or(|until| next <= until)
        .then_some(next)
}

pub(super) async fn inspect(
    scheduler: &Scheduler,
    queue: &Queue,
    schedule: &Member,
) -> Result<Known> {
    let sent = send(scheduler, transitions::inspect(queue, schedule)).await;
    transitions::known(sent.reply?)
}

/// The answer to a transaction.
pub(super) struct Sent {
    pub(super) reply: Result<TxnReply>,
    /// Whether a sending before this answer may have been written.
    is_in_doubt: bool,
}

/// Sends a transaction that may be sent again until it is answered.
pub(super) async fn send(scheduler: &Scheduler, txn: Txn) -> Sent {
    let store = scheduler.store();
    let mut is_in_doubt = false;
    let mut sending = 1;
    loop {
        let reply = store.commit(txn.clone()).await;
        match &reply {
            Err(error) if error.outcome() != Outcome::Final && sending < SENDINGS => {
                is_in_doubt |= error.outcome() == Outcome::Unknown;
            }
            _ => return Sent { reply, is_in_doubt },
        }
        let pause = PAUSE * (1 << (sending - 1));
        store
            .clock
            .sleep(pause.mul_f64(0.5 + fastrand::f64()))
            .await;
        sending += 1;
    }
}

pub(super) fn changed_again() -> Error {
    Error::new(
        ErrorKind::Conflict,
        "the schedule changed again and again; try later",
    )
}

/// Whether a spec cannot be fired by this program.
pub(super) fn unreadable(why: Unreadable) -> &'static str {
    match why {
        Unreadable::Later => {
            "a newer program wrote the schedule, or one with the feature `cron`; it is left to those"
        }
        Unreadable::Damaged => "what is stored of the schedule cannot be read; upsert it anew",
    }
}

fn parse_misfire(timing: &Timing, misfire: Option<Misfire>) -> Result<Misfire> {
    let refuse = |message: &str| Err(Error::new(ErrorKind::InvalidArgument, message));
    match misfire {
        None => Ok(Misfire::default()),
        Some(_) if timing.delay().is_some() => {
            refuse("a fixed delay misses no tick: leave Recurring::misfire out")
        }
        Some(Misfire::All { max }) if !(1..=MOST).contains(&max) => {
            refuse("ticks that are made up for must be 1 to 1000: Misfire::All")
        }
        Some(misfire) => Ok(misfire),
    }
}

fn parse_overlap(timing: &Timing, overlap: Option<Overlap>) -> Result<Overlap> {
    match overlap {
        Some(_) if timing.delay().is_some() => Err(Error::new(
            ErrorKind::InvalidArgument,
            "the tasks of a fixed delay never overlap: leave Recurring::overlap out",
        )),
        overlap => Ok(overlap.unwrap_or_default()),
    }
}
