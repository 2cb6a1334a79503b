//! What a process knows of one tag of one caller.

use super::{
    TagName,
    versions::{Change, Verdict, Versions},
};
use crate::across::Number;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How often a tag was removed is counted in the upper half of a state, how often it was expired in the lower one.
const REMOVED: u32 = 32;

/// What a tag takes beside its name, which lies there twice: its mark, its cell, its place in the table.
const CELL: usize = 160;

/// One tag.
pub(crate) struct Cell {
    tag: Option<TagName>,
    /// How often it was changed, as far as is known here.
    state: AtomicU64,
    /// The state of the changes when this one was changed last, or made.
    last: AtomicU64,
    known: Mutex<Option<Known>>,
}

/// What was read of a tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) versions: Versions,
    /// When the store was asked.
    pub(crate) read: Duration,
    /// Where it would be told that there are others.
    pub(crate) heard: Option<Number>,
}

/// A tag's state as something was read or begun under it.
#[derive(Clone)]
pub(crate) struct Mark {
    cell: Arc<Cell>,
    state: u64,
}

/// Those of one entry.
#[derive(Clone)]
pub(crate) struct Marks {
    all: Mark,
    named: Option<Arc<[Mark]>>,
}

impl Cell {
    pub(super) fn new(tag: Option<TagName>, now: u64) -> Self {
        Self {
            tag,
            state: AtomicU64::new(0),
            last: AtomicU64::new(now),
            known: Mutex::new(None),
        }
    }

    /// Its name, if it has one.
    pub(crate) fn tag(&self) -> Option<&TagName> {
        self.tag.as_ref()
    }

    /// The state then. `now` is that of the changes.
    pub(super) fn change(&self, change: Change, now: u64) -> u64 {
        let step = match change {
            Change::Removed => 1 << REMOVED,
            Change::Expired => 1,
        };
        // Nobody is to see the new state with what was known under the old one.
        let mut known = self.known.lock();
        self.last.fetch_max(now, Ordering::AcqRel);
        let before = self.state.fetch_add(step, Ordering::AcqRel);
        *known = None;
        before + step
    }

    /// Whether it has been the same since the changes had this state.
    pub(super) fn is_same_since(&self, changes: u64) -> bool {
        self.last.load(Ordering::Acquire) <= changes
    }

    /// What is known, and the state that it is known under.
    pub(super) fn known(&self) -> (u64, Option<Known>) {
        let known = self.known.lock();
        (self.state(), *known)
    }

    /// Remembers what was read under a state, unless it is another by now.
    pub(super) fn learn(&self, state: u64, known: Known) {
        let mut there = self.known.lock();
        if self.state() == state && there.is_none_or(|it| it.read <= known.read) {
            *there = Some(known);
        }
    }

    pub(super) fn state(&self) -> u64 {
        self.state.load(Ordering::Acquire)
    }
}

impl Mark {
    /// As it is now.
    #[cfg(test)]
    pub(crate) fn new(cell: &Arc<Cell>) -> Self {
        Self::at(cell, cell.state())
    }

    pub(super) fn at(cell: &Arc<Cell>, state: u64) -> Self {
        Self {
            cell: cell.clone(),
            state,
        }
    }

    /// What has become of the tag since.
    pub(crate) fn look(&self) -> Verdict {
        self.verdict(self.cell.state())
    }

    fn settled(&self) -> Self {
        let now = self.cell.state();
        let state = match self.verdict(now) {
            Verdict::Removed => self.state,
            _ => now,
        };
        Self::at(&self.cell, state)
    }

    fn verdict(&self, now: u64) -> Verdict {
        if now == self.state {
            return Verdict::Holds;
        }
        match now >> REMOVED == self.state >> REMOVED {
            true => Verdict::Expired,
            false => Verdict::Removed,
        }
    }
}

impl Marks {
    pub(crate) fn new(all: Mark, named: Vec<Mark>) -> Self {
        Self {
            all,
            named: Some(named).filter(|it| !it.is_empty()).map(Into::into),
        }
    }

    /// What has become of an entry since it was read or begun.
    pub(crate) fn look(&self) -> Verdict {
        let named = self.named.iter().flat_map(|it| it.iter());
        named.map(Mark::look).fold(self.all.look(), Verdict::max)
    }

    /// Of an entry that has been made stale itself for what its tags have expired since.
    pub(crate) fn settled(&self) -> Self {
        let named = self.named.as_ref();
        Self {
            all: self.all.settled(),
            named: named.map(|it| it.iter().map(Mark::settled).collect()),
        }
    }

    /// The tags that have a name.
    pub(crate) fn tags(&self) -> impl Iterator<Item = &TagName> {
        let named = self.named.iter().flat_map(|it| it.iter());
        named.filter_map(|it| it.cell.tag())
    }

    /// What they take, in bytes, as if no other entry had them.
    pub(crate) fn weight(&self) -> usize {
        let names = self.tags().map(|it| it.len() * 2);
        names.map(|it| it + CELL).sum()
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = self.cell.tag.as_deref().unwrap_or(b"*");
        write!(f, "{}@{}", tag.escape_ascii(), self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    /// Another thread never sees what was known before a change as if it were known after it.
    #[test]
    fn what_is_known_goes_with_its_state() {
        let cell = Arc::new(Cell::new(None, 0));
        let is_over = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (cell, is_over) = (cell.clone(), is_over.clone());
            move || {
                let mut torn = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let (state, known) = cell.known();
                    torn += u32::from(known.is_some_and(|it| it.versions.removed != state));
                }
                torn
            }
        });
        for now in 0..300_000 {
            let (state, _) = cell.known();
            let known = Known {
                versions: Versions {
                    removed: state,
                    expired: 0,
                },
                read: Duration::ZERO,
                heard: None,
            };
            cell.learn(state, known);
            cell.change(Change::Removed, now);
        }
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(reader.join().unwrap(), 0);
    }

    #[test]
    fn a_tag_weighs_no_less_than_its_names() {
        let tag: TagName = vec![b'x'; 1000].into();
        let mark = Mark::new(&Arc::new(Cell::new(Some(tag), 0)));
        let marks = Marks::new(mark.clone(), vec![mark]);
        assert!(marks.weight() >= 2000 + size_of::<Cell>() + size_of::<Mark>());
    }
}
