//! The in-process limiter that the memory store is compared with.

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// So many a second for each key, and so many at once.
pub(crate) fn limiter(rate: u32, burst: u32) -> DefaultKeyedRateLimiter<String> {
    let positive = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    RateLimiter::keyed(Quota::per_second(positive(rate)).allow_burst(positive(burst)))
}
