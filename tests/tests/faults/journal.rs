//! What the tasks of a load saw, and the judgement of it.

use kv_core::{ErrorKind, Outcome, Result};
use std::time::Duration;

/// One task's calls, in order: each adds one to the task's own counter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    pub(crate) entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) end: End,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// The sum that came back.
    Acknowledged(i64),
    /// Applied or not.
    Unknown,
    /// Surely not applied.
    NotApplied,
    /// An error that no outage explains.
    Wrong(ErrorKind),
}

impl From<Result<i64>> for End {
    fn from(result: Result<i64>) -> Self {
        let error = match result {
            Ok(sum) => return Self::Acknowledged(sum),
            Err(error) => error,
        };
        match (error.kind(), error.outcome()) {
            (ErrorKind::Timeout | ErrorKind::Unavailable, Outcome::Unknown) => Self::Unknown,
            (ErrorKind::Timeout | ErrorKind::Unavailable, Outcome::NotApplied) => Self::NotApplied,
            (kind, _) => Self::Wrong(kind),
        }
    }
}

/// All journals together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) acknowledged: usize,
    pub(crate) unknown: usize,
    pub(crate) not_applied: usize,
}

/// Judges what a task saw; `last` is what its counter holds at the end.
///
/// Every sum must be explained by the calls before it: each acknowledged call adds exactly one and
/// each unknown one at most one. A call that was sent twice, or applied although it was reported as
/// not applied, makes a sum that is too high; a lost acknowledged one makes it too low.
pub(crate) fn judge(journal: &Journal, last: i64, bound: Duration) -> Result<Totals, String> {
    let mut totals = Totals::default();
    let mut sum = 0;
    let mut open = 0;
    for (position, entry) in journal.entries.iter().enumerate() {
        if entry.took > bound {
            return Err(format!("call {position} took {:?}", entry.took));
        }
        match entry.end {
            End::Wrong(kind) => return Err(format!("call {position} failed with {kind:?}")),
            End::NotApplied => totals.not_applied += 1,
            End::Unknown => {
                totals.unknown += 1;
                open += 1;
            }
            End::Acknowledged(next) => {
                explain(position, sum + 1, open, next)?;
                totals.acknowledged += 1;
                (sum, open) = (next, 0);
            }
        }
    }
    explain(journal.entries.len(), sum, open, last)?;
    Ok(totals)
}

fn explain(at: usize, least: i64, open: i64, seen: i64) -> Result<(), String> {
    if seen > least + open {
        return Err(format!(
            "at call {at} the counter is {seen}, but at most {} calls were made: something was \
             applied twice",
            least + open
        ));
    }
    if seen < least {
        return Err(format!(
            "at call {at} the counter is {seen}, but {least} calls were acknowledged: something \
             was lost"
        ));
    }
    Ok(())
}

mod tests {
    use super::{End, Entry, Journal, Totals, judge};
    use kv_core::ErrorKind;
    use std::time::Duration;

    const BOUND: Duration = Duration::from_secs(1);

    fn journal(ends: &[End]) -> Journal {
        let entries = ends.iter().map(|&end| Entry {
            end,
            took: Duration::ZERO,
        });
        Journal {
            entries: entries.collect(),
        }
    }

    fn refusal(ends: &[End], last: i64) -> String {
        judge(&journal(ends), last, BOUND).unwrap_err()
    }

    #[test]
    fn a_good_journal_passes_with_and_without_the_unknown_calls_applied() {
        use End::{Acknowledged, NotApplied, Unknown};
        let ends = [
            Acknowledged(1),
            Unknown,
            NotApplied,
            Acknowledged(3),
            Unknown,
        ];
        let totals = Totals {
            acknowledged: 2,
            unknown: 2,
            not_applied: 1,
        };
        for last in [3, 4] {
            let judged = judge(&journal(&ends), last, BOUND);
            assert_eq!(judged, Ok(totals));
        }
        let ends = [Acknowledged(1), Unknown, Acknowledged(2)];
        judge(&journal(&ends), 2, BOUND).unwrap();
    }

    #[test]
    fn a_call_that_was_applied_twice_is_found() {
        use End::{Acknowledged, NotApplied, Unknown};
        assert!(refusal(&[Acknowledged(2)], 2).contains("twice"));
        assert!(refusal(&[Acknowledged(1), NotApplied], 2).contains("twice"));
        assert!(refusal(&[Acknowledged(1), Unknown], 3).contains("twice"));
        assert!(refusal(&[Acknowledged(1), Acknowledged(3)], 3).contains("twice"));
    }

    #[test]
    fn a_lost_call_a_wrong_error_and_a_late_end_are_found() {
        use End::{Acknowledged, Wrong};
        assert!(refusal(&[Acknowledged(1)], 0).contains("lost"));
        assert!(refusal(&[Wrong(ErrorKind::WrongType)], 0).contains("WrongType"));
        let mut late = journal(&[Acknowledged(1)]);
        late.entries[0].took = BOUND * 2;
        let judged = judge(&late, 1, BOUND);
        assert!(judged.unwrap_err().contains("took"));
    }
}
