//! What watches promise, on a real Redis.

#![allow(clippy::unwrap_used, reason = "a test")]

mod changes;
mod databases;
mod expiry;
mod faults;
mod load;
mod messages;
mod polled;
mod polled_far;
mod ranges;
mod site;
