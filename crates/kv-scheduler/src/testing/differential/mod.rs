//! The same random transitions on several stores must leave the same behind. For the tests of this
//! workspace: what is tried are the transitions that workers and clients send, one at a time.
//!
//! Nothing depends on how long a call takes: what is due was so for ever, or is so in hours; a lease lasts
//! for hours, or for no time at all.

mod fenced;
mod state;

use self::state::{shown, state};
use crate::{
    Priority, QueueName,
    queue::Queue,
    transitions::{self, Claimed, Fence, Found, Place, Planned, Refusal, Wake},
};
use fastrand::Rng;
use kv_core::{ClaimOrder, Kv, Member, RelativeScore, Result, Score, Txn, TxnReply};
use std::{fmt::Write, time::Duration};

const HOUR: Duration = Duration::from_secs(3600);

/// How many tasks and unique keys there are: few, so that they get in each other's way.
const TASKS: usize = 6;
const KEYS: usize = 2;

/// Does random transitions in a queue of this name, and tells for each what was answered and what the
/// store held afterwards, in a form that is the same on all stores.
///
/// # Errors
/// The store's.
#[doc(hidden)]
pub async fn trace(kv: &Kv, queue: &str, seed: u64, steps: usize) -> Result<Vec<String>> {
    let queue = Queue::new(&QueueName::new("differential")?, QueueName::new(queue)?)?;
    let mut tracer = Tracer {
        rng: Rng::with_seed(seed),
        kv,
        queue,
        fences: Vec::new(),
    };
    let mut told = Vec::with_capacity(steps);
    for _ in 0..steps {
        let answer = tracer.step().await?;
        told.push(format!("{answer}\n{}", state(kv, &tracer.queue).await?));
    }
    Ok(told)
}

struct Tracer<'a> {
    rng: Rng,
    kv: &'a Kv,
    queue: Queue,
    /// Those that hold, and older ones.
    fences: Vec<Fence>,
}

impl Tracer<'_> {
    async fn step(&mut self) -> Result<String> {
        match self.rng.u32(..100) {
            0..20 => self.schedule().await,
            20..40 => self.claim().await,
            40..70 if !self.fences.is_empty() => self.use_fence().await,
            40..92 => self.control().await,
            92..97 => self.collect().await,
            _ => {
                let is_paused = self.rng.bool();
                let txn = match is_paused {
                    true => transitions::pause(&self.queue),
                    false => transitions::resume(&self.queue),
                };
                self.commit(txn).await?;
                Ok(format!("paused: {is_paused}"))
            }
        }
    }

    async fn commit(&self, txn: Txn) -> Result<TxnReply> {
        self.kv.commit_one(txn).await
    }

    async fn schedule(&mut self) -> Result<String> {
        let task = self.planned();
        let wake = [Wake::IfFirst, Wake::Untold][self.rng.usize(..2)];
        let reply = self
            .commit(transitions::schedule(&self.queue, &task, wake))
            .await?;
        if reply.applied {
            return Ok(format!("schedule {:?}", task.member));
        }
        let refusal = transitions::refusal(&task, reply)?;
        let (Refusal::Owned(owner), Some(unique)) = (&refusal, &task.unique) else {
            return Ok(format!("schedule {:?}: {refusal:?}", task.member));
        };
        let queue = &self.queue;
        let waits_in = owner.priority;
        let (way, txn) = match self.rng.u32(..4) {
            0 => ("keep", None),
            1 => (
                "replace",
                Some(transitions::replace(queue, &task, unique, owner, waits_in)),
            ),
            2 => (
                "extend",
                Some(transitions::extend_unique(
                    queue, task.at, unique, owner, waits_in,
                )),
            ),
            _ => (
                "inherit",
                Some(transitions::inherit(
                    queue,
                    &task,
                    unique,
                    owner,
                    Some(&queue.dead),
                )),
            ),
        };
        let reply = match txn {
            Some(txn) => Some(self.commit(txn).await?.applied),
            None => None,
        };
        Ok(format!("{way} {:?} of {owner:?}: {reply:?}", task.member))
    }

    fn planned(&mut self) -> Planned {
        let number = self.rng.usize(..TASKS);
        let unique =
            (number < 2 * KEYS).then(|| self.queue.unique(&format!("k{}", number / 2), None));
        Planned {
            member: member(number),
            envelope: format!("body {}", self.rng.u8(..)).into(),
            priority: Priority::ALL[number % 3],
            at: self.at(),
            unique,
        }
    }

    /// Long ago, or in hours.
    fn at(&mut self) -> RelativeScore {
        match self.rng.u32(..4) {
            0 => RelativeScore::after(HOUR * self.rng.u32(2..9)),
            _ => Score::from(self.rng.i32(1..1_000)).into(),
        }
    }

    async fn claim(&mut self) -> Result<String> {
        let limit = self.rng.u32(1..4);
        let lease = [Duration::ZERO, 20 * HOUR][self.rng.usize(..2)];
        let mut order = Priority::ALL;
        order.rotate_left(self.rng.usize(..3));
        let step = transitions::claim(&self.queue, limit, lease, order, ClaimOrder::Strict);
        let moved = self.kv.zmove(step).await?;
        let mut told = format!("claim {limit} for {lease:?}, more: {}", moved.more);
        for it in moved.members {
            let claimed = Claimed::read(it, order)?;
            let (fence, from) = (&claimed.fence, claimed.from);
            _ = write!(
                told,
                "; {:?} for the {}. time from {from:?}, {}, {}, cancelled: {}",
                fence.member,
                fence.tally,
                shown(claimed.envelope.as_ref()),
                shown(claimed.record.as_ref()),
                claimed.is_cancelled
            );
            self.fences.push(claimed.fence);
        }
        Ok(told)
    }

    async fn control(&mut self) -> Result<String> {
        let number = self.rng.usize(..TASKS);
        let (member, priority, at) = (member(number), Priority::ALL[number % 3], self.at());
        let queue = &self.queue;
        Ok(match self.rng.u32(..4) {
            0 => {
                let txns = transitions::cancel(queue, &member, priority, None);
                let replies = self.kv.commit(Vec::from(txns)).await?;
                let applied: Result<Vec<_>> =
                    replies.into_iter().map(|it| Ok(it?.applied)).collect();
                format!("cancel {member:?}: {:?}", applied?)
            }
            1 => {
                let reply = self.commit(transitions::reschedule(queue, &member, priority, at));
                format!("reschedule {member:?}: {}", reply.await?.applied)
            }
            2 => {
                let tally = self.find(&member).await?.map_or(0, |it| it.tally);
                let record = "requeued".into();
                let txn = transitions::requeue(&self.queue, &member, priority, tally, record);
                format!("requeue {member:?}: {}", self.commit(txn).await?.applied)
            }
            _ => {
                let found = self.find(&member).await?;
                let place = found.as_ref().map(|it| match it.place {
                    Place::Due(priority, _) => format!("{priority:?}"),
                    Place::Lease(_) => "lease".to_owned(),
                    Place::Done(_) => "done".to_owned(),
                    Place::Dead(_) => "dead".to_owned(),
                });
                format!(
                    "find {member:?}: {place:?} {:?}",
                    found.map(|it| (it.tally, it.is_cancelled))
                )
            }
        })
    }

    async fn find(&self, member: &Member) -> Result<Option<Found>> {
        let reply = self.commit(transitions::find(&self.queue, member)).await?;
        transitions::found(reply)
    }

    async fn collect(&mut self) -> Result<String> {
        let set = [&self.queue.done, &self.queue.dead][self.rng.usize(..2)];
        let upto = [RelativeScore::NOW, Score::MAX.into()][self.rng.usize(..2)];
        let limit = self.rng.u32(1..3);
        let moved = self
            .kv
            .zmove(transitions::collect(&self.queue, set, upto, limit))
            .await?;
        let gone: Vec<_> = moved.members.iter().map(|it| &it.member).collect();
        Ok(format!("collect {gone:?}, more: {}", moved.more))
    }
}

fn member(number: usize) -> Member {
    format!("task{number}").into()
}

fn number_of(member: &Member) -> usize {
    let digit = member.as_bytes().last().copied().unwrap_or(b'0');
    usize::from(digit.saturating_sub(b'0'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::trace;
    use kv_core::{Command, Guard, Kv, Request, layer_fn};
    use kv_memory::MemoryStore;
    use std::collections::BTreeSet;

    #[tokio::test]
    async fn a_seed_is_a_trace_in_which_everything_happens() {
        let kv = Kv::builder(MemoryStore::default()).connect().await.unwrap();
        let first = trace(&kv, "a", 7, 1_500).await.unwrap();
        let again = trace(&kv, "b", 7, 1_500).await.unwrap();
        let again: Vec<_> = again.iter().map(|it| it.replace(":b}", ":a}")).collect();
        assert_eq!(first, again);
        let seen: BTreeSet<_> = first
            .iter()
            .filter_map(|it| it.lines().next())
            .flat_map(|it| it.split([' ', ':', ',', ';']))
            .collect();
        for way in [
            "schedule",
            "IsThere",
            "keep",
            "replace",
            "extend",
            "inherit",
            "claim",
            "ack",
            "bury",
            "note",
            "again",
            "held",
            "echo",
            "lost",
            "Written",
            "Over",
            "Cancelled",
            "renewed",
            "Lost",
            "cancel",
            "reschedule",
            "requeue",
            "collect",
            "find",
            "paused",
        ] {
            assert!(seen.contains(way), "{way} never happened: {seen:?}");
        }
    }

    #[tokio::test]
    async fn a_store_that_forgets_a_guard_leaves_something_else() {
        let forgetful = layer_fn("forgetful", |mut request: Request, next| {
            if let Command::Commit { txns } = &mut request.command {
                for txn in txns {
                    txn.when.retain(|it| !matches!(it, Guard::ScoreIs { .. }));
                }
            }
            next.call(request)
        });
        let right = Kv::builder(MemoryStore::default()).connect().await;
        let wrong = Kv::builder(MemoryStore::default()).layer(forgetful);
        let right = trace(&right.unwrap(), "a", 7, 500).await.unwrap();
        let wrong = trace(&wrong.connect().await.unwrap(), "a", 7, 500).await;
        assert_ne!(right, wrong.unwrap());
    }
}
