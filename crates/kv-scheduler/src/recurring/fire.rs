//! Ticks become tasks. Every worker of a queue does it; which one is first, the store decides.

use super::decide::{Deed, Due, decide};
use crate::{
    transitions::{self, Place, Seen},
    worker::Station,
};
use kv_core::{Error, Member, Outcome, Result, ScoredMember, Timestamp, Txn};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

/// How long to sleep at most: a message that a schedule has come can be lost.
const LONGEST: Duration = Duration::from_secs(10);

/// How often a tick is refused before it is left for a while: what is stored contradicts itself.
const REFUSALS: u32 = 8;

/// When it is tried again.
const AFTER_REFUSALS: Duration = Duration::from_secs(1);

/// So many rounds go together; then whoever has waited meanwhile gets a turn.
const ROUNDS: u32 = 64;

/// The pauses after an error: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Fires ticks when they are due, until it is dropped.
pub(crate) async fn keep_firing(station: Arc<Station>) {
    let mut pause = PAUSES.0;
    loop {
        let wait = match fire_due(&station).await {
            Ok(Fired { next, .. }) => {
                pause = PAUSES.0;
                let longest = LONGEST.mul_f64(0.8 + 0.4 * fastrand::f64());
                next.map_or(longest, |it| it.min(longest))
            }
            Err(error) => {
                tracing::warn!(queue = %station.queue.name, %error, "ticks cannot become tasks");
                let wait = pause.mul_f64(0.5 + fastrand::f64());
                pause = (pause * 2).min(PAUSES.1);
                wait
            }
        };
        tokio::select! {
            () = station.sleep(wait) => {}
            () = station.ticks.notified() => {}
        }
    }
}

/// What came of the ticks that were due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    /// So many tasks, by this worker.
    pub(crate) tasks: u64,
    /// How long until the next tick.
    pub(crate) next: Option<Duration>,
}

/// Fires the ticks that are due by now, until none is.
pub(crate) async fn fire_due(station: &Station) -> Result<Fired> {
    let mut round = Round::new(station);
    let mut behind = None;
    for _ in 0..ROUNDS {
        let reply = station
            .scheduler
            .store()
            .commit(transitions::next_ticks(&station.queue, behind))
            .await?;
        let looked = transitions::looked(reply)?;
        if looked.is_paused {
            // The message of its end wakes us.
            return round.end(None);
        }
        let is_due = |it: &&ScoredMember| it.score.is_some_and(|it| it <= looked.now.into());
        let mut due: Vec<_> = looked.ticks.iter().take_while(is_due).cloned().collect();
        due.retain(|it| !round.left.contains(&it.member));
        if due.is_empty() {
            let next = looked.ticks.iter().find(|it| !is_due(it));
            // All of them are due and were left: others may be behind.
            if next.is_none() && looked.end.is_some() {
                behind = looked.end;
                continue;
            }
            let next = next.and_then(|it| it.score).map(transitions::time_of);
            return round.end(next.map(|it| it.saturating_since(looked.now)));
        }
        round.fire(due).await?;
    }
    round.end(Some(Duration::ZERO))
}

/// One attempt to fire all that is due.
struct Round<'a> {
    station: &'a Station,
    tasks: u64,
    /// What is not fired in this attempt.
    left: HashSet<Member>,
    /// How often each was refused: another was faster, or the task is there.
    refused: HashMap<Member, u32>,
    /// Why something was not fired that can be later.
    failed: Option<Error>,
    /// When to look again for what was left.
    again: Option<Duration>,
    /// From which tick on those of a schedule are made up for.
    counted: HashMap<Member, Timestamp>,
}

impl<'a> Round<'a> {
    fn new(station: &'a Station) -> Self {
        Self {
            station,
            tasks: 0,
            left: HashSet::new(),
            refused: HashMap::new(),
            failed: None,
            again: None,
            counted: HashMap::new(),
        }
    }

    fn end(self, next: Option<Duration>) -> Result<Fired> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(Fired {
                tasks: self.tasks,
                next: [next, self.again].into_iter().flatten().min(),
            }),
        }
    }

    async fn fire(&mut self, ticks: Vec<ScoredMember>) -> Result<()> {
        let due = self.inspect(ticks).await?;
        let places = self.find_previous(&due).await?;
        let taken = self.find_taken(&due).await?;
        let mut deeds = Vec::with_capacity(due.len());
        for ((due, place), taken) in due.into_iter().zip(places).zip(taken) {
            // What is stored of a task can be unreadable here: that holds up this schedule only.
            let (place, is_taken) = match place.and_then(|it| Ok((it, taken?.is_some()))) {
                Ok(found) => found,
                Err(error) => {
                    self.leave(due.schedule, error);
                    continue;
                }
            };
            let deed = match decide(&due, place) {
                Ok(Deed::Fire { task, next, .. }) if is_taken => Ok(Deed::PassTaken {
                    task: task.member,
                    next: due.next_without_task(next),
                }),
                deed => deed,
            };
            match deed {
                Ok(deed) => deeds.push((due.seen(place), deed, due.last())),
                Err(error) => self.leave(due.schedule, error),
            }
        }
        let txns = deeds
            .iter()
            .map(|(seen, deed, last)| self.txn(seen, deed, *last))
            .collect();
        let replies = self.station.scheduler.store().commit_all(txns).await?;
        let before = self.tasks;
        for ((seen, deed, _), reply) in deeds.into_iter().zip(replies) {
            let is_fire = matches!(deed, Deed::Fire { .. });
            match reply {
                Ok(reply) if reply.applied => {
                    self.refused.remove(&seen.schedule);
                    self.tasks += u64::from(is_fire);
                }
                Ok(_) => {
                    let times = self.refused.entry(seen.schedule.clone()).or_default();
                    *times += 1;
                    if *times == REFUSALS {
                        // Perhaps others are only faster, and one of them dies now.
                        self.look_again_in(AFTER_REFUSALS);
                        self.left.insert(seen.schedule);
                    }
                }
                Err(error) => self.leave(seen.schedule, error),
            }
        }
        if self.tasks > before {
            self.station.hint.notify_one();
        }
        Ok(())
    }

    /// Reads what is due; leaves what this program does not understand.
    async fn inspect(&mut self, ticks: Vec<ScoredMember>) -> Result<Vec<Due>> {
        let queue = &self.station.queue;
        let txns = ticks
            .iter()
            .map(|it| transitions::inspect(queue, &it.member))
            .collect();
        let replies = self.station.scheduler.store().commit_all(txns).await?;
        let mut due = Vec::with_capacity(ticks.len());
        for (tick, reply) in ticks.into_iter().zip(replies) {
            let known = match reply.and_then(transitions::known) {
                Ok(known) => known,
                Err(error) => {
                    self.leave(tick.member, error);
                    continue;
                }
            };
            // Moved on meanwhile: the next look finds where to.
            let Some(score) = known.next.filter(|it| Some(*it) == tick.score) else {
                continue;
            };
            // The clock has stepped back since the look: the tick is not due any more.
            let early = transitions::time_of(score).saturating_since(known.now);
            if !early.is_zero() {
                self.look_again_in(early);
                self.left.insert(tick.member);
                continue;
            }
            let counted = self.counted.get(&tick.member).copied();
            match Due::read(tick.member.clone(), score, known, counted) {
                Ok(it) => {
                    if let Some(first) = it.tick() {
                        self.counted.entry(tick.member).or_insert(first);
                    }
                    due.push(it);
                }
                Err(error) => self.leave(tick.member, error),
            }
        }
        Ok(due)
    }

    /// Where the last tasks are, of those schedules that ask.
    async fn find_previous(&self, due: &[Due]) -> Result<Vec<Result<Option<Place>>>> {
        self.find(due.iter().map(Due::previous).collect()).await
    }

    /// Where the tasks are already, of those schedules that were refused.
    async fn find_taken(&self, due: &[Due]) -> Result<Vec<Result<Option<Place>>>> {
        let refused = due.iter().map(|it| {
            it.task()
                .filter(|_| self.refused.contains_key(&it.schedule))
        });
        self.find(refused.collect()).await
    }

    async fn find(&self, tasks: Vec<Option<Member>>) -> Result<Vec<Result<Option<Place>>>> {
        let queue = &self.station.queue;
        let finds: Vec<Txn> = tasks
            .iter()
            .flatten()
            .map(|it| transitions::find(queue, it))
            .collect();
        if finds.is_empty() {
            return Ok(tasks.iter().map(|_| Ok(None)).collect());
        }
        let replies = self.station.scheduler.store().commit_all(finds).await?;
        let mut replies = replies.into_iter();
        let places = tasks.into_iter().map(|task| {
            let Some(reply) = task.and_then(|_| replies.next()) else {
                return Ok(None);
            };
            let found = transitions::found(reply?)?;
            Ok(found.map(|it| it.place))
        });
        Ok(places.collect())
    }

    fn txn(&self, seen: &Seen, deed: &Deed, last: transitions::Last) -> Txn {
        let queue = &self.station.queue;
        match deed {
            Deed::Fire {
                task,
                last,
                next,
                previous,
            } => transitions::fire(queue, seen, task, *last, next, *previous),
            Deed::Pass { next } => transitions::pass(queue, seen, last, next),
            Deed::PassTaken { task, next } => {
                transitions::pass_taken(queue, seen, task, last, next)
            }
        }
    }

    fn look_again_in(&mut self, span: Duration) {
        self.again = Some(self.again.map_or(span, |it| it.min(span)));
    }

    /// What cannot be fired here is left to others; what the store has failed at is tried again soon.
    fn leave(&mut self, schedule: Member, error: Error) {
        let queue = &self.station.queue.name;
        tracing::warn!(%queue, ?schedule, %error, "a tick cannot become a task here");
        self.left.insert(schedule);
        if error.outcome() != Outcome::Final {
            self.failed.get_or_insert(error);
        }
    }
}
