//! The second store takes the place of the first, where that could not be asked.

use super::{Grant, Leave, Run, Wish};
use crate::{entry::Kept, far::FarEntry, flights::Stage, shared::CacheValue, start::Reason};

/// The first store, which could not be asked.
pub(crate) struct First {
    far: FarEntry,
    /// What it may have granted all the same.
    grant: Grant,
    stale: Stale,
}

/// Where the stale value is from, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stale {
    Second,
    /// From before, and the second store did not have it: that says nothing.
    Spare,
}

impl<V: CacheValue, E: Send + Sync + 'static> Run<V, E> {
    /// Asks the first store, and if that is in trouble the second. From then on all that is done for the load is done
    /// there.
    pub(super) async fn ask_any(&mut self) -> Leave<V> {
        let (grant, spare) = match self.ask().await {
            Leave::Load(grant @ (Grant::None | Grant::Unknown), known) => (grant, known),
            leave => return leave,
        };
        let Some(second) = self.far.as_ref().and_then(FarEntry::second) else {
            return Leave::Load(grant, spare);
        };
        // Its tags have other versions.
        self.sight = self.sight.elsewhere(&self.shared.second_tags);
        for tag in spare.iter().flat_map(|it| it.marks.tags()) {
            self.sight.see(tag, |_| true);
        }
        // Who has waited for the first one in vain does not wait for this one as well.
        self.lead.tell(Stage::AskingAnew, None);
        if let Some(far) = self.far.replace(second) {
            let stale = Stale::Second;
            self.first = Some(First { far, grant, stale });
        }
        // What is here has the first one's version, if any: nothing there is newer than it, nor older. So what is fresh there
        // will do, unless somebody wants a new one.
        self.wish = match self.reason {
            Reason::Wanted => Wish::Refresh,
            Reason::Nothing | Reason::Stale | Reason::Due => Wish::Get,
        };
        let leave = self.ask().await;
        let Leave::Load(grant, None) = leave else {
            return leave;
        };
        if let Some(first) = &mut self.first {
            first.stale = Stale::Spare;
        }
        Leave::Load(grant, spare)
    }

    /// What one of the stores had.
    pub(super) fn found(&self, kept: Kept<V>) -> Kept<V> {
        let shared = &self.shared;
        if self.first.is_none() {
            shared.counts.far_hits.add();
            return kept;
        }
        shared.counts.fallback_hits.add();
        shared.kept_here(self.lead.key(), kept)
    }

    /// By what version it is kept here what the store that was asked has numbered.
    pub(super) fn version_near(&self, version: u64) -> u64 {
        match &self.first {
            None => version,
            Some(_) => self.shared.version_here(self.lead.key()),
        }
    }

    /// Whether the stale value is for the worst case only.
    pub(super) fn is_spare(&self) -> bool {
        let first = self.first.as_ref();
        first.is_some_and(|it| it.stale == Stale::Spare)
    }

    /// The store on which changes are made first.
    pub(super) fn first_far(&self) -> Option<&FarEntry> {
        let first = self.first.as_ref().map(|it| &it.far);
        first.or(self.far.as_ref())
    }

    /// Others need not wait for a lease that the first store may have granted.
    pub(super) async fn settle_first(&self) {
        let Some(First {
            far,
            grant: Grant::Unknown,
            ..
        }) = &self.first
        else {
            return;
        };
        // Who asks from now on is not to have what has been answered: the first one may be well again.
        self.lead.delist();
        if let Err(error) = far.give_up().await {
            let shared = &self.shared;
            shared.trouble(&far.caller, &error, "giving a lease up");
        }
    }
}
