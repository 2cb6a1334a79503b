//! What the rules have in common.

use super::state::State;

/// How much of one limit is used at one time.
pub(super) trait Level: Copy {
    /// In how many microseconds so much more may pass; 0 if now.
    fn wait_for(self, cost: u64) -> u64;

    /// With so much more used.
    #[must_use]
    fn take(self, cost: u64) -> Self;

    /// With so much less used, at least nothing.
    #[must_use]
    fn give_back(self, cost: u64) -> Self;

    /// What to tell about it, and to store.
    fn standing(self) -> Standing;

    /// Whether what was stored meant more than a full limit, or a later window: the clock was set
    /// back, or the limit lowered. It must be written even by a denial, or the limit would stay
    /// full until the clock is there again.
    fn is_cut(self) -> bool;
}

/// A level as the caller and the store see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// How much more may pass now.
    pub(super) remaining: u64,
    /// In how many microseconds nothing is used; until then the state has to be kept.
    pub(super) reset: u64,
    /// What to store; `None` if nothing is used.
    pub(super) state: Option<State>,
}
