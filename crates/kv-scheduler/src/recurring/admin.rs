//! What operators do with schedules.

use super::{
    ScheduleName,
    rearm::Wait,
    spec::Spec,
    timing::Rule,
    upsert::{changed_again, first, inspect, send, unreadable},
};
use crate::{
    Admin, TaskId,
    pages::PAGE,
    transitions::{self, Known, time_of},
};
use kv_core::{Context, Error, ErrorKind, Member, Result, Timestamp};

/// How often a schedule may change under our hands.
const ROUNDS: u32 = 16;

/// A schedule in a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// Its name.
    pub name: ScheduleName,
    /// Its tenant.
    pub tenant: Option<Vec<u8>>,
    /// The kind of its tasks; `None` if what is stored of it cannot be read.
    pub kind: Option<String>,
    /// When its ticks are, for people: `0 30 2 * * * Europe/Berlin`, `every 30s`, `30s after the end`.
    pub timing: Option<String>,
    /// Its next tick; `None` if it is paused, waits for a task to end, or is over.
    pub next: Option<Timestamp>,
    /// Its last tick, whether it became a task or not.
    pub last: Option<Timestamp>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// The task that it waits for.
    pub waits_for: Option<TaskId>,
}

/// Errors are the store's throughout, and [`InvalidArgument`](ErrorKind::InvalidArgument) for a name
/// that is none.
#[expect(clippy::missing_errors_doc, reason = "said once, above")]
impl Admin {
    /// Lists the schedules of the queue by name, those too that no program declares any more. In the
    /// context of a tenant it lists those of the tenant.
    pub async fn schedules(&self) -> Result<Vec<ScheduleInfo>> {
        let mut schedules = Vec::new();
        let mut after = None;
        loop {
            let names = &self.queue().recurring.names;
            let (members, next) = self.page(names, after.as_ref(), PAGE).await?;
            let inspects = members
                .iter()
                .map(|it| transitions::inspect(self.queue(), it))
                .collect();
            let replies = self.scheduler().store().commit_all(inspects).await?;
            for (member, reply) in members.iter().zip(replies) {
                let (name, tenant) = ScheduleName::parse_member(member)?;
                // One whose spec cannot be read through our layers is there all the same.
                let known = reply.and_then(transitions::known).ok();
                schedules.push(info(name, tenant, known));
            }
            after = next;
            if after.is_none() {
                return Ok(schedules);
            }
        }
    }

    /// The schedule has no ticks until it is resumed; `false` if there is no such schedule. Tasks that
    /// have come of it are not touched.
    pub async fn pause_schedule(&self, name: &str) -> Result<bool> {
        let member = mine(name)?;
        let txn = transitions::pause_schedule(self.queue(), &member);
        Ok(send(self.scheduler(), txn).await.reply?.applied)
    }

    /// The schedule has ticks again, from now on: those that have passed meanwhile are dropped. `false`
    /// if it is not paused.
    ///
    /// [`Codec`](ErrorKind::Codec) if this program cannot tell when its ticks are.
    pub async fn resume_schedule(&self, name: &str) -> Result<bool> {
        let member = mine(name)?;
        for _ in 0..ROUNDS {
            let known = inspect(self.scheduler(), self.queue(), &member).await?;
            let Some(spec) = known.spec.as_ref().filter(|_| known.is_paused) else {
                return Ok(false);
            };
            let refuse = |why| Error::new(ErrorKind::Codec, unreadable(why));
            let spec = Spec::decode(spec).map_err(refuse)?;
            let rule = Rule::parse(&spec.timing).map_err(refuse)?;
            let next = first(&rule, &spec, &known);
            let txn = transitions::revive(self.queue(), &member, &known, next);
            if send(self.scheduler(), txn).await.reply?.applied {
                return Ok(true);
            }
        }
        Err(changed_again())
    }

    /// Removes a schedule; `false` if there is no such. Tasks that have come of it are not touched. A
    /// program that declares it writes it anew.
    pub async fn remove_schedule(&self, name: &str) -> Result<bool> {
        let member = mine(name)?;
        let txn = transitions::remove(self.queue(), &member);
        Ok(send(self.scheduler(), txn).await.reply?.applied)
    }
}

/// The schedule of this name, of the tenant of the caller.
fn mine(name: &str) -> Result<Member> {
    Ok(ScheduleName::new(name)?.member(Context::current().as_ref()))
}

fn info(name: ScheduleName, tenant: Option<Vec<u8>>, known: Option<Known>) -> ScheduleInfo {
    let spec = known.as_ref().and_then(|it| it.spec.as_ref());
    let spec = spec.and_then(|it| Spec::decode(it).ok());
    let wait = known.as_ref().and_then(|it| it.wait.as_ref());
    let waits_for = wait.and_then(Wait::decode);
    let waits_for = waits_for.and_then(|it| TaskId::parse_member(&it.task).ok());
    ScheduleInfo {
        name,
        tenant,
        kind: spec.as_ref().map(|it| it.envelope.kind.clone()),
        timing: spec.as_ref().map(|it| it.timing.to_string()),
        next: known.as_ref().and_then(|it| it.next).map(time_of),
        last: known.as_ref().and_then(|it| it.last).map(|it| it.tick),
        is_paused: known.is_some_and(|it| it.is_paused),
        waits_for: waits_for.map(|(id, _)| id),
    }
}
