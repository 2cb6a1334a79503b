//! What one call has seen of the tags that it has to do with, each from before it read or began what goes by them.

use super::{
    Scope, Tags,
    cell::{Cell, Known, Mark, Marks},
    versions::{TagVersions, Verdict, Versions},
};
use kv_core::{Error, ErrorKind, Result};
use std::{sync::Arc, time::Duration};

/// So many tags an entry has at most.
pub(crate) const MOST_TAGS: usize = 32;
/// So long is the name of a tag at most.
pub(crate) const LONGEST_TAG: usize = 1024;

/// The name of a tag, as its caller has it.
pub(crate) type TagName = Arc<[u8]>;

/// The tags of one call.
pub(crate) struct Sight {
    scope: Arc<Scope>,
    all: Seen,
    changes: Seen,
    named: Vec<Seen>,
}

/// One of them.
pub(crate) struct Seen {
    cell: Arc<Cell>,
    state: u64,
    known: Option<Known>,
}

impl Sight {
    pub(crate) fn new(scope: Arc<Scope>) -> Self {
        Self {
            all: Seen::new(scope.all.clone()),
            changes: Seen::new(scope.changes.clone()),
            named: Vec::new(),
            scope,
        }
    }

    /// Of the same caller, on another store; nothing is seen yet.
    pub(crate) fn elsewhere(&self, tags: &Tags) -> Self {
        Self::new(tags.same(&self.scope))
    }

    /// Has to do with this one as well: as it is now, unless it had before.
    pub(crate) fn see(&mut self, tag: &TagName, is_trusted: impl Fn(&Known) -> bool) {
        if self.find(tag).is_none() {
            let mut seen = Seen::new(self.scope.tag(tag));
            seen.known = seen.known.filter(is_trusted);
            self.named.push(seen);
        }
    }

    pub(crate) fn has_seen(&self, tag: &TagName) -> bool {
        self.find(tag).is_some()
    }

    /// To be called before anything is asked that goes by these: looks at them anew, and takes what is known of them
    /// where that is trusted.
    pub(crate) fn renew(&mut self, is_trusted: impl Fn(&Known) -> bool) {
        for seen in self.each_mut() {
            seen.renew();
            seen.known = seen.known.filter(&is_trusted);
        }
    }

    /// Knows nothing any more that was read before this.
    pub(crate) fn doubt(&mut self, before: Duration) {
        for seen in self.each_mut() {
            seen.known = seen.known.filter(|it| it.read >= before);
        }
    }

    /// The tags of which nothing is known, those without a name first; `None` if there is nothing to ask for.
    pub(crate) fn unknown(&self) -> Option<Vec<Option<TagName>>> {
        let unknown = |seen: &&Seen| seen.known.is_none();
        let tags = std::iter::once(&self.all).chain(&self.named);
        let tags: Vec<_> = tags
            .filter(unknown)
            .map(|it| it.cell.tag().cloned())
            .collect();
        let is_known = tags.is_empty() && self.changes.known.is_some();
        (!is_known).then_some(tags)
    }

    /// Whether there is nothing to ask for.
    pub(crate) fn is_all_known(&self) -> bool {
        let mut all = [&self.all, &self.changes].into_iter().chain(&self.named);
        all.all(|it| it.known.is_some())
    }

    /// The tags that have no versions on the store yet.
    pub(crate) fn not_begun(&self) -> Vec<(Option<TagName>, Versions)> {
        let tags = std::iter::once(&self.all).chain(&self.named);
        let tags = tags.filter_map(|it| Some((it.cell.tag().cloned(), it.known?.versions)));
        tags.filter(|(_, versions)| !versions.have_begun())
            .collect()
    }

    /// That the store had these versions of a tag.
    pub(crate) fn learn(&mut self, tag: Option<&TagName>, known: Known) {
        let seen = match tag {
            None => Some(&mut self.all),
            Some(tag) => self.named.iter_mut().find(|it| it.cell.tag() == Some(tag)),
        };
        if let Some(seen) = seen {
            seen.learn(known);
        }
    }

    /// That the store had this version of what changes with each of them.
    pub(crate) fn learn_changes(&mut self, known: Known) {
        self.changes.learn(known);
    }

    /// The version of what changes with each of them, as far as it is known.
    pub(crate) fn changes(&self) -> Option<u64> {
        self.changes.known.map(|it| it.versions.removed)
    }

    /// Whether this process knows that a tag is as it was when the others were looked at. To be asked once it is seen.
    pub(crate) fn is_same(&self, tag: &TagName) -> bool {
        let since = self.changes.state;
        self.find(tag)
            .is_some_and(|it| it.cell.is_same_since(since))
    }

    /// Whether the versions of this one are known, and it has some.
    pub(crate) fn is_known(&self, tag: &TagName) -> bool {
        let known = self.find(tag).and_then(|it| it.known);
        known.is_some_and(|it| it.versions.have_begun())
    }

    /// The versions of a tag, as far as they are known; those of all entries for `None`.
    pub(crate) fn known(&self, tag: Option<&TagName>) -> Option<Versions> {
        let seen = match tag {
            None => Some(&self.all),
            Some(tag) => self.find(tag),
        };
        seen?.known.map(|it| it.versions)
    }

    /// What the tags of an entry leave of it, and since when that is known; `None` if the versions of one are not.
    pub(crate) fn verdict(&self, entry: &TagVersions) -> Option<(Verdict, Duration)> {
        let all = self.all.known?;
        let mut verdict = entry.all.verdict(all.versions);
        let mut since = all.read;
        for (tag, versions) in &entry.named {
            let known = self.find(tag)?.known?;
            verdict = verdict.max(versions.verdict(known.versions));
            since = since.min(known.read);
        }
        Some((verdict, since))
    }

    /// Whether all that is known is at least as new as what an entry tells: then it is the entry that is old.
    pub(crate) fn is_ahead(&self, entry: &TagVersions) -> bool {
        let is_ahead = |seen: &Seen, told: &Versions| {
            let known = seen.known.map(|it| it.versions);
            known.is_some_and(|it| it.removed >= told.removed && it.expired >= told.expired)
        };
        let of =
            |(tag, told): &(TagName, Versions)| self.find(tag).is_some_and(|it| is_ahead(it, told));
        is_ahead(&self.all, &entry.all) && entry.named.iter().all(of)
    }

    /// What an entry with these tags tells of them, and since when that is known; `None` if it is not, or if one of
    /// them has none.
    pub(crate) fn versions(&self, tags: &[TagName]) -> Option<(TagVersions, Duration)> {
        let begun = |known: &Known| known.versions.have_begun();
        let all = self.all.known.filter(begun)?;
        let mut since = all.read;
        let mut named = Vec::with_capacity(tags.len());
        for tag in tags {
            let known = self.find(tag)?.known.filter(begun)?;
            since = since.min(known.read);
            named.push((tag.clone(), known.versions));
        }
        let all = all.versions;
        Some((TagVersions { all, named }, since))
    }

    /// What an entry with these tags is kept under.
    pub(crate) fn marks<'a>(&self, tags: impl IntoIterator<Item = &'a TagName>) -> Marks {
        let named = tags.into_iter().filter_map(|it| self.find(it));
        Marks::new(self.all.mark(), named.map(Seen::mark).collect())
    }

    fn find(&self, tag: &TagName) -> Option<&Seen> {
        self.named.iter().find(|it| it.cell.tag() == Some(tag))
    }

    fn each_mut(&mut self) -> impl Iterator<Item = &mut Seen> {
        [&mut self.all, &mut self.changes]
            .into_iter()
            .chain(&mut self.named)
    }
}

impl Seen {
    fn new(cell: Arc<Cell>) -> Self {
        let (state, known) = cell.known();
        Self { cell, state, known }
    }

    fn renew(&mut self) {
        (self.state, self.known) = self.cell.known();
    }

    fn learn(&mut self, known: Known) {
        self.cell.learn(self.state, known);
        self.known = Some(known);
    }

    fn mark(&self) -> Mark {
        Mark::at(&self.cell, self.state)
    }
}

/// Whether an entry can have these tags.
pub(crate) fn check(tags: &[TagName]) -> Result<()> {
    if tags.len() > MOST_TAGS {
        let message = "an entry has too many tags; give it fewer, or one that stands for several";
        return Err(Error::new(ErrorKind::InvalidArgument, message)
            .with_context("tags", tags.len())
            .with_context("most", MOST_TAGS));
    }
    let Some(tag) = tags
        .iter()
        .find(|it| it.len() > LONGEST_TAG || it.is_empty())
    else {
        return Ok(());
    };
    let message = "the name of a tag must not be empty and not longer than 1,024 bytes";
    let shown = tag.get(..64).unwrap_or(tag);
    Err(Error::new(ErrorKind::InvalidArgument, message)
        .with_context("tag", shown.escape_ascii())
        .with_context("bytes", tag.len()))
}
