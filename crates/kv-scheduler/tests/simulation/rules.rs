//! Which changes of the store are allowed, and to whom: the invariants, checked after every write.

use crate::{
    ledger::{Entry, KEYS, Place, Snapshot},
    network::ProcessId,
    work::Run,
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// The processes below this number are clients, the others workers.
pub(crate) const FIRST_WORKER: ProcessId = 10;

/// What has happened to a task.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Which unique key it was scheduled with.
    unique: Option<usize>,
    /// How often its lease may lapse.
    most_lapses: u32,
    pub(crate) times_scheduled: u32,
    /// Since it was new or taken back from the dead.
    lapses: u32,
    pub(crate) all_lapses: u32,
    was_requeued: bool,
    /// Claims that may lead to a start, by process, and starts.
    claims: HashMap<ProcessId, Claims>,
    pub(crate) starts: u32,
}

/// What a process had of a task.
#[derive(Clone, Copy, Debug, Default)]
struct Claims {
    claims: u32,
    starts: u32,
    /// How many lapses there had been before the last claim.
    lapses: u32,
}

impl Facts {
    /// Of a task that is to be scheduled, with this unique key, and may lapse so often.
    pub(crate) fn of(unique: Option<usize>, most_lapses: u32) -> Self {
        Self {
            unique,
            most_lapses,
            ..Self::default()
        }
    }
}

pub(crate) type Unanswered = Arc<Mutex<BTreeSet<usize>>>;

/// What has happened so far.
#[derive(Default)]
pub(crate) struct History {
    last: Snapshot,
    pub(crate) facts: Vec<Facts>,
    /// Tasks that are due so late that they may be sent again, and of which nobody knows whether they were
    /// scheduled.
    pub(crate) unanswered: Unanswered,
    /// Whose the last claim of each task is.
    holders: HashMap<String, ProcessId>,
}

/// One write that was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) by: ProcessId,
    /// A move, not a transaction.
    pub(crate) is_move: bool,
    /// A task is put into the queue by it.
    pub(crate) schedules: bool,
    /// The store's time.
    pub(crate) now: i64,
}

type Verdict = Result<(), String>;

impl History {
    pub(crate) fn last(&self) -> &Snapshot {
        &self.last
    }

    /// Checks what a write has made of the store. Says which tasks were claimed after a lapse.
    pub(crate) fn check(&mut self, next: Snapshot, write: Write) -> Result<Vec<usize>, String> {
        let last = std::mem::take(&mut self.last);
        let mut lapsed = Vec::new();
        let members = last
            .tasks
            .keys()
            .chain(next.tasks.keys().filter(|it| !last.tasks.contains_key(*it)));
        for member in members {
            let (before, after) = (last.tasks.get(member), next.tasks.get(member));
            if before == after {
                continue;
            }
            let number = before.or(after).map_or(0, |it| it.number);
            self.check_task(member, before, after, write)
                .map_err(|why| {
                    format!(
                        "{why}: task {number} {member}, by {write:?}\n  {before:?}\n  {after:?}"
                    )
                })?;
            if let (Some(before), Some(after)) = (before, after)
                && before.place == Place::Lease
                && after.tally > before.tally
            {
                lapsed.push(number);
            }
        }
        if write.is_move {
            check_order(&last, &next, write)?;
        }
        self.check_unique(&next)?;
        self.last = next;
        Ok(lapsed)
    }

    fn check_task(
        &mut self,
        member: &str,
        before: Option<&Entry>,
        after: Option<&Entry>,
        write: Write,
    ) -> Verdict {
        let is_worker = write.by >= FIRST_WORKER;
        let is_holder = self.holders.get(member) == Some(&write.by);
        let rule = |holds: bool, text: &str| if holds { Ok(()) } else { Err(text.to_owned()) };
        let Some(before) = before else {
            let Some(after) = after else { return Ok(()) };
            rule(
                matches!(after.place, Place::Due(_)),
                "a task begins in the queue",
            )?;
            rule(!is_worker, "only clients schedule")?;
            self.facts[after.number].times_scheduled += 1;
            // What is far ahead is sent again, also if somebody has cancelled it meanwhile.
            let is_open = self.unanswered.lock().contains(&after.number);
            let is_first = self.facts[after.number].times_scheduled == 1;
            return rule(is_first || is_open, "I4: scheduled twice");
        };
        let Some(after) = after else {
            return match before.place {
                Place::Due(_) => rule(!is_worker, "I1: only clients take out what waits"),
                Place::Lease => rule(
                    is_holder,
                    "I1, I3: ended by somebody who has not claimed it",
                ),
                Place::Done | Place::Dead => rule(
                    write.is_move && before.score <= write.now,
                    "I1: let go before its time",
                ),
            };
        };
        let facts = &mut self.facts[after.number];
        match (before.place, after.place) {
            (Place::Due(_) | Place::Lease, Place::Lease) if after.tally == before.tally + 1 => {
                rule(write.is_move && is_worker, "a claim is a move")?;
                rule(
                    before.score <= write.now,
                    "I5: claimed before its time, or its lease's end",
                )?;
                if before.place == Place::Lease {
                    facts.lapses += 1;
                    facts.all_lapses += 1;
                }
                if !before.is_cancelled {
                    let claims = facts.claims.entry(write.by).or_default();
                    claims.claims += 1;
                    claims.lapses = facts.lapses;
                }
                self.holders.insert(member.to_owned(), write.by);
                rule(after.record == before.record, "a claim writes no record")
            }
            (Place::Lease, Place::Lease) => {
                rule(
                    after.tally == before.tally,
                    "a tally grows by one with a claim",
                )?;
                rule(after.score >= before.score, "a lease gets no shorter")?;
                let is_touched = after.score != before.score || after.record != before.record;
                rule(
                    !is_touched || is_holder,
                    "I3: touched by somebody who has not claimed it",
                )?;
                let is_asked = after.is_cancelled && !before.is_cancelled;
                rule(
                    after.is_cancelled == before.is_cancelled || is_asked && !is_worker,
                    "a cancellation stays",
                )
            }
            (Place::Lease, Place::Due(_)) => {
                rule(
                    is_holder,
                    "I3: given back by somebody who has not claimed it",
                )?;
                rule(
                    !before.is_cancelled,
                    "I11: what was cancelled does not come back",
                )
            }
            (Place::Lease, Place::Done | Place::Dead) => {
                rule(is_holder, "I3: ended by somebody who has not claimed it")?;
                if after.record != before.record
                    && let Some(told) = told_lapses(after)
                {
                    rule(
                        told == facts.lapses && told > facts.most_lapses,
                        &format!("I4: dead for {told} lapses, {} it were", facts.lapses),
                    )?;
                }
                Ok(())
            }
            (Place::Due(from), Place::Due(to)) => {
                rule(!write.schedules, "I4: what is there is scheduled again")?;
                rule(!is_worker && from == to, "only clients move what waits")?;
                rule(
                    after.record == before.record && after.tally == before.tally,
                    "a move writes no record",
                )
            }
            (Place::Dead, Place::Due(_)) => {
                rule(!is_worker, "only clients take back the dead")?;
                facts.was_requeued = true;
                facts.lapses = 0;
                Ok(())
            }
            _ => Err("I2: there is no such way".to_owned()),
        }
    }

    /// No two living tasks with one key, and who lives has it.
    fn check_unique(&self, next: &Snapshot) -> Verdict {
        let mut living: [Option<&str>; KEYS] = [None; KEYS];
        for (member, entry) in next.tasks.iter().filter(|(_, it)| it.lives()) {
            let facts = &self.facts[entry.number];
            // What comes back from the dead does not take its key again.
            let Some(key) = facts.unique.filter(|_| !facts.was_requeued) else {
                continue;
            };
            if let Some(other) = living[key].replace(member) {
                return Err(format!("I9: {member} and {other} both live with k{key}"));
            }
            if next.owners[key].as_ref() != Some(member) {
                return Err(format!("I9: {member} lives without its key k{key}"));
            }
        }
        Ok(())
    }

    /// A handler was begun.
    pub(crate) fn begun(&mut self, run: &Run) -> Verdict {
        let facts = &mut self.facts[run.number];
        facts.starts += 1;
        let it = facts.claims.entry(run.process).or_default();
        it.starts += 1;
        if it.starts > it.claims {
            return Err(format!(
                "I4, I11: task {} begun by {}: {it:?}",
                run.number, run.process
            ));
        }
        if it.lapses > facts.most_lapses {
            return Err(format!(
                "I4: task {} begun in spite of its lapses",
                run.number
            ));
        }
        if run.ctx.lease_left().is_zero() {
            return Err(format!("I3: task {} begun after its lease", run.number));
        }
        Ok(())
    }
}

/// Lapsed leases come first, then priorities, then who waited longest: whoever was passed over had to
/// wait behind all that were claimed.
fn check_order(last: &Snapshot, next: &Snapshot, write: Write) -> Verdict {
    let rank = |it: &Entry| match it.place {
        Place::Lease => 0,
        Place::Due(priority) => 1 + priority,
        _ => usize::MAX,
    };
    let (mut worst, mut best) = (None, None);
    for (member, before) in &last.tasks {
        if !before.lives() || before.score > write.now {
            continue;
        }
        let place = (rank(before), before.score, member);
        let is_claimed = next
            .tasks
            .get(member)
            .is_some_and(|it| it.tally > before.tally);
        match is_claimed {
            true => worst = worst.max(Some(place)),
            false => best = [best, Some(place)].into_iter().flatten().min(),
        }
    }
    match (worst, best) {
        (Some(_), _) if last.is_paused => Err("claimed while the queue is paused".to_owned()),
        (Some(worst), Some(best)) if worst > best => {
            Err(format!("I6: {worst:?} was claimed before {best:?}"))
        }
        _ => Ok(()),
    }
}

/// How many lapses a task is said to be dead for, if it is for lapses.
fn told_lapses(entry: &Entry) -> Option<u32> {
    let record = String::from_utf8_lossy(entry.record.as_deref()?).into_owned();
    let (_, rest) = record.split_once("the lease has lapsed ")?;
    rest.split(' ').next()?.parse().ok()
}
