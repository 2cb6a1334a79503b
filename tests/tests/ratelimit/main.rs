//! Rate limits on each store, bare and through layers, and asked by several processes.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod algorithms;
mod bounds;
mod budgets;
mod callers;
mod each_store;
mod faulty;
mod http;
