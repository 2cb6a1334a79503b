//! Why a request does not pass, and who says it.

use crate::{Decision, LimitError};
use http::{Response, request::Parts};

/// Why a request does not pass.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Refusal<'a> {
    /// The subject has used up what it may: 429.
    Limited(&'a Decision),
    /// The store could not be asked, and the policy says that nobody passes then, or has used up this process' share: 503.
    /// The subject may have done nothing wrong.
    Fallback(&'a Decision),
    /// There is no decision: 503 if the store could not be asked.
    Undecided(&'a LimitError),
    /// The request has no key, and the layer refuses such: 400.
    NoKey,
}

/// Answers what does not pass. The layer adds the headers that tell of the limit.
///
/// [`ProblemJson`](super::ProblemJson) and [`GrpcStatus`](super::GrpcStatus) are ready; a closure
/// `Fn(&Parts, Refusal<'_>) -> Response<R>` is one, too. Whatever it says of [`Refusal::Fallback`] and
/// [`Refusal::Undecided`], it should not be 429: clients that did nothing wrong would slow down, and nobody would notice that
/// the store is away.
pub trait Responder<R>: Send + Sync + 'static {
    /// The answer. The request has not been sent further in.
    fn respond(&self, request: &Parts, refusal: Refusal<'_>) -> Response<R>;
}

impl<F, R> Responder<R> for F
where
    F: Fn(&Parts, Refusal<'_>) -> Response<R> + Send + Sync + 'static,
{
    fn respond(&self, request: &Parts, refusal: Refusal<'_>) -> Response<R> {
        self(request, refusal)
    }
}
