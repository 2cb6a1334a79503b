//! What the workspace's tests and benchmarks share.

pub mod bench;
pub mod contended;
pub mod job;
pub mod kinds;
pub mod noop;
pub mod patience;
pub mod server;
pub mod stores;
pub mod watching;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
