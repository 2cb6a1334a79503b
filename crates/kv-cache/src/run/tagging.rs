//! The tags of what is loaded: those that are known before, and those that a loader names.

use super::{Grant, Run};
use crate::{
    entry::Kept,
    shared::CacheValue,
    tags::{self, TagName},
};
use std::time::Duration;

impl<V: CacheValue, E: Send + Sync + 'static> Run<V, E> {
    /// What is loaded from here on goes by the tags as they are now, and as the store has them.
    pub(super) async fn begin_tags(&mut self, grant: Grant, stale: Option<&Kept<V>>) {
        let stale = stale.iter().flat_map(|it| it.marks.tags());
        for tag in stale.chain(self.tags.iter().flat_map(|it| it.iter())) {
            self.sight.see(tag, |_| true);
        }
        let (Grant::Leased(_), Some(far)) = (grant, &self.far) else {
            return;
        };
        if let Err(error) = far.caller.begin(&mut self.sight).await {
            self.shared.trouble(&far.caller, &error, "beginning tags");
        }
    }

    /// All tags of what was loaded; `None` if it cannot be said of one of them whether it has changed since.
    pub(super) async fn find_tags(
        &mut self,
        grant: Grant,
        mut named: Vec<TagName>,
        began: Duration,
    ) -> Option<Vec<TagName>> {
        let shared = &self.shared;
        named.extend(self.tags.iter().flat_map(|it| it.iter().cloned()));
        named.sort_unstable();
        named.dedup();
        if let Err(error) = tags::check(&named) {
            tracing::warn!(target: kv_core::telemetry::TARGET, cache = %shared.name, %error, "what was loaded is not kept");
            return None;
        }
        let is_late = |it: &&TagName| !self.sight.has_seen(it);
        let mut late: Vec<_> = named.iter().filter(is_late).cloned().collect();
        for tag in &late {
            self.sight.see(tag, |it| it.read < began);
        }
        late.retain(|it| !self.sight.is_known(it));
        if late.is_empty() {
            return Some(named);
        }
        let is_same = late.iter().all(|it| self.sight.is_same(it));
        let is_same_there = match (grant, &self.far) {
            (Grant::Leased(_), Some(far)) => {
                let seen = far.caller.see_late(&mut self.sight, &late).await;
                seen.inspect_err(|it| shared.trouble(&far.caller, it, "asking for tags"))
            }
            _ => Ok(true),
        };
        match is_same_there {
            Ok(true) if is_same => Some(named),
            Ok(_) => {
                shared.counts.refused_fills.add();
                None
            }
            Err(_) => None,
        }
    }
}
