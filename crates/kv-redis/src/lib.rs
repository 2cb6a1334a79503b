#![doc = include_str!("../README.md")]

mod batch;
mod clear;
mod cluster;
mod commit;
mod config;
mod connect;
mod decode;
mod encode;
mod error;
#[cfg(test)]
mod fake;
mod handshake;
mod hashes;
mod link;
mod scan;
mod scripts;
mod store;
mod strings;
mod target;
mod throttle;
mod watch;
mod zmove;
mod zsets;

pub use self::{
    config::{RedisConfig, RedisTls},
    store::RedisStore,
};
/// The driver, whose handles [`Kv::native`](kv_core::Kv::native) gives.
pub use redis;
