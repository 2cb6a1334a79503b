//! The names of schedules, and of the tasks that come of them.

use crate::{QueueName, TaskId};
use kv_core::{Context, Error, ErrorKind, Member, Result, Timestamp};
use std::fmt;

/// The longest name, in bytes: with a tick it must fit a task's id.
const LONGEST: usize = 100;

/// What the ids of tasks begin with that come of a schedule.
const PREFIX: &str = "cron:";

/// The name of a schedule, unique for its tenant and queue: 1 to 100 of `a-z A-Z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleName(TaskId);

impl ScheduleName {
    /// Parses the name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is empty, longer than 100 bytes, or has other characters
    /// than those above.
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        if name.len() > LONGEST || QueueName::new(name).is_err() {
            let message = "the name of a schedule must be 1 to 100 characters of a-z A-Z 0-9 . _ -";
            return Err(Error::new(ErrorKind::InvalidArgument, message)
                .with_context("schedule", name.escape_debug()));
        }
        Ok(Self(TaskId::new(name)?))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What stands for the schedule in the store: tenants may use the same names.
    pub(crate) fn member(&self, context: Option<&Context>) -> Member {
        self.0.member(context)
    }

    /// The name that a member stands for, and the tenant.
    pub(crate) fn parse_member(member: &Member) -> Result<(Self, Option<Vec<u8>>)> {
        let (id, tenant) = TaskId::parse_member(member)?;
        Ok((Self::new(id.as_str())?, tenant))
    }

    /// What stands in the store for the task of a tick.
    pub(crate) fn task(&self, tick: Timestamp, context: Option<&Context>) -> Result<Member> {
        let id = TaskId::new(format!("{PREFIX}{}:{}", self.0, tick.as_micros()))?;
        Ok(id.member(context))
    }

    /// The member of the schedule that a task came of, to go by its id: anybody may give a task such an
    /// id.
    pub(crate) fn of_task(task: &Member) -> Option<Member> {
        let (id, tenant) = TaskId::parse_member(task).ok()?;
        let (name, tick) = id.as_str().strip_prefix(PREFIX)?.rsplit_once(':')?;
        tick.parse::<i64>().ok()?;
        let name = Self::new(name).ok()?;
        Some(name.member(tenant.map(Context::tenant).as_ref()))
    }
}

impl fmt::Debug for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScheduleName({})", self.0)
    }
}

impl fmt::Display for ScheduleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::ScheduleName;
    use kv_core::{Context, Timestamp};

    #[test]
    fn a_task_names_its_schedule_and_its_tick() {
        let name = ScheduleName::new("a.b_c-d").unwrap();
        let tenant = Context::tenant("t:1@x");
        for context in [None, Some(&tenant)] {
            let task = name.task(Timestamp::from_micros(-7), context).unwrap();
            assert_eq!(ScheduleName::of_task(&task), Some(name.member(context)));
        }
        let task = name.task(Timestamp::from_micros(7), None).unwrap();
        assert_eq!(task.as_bytes(), b"cron:a.b_c-d:7");
        for other in ["a", "cron:a", "cron:a:b", "cron::7", "cron:a:b:7"] {
            assert_eq!(ScheduleName::of_task(&other.into()), None, "{other}");
        }
    }

    #[test]
    fn the_longest_name_has_tasks() {
        let name = ScheduleName::new("x".repeat(100)).unwrap();
        assert!(name.task(Timestamp::from_micros(i64::MIN), None).is_ok());
        for bad in ["", "a:b", "a b", &"x".repeat(101)] {
            let error = ScheduleName::new(bad).unwrap_err();
            assert!(error.to_string().contains("1 to 100"), "{error}");
        }
    }
}
