//! The cache on each store, bare and through layers, and behind servers that do not answer.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod each_store;
mod fallback;
mod faulty;
mod layers;
mod nodes;
mod processes;
mod silent;
mod tags;
mod tenants;
