//! What the workers wrote down, and the verdict on it.

use crate::tasks::Task;
use kv_core::Timestamp;
use std::{collections::HashMap, fmt};

/// One task that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tenant: String,
    pub(crate) id: String,
    pub(crate) worker: usize,
    /// The store's time, read just before the task was taken.
    pub(crate) at: Timestamp,
}

/// What is wrong with a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Run more than once.
    Duplicated { tenant: String, id: String },
    /// Run before its time.
    Early { tenant: String, id: String },
    /// Never run.
    Lost { tenant: String, id: String },
    /// Taken by a worker after a task of the same tenant that was due later.
    Reordered { tenant: String, id: String },
    /// Nobody asked for it.
    Unknown { tenant: String, id: String },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, tenant, id) = match self {
            Self::Duplicated { tenant, id } => ("run more than once", tenant, id),
            Self::Early { tenant, id } => ("run before its time", tenant, id),
            Self::Lost { tenant, id } => ("never run", tenant, id),
            Self::Reordered { tenant, id } => ("run after one that was due later", tenant, id),
            Self::Unknown { tenant, id } => ("run, though nobody asked for it", tenant, id),
        };
        write!(f, "task `{id}` of tenant `{tenant}` was {what}")
    }
}

/// Compares a journal with the list: every task exactly once, none early, and each worker took the
/// tasks of a tenant in the order in which they were due.
///
/// Entries of one worker must be in the order in which it took them.
pub(crate) fn check(tasks: &[Task], journal: &[Entry]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut runs: HashMap<_, (Timestamp, usize)> = tasks
        .iter()
        .map(|task| ((&*task.tenant, &*task.id), (task.run_at, 0)))
        .collect();
    let mut latest: HashMap<(usize, &str), Timestamp> = HashMap::new();
    for entry in journal {
        let name = || (entry.tenant.clone(), entry.id.clone());
        let Some((run_at, count)) = runs.get_mut(&(&*entry.tenant, &*entry.id)) else {
            let (tenant, id) = name();
            faults.push(Fault::Unknown { tenant, id });
            continue;
        };
        *count += 1;
        if *count > 1 {
            let (tenant, id) = name();
            faults.push(Fault::Duplicated { tenant, id });
        }
        if entry.at < *run_at {
            let (tenant, id) = name();
            faults.push(Fault::Early { tenant, id });
        }
        let before = latest
            .entry((entry.worker, &entry.tenant))
            .or_insert(*run_at);
        if *run_at < *before {
            let (tenant, id) = name();
            faults.push(Fault::Reordered { tenant, id });
        }
        *before = (*before).max(*run_at);
    }
    let lost = tasks
        .iter()
        .filter(|task| runs[&(&*task.tenant, &*task.id)].1 == 0);
    faults.extend(lost.map(|task| Fault::Lost {
        tenant: task.tenant.clone(),
        id: task.id.clone(),
    }));
    faults
}

#[cfg(test)]
mod tests {
    use super::{Entry, Fault, Task, Timestamp, check};

    fn task(id: &str, run_at: i64) -> Task {
        Task {
            tenant: "a".to_owned(),
            id: id.to_owned(),
            run_at: Timestamp::from_micros(run_at),
            payload: String::new(),
        }
    }

    fn entry(id: &str, worker: usize, at: i64) -> Entry {
        Entry {
            tenant: "a".to_owned(),
            id: id.to_owned(),
            worker,
            at: Timestamp::from_micros(at),
        }
    }

    fn verdict(journal: &[Entry]) -> Vec<Fault> {
        check(&[task("1", 10), task("2", 20), task("3", 30)], journal)
    }

    fn named(id: &str) -> (String, String) {
        ("a".to_owned(), id.to_owned())
    }

    #[test]
    fn a_good_journal_passes() {
        let journal = [entry("1", 0, 10), entry("2", 1, 25), entry("3", 0, 30)];
        assert_eq!(verdict(&journal), []);
        let apart = [entry("3", 0, 30), entry("1", 1, 30), entry("2", 1, 30)];
        assert_eq!(
            verdict(&apart),
            [],
            "two workers need not agree on an order"
        );
    }

    #[test]
    fn a_duplicated_task_is_found() {
        let journal = [
            entry("1", 0, 10),
            entry("1", 1, 11),
            entry("2", 0, 25),
            entry("3", 0, 30),
        ];
        let (tenant, id) = named("1");
        assert_eq!(verdict(&journal), [Fault::Duplicated { tenant, id }]);
    }

    #[test]
    fn an_early_task_is_found() {
        let journal = [entry("1", 0, 10), entry("2", 0, 19), entry("3", 0, 30)];
        let (tenant, id) = named("2");
        assert_eq!(verdict(&journal), [Fault::Early { tenant, id }]);
    }

    #[test]
    fn a_lost_task_is_found() {
        let journal = [entry("1", 0, 10), entry("3", 0, 30)];
        let (tenant, id) = named("2");
        assert_eq!(verdict(&journal), [Fault::Lost { tenant, id }]);
    }

    #[test]
    fn a_reordered_task_is_found() {
        let journal = [entry("1", 0, 40), entry("3", 0, 41), entry("2", 0, 42)];
        let (tenant, id) = named("2");
        assert_eq!(verdict(&journal), [Fault::Reordered { tenant, id }]);
    }

    #[test]
    fn an_invented_task_is_found() {
        let mut journal = vec![entry("1", 0, 10), entry("2", 0, 25), entry("3", 0, 30)];
        journal.push(entry("4", 0, 50));
        let (tenant, id) = named("4");
        assert_eq!(verdict(&journal), [Fault::Unknown { tenant, id }]);
    }
}
