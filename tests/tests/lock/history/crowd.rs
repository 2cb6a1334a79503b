//! What was recorded of something that several hold at once, up to a limit, and what must hold of it.
//!
//! Who holds it alone has the weight of the limit: a writer among readers.

use super::{Grant, Moment, each_its_own, in_order};
use std::fmt;

/// So much of it was granted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) grant: Grant,
    pub(crate) weight: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Crowd {
    pub(crate) limit: u64,
    pub(crate) shares: Vec<Share>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Crowded {
    pub(crate) shares: usize,
    /// So many were seen to be held.
    pub(crate) held: usize,
    /// The most of them that were held at one moment.
    pub(crate) at_once: usize,
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shares,
            held,
            at_once,
        } = self;
        write!(
            f,
            "{shares} grants, {held} of them seen held, up to {at_once} at once"
        )
    }
}

impl Crowd {
    /// # Errors
    /// What must not be.
    pub(crate) fn check(&self) -> Result<Crowded, String> {
        let mut shares = self.shares.clone();
        shares.sort_unstable_by_key(|it| it.grant.fence);
        let grants: Vec<_> = shares.iter().map(|it| it.grant).collect();
        each_its_own(&grants)?;
        in_order(&grants)?;
        self.one_after_the_other(&shares)?;
        Ok(Crowded {
            shares: shares.len(),
            held: shares.iter().filter(|it| it.grant.held.is_some()).count(),
            at_once: self.within_the_limit(&shares)?,
        })
    }

    /// Two that are too much together are held as their fences follow each other.
    fn one_after_the_other(&self, shares: &[Share]) -> Result<(), String> {
        for (number, later) in shares.iter().enumerate() {
            let Some((first, _)) = later.grant.held else {
                continue;
            };
            let too_much = |it: &&Share| it.weight.saturating_add(later.weight) > self.limit;
            for earlier in shares[..number].iter().filter(too_much) {
                if earlier.grant.held.is_some_and(|(_, last)| first <= last) {
                    return Err(format!(
                        "at once, or in the wrong order: {earlier:?}, {later:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// At no moment more is held than there is; tells how many there were at most.
    fn within_the_limit(&self, shares: &[Share]) -> Result<usize, String> {
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        enum Turn {
            Comes,
            Goes,
        }

        let held = |share: &Share| Some((share.grant.held?, share.weight));
        let turns = shares.iter().filter_map(held);
        let turns = turns.flat_map(|((first, last), weight)| {
            [(first, Turn::Comes, weight), (last, Turn::Goes, weight)]
        });
        let mut turns: Vec<(Moment, Turn, u64)> = turns.collect();
        turns.sort_unstable();
        let (mut all, mut there, mut at_once) = (0, 0, 0);
        for (moment, turn, weight) in turns {
            (all, there) = match turn {
                Turn::Comes => (all + weight, there + 1),
                Turn::Goes => (all - weight, there - 1),
            };
            if all > self.limit {
                let limit = self.limit;
                return Err(format!("{all} of {limit} are held at {moment}"));
            }
            at_once = at_once.max(there);
        }
        Ok(at_once)
    }
}

#[cfg(test)]
mod tests {
    use super::{Crowd, Crowded, Grant, Share};

    fn share(weight: u64, fence: u64, asked: u64, granted: u64, held: Option<(u64, u64)>) -> Share {
        let grant = Grant {
            fence,
            asked,
            granted,
            held,
        };
        Share { grant, weight }
    }

    fn refused(good: &Crowd, what: &str, change: fn(&mut [Share])) {
        let mut crowd = good.clone();
        change(&mut crowd.shares);
        assert!(crowd.check().is_err(), "{what}");
    }

    #[test]
    fn readers_and_writers_that_must_not_be_are_found() {
        const ALONE: u64 = 100;
        let good = Crowd {
            limit: ALONE,
            // Two readers at once, a writer, a reader, a writer, and a reader that was never seen.
            shares: vec![
                share(1, 1, 1, 3, Some((3, 9))),
                share(1, 2, 2, 5, Some((5, 8))),
                share(ALONE, 4, 6, 12, Some((12, 14))),
                share(1, 6, 10, 16, Some((16, 20))),
                share(ALONE, 8, 13, 23, Some((23, 30))),
                share(1, 7, 11, 18, None),
            ],
        };
        let found = Crowded {
            shares: 6,
            held: 5,
            at_once: 2,
        };
        assert_eq!(good.check(), Ok(found));
        refused(&good, "one fence for two", |it| it[1].grant.fence = 1);
        refused(&good, "a lower fence later", |it| it[4].grant.fence = 3);
        refused(&good, "a reader within a writer's time", |it| {
            it[3].grant.held = Some((13, 13));
        });
        refused(&good, "a reader that goes on", |it| {
            it[0].grant.held = Some((3, 12))
        });
        refused(&good, "two writers", |it| it[2].grant.held = Some((12, 23)));
        refused(
            &good,
            "a writer before the reader with the lower fence",
            |it| {
                it[3].grant = Grant {
                    fence: 6,
                    asked: 10,
                    granted: 35,
                    held: Some((35, 36)),
                };
            },
        );
        refused(&good, "writers whose fences fall", |it| {
            (it[2].grant.fence, it[4].grant.fence) = (8, 4);
        });
    }

    #[test]
    fn permits_that_must_not_be_are_found() {
        let good = Crowd {
            limit: 4,
            shares: vec![
                share(3, 1, 1, 2, Some((2, 10))),
                share(1, 2, 3, 4, Some((4, 12))),
                // The last moment of one and the first of another are never the same.
                share(2, 3, 5, 11, Some((11, 15))),
                share(1, 4, 6, 13, Some((13, 14))),
                share(1, 5, 7, 14, Some((14, 16))),
            ],
        };
        let found = Crowded {
            shares: 5,
            held: 5,
            at_once: 3,
        };
        let mut crowd = good.clone();
        crowd.shares[1].grant.held = Some((4, 13));
        assert_eq!(crowd.check(), Ok(found));
        refused(&good, "two that are too much", |it| {
            it[2].grant.held = Some((10, 15))
        });
        refused(
            &good,
            "three that are too much, no two of which are",
            |it| {
                (it[2].weight, it[3].weight, it[4].weight) = (2, 1, 2);
            },
        );
        refused(&good, "four", |it| {
            it[1].grant.held = Some((4, 14));
            it[2].weight = 2;
        });
        refused(&good, "one fence for two", |it| it[4].grant.fence = 4);
        refused(&good, "a lower fence later", |it| {
            it[4].grant = Grant {
                fence: 0,
                asked: 20,
                granted: 21,
                held: None,
            }
        });
    }
}
