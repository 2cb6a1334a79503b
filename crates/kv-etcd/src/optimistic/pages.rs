//! Reading ranges of any size, page by page, all at one revision.

use super::{
    facts::{Listing, Query, Want, What},
    view::{Interrupt, Planned, View},
};
use crate::layout::Range;
use std::sync::Arc;

/// How many keys the first page has.
const FIRST: u64 = 1_000;
/// The same after an answer was too large. As many of the largest values fit an answer.
pub(super) const CAUTIOUS: u64 = 40;
/// By how much a page is larger than the one before at most.
const GROWTH: u64 = 8;
/// How many bytes a page should have.
const WANTED: u64 = 8 << 20;

impl View<'_> {
    /// Has the first page of a range read along with the next that must be.
    pub(crate) fn expect_pages(&mut self, range: &Range, most: u64) {
        let query = self.first_page(range, most);
        if !range.is_empty() && !self.facts.listings.contains_key(&query) {
            self.want(Want::Range(query));
        }
    }

    /// Has the keys of a range counted along with the next that must be read.
    pub(crate) fn expect_count(&mut self, range: &Range) {
        let query = Query {
            range: range.clone(),
            limit: 0,
            what: What::Count,
        };
        if !self.facts.listings.contains_key(&query) {
            self.want(Want::Range(query));
        }
    }

    /// What is in a range, lowest first, up to so many keys. The writes do not rely on it.
    pub(crate) fn pages(&mut self, range: &Range, most: u64) -> Planned<Vec<Arc<Listing>>> {
        let mut pages = Vec::new();
        if range.is_empty() || most == 0 {
            return Ok(pages);
        }
        // A plan that writes is never about many.
        if self.writes_in(range) {
            let limit = if most == u64::MAX { 0 } else { most };
            return Ok(vec![self.list(range, limit, What::All)?]);
        }
        let mut left = most;
        let mut query = self.first_page(range, most);
        loop {
            let Some(page) = self.facts.listings.get(&query).cloned() else {
                self.want(Want::Range(query));
                return Err(Interrupt::Unread);
            };
            let found = page.entries.len() as u64;
            left = left.saturating_sub(found);
            let Some((last, _)) = page
                .entries
                .last()
                .filter(|_| left > 0 && found < page.count)
            else {
                pages.push(page);
                return Ok(pages);
            };
            let size = (query.limit as u64 * GROWTH).min(WANTED * found / page.bytes().max(1));
            query = Query {
                range: query.range.after(last),
                limit: size.clamp(CAUTIOUS, i64::MAX as u64).min(left) as i64,
                what: What::All,
            };
            pages.push(page);
        }
    }

    fn first_page(&self, range: &Range, most: u64) -> Query {
        let size = if self.facts.cautious { CAUTIOUS } else { FIRST };
        Query {
            range: range.clone(),
            limit: size.min(most) as i64,
            what: What::All,
        }
    }
}

impl Listing {
    fn bytes(&self) -> u64 {
        let bytes = self.entries.iter();
        bytes
            .map(|(key, seen)| (key.len() + seen.value.len()) as u64)
            .sum()
    }
}
