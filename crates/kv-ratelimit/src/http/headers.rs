//! What answers tell of a limit.

use super::problem::seconds;
use crate::Decision;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{fmt::Write, time::Duration};

const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The greatest integer of a structured field (RFC 9651).
const LARGEST: u64 = 999_999_999_999_999;

/// What answers tell of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Headers {
    /// `RateLimit-Policy: "api";q=100;w=60` and `RateLimit: "api";r=50;t=30`, as draft-ietf-httpapi-ratelimit-headers-11
    /// has it: the quota and its seconds; what remains, and in how many seconds the limit is unused, or, of a
    /// denied request, when it would pass. Several layers add up to one list.
    #[default]
    Draft,
    /// And `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (in seconds from now): of the innermost
    /// layer that has them.
    DraftAndLegacy,
    /// Nothing.
    None,
}

impl Headers {
    /// Adds what a decision says.
    pub(super) fn tell(
        self,
        decision: &Decision,
        window: Option<Duration>,
        headers: &mut HeaderMap,
    ) {
        if self == Self::None {
            return;
        }
        // A name that cannot be told is told of a policy that came later: the layer's own was refused.
        let Some(name) = quoted(&decision.policy) else {
            return;
        };
        let mut policy = format!("{name};q={}", decision.limit.min(LARGEST));
        // Windows are whole seconds there; any other number would tell of another limit.
        let window = window.filter(|it| it.subsec_nanos() == 0 && !it.is_zero());
        let window = window.map(|it| it.as_secs().min(LARGEST));
        let mut standing = format!("{name};r={}", decision.remaining.min(LARGEST));
        let reset = match decision.is_allowed() {
            true => decision.reset_after,
            false => decision.retry_after,
        };
        // Writing to a string does not fail.
        if let Some(window) = window {
            _ = write!(policy, ";w={window}");
        }
        if !reset.is_zero() {
            _ = write!(standing, ";t={}", seconds(reset).min(LARGEST));
        }
        append(headers, RATELIMIT_POLICY, &policy);
        append(headers, RATELIMIT, &standing);
        if self == Self::DraftAndLegacy && !headers.contains_key(X_RATELIMIT_LIMIT) {
            headers.insert(X_RATELIMIT_LIMIT, decision.limit.into());
            headers.insert(X_RATELIMIT_REMAINING, decision.remaining.into());
            headers.insert(X_RATELIMIT_RESET, seconds(reset).into());
        }
    }
}

/// A string of a structured field: what is printable in ASCII, between quotes. Others have none.
pub(super) fn quoted(text: &str) -> Option<String> {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for it in text.chars() {
        if !matches!(it, ' '..='~') {
            return None;
        }
        if matches!(it, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(it);
    }
    quoted.push('"');
    Some(quoted)
}

fn append(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.append(name, value);
    }
}
