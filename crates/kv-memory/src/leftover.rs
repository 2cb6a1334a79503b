//! What a change leaves to be done when its lock is gone.

use crate::entry::Data;
use std::task::Waker;

#[derive(Default)]
pub(crate) struct Leftover {
    /// Large structures that are gone, to be dropped.
    pub(crate) garbage: Vec<Data>,
    /// Those who wait for what was changed.
    pub(crate) woken: Vec<Waker>,
}

impl Leftover {
    pub(crate) fn is_empty(&self) -> bool {
        self.garbage.is_empty() && self.woken.is_empty()
    }

    pub(crate) fn finish(self) {
        self.woken.into_iter().for_each(Waker::wake);
    }
}
