//! The scheduler on each store, bare and through layers.
#![allow(clippy::unwrap_used, reason = "all of it is test code")]

mod attempts;
mod chaos;
mod claims;
mod control;
mod differential;
mod recurring;
mod registry;
mod site;
mod unique;
mod waiting;
