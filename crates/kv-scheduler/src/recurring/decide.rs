//! What is to be done about a tick, decided without a store.

use super::{
    ScheduleName, Tick,
    policy::{Misfire, Overlap},
    rearm::{Then, Wait},
    spec::Spec,
    ticks::{self, Selected},
    timing::Rule,
    upsert::unreadable,
};
use crate::{
    stored::Unreadable,
    transitions::{Known, Last, Next, Place, Planned, Previous, Seen, time_of},
};
use kv_core::{Error, ErrorKind, Mark, Member, Result, Score, Timestamp};

/// A tick that is due, and the schedule that it is of.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) schedule: Member,
    name: ScheduleName,
    score: Score,
    print: Mark,
    spec: Spec,
    selected: Selected,
    last: Option<Last>,
    now: Timestamp,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Deed {
    /// The tick becomes a task.
    Fire {
        task: Planned,
        last: Last,
        next: Next,
        previous: Previous,
    },
    /// It becomes none, or not yet.
    Pass { next: Next },
    /// Somebody gave a task its id.
    PassTaken { task: Member, next: Next },
}

impl Due {
    /// Reads the schedule of a tick that is due; ticks from `counted` on are known to be not too many.
    ///
    /// # Errors
    /// If this program cannot fire it.
    pub(super) fn read(
        schedule: Member,
        score: Score,
        known: Known,
        counted: Option<Timestamp>,
    ) -> Result<Self> {
        let refuse = |why| Error::new(ErrorKind::Codec, unreadable(why));
        let (name, _) = ScheduleName::parse_member(&schedule)?;
        let (Some(spec), Some(print)) = (known.spec, known.print) else {
            return Err(refuse(Unreadable::Damaged));
        };
        let spec = Spec::decode(&spec).map_err(refuse)?;
        let rule = Rule::parse(&spec.timing).map_err(refuse)?;
        let misfire = match (spec.overlap, spec.misfire) {
            // One waits, not all that have come meanwhile.
            (Overlap::QueueOne, Misfire::All { .. }) => Misfire::Coalesce,
            // It has waited for the last task, and is not too late for that.
            (Overlap::QueueOne, Misfire::Skip { .. })
                if known.last.is_some_and(|it| it.tick == time_of(score)) =>
            {
                Misfire::Coalesce
            }
            (_, misfire) => misfire,
        };
        let (tick, now) = (time_of(score), known.now);
        let selected = ticks::select(&rule, spec.until(), misfire, tick, now, counted);
        Ok(Self {
            schedule,
            name,
            score,
            print,
            spec,
            selected,
            last: known.last,
            now: known.now,
        })
    }

    /// The last task, where it matters how it is.
    pub(super) fn previous(&self) -> Option<Member> {
        let matters = self.spec.overlap != Overlap::Allow || self.spec.timing.delay().is_some();
        let tick = self
            .last
            .filter(|_| matters && self.selected.run.is_some())?;
        self.member_of(tick.task?)
    }

    /// The task that it is to become.
    pub(super) fn task(&self) -> Option<Member> {
        self.member_of(self.selected.run?)
    }

    /// The tick that becomes a task, if one does.
    pub(super) fn tick(&self) -> Option<Timestamp> {
        self.selected.run
    }

    /// As it was seen, with the last task where it is.
    pub(super) fn seen(&self, place: Option<Place>) -> Seen {
        Seen {
            schedule: self.schedule.clone(),
            score: self.score,
            print: self.print.clone(),
            previous: self.previous().map(|it| (it, place)),
        }
    }

    /// What is known of the last tick if this one becomes no task.
    pub(super) fn last(&self) -> Last {
        Last {
            tick: self.selected.run.unwrap_or(time_of(self.score)),
            task: self.last.and_then(|it| it.task),
        }
    }

    /// When it is looked at next if its task is there, and perhaps over: nobody's end would tell.
    pub(super) fn next_without_task(&self, next: Next) -> Next {
        match self.spec.timing.delay() {
            Some(delay) => Next::At(self.now.saturating_add(delay)),
            None => next,
        }
    }

    fn member_of(&self, tick: Timestamp) -> Option<Member> {
        let context = self.spec.envelope.context();
        self.name.task(tick, context.as_ref()).ok()
    }

    fn plan(&self, tick: Timestamp) -> Result<Planned> {
        let spec = &self.spec;
        let context = spec.envelope.context();
        let stamp = Tick::new(self.name.as_str(), tick, spec.timing.delay());
        let late = ticks::jitter(&self.schedule, tick, spec.jitter());
        Ok(Planned {
            member: self.name.task(tick, context.as_ref())?,
            envelope: spec.envelope.of_tick(stamp, self.now).encode()?,
            priority: spec.envelope.priority,
            at: tick.saturating_add(late).into(),
            unique: None,
        })
    }
}

/// Decides; `place` is where the last task is.
///
/// # Errors
/// If the task cannot be written down.
pub(super) fn decide(due: &Due, place: Option<Place>) -> Result<Deed> {
    let next = due.selected.next.map_or(Next::Never, Next::At);
    let Some(tick) = due.selected.run else {
        return Ok(Deed::Pass { next });
    };
    let wait = |then, task| {
        let wait = Wait { then, task };
        Next::AtEnd(wait.encode())
    };
    let delay = due.spec.timing.delay().map(Then::After);
    let is_waiting = matches!(place, Some(Place::Due(..)));
    let is_alive = is_waiting || matches!(place, Some(Place::Lease(_)));
    if let Some(previous) = due.previous().filter(|_| is_alive) {
        match (delay, due.spec.overlap) {
            (Some(delay), _) => {
                let next = wait(delay, previous);
                return Ok(Deed::Pass { next });
            }
            (None, Overlap::QueueOne) if !is_waiting => {
                let next = wait(Then::Tick(tick), previous);
                return Ok(Deed::Pass { next });
            }
            (None, Overlap::Skip | Overlap::QueueOne) => return Ok(Deed::Pass { next }),
            (None, Overlap::Allow | Overlap::CancelRunning) => {}
        }
    }
    let task = due.plan(tick)?;
    let next = match delay {
        Some(delay) => wait(delay, task.member.clone()),
        None => next,
    };
    Ok(Deed::Fire {
        task,
        last: Last {
            tick,
            task: Some(tick),
        },
        next,
        previous: match due.spec.overlap {
            Overlap::CancelRunning => Previous::GivesWay,
            _ => Previous::Stays,
        },
    })
}
