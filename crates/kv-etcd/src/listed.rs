//! Which keys were listed together lately. Who lists keys often reads all of them next, and etcd reads
//! neighbours as one range in a fraction of the time that it takes for one key after the other.
//!
//! Only hints: whoever goes by one looks whether the range, or each of several along the page, held no
//! more than what was asked for.

use foldhash::fast::RandomState;
use kv_core::Key;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    hash::{BuildHasher, Hash, Hasher},
};

/// Fewer keys are not worth a range, ...
const FEW: usize = 8;
/// ... and the hash of more takes its time, whoever asks.
const MANY: usize = 1_000;
/// How many pages are remembered, a few bytes for each.
const MOST: usize = 256;

/// The pages that were listed last.
#[derive(Default)]
pub(crate) struct Listed {
    hasher: RandomState,
    pages: Mutex<VecDeque<u64>>,
}

impl Listed {
    /// Notes the keys of a page, all below one prefix: no other one lay between them.
    pub(crate) fn note(&self, keys: &[Key]) {
        let Some(page) = self.page(keys) else {
            return;
        };
        let mut pages = self.pages.lock();
        if pages.contains(&page) {
            return;
        }
        if pages.len() >= MOST {
            pages.pop_front();
        }
        pages.push_back(page);
    }

    /// Whether these are the keys of a page.
    pub(crate) fn is_page(&self, keys: &[Key]) -> bool {
        let page = self.page(keys);
        page.is_some_and(|page| self.pages.lock().contains(&page))
    }

    /// Others lie between them now.
    pub(crate) fn forget(&self, keys: &[Key]) {
        let page = self.page(keys);
        self.pages.lock().retain(|it| Some(*it) != page);
    }

    fn page(&self, keys: &[Key]) -> Option<u64> {
        if !(FEW..=MANY).contains(&keys.len()) {
            return None;
        }
        let mut hasher = self.hasher.build_hasher();
        keys.iter().for_each(|key| key.as_bytes().hash(&mut hasher));
        Some(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(from: usize, count: usize) -> Vec<Key> {
        let name = |it: usize| Key::try_from(format!("{it:05}")).unwrap();
        (from..from + count).map(name).collect()
    }

    #[test]
    fn the_latest_pages_are_remembered_and_not_too_many() {
        let listed = Listed::default();
        assert!(!listed.is_page(&keys(0, FEW)));
        for from in 0..=MOST {
            listed.note(&keys(from, FEW));
            listed.note(&keys(from, FEW));
        }
        assert!(listed.is_page(&keys(MOST, FEW)) && listed.is_page(&keys(1, FEW)));
        assert!(!listed.is_page(&keys(0, FEW)));
        assert!(!listed.is_page(&keys(1, FEW + 1)));
        listed.forget(&keys(1, FEW));
        assert!(!listed.is_page(&keys(1, FEW)) && listed.is_page(&keys(2, FEW)));
        listed.note(&keys(0, FEW - 1));
        assert!(!listed.is_page(&keys(0, FEW - 1)));
    }
}
