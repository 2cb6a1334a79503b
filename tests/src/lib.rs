//! What the workspace's tests and benchmarks share.

pub mod bench;
pub mod server;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
