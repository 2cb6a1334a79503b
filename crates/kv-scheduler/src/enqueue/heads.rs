//! Which of many tasks tells dispatchers that the queue has to wake earlier.

use super::{Plan, send::Sent};
use crate::{
    Scheduler,
    transitions::{Planned, Wake},
};
use kv_core::RelativeScore;
use std::cmp::Ordering;

/// Of many tasks for one set, only the one that is due first can become the first of it.
pub(super) struct Heads {
    /// The place of each set's first task; of two, where an instant and a span cannot be compared.
    first: Vec<usize>,
}

impl Heads {
    pub(super) fn of<T>(plans: &[&Plan<T>]) -> Self {
        let mut first: Vec<usize> = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            match first.iter_mut().find(|it| are_rivals(plans[**it], plan)) {
                Some(head) if is_before(&plan.planned, &plans[*head].planned) => *head = index,
                Some(_) => {}
                None => first.push(index),
            }
        }
        Self { first }
    }

    pub(super) fn wake(&self, index: usize) -> Wake {
        if self.first.contains(&index) {
            Wake::IfFirst
        } else {
            Wake::Untold
        }
    }

    /// Where the first task was refused, say because its id is there, another may have become the
    /// first, and nobody has been told. A message that is lost here costs a safety tick.
    pub(super) async fn tell_for_the_refused<T>(
        &self,
        scheduler: &Scheduler,
        plans: &[&Plan<T>],
        sent: &[Sent],
    ) {
        let is_applied = |index: usize| matches!(&sent[index].reply, Ok(reply) if reply.applied);
        for &head in self.first.iter().filter(|&&head| !is_applied(head)) {
            let mut rivals = (0..plans.len()).filter(|&it| are_rivals(plans[it], plans[head]));
            if rivals.any(is_applied) {
                let wake = plans[head].queue.wake.clone();
                _ = scheduler.store().kv().notify(wake, "").await;
            }
        }
    }
}

/// Whether one of the two is due before the other, for certain, in the same set.
fn are_rivals<T>(one: &Plan<T>, other: &Plan<T>) -> bool {
    let (a, b) = (&one.planned, &other.planned);
    one.queue.name == other.queue.name
        && a.priority == b.priority
        && a.at.is_relative() == b.at.is_relative()
}

fn is_before(a: &Planned, b: &Planned) -> bool {
    let due = match (a.at, b.at) {
        (RelativeScore::Now(a), RelativeScore::Now(b)) => a.cmp(&b),
        (RelativeScore::Exact(a), RelativeScore::Exact(b)) => a.cmp(&b),
        _ => Ordering::Equal,
    };
    due.then_with(|| a.member.cmp(&b.member)).is_lt()
}
