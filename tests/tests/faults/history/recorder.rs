//! Writes down calls and answers in the order in which they happened, and judges them.

use super::model::{Ask, Model, Step, Told};
use parking_lot::Mutex;
use std::ops::AddAssign;
use todc_utils::linearizability::{
    WGLChecker,
    history::{Action, History},
};

/// One history. Cheap to share: one lock around a list.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    events: Mutex<Vec<Event>>,
}

#[derive(Clone, Debug)]
enum Event {
    Call(usize, Ask),
    Answer(usize, Told),
}

/// A call that has no answer yet.
pub(super) struct Open(usize);

/// What many histories came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Verdict {
    pub(super) histories: usize,
    /// Histories that no order explains.
    pub(super) refuted: usize,
    pub(super) applied: usize,
    pub(super) unknown: usize,
    pub(super) not_applied: usize,
    /// Calls made while another was open.
    pub(super) overlapping: usize,
}

impl AddAssign for Verdict {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.refuted += other.refuted;
        self.applied += other.applied;
        self.unknown += other.unknown;
        self.not_applied += other.not_applied;
        self.overlapping += other.overlapping;
    }
}

impl Recorder {
    /// To be called before the command is sent.
    pub(super) fn call(&self, ask: Ask) -> Open {
        let mut events = self.events.lock();
        let id = events.len();
        events.push(Event::Call(id, ask));
        Open(id)
    }

    /// To be called after the answer came.
    pub(super) fn answer(&self, open: Open, told: Told) {
        self.events.lock().push(Event::Answer(open.0, told));
    }

    /// Searches for an order that explains everything.
    pub(super) fn judge(&self) -> Verdict {
        let events = self.events.lock().clone();
        let mut verdict = count(&events);
        verdict.refuted = usize::from(!is_linearizable(&events));
        verdict
    }
}

fn count(events: &[Event]) -> Verdict {
    let mut verdict = Verdict {
        histories: 1,
        ..Verdict::default()
    };
    let mut open = 0_usize;
    for event in events {
        match event {
            Event::Call(..) => {
                verdict.overlapping += usize::from(open > 0);
                open += 1;
            }
            Event::Answer(_, told) => {
                open -= 1;
                match told {
                    Told::Unknown => verdict.unknown += 1,
                    Told::NotApplied => verdict.not_applied += 1,
                    _ => verdict.applied += 1,
                }
            }
        }
    }
    verdict
}

fn is_linearizable(events: &[Event]) -> bool {
    let asked = |id: usize| {
        events.iter().find_map(|event| match event {
            Event::Call(other, ask) if *other == id => Some(ask.clone()),
            _ => None,
        })
    };
    let step = |id: usize, told: Told| Step {
        ask: asked(id).unwrap(),
        told,
    };
    let mut actions = Vec::new();
    let mut never_told = Vec::new();
    for event in events {
        match event {
            Event::Call(id, _) => actions.push((*id, Action::Call(step(*id, Told::Unknown)))),
            // It may happen at any time from the call on, also after the client gave up.
            Event::Answer(id, Told::Unknown) => never_told.push(*id),
            Event::Answer(id, told) => {
                actions.push((*id, Action::Response(step(*id, told.clone()))));
            }
        }
    }
    for id in never_told {
        actions.push((id, Action::Response(step(id, Told::Unknown))));
    }
    if actions.is_empty() {
        return true;
    }
    WGLChecker::<Model>::is_linearizable(History::from_actions(actions))
}

mod tests {
    use super::{Event, is_linearizable};
    use crate::history::model::{
        Ask::{Both, Claim, Get, Increment, Swap, Transfer},
        Told::{Done, Job, NotApplied, Pair, Sum, Unknown, Value},
    };
    use Event::{Answer, Call};

    #[test]
    fn what_one_client_sees_in_order_is_linearizable() {
        let seen = [
            Call(0, Increment),
            Answer(0, Sum(1)),
            Call(
                1,
                Swap {
                    seen: Some(1),
                    new: 7,
                },
            ),
            Answer(1, Done(true)),
            Call(2, Get),
            Answer(2, Value(Some(7))),
        ];
        assert!(is_linearizable(&seen));
    }

    #[test]
    fn a_read_of_what_was_overwritten_before_it_began_is_refuted() {
        let seen = [
            Call(0, Increment),
            Answer(0, Sum(1)),
            Call(1, Increment),
            Answer(1, Sum(2)),
            Call(2, Get),
            Answer(2, Value(Some(1))),
        ];
        assert!(!is_linearizable(&seen));
    }

    #[test]
    fn half_a_transfer_is_refuted() {
        let seen = |y| {
            [
                Call(0, Increment),
                Answer(0, Sum(1)),
                Call(1, Transfer { seen: 1 }),
                Call(2, Both),
                Answer(2, Pair(Some(0), y)),
                Answer(1, Done(true)),
            ]
        };
        assert!(is_linearizable(&seen(Some(1))));
        assert!(!is_linearizable(&seen(None)));
    }

    #[test]
    fn a_job_claimed_twice_is_refuted() {
        let add = crate::history::model::Ask::Add(1);
        let seen = [
            Call(0, add),
            Answer(0, Done(true)),
            Call(1, Claim),
            Call(2, Claim),
            Answer(1, Job(Some(1))),
            Answer(2, Job(Some(1))),
        ];
        assert!(!is_linearizable(&seen));
    }

    #[test]
    fn what_is_unknown_may_have_happened_or_not_but_not_twice() {
        let seen = |x| {
            [
                Call(0, Increment),
                Answer(0, Unknown),
                Call(1, Get),
                Answer(1, Value(x)),
            ]
        };
        assert!(is_linearizable(&seen(None)));
        assert!(is_linearizable(&seen(Some(1))));
        assert!(!is_linearizable(&seen(Some(2))));
    }

    #[test]
    fn what_was_not_applied_must_not_show() {
        let seen = |x| {
            [
                Call(0, Increment),
                Answer(0, NotApplied),
                Call(1, Get),
                Answer(1, Value(x)),
            ]
        };
        assert!(is_linearizable(&seen(None)));
        assert!(!is_linearizable(&seen(Some(1))));
    }
}
