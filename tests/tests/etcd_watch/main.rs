//! Watches on a real etcd: what they tell, when, and what they survive.

#![allow(clippy::unwrap_used, reason = "a test")]

mod changes;
mod deadlines;
mod faults;
mod load;
mod site;
