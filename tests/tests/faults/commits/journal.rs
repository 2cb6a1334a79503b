//! What the writer of a book saw, and the judgement of it.

use kv_core::ErrorKind;
use std::{collections::BTreeSet, ops::AddAssign};

/// One writer's attempts, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    attempts: Vec<(u64, Reply)>,
    known: u64,
}

/// What came of an attempt to write an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reply {
    Applied,
    /// The guard did not hold: this is the last entry.
    Refused(u64),
    Unknown,
    NotApplied,
    /// An error that no outage explains.
    Wrong(ErrorKind),
}

/// What the book holds at the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) last: u64,
    pub(super) count: u64,
    pub(super) pages: BTreeSet<u64>,
    pub(super) ordered: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) applied: usize,
    /// Found to be there by the next attempt, after the first one's reply was lost.
    pub(super) confirmed: usize,
    pub(super) unknown: usize,
    pub(super) not_applied: usize,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.applied += other.applied;
        self.confirmed += other.confirmed;
        self.unknown += other.unknown;
        self.not_applied += other.not_applied;
    }
}

impl Journal {
    /// The entry to write next: the one after the last that is known to be there.
    pub(super) fn next(&self) -> u64 {
        self.known + 1
    }

    pub(super) fn note(&mut self, number: u64, reply: Reply) {
        self.attempts.push((number, reply));
        if reply == Reply::Applied || reply == Reply::Refused(number) {
            self.known = number;
        }
    }
}

/// Judges what a writer saw by what the book holds.
pub(super) fn judge(journal: &Journal, found: &Found) -> Result<Totals, String> {
    let (totals, known, open) = replay(journal)?;
    let possible = known..=known + u64::from(open);
    if !possible.contains(&found.last) {
        return Err(format!(
            "{known} entries are known, but the last is {}",
            found.last
        ));
    }
    whole(found)?;
    Ok(totals)
}

/// Judges what is left where the last entries may have been lost; how many that are.
pub(super) fn judge_remains(journal: &Journal, found: &Found) -> Result<u64, String> {
    let (_, known, open) = replay(journal)?;
    if found.last > known + u64::from(open) {
        return Err(format!(
            "{known} entries are known, but the last is {}",
            found.last
        ));
    }
    whole(found)?;
    Ok(known.saturating_sub(found.last))
}

fn whole(found: &Found) -> Result<(), String> {
    let all: BTreeSet<u64> = (1..=found.last).collect();
    match found.pages == all && found.count == found.last && found.ordered == found.last {
        true => Ok(()),
        false => Err(format!("an entry is there in part: {found:?}")),
    }
}

/// What the replies say: the sums, the last entry that is known, and whether the next may be there.
fn replay(journal: &Journal) -> Result<(Totals, u64, bool), String> {
    let mut totals = Totals::default();
    let mut known = 0;
    let mut open = false;
    for (at, &(number, reply)) in journal.attempts.iter().enumerate() {
        if number != known + 1 {
            return Err(format!("attempt {at} was for {number}, not {}", known + 1));
        }
        match reply {
            Reply::Wrong(kind) => return Err(format!("attempt {at} failed with {kind:?}")),
            Reply::NotApplied => totals.not_applied += 1,
            Reply::Unknown => {
                totals.unknown += 1;
                open = true;
            }
            Reply::Applied => {
                totals.applied += 1;
                (known, open) = (number, false);
            }
            Reply::Refused(last) if last == number && open => {
                totals.confirmed += 1;
                (known, open) = (number, false);
            }
            Reply::Refused(last) => {
                return Err(format!(
                    "attempt {at} for {number} was refused, since {last} is there: lost or written by nobody"
                ));
            }
        }
    }
    Ok((totals, known, open))
}

mod tests {
    use super::{Found, Journal, Reply, Totals, judge, judge_remains};
    use Reply::{Applied, NotApplied, Refused, Unknown, Wrong};
    use kv_core::ErrorKind;

    fn journal(attempts: &[(u64, Reply)]) -> Journal {
        let mut journal = Journal::default();
        for &(number, reply) in attempts {
            journal.note(number, reply);
        }
        journal
    }

    fn book(last: u64) -> Found {
        Found {
            last,
            count: last,
            pages: (1..=last).collect(),
            ordered: last,
        }
    }

    #[test]
    fn what_was_lost_on_the_way_back_may_be_there_or_not() {
        let seen = journal(&[
            (1, Applied),
            (2, Unknown),
            (2, Refused(2)),
            (3, NotApplied),
            (3, Unknown),
        ]);
        let totals = Totals {
            applied: 1,
            confirmed: 1,
            unknown: 2,
            not_applied: 1,
        };
        assert_eq!(judge(&seen, &book(2)), Ok(totals));
        assert_eq!(judge(&seen, &book(3)), Ok(totals));
    }

    #[test]
    fn a_lost_entry_is_found() {
        assert!(judge(&journal(&[(1, Applied)]), &book(0)).is_err());
        assert!(judge(&journal(&[(1, Applied), (2, Refused(0))]), &book(1)).is_err());
    }

    #[test]
    fn an_entry_that_was_written_although_it_was_not_applied_is_found() {
        assert!(judge(&journal(&[(1, NotApplied)]), &book(1)).is_err());
        assert!(judge(&journal(&[(1, NotApplied), (1, Refused(1))]), &book(1)).is_err());
    }

    #[test]
    fn what_remains_is_a_beginning_and_whole() {
        let seen = journal(&[(1, Applied), (2, Applied), (3, Unknown)]);
        assert_eq!(judge_remains(&seen, &book(0)), Ok(2));
        assert_eq!(judge_remains(&seen, &book(2)), Ok(0));
        assert_eq!(judge_remains(&seen, &book(3)), Ok(0));
        assert!(judge_remains(&seen, &book(4)).is_err());
        let mut torn = book(2);
        torn.pages.remove(&1);
        assert!(judge_remains(&seen, &torn).is_err());
    }

    #[test]
    fn half_an_entry_and_a_wrong_error_are_found() {
        let seen = journal(&[(1, Applied)]);
        let mut torn = book(1);
        torn.pages.clear();
        assert!(judge(&seen, &torn).unwrap_err().contains("part"));
        let twice = Found {
            count: 2,
            ..book(1)
        };
        assert!(judge(&seen, &twice).unwrap_err().contains("part"));
        let wrong = journal(&[(1, Wrong(ErrorKind::WrongType))]);
        assert!(judge(&wrong, &book(0)).is_err());
    }
}
