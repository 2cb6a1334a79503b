#![doc = include_str!("../README.md")]

mod builder;
mod builtin;
mod configuration;
mod factory;
mod fault;
mod hint;
mod instance;
mod layout;
pub mod order;
mod other;
mod read;
mod registry;
#[cfg(feature = "schema")]
pub mod schema;
mod settings;
mod slot;
mod template;
mod tree;
mod url;

#[cfg(test)]
mod tests;

pub use self::{
    builder::FactoryBuilder,
    factory::Factory,
    instance::Instance,
    registry::{ProviderBuilder, WrapperBuilder},
    settings::Settings,
    url::StoreUrl,
};
pub use kv_wrappers::KeySettings;
