//! Why there is no decision.

use crate::{Decision, Source};
use kv_core::Error;
use std::{error, fmt, time::Duration};

/// Why there is no decision. A denial is none of these, but a [`Decision`]; only who has waited in vain gets
/// an error, [`TooLate`] or [`NoSlot`].
#[derive(Debug)]
#[non_exhaustive]
pub enum LimitError {
    /// No policy has this name.
    UnknownPolicy(UnknownPolicy),
    /// The request costs more than the policy ever lets pass at once, or nothing.
    Cost(CostError),
    /// The policy's algorithm cannot do this.
    NotPossible(NotPossible),
    /// It would have passed, but later than the caller was willing to wait. Nothing was taken.
    TooLate(TooLate),
    /// There was no slot for as long as the caller was willing to wait.
    NoSlot(NoSlot),
    /// A policy makes no sense.
    Policy(PolicyError),
    /// The store could not be asked, or cannot do it.
    Store(Error),
}

/// No policy has this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy {
    pub(crate) name: String,
    pub(crate) known: Vec<String>,
}

/// A request costs more than its policy ever lets pass at once, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CostError {
    pub(crate) policy: String,
    pub(crate) cost: u64,
    pub(crate) most: u64,
}

/// The algorithm of a policy cannot do what was asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPossible {
    pub(crate) policy: String,
    pub(crate) what: &'static str,
    pub(crate) remedy: &'static str,
}

/// A request would have passed later than its caller was willing to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLate {
    pub(crate) retry_after: Duration,
}

/// There was no slot for as long as the caller was willing to wait, or the policy denies what the store cannot be asked
/// about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSlot {
    pub(crate) decision: Decision,
}

/// A policy makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    pub(crate) policy: String,
    pub(crate) reason: String,
}

impl UnknownPolicy {
    /// The name that was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names there are.
    pub fn known(&self) -> &[String] {
        &self.known
    }
}

impl CostError {
    /// The most that one request can cost.
    pub fn most(&self) -> u64 {
        self.most
    }
}

impl TooLate {
    /// When it would have passed.
    pub fn retry_after(self) -> Duration {
        self.retry_after
    }
}

impl NoSlot {
    /// The denial; its source tells which of both it was.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

impl PolicyError {
    pub(crate) fn new(policy: &str, reason: impl Into<String>) -> Self {
        Self {
            policy: policy.to_owned(),
            reason: reason.into(),
        }
    }

    /// The policy's name.
    pub fn policy(&self) -> &str {
        &self.policy
    }
}

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no rate limit policy is called `{}`; ",
            self.name.escape_debug()
        )?;
        match self.known.is_empty() {
            true => f.write_str("there are none"),
            false => write!(f, "there are {}", self.known.join(", ")),
        }
    }
}

impl fmt::Display for CostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, cost, most } = self;
        write!(
            f,
            "a request of cost {cost} can never pass by the policy `{policy}`: the cost must be 1 to {most}"
        )
    }
}

impl fmt::Display for NotPossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            policy,
            what,
            remedy,
        } = self;
        write!(f, "the policy `{policy}` cannot {what}; {remedy}")
    }
}

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let after = self.retry_after;
        write!(
            f,
            "the request would pass only after {after:?}, later than the caller can wait"
        )
    }
}

impl fmt::Display for NoSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decision {
            policy,
            source,
            limit,
            ..
        } = &self.decision;
        match source {
            Source::Fallback => {
                write!(
                    f,
                    "the policy `{policy}` gives no slot as long as the store cannot be asked"
                )
            }
            _ => write!(
                f,
                "the {limit} slots of the policy `{policy}` were held by others all the while"
            ),
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the rate limit policy `{}`: {}",
            self.policy, self.reason
        )
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownPolicy(it) => it.fmt(f),
            Self::Cost(it) => it.fmt(f),
            Self::NotPossible(it) => it.fmt(f),
            Self::TooLate(it) => it.fmt(f),
            Self::NoSlot(it) => it.fmt(f),
            Self::Policy(it) => it.fmt(f),
            Self::Store(it) => it.fmt(f),
        }
    }
}

impl error::Error for UnknownPolicy {}
impl error::Error for CostError {}
impl error::Error for NotPossible {}
impl error::Error for TooLate {}
impl error::Error for NoSlot {}
impl error::Error for PolicyError {}

impl error::Error for LimitError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<Error> for LimitError {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<PolicyError> for LimitError {
    fn from(error: PolicyError) -> Self {
        Self::Policy(error)
    }
}
