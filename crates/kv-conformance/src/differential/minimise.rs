//! Makes a failing trace short.

use super::{mismatch::Divergence, step::Step};
use kv_core::Kv;

/// How many steps the search may execute on every store.
const BUDGET: usize = 30_000;

/// A short trace that still parts the stores, at its last step; none if the failure does not show
/// again on fresh keys.
pub(super) async fn minimise(divergence: &Divergence, stores: &[&Kv]) -> Option<Vec<Step>> {
    let mut search = Search {
        divergence,
        stores,
        budget: BUDGET,
    };
    let mut shortest = match search.failing(divergence.related()).await {
        Some(steps) => steps,
        None => search.failing(divergence.until_failure().to_vec()).await?,
    };
    let mut chunk = shortest.len() / 2;
    while chunk > 0 {
        let mut start = 0;
        while start < shortest.len() {
            let end = (start + chunk).min(shortest.len());
            let without = [&shortest[..start], &shortest[end..]].concat();
            match search.failing(without).await {
                Some(shorter) => shortest = shorter,
                None => start += chunk,
            }
        }
        chunk /= 2;
    }
    Some(shortest)
}

struct Search<'a> {
    divergence: &'a Divergence,
    stores: &'a [&'a Kv],
    budget: usize,
}

impl Search<'_> {
    /// The trace up to the step that parts the stores, if one does.
    async fn failing(&mut self, mut steps: Vec<Step>) -> Option<Vec<Step>> {
        self.budget = self.budget.checked_sub(steps.len())?;
        let lane = &self.divergence.lane;
        lane.clear(self.stores).await.ok()?;
        let ended = lane.run(&steps, self.stores).await;
        lane.clear(self.stores).await.ok()?;
        let parting = ended.err()?;
        steps.truncate(parting.index + 1);
        Some(steps)
    }
}
