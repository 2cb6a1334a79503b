//! What the end of a task does to the schedule that it came of.

use super::ScheduleName;
use crate::{envelope::Envelope, transitions::AtEnd};
use kv_core::{Mark, Member, RelativeScore, Score, Timestamp};
use std::time::Duration;

/// What a schedule waits for, and what is then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) then: Then,
    /// Until this task has ended.
    pub(crate) task: Member,
}

/// What is when the task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// This tick, which came while the task ran.
    Tick(Timestamp),
    /// A tick so much later.
    After(Duration),
}

impl Wait {
    pub(crate) fn encode(&self) -> Mark {
        let then = match self.then {
            Then::Tick(tick) => format!("t{}:", tick.as_micros()),
            Then::After(span) => format!("d{}:", span.as_micros()),
        };
        [then.as_bytes(), self.task.as_bytes()].concat().into()
    }

    pub(crate) fn decode(mark: &Mark) -> Option<Self> {
        let (then, task) = mark.to_str().ok()?.split_once(':')?;
        let then = match then.split_at_checked(1)? {
            ("t", number) => Then::Tick(Timestamp::from_micros(number.parse().ok()?)),
            ("d", number) => Then::After(Duration::from_micros(number.parse().ok()?)),
            _ => return None,
        };
        Some(Self {
            then,
            task: task.into(),
        })
    }
}

/// What the end of this task does to its schedule, as far as the task knows; nothing if it has none.
pub(crate) fn rearm(task: &Member, envelope: Option<&Envelope>) -> Option<AtEnd> {
    // One that cannot be read has a schedule that may wait for it all the same.
    let tick = match envelope {
        None => None,
        Some(envelope) => Some(envelope.tick.as_ref()?),
    };
    let schedule = ScheduleName::of_task(task)?;
    let wait = tick.and_then(|it| it.delay()).map(|delay| {
        let wait = Wait {
            then: Then::After(delay),
            task: task.clone(),
        };
        wait.encode()
    });
    Some(at_end(schedule, task, wait))
}

/// The same, now that it is known what the schedule waits for.
pub(crate) fn at_end(schedule: Member, task: &Member, wait: Option<Mark>) -> AtEnd {
    let ours = wait.as_ref().and_then(Wait::decode);
    let next = ours.filter(|it| it.task == *task).map(|it| match it.then {
        Then::Tick(tick) => RelativeScore::Exact(Score::from(tick)),
        Then::After(span) => RelativeScore::after(span),
    });
    AtEnd {
        schedule,
        wait,
        next,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::{Then, Wait, at_end};
    use kv_core::{RelativeScore, Timestamp};
    use std::time::Duration;

    #[test]
    fn a_schedule_goes_on_only_if_it_waits_for_this_task() {
        let wait = |then| Wait {
            then,
            task: "cron:a:7@t".into(),
        };
        let tick = wait(Then::Tick(Timestamp::from_micros(9)));
        let span = wait(Then::After(Duration::from_micros(5)));
        for it in [&tick, &span] {
            assert_eq!(Wait::decode(&it.encode()).as_ref(), Some(it));
        }
        let next = |task: &str, wait: Option<&Wait>| {
            at_end("a@t".into(), &task.into(), wait.map(Wait::encode)).next
        };
        assert_eq!(
            next("cron:a:7@t", Some(&tick)),
            Some(Timestamp::from_micros(9).into())
        );
        assert_eq!(next("cron:a:7@t", Some(&span)), Some(RelativeScore::Now(5)));
        assert_eq!(next("cron:a:8@t", Some(&span)), None);
        assert_eq!(next("cron:a:7@t", None), None);
        for bad in ["", "t", "t7", "x7:a", "tx:a", ":a"] {
            assert_eq!(Wait::decode(&bad.into()), None, "{bad}");
        }
    }
}
