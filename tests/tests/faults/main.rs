//! Faults on a real Redis: kills, pauses, a broken network, a server that refuses, and calls that
//! are dropped half way. Every test prints what it really injected and fails if that is nothing.

#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod cancel;
mod commits;
mod counting;
mod history;
mod journal;
mod layers;
mod lifecycle;
mod load;
mod near_cache;
mod network;
mod outage;
mod refusals;
mod sent_once;
mod site;
