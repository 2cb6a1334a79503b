//! What the writers wrote down, and the verdict on it.

use kv_core::ErrorKind;
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

/// The calls of one writer, each with a number of its own.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(crate) writer: usize,
    pub(crate) entries: Vec<Entry>,
}

/// A call and its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) end: End,
}

/// What the writer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Acknowledged,
    /// Applied or not.
    Unknown,
    NotApplied,
    /// An error that no outage explains.
    Wrong(ErrorKind),
}

/// What the store has in the end.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) counter: i64,
    /// By writer: how often each call was applied.
    pub(crate) applied: Vec<HashMap<u64, i64>>,
}

/// All journals together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) acknowledged: i64,
    pub(crate) unknown: i64,
    /// Of those.
    pub(crate) unknown_applied: i64,
    pub(crate) not_applied: i64,
    pub(crate) faults: Vec<Fault>,
}

/// What is wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) writer: usize,
    pub(crate) id: u64,
    pub(crate) kind: FaultKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    Twice,
    Lost,
    /// Though it was told that it was not.
    Applied,
    Strange(ErrorKind),
    /// Nobody made it.
    Stray,
}

impl Journal {
    pub(crate) fn new(writer: usize) -> Self {
        Self {
            writer,
            entries: Vec::new(),
        }
    }
}

impl Verdict {
    /// Compares what the writers were told with what the store has, call by call.
    pub(crate) fn of(journals: &[Journal], stored: &Stored) -> Self {
        let mut verdict = Self::default();
        for Journal { writer, entries } in journals {
            let nothing = HashMap::new();
            let applied = stored.applied.get(*writer).unwrap_or(&nothing);
            let mut fault = |id, kind| {
                let writer = *writer;
                verdict.faults.push(Fault { writer, id, kind });
            };
            for Entry { id, end } in entries {
                let times = applied.get(id).copied().unwrap_or(0);
                match (end, times) {
                    (_, 2..) => fault(*id, FaultKind::Twice),
                    (End::Acknowledged, ..=0) => fault(*id, FaultKind::Lost),
                    (End::NotApplied, 1) => fault(*id, FaultKind::Applied),
                    (End::Wrong(kind), _) => fault(*id, FaultKind::Strange(*kind)),
                    _ => {}
                }
            }
            let made: BTreeSet<_> = entries.iter().map(|it| it.id).collect();
            let strays = applied.keys().filter(|id| !made.contains(id));
            strays.for_each(|id| fault(*id, FaultKind::Stray));
            let count = |end| entries.iter().filter(|it| it.end == end).count() as i64;
            verdict.acknowledged += count(End::Acknowledged);
            verdict.unknown += count(End::Unknown);
            verdict.not_applied += count(End::NotApplied);
            let is_applied = |it: &&Entry| it.end == End::Unknown && applied.contains_key(&it.id);
            verdict.unknown_applied += entries.iter().filter(is_applied).count() as i64;
        }
        verdict
    }

    pub(crate) fn has(&self, is_such: fn(FaultKind) -> bool) -> bool {
        self.faults.iter().any(|it| is_such(it.kind))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writer, id, kind } = self;
        write!(f, "increment {id} of writer {writer} ")?;
        match kind {
            FaultKind::Twice => f.write_str("was applied more than once"),
            FaultKind::Lost => f.write_str("was acknowledged and is lost"),
            FaultKind::Applied => f.write_str("was applied, though told as not applied"),
            FaultKind::Strange(kind) => write!(f, "failed with {kind:?}, which no outage explains"),
            FaultKind::Stray => f.write_str("was applied, though nobody made it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Entry, FaultKind, Journal, Stored, Verdict};
    use kv_core::ErrorKind;

    fn judge(ends: &[End], applied: &[(u64, i64)]) -> Verdict {
        let entries = (0..).zip(ends).map(|(id, &end)| Entry { id, end });
        let journal = Journal {
            writer: 0,
            entries: entries.collect(),
        };
        let stored = Stored {
            counter: applied.iter().map(|(_, times)| times).sum(),
            applied: vec![applied.iter().copied().collect()],
        };
        Verdict::of(&[journal], &stored)
    }

    fn faults(ends: &[End], applied: &[(u64, i64)]) -> Vec<FaultKind> {
        let verdict = judge(ends, applied);
        verdict.faults.iter().map(|it| it.kind).collect()
    }

    #[test]
    fn what_is_in_doubt_may_be_applied_or_not() {
        let ends = [
            End::Acknowledged,
            End::Unknown,
            End::Unknown,
            End::NotApplied,
        ];
        let expected = Verdict {
            acknowledged: 1,
            unknown: 2,
            unknown_applied: 1,
            not_applied: 1,
            faults: Vec::new(),
        };
        assert_eq!(judge(&ends, &[(0, 1), (2, 1)]), expected);
    }

    #[test]
    fn whatever_was_told_nothing_may_be_applied_twice() {
        for end in [End::Acknowledged, End::Unknown, End::NotApplied] {
            assert_eq!(faults(&[end], &[(0, 2)]), [FaultKind::Twice]);
        }
    }

    #[test]
    fn what_was_told_must_be_so() {
        assert_eq!(faults(&[End::Acknowledged], &[]), [FaultKind::Lost]);
        assert_eq!(faults(&[End::NotApplied], &[(0, 1)]), [FaultKind::Applied]);
        assert_eq!(faults(&[], &[(7, 1)]), [FaultKind::Stray]);
        let wrong = End::Wrong(ErrorKind::WrongType);
        assert_eq!(
            faults(&[wrong], &[]),
            [FaultKind::Strange(ErrorKind::WrongType)]
        );
    }
}
