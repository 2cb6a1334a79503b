#![allow(clippy::unwrap_used, reason = "a test")]

mod headers;
mod keys;
mod layer;
mod responders;
