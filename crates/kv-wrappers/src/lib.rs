#![doc = include_str!("../README.md")]

mod default_ttl;
mod key_resolver;

pub use self::{
    default_ttl::DefaultTtl,
    key_resolver::{KeyResolver, KeySettings},
};
