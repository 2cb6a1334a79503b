//! What a limiter says.

use std::{sync::Arc, time::Duration};

/// Whether a request may pass, and how its limit stands.
///
/// Spans of time count from the moment of the decision. After [`retry_after`](Self::retry_after) the same request
/// passes, if nothing else comes; a limit that is far from being used up says zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Decision {
    /// The policy by which it was made.
    pub policy: Arc<str>,
    /// What it came to.
    pub verdict: Verdict,
    /// Who made it.
    pub source: Source,
    /// What the request costs.
    pub cost: u64,
    /// How much passes in a period.
    pub limit: u64,
    /// How much more would pass now; rounded down. Zero if it was denied without asking how much is left.
    pub remaining: u64,
    /// When the same request would pass; zero if it does now. Rounded up to the microsecond.
    pub retry_after: Duration,
    /// When the limit will be unused if nothing else comes; zero if that is not known.
    pub reset_after: Duration,
    /// Names it in an exact log, or its window in a calendar, so that it can be given back.
    pub(crate) number: u64,
    /// When the limit will be unused, on the monotonic clock: by then nothing is left to be given back. None
    /// if nothing was taken.
    pub(crate) unused_at: Option<Duration>,
}

/// What a decision came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The request may pass.
    Allowed,
    /// It would have been denied, but the policy is only tried out ("shadow mode"): it may pass.
    WouldDeny,
    /// It must not pass.
    Denied,
}

/// Who made a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Source {
    /// The store, asked for this request.
    Store,
    /// This process, which has seen at the store that such a request is denied until later.
    LocalDeny,
    /// This process, from units that the store gave it in advance.
    Lease,
    /// This process, by a policy that is its own: nothing is shared.
    InProcess,
    /// This process, since far more is asked for than the store could allow.
    FloodGuard,
    /// The policy's rule for a store that cannot be asked. A denial is not about the subject.
    Fallback,
    /// The policy's list of subjects that are not limited.
    AllowList,
    /// Nobody in the end: another limit of the same request denies it, and nothing was taken from this
    /// one, or was given back.
    NotAsked,
}

impl Decision {
    /// Whether the request may pass.
    pub fn is_allowed(&self) -> bool {
        self.verdict != Verdict::Denied
    }
}

impl Source {
    pub(crate) const ALL: [Self; 8] = [
        Self::Store,
        Self::LocalDeny,
        Self::Lease,
        Self::InProcess,
        Self::FloodGuard,
        Self::Fallback,
        Self::AllowList,
        Self::NotAsked,
    ];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::LocalDeny => "local_deny",
            Self::Lease => "lease",
            Self::InProcess => "in_process",
            Self::FloodGuard => "flood_guard",
            Self::Fallback => "fallback",
            Self::AllowList => "allow_list",
            Self::NotAsked => "not_asked",
        }
    }
}

impl Verdict {
    pub(crate) const ALL: [Self; 3] = [Self::Allowed, Self::WouldDeny, Self::Denied];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldDeny => "would_deny",
            Self::Denied => "denied",
        }
    }
}
