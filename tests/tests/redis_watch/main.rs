//! What watches promise, on a real Redis.

#![allow(clippy::unwrap_used, reason = "a test")]

mod changes;
mod expiry;
mod faults;
mod load;
mod messages;
mod ranges;
mod site;
