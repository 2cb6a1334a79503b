//! The factory and the wrappers it stacks: cases 128–132, 147–149 and 154–158 that concern them.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails as the test does"
)]

mod atomic_samples;
mod atomic_tenants;
mod cache;
mod configuration;
mod forwarding;
mod lifecycle;
mod lock;
mod prefixes;
mod ratelimit;
mod recorder;
mod samples;
mod scheduler;
mod shared;
mod tenants;
mod ttl;
