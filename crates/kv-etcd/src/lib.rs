#![doc = include_str!("../README.md")]

mod answers;
mod batch;
mod commit;
mod config;
mod deadlines;
mod endpoints;
mod error;
mod fences;
mod hashes;
mod hints;
mod layout;
mod leases;
mod link;
mod listed;
mod members;
mod optimistic;
mod place;
mod reads;
mod records;
mod scan;
mod store;
mod strings;
mod throttle;
mod watch;
mod written;
mod zmove;
mod zsets;

use kv_core::number;

pub use self::{
    config::{EtcdConfig, EtcdTls},
    store::EtcdStore,
};
