//! What was recorded of a lock and of the resource behind it, and what must hold of it.
//!
//! Moments are tokens of the store: all processes see the same ones, whatever their clocks show.

pub(crate) mod crowd;

use kv_core::{Key, Kv, Lifetime, Op, Result, Ttl, Txn};
use std::{collections::HashSet, fmt, time::Duration};

/// A token of the store: greater than all before.
pub(crate) type Moment = u64;

/// The store's next token.
pub(crate) async fn moment(kv: &Kv) -> Result<Moment> {
    let ttl = Ttl::In(Lifetime::new(Duration::from_secs(3600))?);
    let key = Key::new("{moments}:last")?;
    let txn = Txn::new().then(Op::NextToken { key, ttl });
    kv.commit_one(txn).await?.token(0)
}

/// What its holder knows of a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) fence: u64,
    /// Before it was asked for.
    pub(crate) asked: Moment,
    /// After it was answered.
    pub(crate) granted: Moment,
    /// The first and the last moment after which a check still said that it is held.
    pub(crate) held: Option<(Moment, Moment)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) grants: Vec<Grant>,
    /// The fences under which the resource was written, in its own order.
    pub(crate) written: Vec<u64>,
    /// The fences of those who were told that their write was done.
    pub(crate) acknowledged: Vec<u64>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) grants: usize,
    /// So many were seen to be held.
    pub(crate) held: usize,
    pub(crate) writes: usize,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            grants,
            held,
            writes,
        } = self;
        write!(
            f,
            "{grants} grants, {held} of them seen held, none at once; {writes} writes in the order of their fences"
        )
    }
}

impl History {
    /// # Errors
    /// What must not be.
    pub(crate) fn check(&self) -> Result<Verdict, String> {
        let mut grants = self.grants.clone();
        grants.sort_unstable_by_key(|it| it.fence);
        each_its_own(&grants)?;
        in_order(&grants)?;
        one_at_a_time(&grants)?;
        if let Some(it) = self.written.windows(2).find(|it| it[0] > it[1]) {
            return Err(format!("{} was written after {}", it[1], it[0]));
        }
        match self.lost().first() {
            Some(lost) => Err(format!("{lost} was acknowledged and is lost")),
            None => Ok(Verdict {
                grants: grants.len(),
                held: grants.iter().filter(|it| it.held.is_some()).count(),
                writes: self.written.len(),
            }),
        }
    }

    /// The writes that were acknowledged and are not there.
    pub(crate) fn lost(&self) -> Vec<u64> {
        let there: HashSet<_> = self.written.iter().collect();
        let is_lost = |it: &&u64| !there.contains(it);
        self.acknowledged.iter().filter(is_lost).copied().collect()
    }
}

/// No two of those who are in the order of their fences have the same.
fn each_its_own(grants: &[Grant]) -> Result<(), String> {
    match grants.windows(2).find(|it| it[0].fence == it[1].fence) {
        Some(it) => Err(format!("one fence twice: {it:?}")),
        None => Ok(()),
    }
}

/// Who had its answer before another asked has the lower fence.
fn in_order(grants: &[Grant]) -> Result<(), String> {
    let mut asked_last: Option<&Grant> = None;
    for grant in grants {
        if let Some(lower) = asked_last.filter(|it| grant.granted < it.asked) {
            return Err(format!(
                "granted before, and has the greater fence: {grant:?}, {lower:?}"
            ));
        }
        if asked_last.is_none_or(|it| it.asked < grant.asked) {
            asked_last = Some(grant);
        }
    }
    Ok(())
}

/// No two are held at one moment, and they follow each other as their fences do.
fn one_at_a_time(grants: &[Grant]) -> Result<(), String> {
    let mut before: Option<(&Grant, Moment)> = None;
    for grant in grants {
        let Some((first, last)) = grant.held else {
            continue;
        };
        if let Some((other, _)) = before.filter(|&(_, end)| first <= end) {
            return Err(format!(
                "held at once, or in the wrong order: {other:?}, {grant:?}"
            ));
        }
        before = Some((grant, last));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Grant, History};

    fn grant(fence: u64, asked: u64, granted: u64, held: Option<(u64, u64)>) -> Grant {
        Grant {
            fence,
            asked,
            granted,
            held,
        }
    }

    #[test]
    fn the_checker_finds_what_must_not_be() {
        let good = History {
            // Recorded in any order; the second waited for the first, the third is not known to be held.
            grants: vec![
                grant(2, 1, 9, Some((10, 11))),
                grant(1, 2, 3, Some((3, 6))),
                grant(5, 1, 30, None),
                grant(7, 31, 32, Some((32, 32))),
            ],
            written: vec![1, 2, 2, 7],
            acknowledged: vec![7, 1],
        };
        let verdict = good.check().unwrap();
        assert_eq!((verdict.grants, verdict.held, verdict.writes), (4, 3, 4));
        let bad = |what: &str, change: fn(&mut History)| {
            let mut history = good.clone();
            change(&mut history);
            assert!(history.check().is_err(), "{what}");
        };
        bad("one fence for two", |it| it.grants[0].fence = 1);
        bad("a lower fence later", |it| it.grants[3].fence = 4);
        bad("a lower fence later, both unseen", |it| {
            it.grants.push(grant(6, 50, 51, None));
        });
        bad("held at once", |it| it.grants[1].held = Some((3, 10)));
        bad("one within the other", |it| {
            it.grants[0].held = Some((4, 5))
        });
        bad("held in the wrong order", |it| {
            it.grants[2].held = Some((8, 8))
        });
        bad("an earlier holder's write", |it| it.written = vec![1, 7, 2]);
        bad("a lost write", |it| it.acknowledged.push(5));
    }
}
