//! What is sent under the fence of a claim, be it one that holds or an older one.

use super::{HOUR, KEYS, Tracer, number_of};
use crate::{
    Priority,
    queue::Owner,
    transitions::{self, Extended, Fence, Finished, Owned, Recorded},
};
use kv_core::Result;
use std::time::Duration;

impl Tracer<'_> {
    pub(super) async fn use_fence(&mut self) -> Result<String> {
        // Mostly one of the last.
        let last = self.fences.len().saturating_sub(4);
        let first = [0, last][usize::from(self.rng.u32(..4) > 0)];
        let index = self.rng.usize(first..self.fences.len());
        let mut fence = self.fences[index].clone();
        fence.is_in_doubt = self.rng.u32(..3) == 0;
        let (queue, record) = (&self.queue, format!("record {}", self.rng.u8(..)).into());
        let number = number_of(&fence.member);
        let owned = (number < 2 * KEYS).then(|| Owned {
            key: queue.unique(&format!("k{}", number / 2), None),
            owner: Owner {
                priority: Priority::ALL[number % 3],
                member: fence.member.clone(),
            },
        });
        let (owned, keep) = (
            owned.as_ref(),
            [Duration::ZERO, 20 * HOUR][self.rng.usize(..2)],
        );
        let at = self.at();
        let queue = &self.queue;
        let (way, txn) = match self.rng.u32(..8) {
            0 | 1 => return self.extend(index, fence).await,
            2 => (
                "ack",
                transitions::ack(queue, &fence, owned, Recorded::Perhaps),
            ),
            3 => (
                "ack cancelled",
                transitions::ack_cancelled(queue, &fence, owned, Recorded::Perhaps),
            ),
            4 => (
                "keep",
                transitions::ack_keeping(queue, &fence, owned, record, keep),
            ),
            5 => (
                "bury",
                transitions::bury(queue, &fence, owned, record, keep),
            ),
            6 => ("note", transitions::note(queue, &fence, record)),
            _ => (
                "again",
                transitions::again(queue, &fence, Priority::ALL[number % 3], at, record),
            ),
        };
        let reply = self.commit(txn).await?;
        let count = reply.answers.last().filter(|_| reply.applied).cloned();
        let count = count.filter(|it| matches!(it, kv_core::OpReply::Count(_)));
        let finished = if reply.applied {
            Finished::Written
        } else {
            let look = transitions::look(&self.queue, &fence.member, None);
            transitions::in_the_way(&fence, self.commit(look).await?)?
        };
        let finished = match finished {
            Finished::Renewed(_) => "renewed".to_owned(),
            other => format!("{other:?}"),
        };
        Ok(format!(
            "{way} {:?} {}: {finished} {count:?}",
            fence.member, fence.tally
        ))
    }

    async fn extend(&mut self, index: usize, fence: Fence) -> Result<String> {
        let lease = [Duration::ZERO, 30 * HOUR][self.rng.usize(..2)];
        let reply = self
            .commit(transitions::extend(&self.queue, &fence, lease))
            .await?;
        let what = match transitions::extended(&fence, lease, reply)? {
            Extended::Held {
                fence,
                is_cancelled,
            } => {
                // Else the answer was lost.
                if self.rng.bool() {
                    self.fences[index] = fence;
                }
                format!("held, cancelled: {is_cancelled}")
            }
            Extended::Echo {
                fence,
                is_cancelled,
            } => {
                self.fences[index] = fence;
                format!("echo, cancelled: {is_cancelled}")
            }
            Extended::Lost => "lost".to_owned(),
        };
        Ok(format!(
            "extend {:?} {} by {lease:?}: {what}",
            fence.member, fence.tally
        ))
    }
}
