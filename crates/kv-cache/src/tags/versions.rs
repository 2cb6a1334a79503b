//! Whether an entry holds, by the versions of its tags: pure functions of what it tells and what there is.

use super::TagName;

/// What can be done to a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Change {
    /// Its entries are stale.
    Expired,
    /// Its entries are gone.
    Removed,
}

/// The last version of each way to change a tag; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Versions {
    pub(crate) removed: u64,
    pub(crate) expired: u64,
}

/// What an entry tells of its tags: the versions that it was loaded under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TagVersions {
    /// Of all entries together.
    pub(crate) all: Versions,
    pub(crate) named: Vec<(TagName, Versions)>,
}

/// What its tags leave of an entry; of several the last of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Holds,
    /// Stale since.
    Expired,
    /// As if it were not there.
    Removed,
}

impl Versions {
    /// Whether there are both, so that none can be lost unnoticed.
    pub(crate) fn have_begun(self) -> bool {
        self.removed != 0 && self.expired != 0
    }

    /// Of an entry that was loaded under these, now that there are others. A version that is equal is the same
    /// one, also after a loss; any other is another, also a smaller one.
    pub(crate) fn verdict(self, now: Self) -> Verdict {
        if self.removed != now.removed {
            return Verdict::Removed;
        }
        match self.expired == now.expired {
            true => Verdict::Holds,
            false => Verdict::Expired,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Verdict, Versions};

    #[test]
    fn versions_are_equal_or_others() {
        let old = Versions {
            removed: 5,
            expired: 7,
        };
        for (removed, expired, verdict) in [
            (5, 7, Verdict::Holds),
            (5, 8, Verdict::Expired),
            (5, 0, Verdict::Expired),
            (6, 7, Verdict::Removed),
            (0, 7, Verdict::Removed),
            (6, 8, Verdict::Removed),
        ] {
            assert_eq!(old.verdict(Versions { removed, expired }), verdict);
        }
    }
}
