//! Tags: many entries removed or made stale at once, at a cost that does not depend on how many there are.
//!
//! A tag has two versions on the store, one for each way to change it. An entry tells those that it was loaded under,
//! and holds while both are *equal* to the present ones: whatever the clocks of processes say, and also if the store
//! has lost a record, since it never issues a version again. All entries of a cache for one caller have a tag
//! without a name, so that [clearing](crate::Cache::clear) is the same.
//!
//! Each process remembers what versions it has read, for as long as it would have heard of a change. An entry that it
//! keeps needs less: it holds the state of its tags' cells, which whatever changes a tag moves on.

mod calls;
mod cell;
mod sight;
mod versions;

pub(crate) use self::{
    cell::{Cell, Known, Marks},
    sight::{LONGEST_TAG, MOST_TAGS, Sight, TagName, check},
    versions::{Change, TagVersions, Verdict, Versions},
};

#[cfg(test)]
pub(crate) use self::cell::Mark;

use crate::place::Physical;
use foldhash::fast::RandomState;
use parking_lot::Mutex;
use std::{collections::HashMap, fmt, sync::Arc};

/// So many callers are remembered though nothing of theirs is kept or under way, ...
const SCOPES: usize = 256;
/// ... and so many tags of each.
const TAGS: usize = 256;

/// All tags of a cache that this process has to do with.
#[derive(Default)]
pub(crate) struct Tags(Mutex<Room<Arc<Scope>>>);

/// Those of one caller: as far apart as the keys of entries.
pub(crate) struct Scope {
    /// How its tags are known where callers are not apart.
    base: Physical,
    /// All entries.
    pub(crate) all: Arc<Cell>,
    /// Changes with each of them.
    pub(crate) changes: Arc<Cell>,
    named: Mutex<Room<Arc<Cell>>>,
}

/// What is remembered by name. What nobody uses goes when there is more than twice as much of it as of the rest.
struct Room<T> {
    all: HashMap<Box<[u8]>, T, RandomState>,
    full: usize,
    least: usize,
}

impl Tags {
    /// The tags of a caller, by how the store sees a key of his.
    pub(crate) fn scope(&self, base: &[u8]) -> Arc<Scope> {
        let new = || Arc::new(Scope::new(base));
        self.0.lock().find(base, new, |it| {
            Arc::get_mut(it).is_some_and(Scope::is_unused)
        })
    }

    /// Those that a caller has here whose tags elsewhere these are.
    pub(crate) fn same(&self, scope: &Scope) -> Arc<Scope> {
        self.scope(&scope.base)
    }
}

impl Scope {
    fn new(base: &[u8]) -> Self {
        Self {
            base: base.into(),
            all: Arc::new(Cell::new(None, 0)),
            changes: Arc::new(Cell::new(None, 0)),
            named: Mutex::new(Room::new(TAGS)),
        }
    }

    pub(crate) fn tag(&self, name: &TagName) -> Arc<Cell> {
        let new = || {
            // What happened to it before nobody knows.
            let now = self.changes.state();
            Arc::new(Cell::new(Some(name.clone()), now))
        };
        self.named.lock().find(name, new, is_unused)
    }

    /// The cell of a tag, or of all entries.
    pub(crate) fn cell(&self, tag: Option<&TagName>) -> Arc<Cell> {
        tag.map_or_else(|| self.all.clone(), |it| self.tag(it))
    }

    /// From now on nothing counts here that was read or begun before.
    pub(crate) fn change(&self, tag: Option<&TagName>, change: Change) {
        // In this order: who has seen the tag's new state sees after that that something has changed.
        let now = self.changes.change(change, 0);
        self.cell(tag).change(change, now);
    }

    /// A name for one of its tags that no other tag of the cache has, nor any entry.
    pub(crate) fn physical(&self, tag: Option<&TagName>) -> Physical {
        match tag {
            Some(tag) => [&self.base[..], b":", tag].concat().into(),
            None => self.base.clone(),
        }
    }

    fn is_unused(&mut self) -> bool {
        is_unused(&mut self.all)
            && is_unused(&mut self.changes)
            && self.named.get_mut().all.values_mut().all(is_unused)
    }
}

impl<T: Clone> Room<T> {
    fn new(least: usize) -> Self {
        Self {
            all: HashMap::default(),
            full: least,
            least,
        }
    }

    fn find(
        &mut self,
        name: &[u8],
        new: impl FnOnce() -> T,
        is_unused: impl Fn(&mut T) -> bool,
    ) -> T {
        if let Some(there) = self.all.get(name) {
            return there.clone();
        }
        if self.all.len() >= self.full {
            self.all.retain(|_, it| !is_unused(it));
            self.full = self.least.max(self.all.len() * 2);
        }
        let new = new();
        self.all.insert(name.into(), new.clone());
        new
    }
}

/// Nobody else has it, nor had it just now and still does something with it.
fn is_unused(cell: &mut Arc<Cell>) -> bool {
    Arc::get_mut(cell).is_some()
}

impl<T: Clone> Default for Room<T> {
    fn default() -> Self {
        Self::new(SCOPES)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.base.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(scope: &Scope) -> usize {
        scope.named.lock().all.len()
    }

    fn name(number: usize) -> TagName {
        number.to_be_bytes().into()
    }

    /// K10.
    #[test]
    fn what_nobody_uses_is_forgotten_and_nothing_else() {
        let tags = Tags::default();
        let scope = tags.scope(b"a");
        let used: Vec<_> = (0..1000).map(|it| scope.tag(&name(it))).collect();
        scope.change(Some(&name(7)), Change::Removed);
        for number in 1000..100_000 {
            scope.tag(&name(number));
        }
        assert!(count(&scope) <= 2000, "{}", count(&scope));
        for (number, cell) in used.iter().enumerate() {
            assert!(Arc::ptr_eq(cell, &scope.tag(&name(number))));
        }
        drop(used);
        for number in 0..3000 {
            scope.tag(&name(number));
        }
        assert!(count(&scope) <= 3 * TAGS, "{}", count(&scope));
    }

    #[test]
    fn callers_are_forgotten_once_nothing_of_theirs_is_kept() {
        let tags = Tags::default();
        let kept = [
            Mark::new(&tags.scope(b"by all").all),
            Mark::new(&tags.scope(b"by a tag").tag(&name(1))),
        ];
        for number in 0..10 * SCOPES {
            tags.scope(&name(number));
        }
        assert!(tags.0.lock().all.len() <= SCOPES);
        tags.scope(b"by all").change(None, Change::Removed);
        tags.scope(b"by a tag")
            .change(Some(&name(1)), Change::Expired);
        let now = kept.map(|it| it.look());
        assert_eq!(now, [Verdict::Removed, Verdict::Expired]);
    }
}
