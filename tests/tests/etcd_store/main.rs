//! What the provider does on a real etcd, where no contract tells: leases, clocks, the layout and other
//! clients, errors, and the loss of members.

#![allow(clippy::unwrap_used, reason = "a test")]

mod draining;
mod ended;
mod errors;
mod exchanges;
mod health;
mod history;
mod interop;
mod large;
mod layout;
mod leases;
mod listed;
mod members;
mod moving;
mod sharing;
mod site;
mod skew;
mod structures;
mod tls;
mod tokens;
