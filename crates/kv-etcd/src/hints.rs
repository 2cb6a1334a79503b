//! What a process remembers to save exchanges. Nothing is answered from it.

use crate::{fences::Fences, listed::Listed, records::Records, written::Written};

#[derive(Default)]
pub(crate) struct Hints {
    pub(crate) records: Records,
    pub(crate) written: Written,
    pub(crate) fences: Fences,
    pub(crate) listed: Listed,
}
