//! Locks on each store, bare and through layers.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod chaos;
mod contention;
mod control;
mod costs;
mod crowd;
mod dropped;
mod election;
mod exclusive;
mod fair;
mod history;
mod latch;
mod multi;
mod network;
mod operators;
mod rw;
mod semaphore;
mod site;
