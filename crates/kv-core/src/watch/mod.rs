//! Streams of changes: what to watch, and what is told.

use crate::{Capability, Key, Prefixes, Result, Value, Visitor};
use futures_core::Stream;
use std::pin::Pin;

pub mod subscription;

/// What to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Watch {
    /// These keys, whether they exist yet or not.
    Keys(Vec<Key>),
    /// All keys in these ranges.
    Prefixes(Prefixes),
    /// Messages on these channels, which are named as keys are.
    Channels(Vec<Key>),
}

impl Watch {
    /// What the store must be able to do.
    pub fn needs(&self) -> Capability {
        match self {
            Self::Keys(_) | Self::Prefixes(_) => Capability::Watch,
            Self::Channels(_) => Capability::Channels,
        }
    }

    /// Shows every key and prefix to a visitor.
    ///
    /// # Errors
    /// The visitor's.
    pub fn visit(&mut self, visitor: &mut dyn Visitor) -> Result<()> {
        match self {
            Self::Keys(keys) | Self::Channels(keys) => {
                keys.iter_mut().try_for_each(|key| visitor.key(key))
            }
            Self::Prefixes(prefixes) => visitor.prefixes(prefixes),
        }
    }
}

/// What happened. Changes of one key may be told as one; messages never are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The key was written.
    Put {
        /// The key.
        key: Key,
        /// What it holds, where the store tells.
        value: Option<Value>,
    },
    /// The key is gone.
    Delete {
        /// The key.
        key: Key,
    },
    /// A message came.
    Message {
        /// The channel.
        channel: Key,
        /// The payload.
        payload: Value,
    },
    /// Something may have been missed: read again what matters.
    Resync,
}

impl Event {
    /// The key or channel it is about.
    pub fn key_mut(&mut self) -> Option<&mut Key> {
        match self {
            Self::Put { key, .. } | Self::Delete { key } | Self::Message { channel: key, .. } => {
                Some(key)
            }
            Self::Resync => None,
        }
    }
}

/// A stream of events; dropping it ends the subscription.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event>> + Send>>;
